"""What takes long says at once where its output cannot be written, and leaves no trace of the attempt."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import tickline
from bench import features, peer_benchmark, pod_capacity, scaling, wire

COMMANDS = {
    "data": (["data", "--output", "{}.csv"], "training.commands._bars"),
    "features": (["features", "bars.csv", "{}.csv"], "training.reader.read_bars"),
    "train": (["train", "--source", "synthetic", "--model-path", "{}"], "training.commands._bars"),
    "export": (["export", "--model-path", "{}.onnx"], "export.trained.read_trained_model"),
    "load": (["load", "http://localhost:1", "--closed", "--report", "{}"], "bench.load.Load"),
    "bench": (["bench", "run", "--save", "{}"], "bench.gate.measure"),
    "bench check": (["bench", "check", "--save", "{}"], "bench.gate.measure"),
}
"""Arguments, and what begins the work; {} is the output."""

MEASUREMENTS: dict[str, tuple[Callable[[list[str]], object], list[str], str]] = {
    "features": (features.main, ["{}"], "bench.features.table"),
    "peers": (peer_benchmark.main, ["--results", "{}"], "bench.peer_benchmark.Benchmark"),
    "pod": (pod_capacity.main, ["--results", "{}"], "bench.pod_capacity.measure"),
    "scaling": (scaling.main, ["--results", "{}"], "bench.scaling.measure"),
    "wire": (wire.main, ["--results", "{}"], "bench.wire.measure"),
    "page": (wire.main, ["--output", "{}"], "bench.wire.measure"),
}

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def filled(arguments: Sequence[str], output: Path) -> list[str]:
    return [argument.format(output) for argument in arguments]


def never(*_: object, **__: object) -> None:
    pytest.fail("the work has begun")


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """An output in a folder whose place a file has."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "new" / "output"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_refuses_an_output_before_the_work(
    name: str, taken: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    arguments, work = COMMANDS[name]
    monkeypatch.setattr(work, never)
    assert tickline.main(filled(arguments, taken)) == 1
    *_, last = capsys.readouterr().err.splitlines()  # behind those of progress
    assert last.startswith(f"tickline: {taken}")
    assert last.endswith(" cannot be written: Not a directory")


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_refuses_an_output_before_the_work(
    name: str, taken: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    main, arguments, work = MEASUREMENTS[name]
    monkeypatch.setattr(work, never)
    with pytest.raises(SystemExit):
        main(filled(arguments, taken))
    assert capsys.readouterr().err.endswith(f": {taken}: cannot be written: Not a directory\n")


def test_a_baseline_takes_the_place_of_no_other_file(tmp_path: Path, capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setattr("bench.gate.measure", never)
    (tmp_path / "notes.txt").write_text("mine")
    assert tickline.main(["bench", "run", "--save", str(tmp_path / "notes.txt")]) == 1
    assert "notes.txt: no baseline: " in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"
