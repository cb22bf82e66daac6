"""The ASGI application: life cycle, accounting of requests, routes."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from features_fast.errors import TicklineError
from runtime import bars_endpoints, endpoints, inference_endpoints
from runtime.problems import Problem, answer_http_exception, answer_problem, answer_unexpected
from runtime.settings import Settings
from runtime.stages import STARTED
from runtime.worker import Worker

logger = logging.getLogger("tickline")

if TYPE_CHECKING:
    from runtime.grpc_server import GrpcServer


class Application:
    """What uvicorn runs in every worker process; `worker` exists from its start on.

    It can be pickled until it starts, which is how uvicorn hands it to its workers.

    Parameters
    ----------
    settings : Settings
        The server's settings.
    folder : Path
        The server's private folder, which holds its board.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and stop the worker; a model that is refused is one line in the log."""
        await receive()
        try:
            self.worker = worker = Worker(self._settings, self._folder)
            grpc_server = await start_grpc(worker) if self._settings.grpc_port else None
        except TicklineError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self._routes = Starlette(
            routes=[*endpoints.ROUTES, *bars_endpoints.ROUTES, *inference_endpoints.ROUTES],
            exception_handlers={
                Problem: answer_problem,
                HTTPException: answer_http_exception,
                Exception: answer_unexpected,
            },
        )
        self._routes.state.worker = worker
        card = worker.model.card
        logger.info(
            "serving %s %s, %d features, certificate verified", card.name, card.version, len(card.feature_names)
        )
        worker.self_check.log(logger)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if grpc_server:
            await grpc_server.stop()
        await worker.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request and count it."""
        metrics = self.worker.metrics
        scope[STARTED] = started = time.perf_counter_ns()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics.begin()
        try:
            await self._routes(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            metrics.end(route, scope["method"], status, time.perf_counter_ns() - started)


async def start_grpc(worker: Worker) -> "GrpcServer":
    """Serve gRPC too; raises GrpcError."""
    from runtime.grpc_server import GrpcServer  # an extra, and loaded by those alone who ask for it

    server = GrpcServer(worker)
    await server.start()
    return server
