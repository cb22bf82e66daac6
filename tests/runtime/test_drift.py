"""Drift: the kernel's counts against NumPy's, the index against its formula, and windows that forget."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.baseline import BINS, Baseline, take_baseline
from runtime.codec import CODEC, Codec
from runtime.drift import MOST_COLUMNS, MOST_ROWS, WORDS, Drift, collect, stability_index, watched

WINDOW = 100.0
Matrix = NDArray[np.float32]


def training(features: int = 5, rows: int = 3000, classes: int = 3, seed: int = 0) -> tuple[Matrix, Matrix]:
    """Return rows of different scales, one column of few different values, and probabilities."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(rows, features)) * np.geomspace(1e-3, 1e6, features)
    matrix[:, 0] = generator.integers(0, 3, rows)
    return matrix.astype(np.float32), generator.dirichlet([1.0] * classes, rows).astype(np.float32)


def words() -> memoryview:
    return memoryview(bytearray(8 * WORDS)).cast("Q")


def naive_index(sample: Matrix, base: Matrix) -> float:
    """Return the index of one column by its definition, value by value."""
    edges = [float(np.sort(base)[(len(base) - 1) * k // BINS]) for k in range(1, BINS)]
    shares = [[0.0] * BINS, [0.0] * BINS]
    for counts, values in zip(shares, (sample.tolist(), base.tolist()), strict=True):
        for value in values:
            own = edges.count(value) > 1  # it is several deciles, and has a bin of its own
            counts[edges.index(value) + 1 if own else sum(value > edge for edge in edges)] += 1 / len(values)
    pairs = [(max(actual, 1e-4), max(expected, 1e-4)) for actual, expected in zip(*shares, strict=True)]
    return float(sum((actual - expected) * np.log(actual / expected) for actual, expected in pairs))


def test_the_index_is_that_of_the_definition() -> None:
    rows, probabilities = training(rows=401)
    later, scores = training(rows=4 * MOST_ROWS, seed=1)
    later[:, 2] *= 3
    baseline, memory = take_baseline(rows, probabilities), words()
    drift = Drift(memory, baseline, WINDOW, clock=lambda: 0.0)
    for start in range(0, len(later), MOST_ROWS):
        drift.observe(later[start : start + MOST_ROWS], scores[start : start + MOST_ROWS])
    found = stability_index(collect([memory], baseline, WINDOW, 0.0), baseline)
    columns = [(later[:, i], rows[:, i]) for i in range(5)] + [(scores[:, -1], probabilities[:, -1])]
    np.testing.assert_allclose(found, [naive_index(*pair) for pair in columns], rtol=1e-4, atol=1e-6)
    assert found[2] > 0.25 > 0.1 > max(found[1], found[3])


def test_the_rows_of_the_training_do_not_drift() -> None:
    rows, probabilities = training()
    baseline = take_baseline(rows, probabilities)
    np.testing.assert_allclose(baseline.share_matrix.sum(axis=1), 1.0, rtol=1e-6)
    counts = (baseline.share_matrix * len(rows)).round().astype(np.int64)
    np.testing.assert_allclose(stability_index(counts, baseline), 0.0, atol=1e-9)


@pytest.mark.parametrize("values", [[7.0], [0.0], [-1.0, 1.0], [0.0, 1.0, 2.0, 3.0], [-3e38]])
def test_a_column_of_few_values_is_seen_to_rise_and_to_fall(values: list[float]) -> None:
    column = np.resize(np.array(values, np.float32), 1000).reshape(-1, 1)
    scores = training(rows=1000)[1]
    baseline = take_baseline(column, scores)
    assert np.isfinite(baseline.edge_matrix).all()
    assert (np.diff(baseline.edge_matrix) >= 0).all()
    step = np.float32(0.5) if abs(values[0]) < 10 else np.float32(1e37)
    for by, moved in ((0, False), (step, True), (-step, True)):
        memory = words()
        drift = Drift(memory, baseline, WINDOW, clock=lambda: 0.0)
        for start in range(0, len(column), MOST_ROWS):
            drift.observe(column[start : start + MOST_ROWS] + by, scores[start : start + MOST_ROWS])
        index = stability_index(collect([memory], baseline, WINDOW, 0.0), baseline)[0]
        assert index > 0.25 if moved else index < 0.1


@pytest.mark.parametrize("features", [1, 22, MOST_COLUMNS - 1, MOST_COLUMNS, 500])
def test_the_kernel_counts_as_numpy_does(features: int) -> None:
    rows, probabilities = training(features)
    baseline = take_baseline(rows, probabilities)
    both = []
    for codec in (CODEC, None):
        memory = words()
        drift = Drift(memory, baseline, WINDOW, codec, lambda: 0.0)
        for count in (1, 2, MOST_ROWS - 1, MOST_ROWS, MOST_ROWS + 1, 2048):
            drift.observe(rows[:count], probabilities[:count])
        drift.observe(rows[::2], probabilities[::2])
        drift.observe(np.asfortranarray(rows[:7]), probabilities[:7])
        both.append(collect([memory], baseline, WINDOW, 0.0))
    assert CODEC is not None
    np.testing.assert_array_equal(both[0], both[1])
    assert stability_index(both[0], baseline).shape == (len(both[0]),)
    assert both[0].shape == (min(features + 1, MOST_COLUMNS), BINS)
    assert len(watched([str(i) for i in range(features)])) == len(both[0]) - 1
    assert (both[0].sum(axis=1) == both[0][0].sum()).all()
    assert both[0][0].sum() <= 1 + 2 + MOST_ROWS * 5 + 7


def test_what_does_not_fit_is_left_to_numpy() -> None:
    assert CODEC is not None
    rows, probabilities = training(3, 20)
    edges, counts = np.zeros((4, BINS - 1), np.float32), np.zeros((4, BINS), np.int64)
    observe = CODEC.observe((np.ndarray, np.dtype(np.float32), edges, counts))
    assert observe(rows, probabilities) is rows
    seen = counts.sum()
    for wrong in (
        (rows[0], probabilities),
        (rows, probabilities[:5].copy()),
        (rows[:, :2].copy(), probabilities),
        (rows.astype(np.float64), probabilities),
        (rows, "probabilities"),
        (rows,),
        (),
    ):
        assert observe(*wrong) is not rows
    assert counts.sum() == seen == 20 * 4


@pytest.mark.parametrize("codec", [CODEC, None])
def test_the_window_forgets_and_is_never_shorter_than_its_half(codec: Codec | None) -> None:
    rows, probabilities = training()
    baseline, memory, now = take_baseline(rows, probabilities), words(), 1000.0
    drift = Drift(memory, baseline, WINDOW, codec, lambda: now)
    times: list[float] = []
    for now in itertools.accumulate([1000.0, *[7.0] * 60]):
        drift.observe(rows[:1], probabilities[:1])
        times.append(now)
        seen = collect([memory], baseline, WINDOW, now)[-1].sum()
        assert sum(at > now - WINDOW / 2 for at in times) <= seen <= sum(at > now - WINDOW for at in times)
    assert collect([memory], baseline, WINDOW, now + WINDOW)[-1].sum() == 0


def test_workers_are_added_up_and_a_successor_goes_on() -> None:
    rows, probabilities = training()
    baseline, slots = take_baseline(rows, probabilities), [words(), words()]
    for slot in (*slots, slots[0]):
        Drift(slot, baseline, WINDOW, clock=lambda: 0.0).observe(rows[:10], probabilities[:10])
    assert collect(slots, baseline, WINDOW, 0.0)[-1].sum() == 30
    other = take_baseline(rows + 1, probabilities)
    assert collect(slots, other, WINDOW, 0.0).sum() == 0
    Drift(slots[0], other, WINDOW, clock=lambda: 0.0).observe(rows[:3], probabilities[:3])
    assert collect(slots, other, WINDOW, 0.0)[-1].sum() == 3
    assert collect(slots, baseline, WINDOW, 0.0)[-1].sum() == 10


def test_a_baseline_knows_how_many_features_it_is_of() -> None:
    rows, probabilities = training(2)
    baseline = take_baseline(rows, probabilities)
    assert [features for features in range(5) if baseline.fits(features)] == [2]
    assert not Baseline(edges=baseline.edges, shares=b"").fits(2)
    assert not Baseline(edges=b"", shares=baseline.shares).fits(2)
