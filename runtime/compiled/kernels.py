"""The kernels of the compiled engine, where a library built ahead of time fits."""

import ctypes
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from features_fast.errors import TicklineError
from features_fast.library import FOLDER as FEATURES_FOLDER
from features_fast.library import Binder, binder, open_library, targets
from runtime.compiled.forest import AVERAGE, MAX, MIN, SUM
from runtime.compiled.steps import Function, Norm, Operator, PairKind

FOLDER = Path(__file__).parent
PREFIX = "runtime_compiled_"
SOURCE_SYMBOL = "runtime_compiled_source"

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int64
_NUMBERS = (SUM, AVERAGE, MIN, MAX, *Operator, *Norm, *Function, *PairKind)
"""What the kernels know of the steps; a library that was built with other numbers is stale."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels as functions over addresses.

    Attributes
    ----------
    target : str
        What the library was built for.
    rows : callable
        The function of this name in ``_kernels``; it releases the interpreter.
    row : callable
        Binds the built-in function of this name, which holds the interpreter, to a context and its answer.
    """

    target: str
    rows: Callable[..., int]
    row: Binder


def library_path(target: str, folder: Path = FOLDER) -> Path:
    """Return where the library for a target of `features_fast.library.targets` stands."""
    return folder / f"_kernels-{target}.so"


def fingerprint() -> str:
    """Return the SHA-256 of all that determines the machine code but the compiler: a library with another is stale."""
    digest = hashlib.sha256(repr([int(number) for number in _NUMBERS]).encode())
    for path in (
        FEATURES_FOLDER / "_vectors.py",
        *(FOLDER / name for name in ("_records.py", "_walk.py", "_kernels.py")),
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load(path: Path) -> Kernels:
    """Load a library built ahead of time.

    Raises
    ------
    TicklineError
        If the file cannot be loaded or was built from other source.
    """
    library = open_library(path, SOURCE_SYMBOL, fingerprint(), "runtime.build")
    rows = ctypes.CFUNCTYPE(_INT, *(_POINTER,) * 3, _INT, _INT, _POINTER)((f"{PREFIX}rows", library))
    address = ctypes.cast(getattr(library, f"{PREFIX}row"), _POINTER).value or 0
    return Kernels(path.stem.removeprefix("_kernels-"), rows, binder("row", address))


def find(folder: Path = FOLDER) -> Kernels:
    """Return the kernels of the best library in a folder that fits this machine.

    Raises
    ------
    TicklineError
        If there is none: compiled just in time they would take longer than a start may.
    """
    reasons = []
    for target in targets():
        path = library_path(target, folder)
        if not path.exists():
            reasons.append(f"no {path.name}; python -m runtime.build makes it")
            continue
        try:
            return load(path)
        except TicklineError as error:
            reasons.append(str(error))
    raise TicklineError(f"no kernels built ahead of time: {'; '.join(reasons)}")
