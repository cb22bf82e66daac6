"""What is found of peers is kept, peer by peer, and why nothing was."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import machine, peer_benchmark
from bench.servers import MeasureError

FOUND = {"peer": {"ready": 1.0}, "ours": {"ready": 0.5}}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for all that takes time: only what is written down is tested here."""

    def measure(peer: Any, *_: object) -> dict[str, Any]:
        if peer is not None and peer.key == "robyn":
            raise MeasureError("it does not serve")
        return FOUND

    monkeypatch.setattr("bench.peer_rounds.measure", measure)
    monkeypatch.setattr(peer_benchmark, "kept_inputs", lambda *_: None)
    monkeypatch.setattr(peer_benchmark, "environment", lambda key: Path(key))
    monkeypatch.setattr(peer_benchmark, "installed_mebibytes", lambda key: 7.0)
    monkeypatch.setattr(peer_benchmark, "_check_machine", lambda: None)
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)
    return tmp_path / "peers.json"


def run(results: Path, *keys: str) -> int:
    only = [part for key in keys for part in ("--only", key)]
    return peer_benchmark.main([*only, "--rounds", "2", "--results", str(results)])


def test_results_are_merged_in_the_order_of_the_peers(results: Path) -> None:
    assert run(results, "litserve") == 0
    assert run(results, "granian", "nginx") == 0
    found = json.loads(results.read_text())
    assert list(found["servers"]) == ["nginx", "granian", "litserve"]
    assert found["size"] == 7.0
    entry = found["servers"]["granian"]
    assert entry["peer"] == FOUND["peer"]
    assert (entry["size"], list(entry["versions"])) == (7.0, ["granian", "onnxruntime"])
    assert entry["made"]["command"] == "python -m bench.peer_benchmark --seconds 1 --rounds 2"


def test_a_peer_that_fails_is_named_and_the_others_are_measured(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(results, "robyn", "litserve") == 1
    assert capsys.readouterr().err.splitlines()[-1] == "not measured: robyn; the results say why"
    servers = json.loads(results.read_text())["servers"]
    assert servers["robyn"]["failed"] == "it does not serve"
    assert servers["litserve"]["peer"] == FOUND["peer"]


@pytest.mark.parametrize("name", ["processor", "identity"])
def test_figures_of_another_machine_do_not_stay(name: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(results, "granian")
    monkeypatch.setattr(machine, name, lambda: "another one")
    run(results, "litserve")
    assert list(json.loads(results.read_text())["servers"]) == ["litserve"]
