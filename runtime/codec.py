"""The compiled codec of batches, where a library built ahead of time fits; without one, Python does the same slower."""

import ctypes
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from features_fast.errors import TicklineError
from features_fast.library import FOLDER as FEATURES_FOLDER
from features_fast.library import Binder, binder, open_library, targets

FOLDER = Path(__file__).parent
SOURCE_SYMBOL = "runtime_codec_source"

MORE, END, ODD = 0, 1, 2
"""Why a reading kernel stopped: no more room, the end of the list, or something that is not plain."""

DEEPEST = 900
"""Lists and objects within one another that a kernel still judges; below Python's own limit."""

WORDS_OF_JSON = b"truefalsenullNaNInfinity"

POSITION, STATUS, STATE_WORDS = 0, 1, 2
"""Words in which a kernel says where it stopped, and why."""

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS = {
    "rows": (_POINTER, _INT, _POINTER, *(_INT,) * 3, *(_POINTER,) * 3),
    "column": (_POINTER, _INT, _POINTER, _INT, _INT, _POINTER),
    "skip": (_POINTER, _INT, _INT),
    "squeeze": (_POINTER, _INT, _INT, *(_POINTER,) * 3, _INT),
    "write": (_POINTER, *(_INT,) * 3, *(_POINTER,) * 4),
    "numbers": (_POINTER, *(_INT,) * 3, *(_POINTER,) * 2),
}

Kernel = Callable[..., int]

_SOURCES = (
    *("codec.py", "_codec.py", "_grammar.py", "_objects.py", "_single_codec.py", "_drift.py"),
    *("baseline.py", "drift.py"),
)


@dataclass(frozen=True, slots=True)
class Codec:
    """The kernels as functions over addresses, which release the interpreter, and as built-in functions.

    Attributes
    ----------
    target : str
        What the library was built for.
    rows, column, skip, squeeze, write, numbers : callable
        The functions of the same names in ``_codec`` and ``_grammar``.
    take, answer, observe : callable
        Bind the built-in functions of the same names in ``_single_codec`` and ``_drift`` to a tuple; they hold the
        interpreter.
    """

    target: str
    rows: Kernel
    column: Kernel
    skip: Kernel
    squeeze: Kernel
    write: Kernel
    numbers: Kernel
    take: Binder
    answer: Binder
    observe: Binder


def library_path(target: str, folder: Path = FOLDER) -> Path:
    """Return where the library for a target of `features_fast.library.targets` stands."""
    return folder / f"_codec-{target}.so"


def fingerprint() -> str:
    """Return the SHA-256 of the kernels' source: a library with another one is stale."""
    sources = (
        *(FOLDER / name for name in _SOURCES),
        FEATURES_FOLDER / "_vectors.py",
    )
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def load(path: Path) -> Codec:
    """Load a library built ahead of time.

    Raises
    ------
    TicklineError
        If the file cannot be loaded or was built from other source.
    """
    library = open_library(path, SOURCE_SYMBOL, fingerprint(), "runtime.build")
    kernels: dict[str, Kernel] = {
        name: ctypes.CFUNCTYPE(_INT, *arguments)((f"runtime_codec_{name}", library))
        for name, arguments in _ARGUMENTS.items()
    }
    take, answer, observe = (
        binder(name, ctypes.cast(library[f"runtime_codec_{name}"], _POINTER).value or 0)
        for name in ("take", "answer", "observe")
    )
    return Codec(path.stem.removeprefix("_codec-"), **kernels, take=take, answer=answer, observe=observe)


def find(folder: Path = FOLDER) -> tuple[Codec | None, str]:
    """Return the best library in a folder that fits this machine, and where batches are coded and why there."""
    reasons = []
    for target in targets():
        path = library_path(target, folder)
        if not path.exists():
            reasons.append(f"no {path.name}")
            continue
        try:
            return load(path), f"ahead of time, {target}"
        except TicklineError as error:
            reasons.append(str(error))
    return None, "Python: " + "; ".join(reasons)


CODEC, BACKEND = find()
