"""What the clients cost: the page shows the results beside it, and every way is measured."""

import json

from bench.client import PAGE, RESULTS, measure, render


def test_the_page_shows_the_results() -> None:
    assert render(json.loads(RESULTS.read_text())) in PAGE.read_text()


def test_every_way_is_measured() -> None:
    known = json.loads(RESULTS.read_text())
    found = measure(rounds=1, calls=2)
    for part in ("row", "batch"):
        assert found[part].keys() == known[part].keys()
        assert all(times["wait"] > 0 for times in found[part].values())
