"""The environments of peers: one each, from a lock file with hashes, made when it is first needed."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from bench.servers import MeasureError

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".venv-peers"

_INSTALL_SECONDS = 600.0


OURS = "serve"
"""What stands for a peer's name where our own serving environment is meant."""


def lock_file(peer: str) -> Path:
    """Return the lock file of a peer, or of ours."""
    return ROOT / "requirements" / (f"{OURS}.txt" if peer == OURS else f"peer-{peer}.txt")


def environment(peer: str) -> Path:
    """Return the folder of the programs of a peer's environment, which is made anew where its lock file has changed.

    Raises
    ------
    MeasureError
        Where it cannot be made.
    """
    lock = lock_file(peer)
    folder = FOLDER / peer
    stamp = folder / "lock.sha256"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            raise MeasureError("uv is not installed; tickline[dev] has it")
        python = str(folder / "bin" / "python")
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "--requirement", str(lock)])
        stamp.write_text(digest)
    return folder / "bin"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    if done.returncode:
        raise MeasureError(f"{' '.join(command[:3])} failed:\n{done.stderr[-2000:]}")


def installed_mebibytes(peer: str) -> float:
    """Return what an environment takes on disk, without the interpreter and without what it writes later; ours with us.

    Raises
    ------
    MeasureError
        Where it cannot be made.
    """
    environment(peer)
    folders = list((FOLDER / peer).glob("lib/python*/site-packages"))
    if peer == OURS:
        folders += [ROOT / "features_fast", ROOT / "runtime"]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files if "__pycache__" not in file.parts) / 2**20


def versions(peer: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions that a peer's lock file pins for some packages."""
    pins = [line.split(" ")[0].partition("==") for line in lock_file(peer).read_text().splitlines() if "==" in line]
    return {name: version for name, _, version in pins if name in packages}
