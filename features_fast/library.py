"""The compiled kernels: from the library built ahead of time where one fits, else compiled just in time."""

import ctypes
import hashlib
import platform
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features_fast import _layout as at
from features_fast.errors import TicklineError
from features_fast.specification import specification_hash

FOLDER = Path(__file__).parent
SOURCE_SYMBOL = "features_fast_source"
CPUINFO = Path("/proc/cpuinfo")

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS = {
    "rows": (*(_POINTER,) * 8, _INT, _POINTER, *(_INT,) * 3),
    "panel": (*(_POINTER,) * 8, _INT, _POINTER, _POINTER, _INT, _INT),
    "last": (*(_POINTER,) * 8, _INT),
    "resume": (_POINTER,),
}
_BUILTINS = ("rows_at_once", "last_at_once", "update")
_NAMES = (*_ARGUMENTS, *_BUILTINS)

_X86_64_V3 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"})
_X86_64_V4 = _X86_64_V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_STEADY_CLOCK = "avx512_vbmi2"
"""Processors without it slow down, with all that runs on them, for milliseconds after a few wide instructions."""

Kernel = Callable[..., int]
Binder = Callable[[tuple[object, ...]], Callable[..., object]]


@dataclass(frozen=True, slots=True)
class Library:
    """The kernels as functions over addresses, which may run in several threads on different states and outputs.

    Attributes
    ----------
    backend : str
        Where they come from, and why not from a better place.
    rows, panel, last, resume : callable
        The functions of the same names in ``_kernels``; they release the interpreter.
    rows_at_once, last_at_once : callable
        The built-in functions of these names, bound to a state of their own.
    update : callable
        Binds the built-in function of this name to a stream.

    Notes
    -----
    The built-in functions hold the interpreter: their work takes less time than to release it and take it back, and
    holding it makes them atomic.
    """

    backend: str
    rows: Kernel
    panel: Kernel
    last: Kernel
    resume: Kernel
    rows_at_once: Callable[..., object]
    last_at_once: Callable[..., object]
    update: Binder


def library_path(target: str, folder: Path = FOLDER) -> Path:
    """Return where the library for a target (``x86-64-v4``, ``x86-64-v3``, ``x86-64``, ``aarch64``) stands."""
    return folder / f"_kernels-{target}.so"


def fingerprint() -> str:
    """Return the SHA-256 of all that determines the machine code but the compiler: a library with another is stale."""
    digest = hashlib.sha256(specification_hash().encode())
    for path in sorted(FOLDER.glob("_[a-z]*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def targets(cpuinfo: Path = CPUINFO) -> list[str]:
    """Return the targets of every library of kernels that this machine can run, best first."""
    machine = platform.machine()
    if machine != "x86_64":
        return [machine]
    return ["x86-64-v3", "x86-64"] if _X86_64_V3.issubset(_flags(cpuinfo)) else ["x86-64"]


def feature_targets(cpuinfo: Path = CPUINFO) -> list[str]:
    """Return the targets of the feature kernels that this machine can run, best first: AVX-512 is worth it for them."""
    wide = platform.machine() == "x86_64" and _flags(cpuinfo) >= _X86_64_V4 | {_STEADY_CLOCK}
    return [*(["x86-64-v4"] if wide else []), *targets(cpuinfo)]


def _flags(cpuinfo: Path) -> set[str]:
    try:
        with cpuinfo.open() as lines:
            return set(next((line for line in lines if line.startswith("flags")), "").split())
    except OSError:
        return set()


def open_library(path: Path, symbol: str, source: str, builder: str) -> ctypes.CDLL:
    """Open a library built ahead of time.

    Parameters
    ----------
    path : Path
        The library.
    symbol : str
        Name of its constant that holds the fingerprint of what it was built from.
    source : str
        Fingerprint of the source as it is now.
    builder : str
        The module that builds it.

    Raises
    ------
    TicklineError
        If the file cannot be loaded or was built from other source.
    """
    try:
        loaded = ctypes.CDLL(str(path))
        built_from = (ctypes.c_char * 64).in_dll(loaded, symbol).value.decode()
    except (OSError, ValueError) as error:
        raise TicklineError(f"{path.name}: expected a library of kernels, not {error}") from error
    if built_from != source:
        raise TicklineError(f"{path.name}: built from other source; build it again with python -m {builder}")
    return loaded


def load(path: Path) -> Library:
    """Load a library built ahead of time.

    Raises
    ------
    TicklineError
        If the file cannot be loaded or was built from other source.
    """
    loaded = open_library(path, SOURCE_SYMBOL, fingerprint(), "features_fast.build")
    addresses = {name: ctypes.cast(getattr(loaded, f"features_fast_{name}"), _POINTER).value or 0 for name in _NAMES}
    return _bind(f"ahead of time, {path.stem.removeprefix('_kernels-')}", addresses)


def compile_kernels(reason: str) -> Library:
    """Compile the kernels in this process, without a cache on disk: nothing needs to be writable.

    Raises
    ------
    TicklineError
        If numba is not installed.
    """
    global _compilations
    try:
        import numba
    except ImportError as error:
        raise TicklineError(
            f"features_fast: no kernels built ahead of time ({reason}) and numba, which compiles them, is not installed"
        ) from error
    from features_fast import _kernels

    cfunc: Any = numba.cfunc
    addresses: dict[str, int] = {}
    for name, (function, signature) in _kernels.KERNELS.items():
        compiled = cfunc(signature, **_kernels.FLAGS)(function)
        _compilations += 1
        _kept.append(compiled)
        addresses[name] = compiled.address
    return _bind(f"just in time: {reason}", addresses)


class _Method(ctypes.Structure):
    """``PyMethodDef`` of Python's C interface."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", _POINTER),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


_FASTCALL = 0x80
_new_builtin = ctypes.pythonapi.PyCFunction_NewEx
_new_builtin.argtypes = (ctypes.POINTER(_Method), ctypes.py_object, _POINTER)
_new_builtin.restype = ctypes.py_object


def _bind(backend: str, addresses: dict[str, int]) -> Library:
    kernels = {name: ctypes.CFUNCTYPE(_INT, *arguments)(addresses[name]) for name, arguments in _ARGUMENTS.items()}
    context = new_state(), np.ndarray, np.dtype(np.float64)
    return Library(
        backend,
        **kernels,
        rows_at_once=binder("rows_at_once", addresses["rows_at_once"])(context),
        last_at_once=binder("last_at_once", addresses["last_at_once"])(context),
        update=binder("update", addresses["update"]),
    )


def binder(name: str, address: int) -> Binder:
    """Return the function that binds the built-in function at an address to a tuple of its own."""
    """Return the function that binds the built-in function at an address to a tuple of its own."""
    method = _Method(name.encode(), address, _FASTCALL, None)
    _kept.append(method)  # built-in functions point to it
    return lambda bound: _new_builtin(method, bound, None)


def _find(folder: Path = FOLDER) -> tuple[Library | None, str]:
    """Return the best library that fits, or why there is none."""
    reasons = []
    for target in feature_targets():
        path = library_path(target, folder)
        if not path.exists():
            reasons.append(f"no {path.name}")
            continue
        try:
            return load(path), ""
        except TicklineError as error:
            reasons.append(str(error))
    return None, "; ".join(reasons)


def library() -> Library:
    """Return the kernels in use; the first call compiles them if no library was found at import."""
    global _library
    if _library is None:
        with _lock:
            if _library is None:
                _library = compile_kernels(_reason)
    return _library


def backend() -> str:
    """Return where the kernels come from: ``ahead of time, TARGET`` or ``just in time: REASON``."""
    return _library.backend if _library is not None else f"just in time: {_reason}"


def compilations() -> int:
    """Return how many kernels this process has compiled: constant after the first use, 0 with a built library."""
    return _compilations


def new_state(size: int = at.SIZE, apart: int = 64, place: int = 0) -> NDArray[np.float64]:
    """Return a state before the first bar, at a place in one of the pieces of memory that are so many bytes apart.

    It begins with a cache line, so that lanes seldom lie across two.
    """
    room = np.zeros(size + apart // 8)
    first = (place - room.ctypes.data) % apart // 8
    return room[first : first + size]


class Workspace(threading.local):
    """A state for computations that start from nothing, one a thread.

    What an earlier computation left in it does not matter: no value that reaches a row is older than its series.
    """

    def __init__(self) -> None:
        self.state = new_state(at.WORKSPACE, at.PAGE, at.WORKSPACE_PLACE)
        self.address = self.state.ctypes.data


def _check_objects() -> None:
    """Refuse an interpreter whose objects the kernels would misread."""
    probe, value = np.zeros(1), 1.5
    pair = (probe, value)
    word = ctypes.c_ssize_t.from_address
    if (
        word(id(probe) + 16).value != probe.ctypes.data
        or word(id(pair) + 32).value != id(value)
        or ctypes.c_double.from_address(id(value) + 16).value != value
        or word(id(probe)).value != sys.getrefcount(probe) - 1
    ):
        raise TicklineError(f"features_fast: expected CPython with its global lock, not {sys.version}")


_check_objects()
_lock = threading.Lock()
_kept: list[object] = []
_compilations = 0
_library, _reason = _find()

FLOAT64 = id(np.dtype(np.float64))
"""Address of the type object by which the kernels know float64 arrays."""

workspace = Workspace()
