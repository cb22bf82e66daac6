"""A soak's own judgement: what is wrong, lost or mixed is seen, and the figures kept are those of a clean one."""

import json
from pathlib import Path

import pytest

from bench.connections import LOST, Reply, Sockets
from bench.open_loop import run
from bench.soak import RESULTS, Traffic, faults_of
from bench.soak_requests import BAD, Sample, make_samples
from tests.runtime.conftest import export_forest, random_rows
from tests.serving import running_server

GOOD = {
    **{"wrong": 0, "examples": {}, "lost": 0, "lost_without_kill": 0, "killed": 2, "replaced": 2},
    **{"reloads": 3, "reloads_refused": []},
}


def test_the_figures_kept_are_those_of_a_clean_soak() -> None:
    found = json.loads(RESULTS.read_text())
    assert not faults_of(found)
    assert found["bad_inputs"] > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wrong": 1}, "1 replies were wrong"),
        ({"lost": 2}, "2 requests were lost"),
        ({"lost_without_kill": 1}, "no worker was killed"),
        ({"replaced": 1}, "1 of 2 workers were replaced"),
        ({"reloads_refused": ["409: x"]}, "reloads were refused"),
        ({"reloads": 0}, "nothing was reloaded"),
    ],
)
def test_what_must_not_be_is_told(change: dict[str, object], words: str) -> None:
    assert faults_of(GOOD) == []
    (reason,) = faults_of({**GOOD, **change})
    assert words in reason


def test_what_is_lost_is_sent_again_and_a_wrong_reply_is_a_fault() -> None:
    traffic = Traffic([Sample("single", b"", lambda reply: "" if reply.body == b"right" else "wrong: it")])
    traffic.reply(0, 0.0, Reply(200, b"right"))
    traffic.reply(1, 0.0, Reply(200, b"left"))
    traffic.reply(2, 0.0, Reply(0, b"", LOST))
    traffic.reply(3, 0.0, Reply(503, b"", head=b"HTTP/1.1 503 \r\nRetry-After: 1\r\n\r\n"))
    traffic.close()
    assert (dict(traffic.answered), dict(traffic.faults)) == ({"single": 1}, {"single: wrong": 1})
    assert (len(traffic.again), len(traffic.lost_at), traffic.refused) == (2, 1, 1)


def test_every_form_is_checked_on_the_wire(tmp_path: Path) -> None:
    models = [tmp_path / f"{seed}.onnx" for seed in range(3)]
    for seed, model in enumerate(models):
        export_forest(model, "1.0.0", seed=seed)
    rows = random_rows(500, 22, seed=3)
    for known, clean in ((models[:2], True), (models[1:], False)):
        samples = make_samples(known, rows, 160)
        traffic = Traffic(samples)
        with running_server(models[0], MAX_QUEUED_MS="60000") as server:  # none is refused on a busy machine
            sockets = Sockets("127.0.0.1", server.port, 4)
            run(sockets, [sample.request for sample in samples], 2000.0, len(samples), watcher=traffic, patience=60.0)
            sockets.close()
        traffic.close()
        forms = {sample.form for sample in samples}
        assert len(forms) == 8
        assert set(traffic.answered) == (forms if clean else {BAD}), traffic.examples
        assert sum(traffic.faults.values()) == (0 if clean else 140)
