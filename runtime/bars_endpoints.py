"""Thin handlers for bars: predictions from a history, and symbols that grow bar by bar."""

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeGuard

import msgspec
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.bars import Series, decode_bar, decode_body, decode_history
from runtime.bars_csv import CSV, decode_csv
from runtime.bodies import JSON, media_type, read_body
from runtime.forecast import answer_newest, answer_series, answer_symbol, answer_tickers, check_ticker
from runtime.offer import offer_bars
from runtime.problems import Problem
from runtime.stages import STARTED, Stopwatch
from runtime.symbols import Symbol, seed
from runtime.worker import Worker, get_worker

BARS, SYMBOL_BARS = "/predict/bars", "/symbols/{ticker}/bars"

SHORT_BODY = 65536
"""Bytes of JSON, 500 to 1,000 bars, that are decoded at once; longer ones, and CSV, are decoded off the event loop."""
SHORT_SERIES = 8192
"""Bars whose newest one is predicted at once; longer work leaves the event loop."""

_SWITCH = {"true": True, "false": False}


def _reply(content: bytes, status: int = 200) -> Response:
    return Response(content, status_code=status, media_type=JSON)


async def predict_bars(request: Request) -> Response:
    """Predict the newest bar, or every bar, of one ticker or several."""
    worker = _offering_worker(request)
    every_bar = _read_switch(request, "all")
    kind = media_type(request, (JSON, CSV))
    body = await read_body(request, worker.settings.max_body_bytes)
    model, max_bars = worker.model, worker.settings.max_batch_rows
    decode = partial(decode_csv, body, max_bars) if kind == CSV else partial(decode_body, body)
    asked = decode() if kind == JSON and len(body) <= SHORT_BODY else await worker.run_batch(decode)
    if not every_bar and is_short(asked, worker):
        watch = Stopwatch(request.scope[STARTED])
        return watch.stamp(request, _reply(answer_short(worker, asked, watch)))
    answer = (
        partial(answer_series, model, asked, every_bar, max_bars)
        if isinstance(asked, Series)
        else partial(answer_tickers, model, asked, every_bar, max_bars)
    )
    counts, content = await worker.run_batch(answer)
    for label, count in counts.items():
        worker.metrics.predicted(label, count)
    return _reply(content)


def is_short(asked: Series | Mapping[str, Any], worker: Worker) -> TypeGuard[Series]:
    """Tell whether bars are those of one ticker, and so few that the newest one is predicted at once."""
    return isinstance(asked, Series) and len(asked) <= min(SHORT_SERIES, worker.settings.max_batch_rows)


def answer_short(worker: Worker, series: Series, watch: Stopwatch) -> bytes:
    """Return the reply for the newest bar of a short series, and count it; raises Problem."""
    watch.lap("parse")
    label, content = answer_newest(worker.model, series, watch.lap)
    worker.metrics.predicted(label)
    worker.metrics.timed(watch.durations)
    return content


def answer_next(worker: Worker, ticker: str, body: bytes) -> bytes:
    """Take one more bar of a symbol, and return the reply for it; raises Problem, and then nothing has changed."""
    bar = decode_bar(body)
    symbol, row = worker.symbols.advance(ticker, bar)
    label, content = answer_symbol(worker.model, symbol.bars, bar.date(0), row)
    _hold(worker, ticker, symbol, label)
    return content


class SymbolBars(HTTPEndpoint):
    """The bars of a symbol."""

    async def put(self, request: Request) -> Response:
        """Begin a symbol with its history, in place of what was held of it."""
        worker, ticker = _symbols_worker(request)
        body = await _read_bars(request, worker)
        if len(body) <= SHORT_BODY:
            history = decode_history(body)
            symbol, row = seed(history)
        else:
            history = await worker.run_batch(partial(decode_history, body))
            symbol, row = await worker.run_batch(partial(seed, history))
        created = ticker not in worker.symbols
        date = history.date(symbol.bars - 1) if symbol.bars else None
        label, content = answer_symbol(worker.model, symbol.bars, date, row)
        _hold(worker, ticker, symbol, label)
        return _reply(content, 201 if created else 200)

    async def post(self, request: Request) -> Response:
        """Take one more bar and predict it."""
        worker, ticker = _symbols_worker(request)
        return _reply(answer_next(worker, ticker, await _read_bars(request, worker)))


class SymbolState(HTTPEndpoint):
    """What is held of a symbol."""

    async def get(self, request: Request) -> Response:
        """Describe what is held of a symbol."""
        worker, ticker = _symbols_worker(request)
        return _reply(msgspec.json.encode({"ticker": ticker, **worker.symbols[ticker].describe()}))

    async def delete(self, request: Request) -> Response:
        """Forget a symbol."""
        worker, ticker = _symbols_worker(request)
        del worker.symbols[ticker]
        return Response(status_code=204)


def _hold(worker: Worker, ticker: str, symbol: Symbol, label: int | None) -> None:
    """Let the new state take effect, after its reply could be made."""
    worker.symbols[ticker] = symbol
    if label is not None:
        worker.metrics.predicted(label)


def _offering_worker(request: Request) -> Worker:
    """Return the worker, where its model takes bars."""
    worker = get_worker(request)
    offer = offer_bars(worker.model.card.feature_specification)
    if not offer.offered:
        raise Problem(409, f"bars are not offered: {offer.reason}; /model/info says more, /predict takes features")
    return worker


def _symbols_worker(request: Request) -> tuple[Worker, str]:
    """Return the worker and the ticker, where symbols can be held."""
    worker = _offering_worker(request)
    workers = worker.settings.workers
    if workers > 1:
        raise Problem(
            501,
            f"symbols are held in the memory of one worker and need WORKERS=1, got {workers}; "
            "send the whole window to /predict/bars, or run one worker a process",
            field="WORKERS",
            expected=1,
            received=workers,
        )
    ticker = request.path_params["ticker"]
    check_ticker(ticker, "ticker")
    return worker, ticker


async def _read_bars(request: Request, worker: Worker) -> bytes:
    media_type(request, (JSON,))
    return await read_body(request, worker.settings.max_body_bytes)


def _read_switch(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in _SWITCH:
        raise Problem(422, f"expected true or false, got {text!r}", field=name)
    return _SWITCH[text]


ROUTES = [
    Route(BARS, predict_bars, methods=["POST"]),
    Route(SYMBOL_BARS, SymbolBars),
    Route("/symbols/{ticker}", SymbolState),
]
