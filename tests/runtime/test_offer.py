"""Whether bars are offered: for exactly our features, and where there are kernels."""

import sys
from collections.abc import Iterator

import pytest

import features_fast
import features_fast.library
from runtime.offer import offer_bars


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Let every test be asked for the first time."""
    offer_bars.cache_clear()
    yield
    offer_bars.cache_clear()


def test_a_model_of_our_features_takes_bars() -> None:
    offer = offer_bars(features_fast.specification_hash())
    assert offer.offered
    assert offer.reason is None
    assert offer.backend == features_fast.backend()


@pytest.mark.parametrize(("specification", "reason"), [(None, "does not say"), ("0" * 64, "000000000000, this server")])
def test_another_model_does_not(specification: str | None, reason: str) -> None:
    offer = offer_bars(specification)
    assert not offer.offered
    assert offer.reason is not None
    assert reason in offer.reason


def test_without_kernels_and_compiler_the_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_fast.library, "_library", None)
    monkeypatch.setattr(features_fast.library, "_reason", "no library here")
    monkeypatch.setitem(sys.modules, "numba", None)
    offer = offer_bars(features_fast.specification_hash())
    assert not offer.offered
    assert offer.reason is not None
    assert "no library here" in offer.reason
    assert "numba" in offer.reason
