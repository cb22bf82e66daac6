"""The definitions of peers: complete, pinned, and on the same libraries that run a model as ours."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import contenders
from bench.contenders import PEERS, Peer
from bench.dialects import Rows
from bench.peer_environments import ROOT, lock_file, versions
from bench.peers import plain_predictor
from bench.reference import Reference
from bench.servers import Request

BATCHING = {"litserve-batching", "mlserver-batching", "ray-batching"}
ASKED = (
    BATCHING
    | {"bentoml", "fastapi", "fastapi-sklearn", "flask", "granian", "kserve", "litserve", "mlflow", "mlserver"}
    | {
        "ray",
        "robyn",
    }
)


def test_every_peer_that_was_asked_for_is_there_once() -> None:
    assert sorted(peer.key for peer in PEERS) == sorted(ASKED)
    assert len({peer.name for peer in PEERS}) == len(PEERS)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.key)
def test_its_environment_is_pinned_with_hashes_and_runs_the_model_by_our_versions(peer: Peer) -> None:
    text = lock_file(peer.environment).read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert versions(peer.environment, peer.packages).keys() == set(peer.packages)
    development = (ROOT / "requirements" / "dev.txt").read_text()
    for name in ("numpy", "scikit-learn" if peer.model == "joblib" else "onnxruntime"):
        pins = re.findall(rf"^{name}==.*?(?= \\)", text, re.MULTILINE)
        assert pins
        assert pins == re.findall(rf"^{name}==.*?(?= \\)", development, re.MULTILINE)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.key)
def test_its_command_is_filled_in(peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "environment", lambda key: tmp_path / key / "bin")
    prepared: list[str] = []

    def run(command: list[str], **_: object) -> object:
        prepared.extend(command)
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr("bench.contenders.subprocess.run", run)
    contender = peer.contender(tmp_path / "model", tmp_path, Request("/"))
    assert bool(prepared) == bool(peer.prepare)
    text = " ".join([*contender.command, *contender.environ.values(), *prepared])
    assert set(re.findall(r"\{.*?\}", text)) == {"{port}"}
    assert contender.command[0].startswith(str(tmp_path / peer.environment))
    for script in re.findall(r"\S+\.py\b", text):
        assert Path(script).exists()
    for module in re.findall(r"(bench\.peers\.\w+):", text):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists()


@pytest.mark.parametrize("kind", ["onnx", "joblib"])
def test_the_plain_predictor_answers_as_the_model(
    kind: str, sp500_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sp500_model("random_forest")
    monkeypatch.setenv("MODEL_FOLDER", str(model))
    monkeypatch.setenv("MODEL_KIND", kind)
    probabilities = plain_predictor.load()
    reference = Reference(model)
    rows: Rows = reference.golden[:3]
    expected = reference.predict(rows)
    batch = plain_predictor.answer(probabilities, rows.tolist())
    assert batch["count"] == 3
    single = plain_predictor.answer(probabilities, rows[0].tolist())
    for found, wanted in zip([single, *batch["predictions"]], expected[[0, 0, 1, 2]], strict=True):
        assert list(found["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=1e-5)
        assert found["prediction_label"] == ("DOWN", "UP")[found["prediction"]] == ("DOWN", "UP")[wanted.argmax()]
        assert found["probability"] == max(found["probabilities"].values())


def test_what_arrives_together_is_answered_as_alone_by_one_call() -> None:
    calls: list[int] = []

    def probabilities(rows: Rows) -> Rows:
        calls.append(len(rows))
        return np.stack([1 - rows[:, 0], rows[:, 0]], axis=1)

    requests: list[list[Any]] = [[0.25, 9.0], [[0.5, 9.0], [0.75, 9.0]], [[0.125, 9.0]]]
    together = plain_predictor.answers(probabilities, requests)
    assert calls == [4]
    for reply, request in zip(together, requests, strict=True):
        alone = plain_predictor.answer(probabilities, request)
        assert {**reply, "timestamp": ""} == {**alone, "timestamp": ""}
    assert [reply.get("count") for reply in together] == [None, 2, 1]
    assert together[0]["probability"] == 0.75
