"""The commands that predict and explain: `tickline predict` on a model file or a server, `tickline explain`."""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features_fast.errors import TicklineError
from features_fast.terminal import paint, render_table
from runtime.settings import ENGINE, MAX_MODEL_BYTES, MODEL_PATH, MODEL_SHA256, add_flag, read_setting

if TYPE_CHECKING:
    from runtime.contributions import Contributions
    from runtime.inputs import Input
    from runtime.model import Model

# Models and what reads input are imported where a command runs, so that `--help` answers at once.

OF_MODELS = (MODEL_PATH, MODEL_SHA256, MAX_MODEL_BYTES, ENGINE)
"""The settings that say which model a command takes."""

_TIMEOUT_SECONDS = 30
_RETRIES = 3  # within a second: someone waits for the answer
_WIDEST_BAR = 20  # signs for the largest contribution


def load_chosen(options: argparse.Namespace, path: str | None = None) -> "Model":
    """Load the model that a command names, by the engine that it names."""
    from runtime.model import load_model

    most, pins, wish = (
        read_setting(setting, options, os.environ) for setting in (MAX_MODEL_BYTES, MODEL_SHA256, ENGINE)
    )
    return load_model(_model_path(options, path), 1, wish, most, pins)


def _model_path(options: argparse.Namespace, path: str | None = None) -> Path:
    from runtime.artifact import model_file

    return model_file(Path(path) if path else read_setting(MODEL_PATH, options, os.environ))


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline predict`."""
    parser.description = (
        "Predict with a model file, or ask a running server. Bars become features by the kernels that served and\n"
        "trained models share; the newest bar is predicted, or with --all every bar from the 50th on."
    )
    parser.epilog = (
        "examples:\n"
        "  tickline predict                                 the example in the model file\n"
        "  tickline predict bars.csv                        the newest bar of a CSV file\n"
        "  tickline predict bars.csv --all --json           every bar, as JSON\n"
        "  echo '{\"SMA_5\": 1.5, ...}' | tickline predict -  one row of features\n"
        "  tickline predict rows.npy --url http://localhost:5000"
    )
    _add_input(parser, "none: the example of the model file")
    parser.add_argument("--url", metavar="URL", help="ask a running server instead of a model file")
    parser.add_argument("--token", metavar="TEXT", help="bearer token for the server ($PREDICT_TOKEN)")
    parser.add_argument("--all", action="store_true", help="of bars: predict every one from the 50th on")
    _add_output(parser)
    parser.set_defaults(run=_predict)


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline explain`."""
    parser.description = (
        "Say what each feature adds to a prediction: exact Shapley values against the training rows in the model\n"
        "file, on the scale on which the model adds up. Of several rows or bars the last one is explained."
    )
    parser.epilog = (
        "examples:\n"
        "  tickline explain                                 the example in the model file\n"
        "  tickline explain bars.csv --label DOWN           the newest bar of a CSV file\n"
        "  tickline explain '[1.5, 2.5, ...]' --json        one row of features"
    )
    _add_input(parser, "none: the example of the model file")
    parser.add_argument("--label", metavar="LABEL", help="the class whose score is explained (the last one: UP)")
    _add_output(parser)
    parser.set_defaults(run=_explain)


def _add_input(parser: argparse.ArgumentParser, nothing: str) -> None:
    parser.add_argument(
        "input",
        nargs="?",
        metavar="INPUT",
        help="a row as JSON list or object of feature names; a file: .csv of bars or features, .npy of rows, .json of "
        f"one row; - for JSON or CSV on standard input; {nothing}",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    for setting in OF_MODELS:
        add_flag(parser, setting)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _predict(options: argparse.Namespace) -> None:
    from runtime.inputs import BarSeries, explain_errors, read_input

    given = None if options.input is None else read_input(options.input)
    if options.all and not isinstance(given, BarSeries):
        raise TicklineError("--all: expected bars, got a row or rows of features")
    if options.url is None:
        reply = _answer(load_chosen(options), given, options.all)
    else:
        token = os.environ.get("PREDICT_TOKEN") if options.token is None else options.token
        reply = _ask(options.url, token, given, options.all)
    found = json.loads(reply)
    if given is not None and explain_errors(given, found):
        reply = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
    print(reply.decode() if options.json else _render(found))


def _answer(model: "Model", given: "Input | None", every_bar: bool) -> bytes:
    """Answer as a server with this model would, by the same code."""
    from runtime.inputs import explaining

    if given is None:
        return model.answer_example()[1]
    with explaining(given):
        return _answer_given(model, given, every_bar)


def _answer_given(model: "Model", given: "Input", every_bar: bool) -> bytes:
    from runtime.bars import Series, decode_body
    from runtime.forecast import answer_series, answer_tickers
    from runtime.inputs import Rows

    if isinstance(given, Rows):
        return model.answer_row(given.body)[1] if given.single else _answer_rows(model, given.body)
    _expect_bars(model)
    asked = decode_body(given.body)
    most = len(given.body)  # a bar has a byte at least: no bound
    if isinstance(asked, Series):
        return answer_series(model, asked, every_bar, most)[1]
    return answer_tickers(model, asked, every_bar, most)[1]


def _answer_rows(model: "Model", body: bytes) -> bytes:
    from runtime.batch_json import JsonBatch
    from runtime.batch_replies import JsonRows
    from runtime.batches import Batch

    rows = JsonBatch(model.decoder, len(body))
    batch = Batch(model.predictor, rows, JsonRows(model.replies), fail=False, max_rows=len(body))
    rows.feed(body)
    rows.close()
    reply = None
    while reply is None:
        reply = batch.conclude()
    return b"".join(reply)


def _expect_bars(model: "Model") -> None:
    from runtime.offer import offer_bars

    offer = offer_bars(model.card.feature_specification)
    if not offer.offered:
        raise TicklineError(f"bars cannot be predicted: {offer.reason}")


def _ask(url: str, token: str | None, given: "Input | None", every_bar: bool) -> bytes:
    """Ask a running server; its problem details become our one line."""
    from runtime.client import Client, ClientError, RefusedError
    from runtime.client.calls import JSON, Call
    from runtime.inputs import Rows, explain_problem

    if given is None:
        method, route = "GET", "/predict/demo"
    elif isinstance(given, Rows):
        method, route = "POST", "/predict" if given.single else "/predict/batch"
    else:
        method, route = "POST", "/predict/bars?all=true" if every_bar else "/predict/bars"
    body = given.body if given else b""
    call = Call(method, route, lambda reply: reply.body, body, {"Content-Type": JSON})
    try:
        with Client(url, timeout=_TIMEOUT_SECONDS, token=token, retries=_RETRIES) as client:
            return client.run(call)
    except RefusedError as error:
        detail = explain_problem(given, error.members) if given and error.members else error.detail
        raise TicklineError(f"--url: {error.status}: {detail}") from None
    except ClientError as error:
        raise TicklineError(f"--url: {error}") from None


def _render(reply: dict[str, Any]) -> str:
    """Return a reply of the server as text for people: one prediction a line."""
    version = f"model {reply['model_version']}"
    if "tickers" in reply:
        rows = [
            row
            for ticker, found in reply["tickers"].items()
            for row in _prediction_rows(found.get("predictions", [found]), ticker)
        ]
        return _predictions(("ticker", "bar"), rows, version)
    if "predictions" in reply:
        rows = list(_prediction_rows(reply["predictions"]))
        of_bars = bool(reply["predictions"]) and "bar" in reply["predictions"][0]
        return _predictions(("bar",) if of_bars else ("row",), rows, version)
    bar = reply.get("bar")
    head = f"{reply['prediction_label']} with probability {reply['probability']:.4f}, {version}"
    if bar:
        head += f", bar {_bar_name(bar)}"
    cells = [(label, f"{probability:.4f}") for label, probability in reply["probabilities"].items()]
    return render_table(("label", "probability"), cells, title=head)


def _prediction_rows(predictions: list[dict[str, Any]], *before: str) -> list[tuple[tuple[str, ...], str]]:
    """Return the cells of each prediction, and its class or "" where there is none."""
    rows = []
    for index, found in enumerate(predictions):
        name = _bar_name(found["bar"]) if "bar" in found else str(index)
        if "error" in found:
            name = "-" if before else name
            rows.append(((*before, name, "error", found["error"]["detail"]), ""))
        else:
            rows.append(((*before, name, found["prediction_label"], f"{found['probability']:.4f}"), "done"))
    return rows


def _predictions(names: tuple[str, ...], rows: list[tuple[tuple[str, ...], str]], version: str) -> str:
    cells = [row for row, _ in rows]
    failed = sum(not kind for _, kind in rows)
    done = len(rows) - failed
    title = f"{done:,} prediction{'s' * (done != 1)}" + (f", {failed:,} refused" if failed else "") + f", {version}"
    colours = ["" if kind else "red" for _, kind in rows]
    left = tuple(range(len(names) + 1 + bool(failed) + 1)) if failed else tuple(range(len(names) + 1))
    return render_table((*names, "label", "probability"), cells, title=title, left=left, colours=colours)


def _bar_name(bar: dict[str, Any]) -> str:
    return str(bar.get("date", bar["index"]))


def _explain(options: argparse.Namespace) -> None:
    import msgspec

    from runtime.artifact import naming, read_sealed
    from runtime.contributions import Explainer

    path, model = _model_path(options), load_chosen(options)
    labels = model.card.labels
    label = labels[-1] if options.label is None else options.label
    if label not in labels:
        raise TicklineError(f"--label: expected {' or '.join(labels)}, got {label!r}")
    _fill_row(model, options.input)
    row, probabilities = model.predictor.row.copy(), model.predictor.predict_row().copy()
    content, _ = read_sealed(path, pins=(model.predictor.sha256,))
    with naming(path):
        explainer = Explainer(content, model.card)
        found = explainer.explain(row, labels.index(label), float(probabilities[labels.index(label)]))
    print(msgspec.json.encode(found).decode() if options.json else _render_contributions(found))


def _fill_row(model: "Model", text: str | None) -> None:
    """Put what is to be explained into the predictor's one row: the example, a row, or the last one of several."""
    from runtime.inputs import explaining, read_input

    if text is None:
        model.predictor.row[:] = model.predictor.example
        return
    given = read_input(text)
    with explaining(given):
        _fill_given(model, given)


def _fill_given(model: "Model", given: "Input") -> None:
    import msgspec

    from features_fast import BarError, compute_last
    from runtime.bars import Series, decode_body
    from runtime.forecast import check_length
    from runtime.inputs import Rows

    row = model.predictor.row
    if isinstance(given, Rows):
        body = given.body
        if not given.single:
            last = msgspec.json.decode(body)["features"][-1]
            body = msgspec.json.encode({"features": last})
        model.decode_row(body, row)
        return
    _expect_bars(model)
    series = decode_body(given.body)
    if not isinstance(series, Series):
        raise TicklineError(f"{given.name}: expected the bars of one ticker, got {len(series)} tickers")
    check_length(series)
    try:
        row[:] = compute_last(*series.fields)
    except BarError as error:
        raise series.explain(error) from None


def _render_contributions(found: "Contributions") -> str:
    largest = max(map(abs, found.contributions.values())) or 1.0
    order = sorted(found.contributions, key=lambda name: -abs(found.contributions[name]))
    rows, colours = [], []
    for name in order:
        share = found.contributions[name]
        bar = ("+" if share > 0 else "-") * round(_WIDEST_BAR * abs(share) / largest)
        rows.append((name, f"{found.values[name]:.6g}", f"{share:+.5f}", bar))
        colours.append("green" if share > 0 else "red" if share < 0 else "")
    head = paint(f"{found.label} with probability {found.probability:.4f}", "bold")
    total = (
        f"{found.scale} {found.score:.5f} = {found.base:.5f}, the mean of {found.background_rows} training rows,\n"
        "and what each feature adds to it:"
    )
    table = render_table(("feature", "value", "adds", ""), rows, left=(0, 3), colours=colours)
    return f"{head}\n{total}\n{table}"
