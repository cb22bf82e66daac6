"""The table of peers: every peer is named in it, the ones that failed too."""

import json
from typing import Any

import pytest

from bench import peer_table
from bench.contenders import NGINX, PEERS
from bench.peer_benchmark import RESULTS


@pytest.fixture
def results() -> Any:
    return json.loads(RESULTS.read_text())


def test_every_peer_is_in_it(results: Any) -> None:
    text = peer_table.page(results)
    for name in [NGINX, *(peer.name for peer in PEERS)]:
        assert f"\n| {name} | " in text or f"\n- {name}: " in text


def test_a_peer_without_results_is_named(results: Any) -> None:
    del results["servers"]["robyn"]
    assert "\n- Robyn + onnxruntime: no results yet\n" in peer_table.page(results)


def test_ours_is_the_median_beside_all_peers(results: Any) -> None:
    for place, entry in enumerate(results["servers"].values()):
        entry["ours"]["loads"]["32"]["rate"] = 1000.0 * place
    middle = 1000.0 * (len(results["servers"]) - 1) / 2
    assert peer_table.ours(results)["loads"]["32"]["rate"] == middle
    assert f"| **Tickline** | {middle:,.0f} | " in peer_table.page(results)
    assert f" | {middle:,.0f} | " in peer_table.short_table(results).splitlines()[2]


def test_a_peer_that_failed_is_named_with_the_reason(results: Any) -> None:
    entry = results["servers"]["robyn"]
    for name in ("peer", "ours", "ratios", "other_work"):
        del entry[name]
    entry["failed"] = "no wheel\nfor this machine"
    text = peer_table.page(results)
    assert f"## Not measured\n\n- {entry['name']}: no wheel for this machine\n" in text
    assert entry["name"] not in peer_table.picture(results)


def test_other_work_is_told(results: Any) -> None:
    for entry in results["servers"].values():
        entry["other_work"] = 0.01
    assert "Other work" not in peer_table.page(results) + peer_table.short_table(results)
    results["servers"]["robyn"]["other_work"] = 0.25
    assert f"beside {results['servers']['robyn']['name']} (25% of both cores)." in peer_table.page(results)
    assert "Other work took up to 25% of the machine" in peer_table.short_table(results)


def test_the_picture_has_the_ratios(results: Any) -> None:
    results["servers"]["flask"]["ratios"]["cpu/32"]["ratio"] = 1234.5
    assert ">1,234x<" in peer_table.picture(results)
    assert ">1.0x<" in peer_table.picture(results)
