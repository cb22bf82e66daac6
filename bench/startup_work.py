"""How long a process takes until it could serve, beside the libraries that it cannot do without."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.servers import clean_environ
from bench.work import Work


def startup_work(folder: Path) -> Iterator[Work]:
    """Yield a process that imports the server."""
    libraries = "import onnxruntime, numpy, uvicorn, starlette.applications"
    yield Work(
        "start, imports of a worker",
        _process("import runtime.server, runtime.application"),
        {"onnxruntime, numpy, uvicorn, Starlette": _process(libraries), "Python alone": _process("")},
    )


def _process(statement: str) -> Callable[[], object]:
    command, environ = [sys.executable, "-c", statement], clean_environ()
    return lambda: subprocess.run(command, env=environ, check=True)
