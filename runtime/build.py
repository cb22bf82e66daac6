"""Build the codec of batches ahead of time: ``python -m runtime.build [FOLDER]``."""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from features_fast.build import TARGETS
from features_fast.errors import TicklineError
from runtime.codec import FOLDER, SOURCE_SYMBOL, fingerprint, library_path


def build(target: str, folder: Path = FOLDER) -> Path:
    """Build the library for one target and return its path.

    A process of its own compiles, because numba reads the processor to compile for once, at import.

    Raises
    ------
    TicklineError
        If compiler or linker fail.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = library_path(target, folder)
    environment = os.environ | {
        "NUMBA_CPU_NAME": target if target.startswith("x86") else "generic",
        "NUMBA_CPU_FEATURES": "",
    }
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        object_file, linked = Path(scratch) / "codec.o", Path(scratch) / path.name
        _run([sys.executable, "-m", "runtime.build", "--object", str(object_file)], environment)
        _run(["cc", "-shared", "-s", "-o", str(linked), str(object_file), "-lm"], environment)
        # Replaced, not overwritten: a process that has loaded the library keeps the file that it has.
        linked.replace(path)
    return path


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise TicklineError(f"runtime.build: {command[0]} is needed and not installed") from error
    except subprocess.CalledProcessError as error:
        raise TicklineError(f"runtime.build: {command[0]} failed: {error.stderr.strip()}") from error


def emit(path: Path) -> None:
    """Compile the kernels for the processor that numba was told and write them as one object file."""
    import llvmlite.binding as llvm
    import numba

    from runtime import _codec

    cfunc: Any = numba.cfunc
    module = llvm.parse_assembly(f'@{SOURCE_SYMBOL} = constant [65 x i8] c"{fingerprint()}\\00"')
    exported = {SOURCE_SYMBOL}
    for name, (function, signature) in _codec.KERNELS.items():
        compiled = cfunc(signature, **_codec.FLAGS)(function)
        part = llvm.parse_assembly(compiled.inspect_llvm())
        part.get_function(compiled.native_name).name = f"runtime_codec_{name}"
        exported.add(f"runtime_codec_{name}")
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
    path.write_bytes(machine.emit_object(module))


def main(arguments: list[str]) -> int:
    """Build every library of this machine into the package, or into a folder."""
    if arguments[:1] == ["--object"]:
        emit(Path(arguments[1]))
        return 0
    folder = Path(arguments[0]) if arguments else FOLDER
    try:
        for target in TARGETS.get(platform.machine(), ()):
            print(build(target, folder))
    except TicklineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
