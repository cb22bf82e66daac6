"""The script that names the image in the manifests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

KUBERNETES = Path(__file__).parent.parent.parent / "deploy" / "kubernetes"
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def kubernetes(tmp_path: Path) -> Path:
    """A copy of the script and of what it changes."""
    (tmp_path / "image").mkdir()
    shutil.copy(KUBERNETES / "set_image.py", tmp_path)
    shutil.copy(KUBERNETES / "image" / "kustomization.yaml", tmp_path / "image")
    return tmp_path


def set_image(kubernetes: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the script."""
    command = [sys.executable, str(kubernetes / "set_image.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def images(kubernetes: Path) -> object:
    """Return what the kustomization names."""
    return yaml.safe_load((kubernetes / "image" / "kustomization.yaml").read_text())["images"]


def test_it_names_an_image_and_then_another(kubernetes: Path) -> None:
    before = (kubernetes / "image" / "kustomization.yaml").read_text()
    assert set_image(kubernetes, "ghcr.io/acme/tickline", "1.10", DIGEST).returncode == 0
    named = {"name": "tickline", "newName": "ghcr.io/acme/tickline", "newTag": "1.10", "digest": DIGEST}
    assert images(kubernetes) == [named]
    assert set_image(kubernetes, "localhost:5001/tickline", "2.0").returncode == 0
    assert images(kubernetes) == [{"name": "tickline", "newName": "localhost:5001/tickline", "newTag": "2.0"}]
    assert before.splitlines()[0] == (kubernetes / "image" / "kustomization.yaml").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ghcr.io/Acme/tickline", "1"), "set_image: name: expected"),
        (("x\n    newName: y", "1"), "set_image: name: expected"),
        (("tickline", "1 2"), "set_image: tag: expected"),
        (("tickline", "1", "sha256:12"), "set_image: digest: expected"),
        (("tickline",), "usage: set_image.py NAME TAG [DIGEST]"),
    ],
)
def test_what_is_no_image_is_refused_and_changes_nothing(
    kubernetes: Path, arguments: tuple[str, ...], said: str
) -> None:
    before = images(kubernetes)
    done = set_image(kubernetes, *arguments)
    assert done.returncode != 0
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert images(kubernetes) == before


def test_a_kustomization_without_an_image_is_refused(kubernetes: Path) -> None:
    (kubernetes / "image" / "kustomization.yaml").write_text("images: []\n")
    assert "expected one image with newName, got 0" in set_image(kubernetes, "tickline", "1").stderr
