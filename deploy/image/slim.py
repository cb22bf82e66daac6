"""Reduce a virtual environment to what serves, and compile it once: ``python slim.py ENVIRONMENT TREE``.

Runs in the image's build stage. TREE is copied over the root of the image. Here it gets byte code of the standard
library's modules that a server imports, where Python looks for it: the base image has none, and on a read-only root
every start, of a worker and of the health check too, would compile them again, which takes longer than all else.

Of what others wrote the byte code alone stays, as `python -OO` makes it, without docstrings and assertions; NumPy
asserts that its docstrings are there, so that these go together. A traceback names file, line and function as before,
and quotes no line of theirs. The server's own modules stay whole: the API's description is made of their docstrings.
"""

import csv
import ctypes
import importlib.util
import json
import marshal
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

REMOVED = {
    "onnxruntime/capi/libonnxruntime.so.*": "for C programs: the Python module has the same code in itself",
    "onnxruntime/backend": "for the onnx package's test suite",
    "onnxruntime/datasets": "example models",
    "onnxruntime/quantization": "makes models",
    "onnxruntime/tools": "makes models",
    "onnxruntime/transformers": "makes models",
    "numpy/**/tests": "numpy's own tests",
    "numpy/_core/_*_tests.*.so": "numpy's own tests",
    "numpy/_core/_simd.*.so": "numpy's own tests",
    "numpy/_core/include": "for C extensions",
    "numpy/_core/lib": "for C extensions",
    "numpy/f2py": "for Fortran extensions",
    "numpy/distutils": "for C extensions",
    "numpy/testing": "for tests",
    "numpy/fft": "loaded on use, and never used",
    "numpy/polynomial": "loaded on use, and never used",
    "numpy/random": "loaded on use, and never used",
    "anyio/_backends/_trio.py": "another event loop",
    "anyio/pytest_plugin.py": "for tests",
    "click/testing.py": "for tests",
    "prometheus_client/aiohttp": "for other servers",
    "prometheus_client/bridge": "for other monitoring",
    "prometheus_client/django": "for other servers",
    "prometheus_client/twisted": "for other servers",
    "prometheus_client/parser.py": "reads what other servers say",
    "prometheus_client/openmetrics/parser.py": "reads what other servers say",
    "starlette/testclient.py": "for tests",
    "uvicorn/protocols/http/h11_impl.py": "works on h11, which is not here",
    "uvicorn/protocols/http/zttp_*.py": "works on zttp, which is not here",
    "uvicorn/protocols/websockets/*_impl.py": "works on packages that are not here",
    "uvicorn/workers.py": "works on gunicorn, which is not here",
    "uvloop/_testbase.py": "for tests",
    "**/*.px[di]": "for Cython",
    "**/*.pyx": "source of an extension module",
    "**/*.pyi": "for type checkers",
    "**/py.typed": "for type checkers",
}
"""Pattern below site-packages -> why no server needs it. A pattern that matches nothing is out of date and an error."""

COMMANDS = ("[Aa]ctivate*", "f2py", "numpy-config", "onnxruntime_test")
"""What goes from the folder of commands: what needs a removed module, and a shell's help."""

STRIPPED = ("uvloop/*.so", "httptools/**/*.so", "numpy/**/*.so")
"""Libraries that come with symbols."""

PATCHED = "numpy.libs/*.so*"
"""Libraries that were patched after they were linked: stripped by `strip` they would no longer load."""

OWN = ("features_fast", "runtime", "tickline.py")
"""What of site-packages is the server's own."""

_NOTHING, _LOAD = 0, 1
"""Types of segments."""

_ALLOCATED = 0b10
"""The flag of a section that is in memory."""

UNCHECKED = 0b01
"""The flags of a file of byte code that holds the hash of its source, which nobody compares."""

IMPORTED = """
import json, sys
import tickline, runtime.command_line, runtime.commands, runtime.server
import uvicorn.lifespan.on, uvicorn.loops.uvloop, uvicorn.protocols
import multiprocessing.popen_spawn_posix, multiprocessing.resource_tracker, multiprocessing.spawn
import encodings.idna, http.client
files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
print(json.dumps(sorted(file for file in files if file and file.endswith(".py"))))
"""


def remove(folder: Path, patterns: Iterable[str]) -> None:
    """Delete what no server needs."""
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if not found:
            sys.exit(f"slim: {pattern} matches nothing: take it from the list")
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def strip(site: Path) -> None:
    """Take from libraries what is not loaded; one that would then no longer load keeps it."""
    for file in sorted(path for pattern in STRIPPED for path in site.glob(pattern)):
        stripped = file.with_name("stripped.so")  # beside it, as a library looks for others from where it is
        subprocess.run(["strip", "--strip-unneeded", "-o", stripped, file], check=True)
        replace_library(file, stripped)
    for file in sorted(site.glob(PATCHED)):
        stripped = file.with_name("stripped.so")
        stripped.write_bytes(loaded_part(file.read_bytes()))
        replace_library(file, stripped)


def replace_library(file: Path, stripped: Path) -> None:
    """Put a smaller form of a library in its place, if it can be loaded."""
    try:
        ctypes.CDLL(str(stripped), os.RTLD_NOW)
    except OSError as error:
        sys.stdout.write(f"slim: {file.name} keeps its symbols: {error}\n")
        stripped.unlink()
    else:
        shutil.copymode(file, stripped)
        stripped.replace(file)


def loaded_part(content: bytes) -> bytes:
    """Return of a shared library (ELF, 64 bits, little-endian) what is loaded of it, at the same addresses.

    `patchelf` puts what it changes behind all else, and leaves where it is what it has changed before. So symbols, the
    table of sections and abandoned segments, those without a section, lie in the middle of such a file.
    """
    header, segment, section = (
        struct.Struct("<16sHHIQQQIHHHHHH"),
        struct.Struct("<IIQQQQQQ"),
        struct.Struct("<IIQQQQIIQQ"),
    )
    head = list(header.unpack_from(content))
    segments_at, sections_at, segments, sections = head[5], head[6], head[10], head[12]
    table = [list(segment.unpack_from(content, segments_at + i * segment.size)) for i in range(segments)]
    needed = [
        (address, address + max(size, 1))
        for _, _, flags, address, _, size, *_ in section.iter_unpack(
            content[sections_at : sections_at + sections * section.size]
        )
        if flags & _ALLOCATED
    ]
    made, moved = bytearray(), []
    for entry in sorted((entry for entry in table if entry[0] == _LOAD), key=lambda entry: entry[2]):
        _, _, offset, address, _, size, in_memory, alignment = entry
        if offset and not any(begin < address + in_memory and address < end for begin, end in needed):
            entry[0], entry[2], entry[5], entry[6] = _NOTHING, 0, 0, 0
            continue
        if offset:
            made += bytes((address - len(made)) % alignment)
        moved.append((offset, offset + size, len(made)))
        entry[2] = len(made)
        made += content[offset : offset + size]
    for entry in table:
        if entry[0] not in (_LOAD, _NOTHING) and entry[5]:
            entry[2] = next(at + entry[2] - begin for begin, end, at in moved if begin <= entry[2] < end)
    head[6] = head[12] = head[13] = 0  # there is no table of sections
    header.pack_into(made, 0, *head)
    for i, entry in enumerate(table):
        segment.pack_into(made, segments_at + i * segment.size, *entry)
    return bytes(made)


def write_byte_code(file: Path, target: Path, *, optimize: int) -> None:
    """Compile a module into a file that is not compared with its source when it is loaded, as PEP 552 has it.

    Neither of them ever changes in an image.
    """
    source = file.read_bytes()
    code = compile(source, file, "exec", dont_inherit=True, optimize=optimize)
    head = importlib.util.MAGIC_NUMBER + UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(head + marshal.dumps(code))


def compile_environment(environment: Path, site: Path, tree: Path) -> None:
    """Compile each module of the environment, and of the standard library those that a server imports."""
    for folder in sorted(site.rglob("__pycache__")):  # what pip compiled
        shutil.rmtree(folder)
    for file in sorted(site.rglob("*.py")):
        if file.relative_to(site).parts[0] in OWN:
            write_byte_code(file, cached(file), optimize=0)
        else:
            write_byte_code(file, file.with_suffix(".pyc"), optimize=2)
            file.unlink()
    python = environment / "bin" / "python"
    done = subprocess.run([python, "-I", "-c", IMPORTED], check=True, stdout=subprocess.PIPE, text=True)
    for file in map(Path, json.loads(done.stdout)):
        if not file.is_relative_to(environment):
            write_byte_code(file, tree / cached(file).relative_to("/"), optimize=2)


def cached(file: Path) -> Path:
    """Return where Python looks for the byte code of a source that stays."""
    return Path(importlib.util.cache_from_source(str(file)))


def update_records(site: Path) -> None:
    """Take what is gone from each distribution's list of its files."""
    for record in sorted(site.glob("*.dist-info/RECORD")):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if (site / next(csv.reader([line]))[0]).exists()))


def main(environment: Path, tree: Path) -> None:
    """Remove, strip and compile."""
    [site] = environment.glob("lib/python*/site-packages")
    remove(site, REMOVED)
    remove(environment / "bin", COMMANDS)
    strip(site)
    compile_environment(environment, site, tree)
    update_records(site)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
