"""The ASGI application: life cycle, accounting of requests, routes."""

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from features_fast.errors import TicklineError
from runtime import bars_endpoints, endpoints, inference_endpoints, logs
from runtime.drain import Drain
from runtime.gate import Gate
from runtime.heartbeat import Heartbeat, stop_with_supervisor
from runtime.listening import Listening
from runtime.memory import never_collected
from runtime.problems import Problem, answer_http_exception, answer_problem, answer_unexpected
from runtime.scheduling import ask_for_short_slices, take_usual_slices
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
        loop = asyncio.get_running_loop()
        if self._settings.workers > 1:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor asks one worker for a reload
        try:
            with never_collected():
                self.worker = worker = Worker(self._settings, self._folder)
                grpc_server = await start_grpc(worker) if self._settings.grpc_port else None
        except TicklineError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        routes = Starlette(
            routes=[*endpoints.ROUTES, *bars_endpoints.ROUTES, *inference_endpoints.ROUTES],
            exception_handlers={
                Problem: answer_problem,
                HTTPException: answer_http_exception,
                Exception: answer_unexpected,
            },
        )
        routes.state.worker = worker
        self._gate = Gate(routes, worker)
        patience = self._settings.header_seconds if self._settings.tls_cert_file else None
        listening = Listening(loop, worker.is_last, patience)
        drain = Drain(self._settings.drain_seconds, worker.drain, listening.end, loop)
        stop_with_supervisor(loop, worker.end_with_all)
        heartbeat = Heartbeat(self._settings.hang_seconds, loop)
        ask_for_short_slices()  # which all threads inherit that begin later
        loop.set_default_executor(ThreadPoolExecutor(initializer=take_usual_slices))
        card = worker.model.card
        logger.info(
            "serving %s %s, %d features, certificate verified", card.name, card.version, len(card.feature_names)
        )
        worker.self_check.log(logger)
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            heartbeat.stop()
            if grpc_server:
                await grpc_server.stop()
            await worker.stop()
        finally:  # a program that runs an application may cancel it too
            heartbeat.stop()
            listening.close()
            drain.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request and count it."""
        metrics, started, method = self.worker.metrics, scope[STARTED], scope["method"]
        identity, status, whole = self._identify(scope), 500, False

        async def watch(message: Message) -> None:
            nonlocal status, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                if identity:
                    message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
            await send(message)
            whole = message["type"] == "http.response.body" and not message.get("more_body", False)

        metrics.begin()
        try:
            await self._gate(scope, receive, watch)
        except Exception:
            if not whole:
                raise  # uvicorn logs it, and ends the connection
            logger.exception("a request failed")  # and its client has been told so
        finally:
            duration = perf_counter_ns() - started
            route = scope.get("route")  # what is refused before it has one is counted by its path
            metrics.end(route.path if route else scope["path"], method, status, duration)
            if status == HTTPStatus.GATEWAY_TIMEOUT:
                metrics.rejected("deadline")
            if self._settings.access_log:
                path = scope["raw_path"].decode("ascii")
                logs.log_access(scope["client"], method, path, status, duration, identity)

    def _identify(self, scope: Scope) -> str:
        """Return the id of a request that has one, or gets one for the access log, and let the log know it."""
        given = None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value
                break
        if given is None and not self._settings.access_log:
            return ""
        identity = logs.new_id() if given is None else logs.accept_id(given)
        logs.REQUEST_ID.set(identity)
        return identity


async def start_grpc(worker: Worker) -> "GrpcServer":
    """Serve gRPC too; raises GrpcError."""
    from runtime.grpc_server import GrpcServer  # an extra, and loaded by those alone who ask for it

    server = GrpcServer(worker)
    await server.start()
    return server
