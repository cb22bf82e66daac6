import os

import numpy as np
import pytest

from features_fast import compute_panel
from features_fast.cores import usable_cores


def test_it_is_the_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    assert usable_cores() == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(("told", "cores"), [(3, 3), (None, 1)])
def test_a_system_that_tells_no_affinity_has_them_all(
    told: int | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: told)
    assert usable_cores() == cores
    ones = np.ones(8)
    assert compute_panel(ones, ones, ones, ones, ones, [0, 4, 8]).shape == (8, 22)
