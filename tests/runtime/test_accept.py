"""What a client likes best, as RFC 9110 reads its `Accept`."""

import pytest

from runtime.accept import prefer

JSON, NPY, HTML = "application/json", "application/x-npy", "text/html"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/x-npy", NPY),
        ("application/json, application/x-npy", JSON),
        ("application/x-npy, application/json", NPY),
        ("application/x-npy, */*", NPY),
        ("*/*, application/x-npy", JSON),
        ("text/plain, */*;q=0.1", JSON),
        ("application/x-npy;q=0.5, application/json;q=0.4", NPY),
        # The range that names a type most closely decides on it.
        ("application/json;q=0, */*", NPY),
        ("*/*, application/json;q=0", NPY),
        ("application/json;q=0.1, */*;q=0.9", NPY),
        ("application/*;q=0, */*", HTML),
        ("application/json;q=0.2, application/*;q=0.5, */*;q=0.1", NPY),
        ("text/*;q=0.9, application/json;q=0.8", HTML),
        ("TEXT/HTML ; Q=1.0", HTML),
        ("*/*;q=0", None),
        ("application/json;q=0", None),
        ("application/json;q=much", None),
        ("application/json;q=nan", None),
        ("application/json;q=2", None),
        ("application/json;q=-1", None),
        ("image/png", None),
        ("application", None),
        ("*", None),
        ("", None),
    ],
)
def test_the_closest_range_decides_and_the_largest_weight_wins(accept: str, expected: str | None) -> None:
    found = prefer(accept, (JSON, NPY, HTML))
    assert (found and found[0]) == expected


def test_parameters_are_those_of_the_range_that_decides() -> None:
    assert prefer("*/*;layout=rows, application/json; Layout=columns", (JSON,)) == (JSON, {"layout": "columns"})
    assert prefer("application/json;layout=columns;q=0.1, application/json", (JSON,)) == (JSON, {})
    assert prefer('application/json; layout="columns"', (JSON,)) == (JSON, {"layout": "columns"})
