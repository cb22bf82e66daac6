"""`tickline load` as a person or a script calls it: on a real server, and on servers that are wrong on purpose."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickline
from bench.connections import Reply
from bench.load import Watch
from bench.load_report import render_text
from tests.bench.loopback import loopback, reply
from tests.serving import RunningServer, running_server

LABELS = ["DOWN", "UP"]
INFO = {"feature_names": ["a", "b"], "labels": LABELS, "version": "1.0.0"}
RIGHT = {"prediction": 1, "prediction_label": "UP", "probability": 0.75, "probabilities": {"DOWN": 0.25, "UP": 0.75}}
QUICK = ["--rate", "200", "--duration", "250ms", "--warm-up", "50ms", "--connections", "4", "--timeout", "5"]

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def server(sp500_model: Callable[[str], Path]) -> Iterator[RunningServer]:
    with running_server(sp500_model("random_forest")) as running:
        yield running


@pytest.fixture
def rows(tmp_path: Path) -> list[str]:
    np.save(tmp_path / "rows.npy", np.arange(1000.0).reshape(500, 2))
    return ["--data", str(tmp_path / "rows.npy"), "--bodies", "500"]


def report_of(capture: Capture, *arguments: str, status: int = 0) -> dict[str, Any]:
    assert tickline.main(["load", *arguments, "--json"]) == status
    found: dict[str, Any] = json.loads(capture.readouterr().out)
    return found


def test_every_reply_of_a_real_server_is_right(
    server: RunningServer, sp500_model: Callable[[str], Path], tmp_path: Path, capsys: Capture
) -> None:
    model = sp500_model("random_forest")
    url = f"http://127.0.0.1:{server.port}"
    options = ["--rate", "300,600", "--duration", "0.5", "--warm-up", "100ms", "--report", str(tmp_path / "report")]
    checks = ["--model-path", str(model), "--pid", str(server.process.pid), "--slo", "errors=0", "--slo", "p50=10s"]
    report = report_of(capsys, url, *options, *checks)
    assert [(step["loop"], step["offered"], step["requests"]) for step in report["steps"]] == [
        ("open", 300, 150),
        ("open", 600, 300),
    ]
    for step in report["steps"]:
        assert (step["errors"], step["faults"], step["arrivals"]) == (0, {}, "poisson")
        assert 0 < step["latency"]["p50"] <= step["latency"]["p99"] <= step["latency"]["max"]
        assert step["server_cpu"] >= 0
    assert report["verdict"]["passed"]
    assert report["target"]["bodies"] == 1000
    # The page stands for itself: pictures inside, and nothing fetched from elsewhere.
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('src="data:image/svg+xml;base64,') == 2
    assert page.count("src=") == 2
    assert "href" not in page
    for name in ("latency_by_percentile.svg", "latency_by_rate.svg"):
        assert (tmp_path / "report" / name).read_text().count("<svg ") == 1
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == report


def test_a_guarded_server_gets_the_token_that_no_report_shows(
    sp500_model: Callable[[str], Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(sp500_model("random_forest"), PREDICT_TOKENS="s3cret") as guarded:
        url = f"http://127.0.0.1:{guarded.port}"
        assert tickline.main(["load", url, "--closed", "--duration", "0.2", "--warm-up", "0"]) == 1
        assert "expected status 200, got 401" in capsys.readouterr().err
        monkeypatch.setenv("PREDICT_TOKEN", "s3cret")
        for form in ([], ["--rows", "20", "--format", "npy", "--bodies", "9"]):
            report = report_of(capsys, url, "--closed", "--duration", "0.2", "--warm-up", "0", *form)
            assert report["verdict"]["passed"]
            assert "s3cret" not in json.dumps(report)
    monkeypatch.setenv("PREDICT_TOKEN", "two words\n")
    with pytest.raises(SystemExit):
        tickline.main(["load", url, "--closed"])
    assert "PREDICT_TOKEN: expected printable ASCII" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["json", "npy"])
def test_batches_of_a_real_server_are_right(
    form: str, server: RunningServer, sp500_model: Callable[[str], Path], capsys: Capture
) -> None:
    model = str(sp500_model("random_forest"))
    batch = ["--rows", "70", "--format", form, "--bodies", "10", "--model-path", model, "--arrivals", "constant"]
    report = report_of(capsys, f"http://127.0.0.1:{server.port}", "--rate", "40", "--duration", "0.5", *batch)
    (step,) = report["steps"]
    assert (step["requests"], step["errors"], step["arrivals"]) == (20, 0, "constant")
    assert step["rows_per_second"] == pytest.approx(70 * step["rate"])


def test_a_client_that_sleeps_gets_the_same_answers(server: RunningServer, capsys: Capture) -> None:
    report = report_of(capsys, f"http://127.0.0.1:{server.port}", *QUICK, "--closed", "--sleep")
    assert [(step["loop"], step["errors"]) for step in report["steps"]] == [("closed", 0), ("open", 0)]


def test_a_sweep_finds_its_rates(server: RunningServer, capsys: Capture) -> None:
    url = f"http://127.0.0.1:{server.port}"
    assert tickline.main(["load", url, "--sweep", "--duration", "50ms", "--warm-up", "0", "--slo", "p50=10s"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.split()[:1] in (["open"], ["closed"])] == ["closed"] + [
        "open"
    ] * 8
    assert lines[-1] == "passed"


def test_another_model_than_the_file_is_found(
    server: RunningServer, sp500_model: Callable[[str], Path], capsys: Capture
) -> None:
    other = str(sp500_model("logistic"))
    capsys.readouterr()
    report = report_of(capsys, f"http://127.0.0.1:{server.port}", *QUICK, "--model-path", other, status=1)
    (step,) = report["steps"]
    assert step["faults"] == {"another probability": step["wrong"]}
    assert step["wrong"] > 40


@pytest.mark.parametrize("loop", ["--closed", "--rate=2000"])
@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_a_server_that_is_gone_in_the_middle_is_what_the_report_tells(
    loop: str,
    end: str,
    sp500_model: Callable[[str], Path],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = 0
    with running_server(sp500_model("random_forest")) as running:
        take = Watch.reply

        def take_and_end(watch: Watch, number: int, latency: float, reply: Reply) -> None:
            nonlocal answered
            take(watch, number, latency, reply)
            answered += 1
            if answered == 300:
                os.kill(running.process.pid, signal.SIGSTOP if end == "stopped" else signal.SIGKILL)
                if end == "killed":
                    running.wait_until_silent()

        monkeypatch.setattr(Watch, "reply", take_and_end)
        url = f"http://127.0.0.1:{running.port}"
        follow = [] if loop == "--closed" else ["--rate", "2000,3000"]
        options = ["--duration", "0.5", "--warm-up", "0", "--timeout", "0.5", "--slo", "errors=100%"]
        try:
            report = report_of(capsys, url, loop, *follow, *options, status=1)
        finally:
            if end == "stopped":
                os.kill(running.process.pid, signal.SIGCONT)
    (step,) = report["steps"]
    assert step["silence"]["requests"] == step["errors"] > 0
    reason = f"127.0.0.1:{running.port}: no connection: Connection refused" if end == "killed" else "no reply for 0.5 s"
    assert step["silence"]["reason"] == reason
    assert step["silence"]["after"] > 0
    text = render_text(report)
    assert f"after the begin of this step: {reason}; {step['errors']:,} requests from then on had no reply" in text
    assert "better" not in text


def serving(predict: Callable[[int], bytes | None]) -> Callable[[bytes, bytes], bytes | None]:
    """Return a server whose predictions are made by a function of their number."""
    numbers = iter(range(sys.maxsize))

    def answer(line: bytes, body: bytes) -> bytes | None:
        if b"/model/info" in line:
            return reply(json.dumps(INFO).encode())
        assert json.loads(body)["features"]
        return predict(next(numbers))

    return answer


def right(number: int) -> bytes:
    return reply(json.dumps(RIGHT).encode())


def wrong_now_and_then(number: int) -> bytes:
    return reply(json.dumps({**RIGHT, "prediction": 0}).encode()) if number % 10 == 9 else right(number)


def busy_now_and_then(number: int) -> bytes | None:
    return {8: reply(b"busy", b"503 Busy"), 9: None}.get(number % 10, right(number))


def test_a_wrong_reply_fails_the_load_whatever_is_allowed(rows: list[str], capsys: Capture) -> None:
    with loopback(serving(wrong_now_and_then)) as port:
        url = f"http://127.0.0.1:{port}"
        (step,) = report_of(capsys, url, *QUICK, *rows, "--slo", "errors=100%", status=1)["steps"]
        assert step["requests"] == 50
        assert step["faults"] == {"label against probabilities": 5}
        assert step["rate"] * step["seconds"] == pytest.approx(45)
        assert tickline.main(["load", url, *QUICK, *rows]) == 1
    assert "5 x label against probabilities, such as: row 0: {" in capsys.readouterr().out


def test_errors_fail_the_load_unless_they_are_allowed(rows: list[str], capsys: Capture) -> None:
    with loopback(serving(busy_now_and_then)) as port:
        url = f"http://127.0.0.1:{port}"
        (step,) = report_of(capsys, url, *QUICK, *rows, status=1)["steps"]
        assert step["faults"] == {"status 503": 5, "connection lost": 5}
        report_of(capsys, url, *QUICK, *rows, "--slo", "errors=20%")
        report_of(capsys, url, *QUICK, *rows, "--slo", "errors=9", status=1)


@pytest.mark.parametrize(("objective", "status"), [("max=10s", 0), ("p50=0us", 1), ("rate=1", 0), ("rate=1000000", 1)])
def test_objectives_decide_the_exit_status(objective: str, status: int, rows: list[str], capsys: Capture) -> None:
    with loopback(serving(right)) as port:
        assert tickline.main(["load", f"http://127.0.0.1:{port}", *QUICK, *rows, "--slo", objective]) == status
    assert capsys.readouterr().out.splitlines()[-1] == ("passed", "failed")[status]


def test_a_server_that_refuses_everything_is_not_measured(rows: list[str], capsys: Capture) -> None:
    with loopback(serving(lambda number: reply(b"no", b"404 Not Found"))) as port:
        assert tickline.main(["load", f"http://127.0.0.1:{port}", *QUICK, *rows]) == 1
    assert "no request of the warm-up was answered: status 404: no" in capsys.readouterr().err


def test_no_server_is_one_line(closed_port: int, capsys: Capture) -> None:
    assert tickline.main(["load", f"http://127.0.0.1:{closed_port}", *QUICK]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: URL"),
        (["http://x"], "expected --rate, --sweep or --closed"),
        (["https://x", "--closed"], "expected http://HOST:PORT"),
        (["http://x:y", "--closed"], "expected http://HOST:PORT"),
        (["http://[", "--closed"], "expected http://HOST:PORT"),
        (["http://x y", "--closed"], "expected http://HOST:PORT"),
        (["http://x/a b", "--closed"], "expected http://HOST:PORT"),
        (["http://x..y", "--closed"], "expected http://HOST:PORT"),
        (["http://me:secret@x", "--closed"], "expected http://HOST:PORT"),
        (["http://x", "--rate", "0"], "expected requests a second"),
        (["http://x", "--rate", "1,nan"], "expected requests a second"),
        (["http://x", "--rate", "5", "--sweep"], "leave out --rate"),
        (["http://x", "--rate", "5", "--slo", "p99=1"], "expected a time such as"),
        (["http://x", "--rate", "5", "--duration", "soon"], "expected seconds"),
        (["http://x", "--rate", "5", "--duration", "0"], "expected more than no time"),
        (["http://x", "--rate", "5", "--format", "npy"], "needs --rows"),
        (["http://x", "--rate", "5", "--pid", "4194304"], "no process 4194304"),
        (["http://x", "--rate", "5", "--connections", "0"], "expected a number from 1 on"),
        (["http://x", "--rate", "1000000", "--duration", "2m"], "at most 100,000,000 requests"),
        (["http://x", "--rate", "100,0.01"], "--rate 0.01: expected at least one request within --duration 10"),
        (
            ["http://x", "--closed", "--rows", "100000"],
            "at most 2,000,000 rows in all bodies together, got 100,000,000",
        ),
        (["http://x", "--closed", "--bodies", "9" * 5000], "expected a number from 1 on"),
        (["http://x", "--closed", "--seed", "-1"], "expected a number from 0 on"),
        (["http://x", "--closed", "--tolerance", "nan"], "expected a number from 0 to 1"),
        (["http://x", "--closed", "--tolerance", "-1"], "expected a number from 0 to 1"),
    ],
)
def test_bad_usage_is_two(arguments: list[str], message: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        tickline.main(["load", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_library_names_the_extra_that_has_it(
    closed_port: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name in ("bench.load", "bench.histogram")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hdrh.histogram", None)
    assert tickline.main(["load", f"http://127.0.0.1:{closed_port}", *QUICK]) == 1
    assert capsys.readouterr().err.endswith("is not installed: pip install 'tickline[bench]'\n")
