"""Build kernels ahead of time: ``python -m features_fast.build [FOLDER]``."""

import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features_fast.errors import TicklineError
from features_fast.library import FOLDER, SOURCE_SYMBOL, fingerprint, library_path

TARGETS = {"x86_64": ("x86-64-v3", "x86-64"), "aarch64": ("aarch64",)}
"""What is built on each machine: on x86-64 a generic library too, for processors without AVX2."""

FEATURE_TARGETS = TARGETS | {"x86_64": ("x86-64-v4", "x86-64-v3", "x86-64")}
"""What is built of the feature kernels: they gain from AVX-512."""

_CPU = {"x86-64-v4": "x86-64-v4", "x86-64-v3": "x86-64-v3", "x86-64": "x86-64", "aarch64": "generic"}


@dataclass(frozen=True, slots=True)
class Source:
    """Kernels that become one library.

    Attributes
    ----------
    module : str
        The module that builds it as ``python -m MODULE``.
    folder : Path
        Where the library stands unless another folder is named.
    path : callable
        Path of the library for a target in a folder.
    prefix : str
        What the names of its functions begin with.
    symbol : str
        Name of the constant that holds the fingerprint of the source.
    fingerprint : callable
        SHA-256 of all that determines the machine code.
    kernels : callable
        Imports the kernels; returns name -> (function, signature), and numba's flags.
    targets : dict
        Machine -> the targets that are built on it.
    attributes : dict
        Processor -> what LLVM is told about each function, as its language writes it.
    """

    module: str
    folder: Path
    path: Callable[[str, Path], Path]
    prefix: str
    symbol: str
    fingerprint: Callable[[], str]
    kernels: Callable[[], tuple[dict[str, tuple[Any, Any]], dict[str, Any]]]
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: TARGETS)
    attributes: Mapping[str, str] = field(default_factory=dict)


def _feature_kernels() -> tuple[dict[str, tuple[Any, Any]], dict[str, Any]]:
    from features_fast import _kernels

    return _kernels.KERNELS, dict(_kernels.FLAGS)


# On a frame aligned with 16 bytes, as a caller leaves it, a spilled vector lies across two cache lines, and in one
# start of ten across two pages: storing it took longer than all else in the loop of a panel.
_FRAME = "alignstack=64"

FEATURES = Source(
    module="features_fast.build",
    folder=FOLDER,
    path=library_path,
    prefix="features_fast_",
    symbol=SOURCE_SYMBOL,
    fingerprint=fingerprint,
    kernels=_feature_kernels,
    targets=FEATURE_TARGETS,
    # In the order that suits the latencies of Zen 4, a panel takes a twentieth less time.
    attributes=dict.fromkeys(_CPU.values(), _FRAME) | {"x86-64-v4": f'{_FRAME} "tune-cpu"="znver4"'},
)


def build(target: str, folder: Path | None = None, source: Source = FEATURES) -> Path:
    """Build the library for one target and return its path.

    A process of its own compiles, because numba reads the processor to compile for once, at import.

    Raises
    ------
    TicklineError
        If the target is unknown or compiler or linker fail.
    """
    if target not in _CPU:
        raise TicklineError(f"target: expected one of {', '.join(_CPU)}, not {target}")
    folder = folder or source.folder
    folder.mkdir(parents=True, exist_ok=True)
    path = source.path(target, folder)
    environment = os.environ | {"NUMBA_CPU_NAME": _CPU[target], "NUMBA_CPU_FEATURES": ""}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        object_file, linked = Path(scratch) / "kernels.o", Path(scratch) / path.name
        _run([sys.executable, "-m", source.module, "--object", str(object_file)], environment)
        _run(["cc", "-shared", "-s", "-o", str(linked), str(object_file), "-lm"], environment)
        # Replaced, not overwritten: a process that has loaded the library keeps the file that it has.
        linked.replace(path)
    return path


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise TicklineError(f"build: {command[0]} is needed and not installed") from error
    except subprocess.CalledProcessError as error:
        raise TicklineError(f"build: {command[0]} failed: {error.stderr.strip()}") from error


def emit(path: Path, source: Source) -> None:
    """Compile the kernels for the processor that numba was told and write them as one object file."""
    import llvmlite.binding as llvm
    import numba

    cfunc: Any = numba.cfunc
    module = llvm.parse_assembly(f'@{source.symbol} = constant [65 x i8] c"{source.fingerprint()}\\00"')
    exported = {source.symbol}
    kernels, flags = source.kernels()
    for name, (function, signature) in kernels.items():
        compiled = cfunc(signature, **flags)(function)
        part = llvm.parse_assembly(compiled.inspect_llvm())
        part.get_function(compiled.native_name).name = source.prefix + name
        exported.add(source.prefix + name)
        module.link_in(part)
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration and symbol.name not in exported:
            symbol.linkage = llvm.Linkage.internal
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=os.environ["NUMBA_CPU_NAME"], opt=3, reloc="pic", codemodel="small"
    )
    # Inlined into its C entry, no kernel can raise: numba's error paths, and with them its runtime, drop out.
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    attributes = source.attributes.get(os.environ["NUMBA_CPU_NAME"], "")
    path.write_bytes(machine.emit_object(attributed(module, attributes)))


def attributed(module: Any, attributes: str) -> Any:
    """Return a module each of whose functions has more attributes."""
    import llvmlite.binding as llvm

    text = re.sub(r"^(attributes #\d+ = \{)", rf"\1 {attributes}", str(module), flags=re.MULTILINE)
    return llvm.parse_assembly(text)


def main(arguments: list[str], source: Source = FEATURES) -> int:
    """Build every library of this machine into the package, or into a folder."""
    if arguments[:1] == ["--object"]:
        emit(Path(arguments[1]), source)
        return 0
    folder = Path(arguments[0]) if arguments else source.folder
    try:
        targets = source.targets.get(platform.machine(), ())
        with ThreadPoolExecutor() as pool:  # each target waits for a process of its own
            for path in pool.map(lambda target: build(target, folder, source), targets):
                print(path)
    except TicklineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
