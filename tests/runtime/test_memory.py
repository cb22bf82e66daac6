"""Memory that is freed: what may be reused stays, the rest goes."""

import resource
import subprocess
import sys

from runtime.memory import KEPT_BYTES, REUSED_BYTES, give_back_memory


def run(program: str) -> int:
    """Return the number that a program prints, which runs in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_memory_of_a_batch_is_not_asked_for_again() -> None:
    program = """
import resource
import numpy as np
from runtime.memory import REUSED_BYTES, keep_freed_memory
keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(REUSED_BYTES // 4, np.uint8)
before = faults()
for _ in range(300):
    np.ones(REUSED_BYTES // 4, np.uint8)
print(faults() - before)
"""
    assert run(program) < REUSED_BYTES // 4 // resource.getpagesize()  # less than once in three hundred times


def test_no_more_than_the_bound_is_kept() -> None:
    program = """
import os
import numpy as np
from runtime.memory import REUSED_BYTES, keep_freed_memory
keep_freed_memory()
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before = resident()
many = [np.ones(REUSED_BYTES // 2, np.uint8) for _ in range(64)]
large = np.ones(16 * REUSED_BYTES, np.uint8)
del many, large
print(resident() - before)
"""
    assert run(program) < KEPT_BYTES + 2**21


def test_what_stays_is_never_looked_at() -> None:
    program = """
import gc
from runtime.memory import never_collected
looked = 0
def count(phase, info):
    global looked
    looked += 1
gc.callbacks.append(count)
with never_collected():
    kept = [[] for _ in range(100_000)]
assert gc.isenabled()
assert gc.get_freeze_count() > len(kept)
print(looked)
"""
    assert run(program) == 0


def test_a_collector_that_was_off_stays_off() -> None:
    program = """
import gc
from runtime.memory import never_collected
gc.disable()
with never_collected():
    pass
print(int(gc.isenabled()))
"""
    assert run(program) == 0


def test_memory_is_given_back_without_an_error() -> None:
    give_back_memory()
