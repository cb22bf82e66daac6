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
"""Libraries that come with symbols. Those of numpy.libs would no longer load: they were patched after linking."""

OWN = ("features_fast", "runtime", "tickline.py")
"""What of site-packages is the server's own."""

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
    """Take symbols from libraries; one that would then no longer load keeps them."""
    for file in sorted(path for pattern in STRIPPED for path in site.glob(pattern)):
        stripped = file.with_name("stripped.so")  # beside it, as a library looks for others from where it is
        subprocess.run(["strip", "--strip-unneeded", "-o", stripped, file], check=True)
        try:
            ctypes.CDLL(str(stripped), os.RTLD_NOW)
        except OSError as error:
            sys.stdout.write(f"slim: {file.name} keeps its symbols: {error}\n")
            stripped.unlink()
        else:
            shutil.copymode(file, stripped)
            stripped.replace(file)


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
