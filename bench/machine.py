"""What a reader needs to judge figures, or to measure them again: machine, versions, date and command."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from features_fast.cores import usable_cores

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")

_GENERATION = (
    *("cpu family", "model", "stepping"),  # x86
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision"),  # arm64
)
_VECTORS = "avx512f", "avx2"

PACKAGES = ("onnxruntime", "numpy", "uvicorn", "uvloop", "httptools", "msgspec")


def processor() -> str:
    """Return the processor's name, which may be that of several generations: for people, and for headings."""
    return _cpuinfo().get("model name", "unknown")


def caches() -> dict[str, int]:
    """Return the bytes of each level's cache of data, nearest first."""
    found = {}
    for folder in sorted(_CACHES.glob("index*")):
        if (folder / "type").read_text().strip() != "Instruction":
            size = (folder / "size").read_text().strip()
            found["L" + (folder / "level").read_text().strip()] = int(size.removesuffix("K")) << 10
    return found


def identity() -> str:
    """Return what makes two processors the same for a benchmark: name, generation, vectors and caches.

    Hypervisors give one name to processors of several generations, whose caches, clocks and vector units differ.
    """
    facts = _cpuinfo()
    named = [f"{name.removeprefix('CPU ').removeprefix('cpu ')} {facts[name]}" for name in _GENERATION if name in facts]
    flags = facts.get("flags", "").split()
    vectors = [flag for flag in _VECTORS if flag in flags][:1]
    sizes = [f"{level} {size >> 10} KiB" for level, size in caches().items()]
    return ", ".join([processor(), *named, *vectors, *sizes])


def _cpuinfo() -> dict[str, str]:
    """Return what the kernel says of the first processor."""
    first = _CPUINFO.read_text().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def describe(command: str, packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """Return facts of the machine as it is now, for a command that measures."""
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "processor": processor(),
        "identity": identity(),
        "cores": usable_cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {name: version(name) for name in packages},
    }


def own_command() -> str:
    """Return the command line of this process, as one would type it."""
    return " ".join(["tickline", *sys.argv[1:]])
