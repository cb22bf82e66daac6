"""Reduce a virtual environment to what serves, and compile it once: ``python slim.py ENVIRONMENT TREE``.

Runs in the image's build stage. TREE is copied over the root of the image. Here it gets byte code of the standard
library's modules that a server imports, where Python looks for it: the base image has none, and on a read-only root
every start, of a worker and of the health check too, would compile them again, which takes longer than all else.
"""

import compileall
import importlib.util
import json
import py_compile
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
    "uvloop/**/*.py[xd]": "source of the extension module",
    "**/*.pyi": "for type checkers",
    "**/py.typed": "for type checkers",
}
"""Pattern below site-packages -> why no server needs it. A pattern that matches nothing is out of date and an error."""

COMMANDS = ("[Aa]ctivate*", "f2py", "numpy-config", "onnxruntime_test")
"""What goes from the folder of commands: what needs a removed module, and a shell's help."""

STRIPPED = ("uvloop/*.so", "httptools/**/*.so")
"""Libraries that come with debug symbols. Those of numpy would no longer load: they were patched after linking."""

IMPORTED = """
import json, sys
import tickline, runtime.commands, runtime.server, uvicorn.lifespan.on, uvicorn.loops.uvloop, uvicorn.protocols
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
    """Take debug symbols from libraries."""
    files = [str(path) for pattern in STRIPPED for path in site.glob(pattern)]
    subprocess.run(["strip", "--strip-unneeded", *files], check=True)


def compile_environment(environment: Path, site: Path, tree: Path) -> None:
    """Compile each module of the environment, and of the standard library those that a server imports.

    Byte code is not compared with its source when it is loaded: both are in the image, and neither ever changes.
    """
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(site, quiet=1, invalidation_mode=mode):
        sys.exit("slim: not everything can be compiled")
    python = environment / "bin" / "python"
    done = subprocess.run([python, "-c", IMPORTED], check=True, stdout=subprocess.PIPE, text=True)
    for file in json.loads(done.stdout):
        if not Path(file).is_relative_to(environment):
            cached = tree / Path(importlib.util.cache_from_source(file)).relative_to("/")
            py_compile.compile(file, str(cached), doraise=True, invalidation_mode=mode)


def main(environment: Path, tree: Path) -> None:
    """Remove, strip and compile."""
    [site] = environment.glob("lib/python*/site-packages")
    remove(site, REMOVED)
    remove(environment / "bin", COMMANDS)
    strip(site)
    compile_environment(environment, site, tree)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
