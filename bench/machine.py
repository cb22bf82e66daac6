"""What a reader needs to judge figures, or to measure them again: machine, versions, date and command."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("onnxruntime", "numpy", "uvicorn", "uvloop", "httptools", "msgspec")


def processor() -> str:
    """Return the processor's name."""
    with Path("/proc/cpuinfo").open() as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def describe(command: str, packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """Return facts of the machine as it is now, for a command that measures."""
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {name: version(name) for name in packages},
    }


def own_command() -> str:
    """Return the command line of this process, as one would type it."""
    return " ".join(["tickline", *sys.argv[1:]])
