"""The Open Inference Protocol v2 over gRPC, for one worker; needs the extra `grpc`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from features_fast.errors import TicklineError
from runtime._messages import inference_pb2 as messages
from runtime.artifact import ModelCard
from runtime.authentication import sole_authorization
from runtime.deadlines import set_time_left
from runtime.inference_protocol import (
    DATATYPES,
    OUTPUTS,
    PIECE_ELEMENTS,
    Answer,
    Inference,
    InputTensor,
    check_inputs,
    check_model,
    check_parameters,
    describe_model,
    describe_server,
    select_outputs,
)
from runtime.inference_service import infer
from runtime.plain_file import read_secrets
from runtime.problems import Problem
from runtime.worker import Worker

logger = logging.getLogger("tickline")

SERVICE = "inference.GRPCInferenceService"

_CONTENTS = {
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "BYTES": "bytes_contents",
}
"""Fields of `InferTensorContents` by datatype."""

_OPEN = frozenset({"ServerLive", "ServerReady", "ModelReady"})
"""Methods that ask for no token: probes have none."""

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""Status codes of problems; every other one is an invalid argument."""

_LARGEST_MESSAGE = 2**31 - 1  # what gRPC's own number of bytes can say


class GrpcError(TicklineError):
    """A gRPC server that cannot start."""


class GrpcServer:
    """The gRPC server of one worker; all workers of a server listen on the same port.

    Parameters
    ----------
    worker : Worker
        Answers the requests.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        settings = worker.settings
        options = {
            "grpc.so_reuseport": 1,
            "grpc.max_receive_message_length": min(settings.max_body_bytes, _LARGEST_MESSAGE),
            "grpc.max_metadata_size": settings.max_header_bytes,
            "grpc.absolute_max_metadata_size": settings.max_header_bytes,
        }
        # What is admitted has been read as a whole: this bounds how much is read at once.
        most = settings.max_in_flight
        self._server = grpc.aio.server(options=tuple(options.items()), maximum_concurrent_rpcs=most)
        methods = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }
        # Messages come and go as bytes: what is no message is answered like every other fault of a request.
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(_method(worker, name, answer)) for name, answer in methods.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def start(self) -> None:
        """Listen on HOST and GRPC_PORT; raises GrpcError."""
        settings = self._worker.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            if settings.tls_cert_file and settings.tls_key_file:
                pair = read_secrets(settings.tls_key_file), read_secrets(settings.tls_cert_file)
                self._server.add_secure_port(f"{host}:{settings.grpc_port}", grpc.ssl_server_credentials([pair]))
            else:
                self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError as error:
            raise GrpcError(f"HOST {settings.host}, GRPC_PORT {settings.grpc_port}: {error}") from None
        await self._server.start()

    async def stop(self) -> None:
        """Take no new request, and finish what runs within GRACE_SECONDS."""
        await self._server.stop(self._worker.settings.grace_seconds)

    async def _server_live(self, content: bytes) -> Any:
        return messages.ServerLiveResponse(live=True)

    async def _server_ready(self, content: bytes) -> Any:
        return messages.ServerReadyResponse(ready=self._worker.ready)

    async def _server_metadata(self, content: bytes) -> Any:
        server = describe_server()
        return messages.ServerMetadataResponse(name=server.name, version=server.version, extensions=server.extensions)

    async def _model_ready(self, content: bytes) -> Any:
        request = messages.ModelReadyRequest.FromString(content)
        check_model(self._worker.model.card, request.name, request.version)
        return messages.ModelReadyResponse(ready=self._worker.ready)

    async def _model_metadata(self, content: bytes) -> Any:
        request = messages.ModelMetadataRequest.FromString(content)
        card = self._worker.model.card
        check_model(card, request.name, request.version)
        model = describe_model(card)
        tensor = messages.ModelMetadataResponse.TensorMetadata
        inputs, outputs = (
            [tensor(name=entry.name, datatype=entry.datatype, shape=entry.shape) for entry in entries]
            for entries in (model.inputs, model.outputs)
        )
        return messages.ModelMetadataResponse(
            name=model.name, versions=model.versions, platform=model.platform, inputs=inputs, outputs=outputs
        )

    async def _model_infer(self, content: bytes) -> Any:
        model = self._worker.model
        decode = partial(decode_request, content, model.card, self._worker.settings.max_batch_rows)
        return await infer(self._worker, model, len(content), decode, encode_reply)


def _method(
    worker: Worker, name: str, answer: Callable[[bytes], Awaitable[Any]]
) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """Return a method that asks for a token where one is needed, keeps bounds, and answers errors as statuses."""

    async def method(content: bytes, context: Any) -> bytes:
        left = context.time_remaining()
        advice: tuple[tuple[str, str], ...] = ()
        try:
            authorization = _authorization(context)
            if name not in _OPEN and not worker.predict_tokens.admit(authorization):
                raise Problem(401, "expected a bearer token", field="authorization")
            if left is not None:
                set_time_left(left)
            with worker.admission.bulk(_rows(worker, content)) if name == "ModelInfer" else nullcontext():
                reply: bytes = (await answer(content)).SerializeToString()
            return reply
        except DecodeError:
            code, detail = grpc.StatusCode.INVALID_ARGUMENT, "the request is no message of this method"
        except Problem as problem:
            code, detail = _CODES.get(problem.status, grpc.StatusCode.INVALID_ARGUMENT), str(problem)
            if problem.status == 504:
                worker.metrics.rejected("deadline")
            if seconds := problem.headers.get("Retry-After"):
                advice = (("grpc-retry-pushback-ms", f"{seconds}000"),)
        except asyncio.CancelledError:
            if left is not None and context.time_remaining() <= 0:
                worker.metrics.rejected("deadline")
            raise
        except Exception:
            logger.exception("an unexpected error over gRPC")
            code, detail = grpc.StatusCode.INTERNAL, "an unexpected error; the server's log has the details"
        await context.abort(code, detail, advice)
        raise AssertionError("abort raises")

    return method


def _authorization(context: Any) -> bytes:
    """Return the value of the call's `authorization` metadata, as HTTP has it in a header; raises Problem."""
    metadata = context.invocation_metadata() or ()
    return sole_authorization([str(value).encode() for name, value in metadata if name == "authorization"])


def _rows(worker: Worker, content: bytes) -> int:
    """Return how many rows a request may have, by its length."""
    return max(1, len(content) // (4 * len(worker.model.card.feature_names)))


def decode_request(content: bytes, card: ModelCard, max_rows: int) -> Inference:
    """Decode a `ModelInferRequest`.

    Parameters
    ----------
    content : bytes
        The message.
    card : ModelCard
        The model that is to answer.
    max_rows : int
        Most rows of a request.

    Raises
    ------
    DecodeError
        Where the bytes are no such message.
    Problem
        404 for another model, 413 where there are too many rows, 422 where a value does not fit.
    """
    request = messages.ModelInferRequest.FromString(content)
    check_model(card, request.model_name, request.model_version)
    check_inputs(len(request.inputs))
    given = request.inputs[0]
    check_parameters(given.parameters, "inputs[0].parameters")
    tensor = InputTensor(given.name, given.datatype, list(given.shape))
    tensor.count_rows(card, max_rows)
    raw = bool(request.raw_input_contents)
    for index, output in enumerate(request.outputs):
        check_parameters(output.parameters, f"outputs[{index}].parameters")
    outputs = select_outputs([(output.name, raw) for output in request.outputs], raw)
    if not raw:
        elements = _typed_elements(given)
    elif len(request.raw_input_contents) != 1 or given.HasField("contents"):
        found = len(request.raw_input_contents) + given.HasField("contents")
        raise Problem(
            422, f"expected the contents of 1 tensor once, got them {found} times", field="raw_input_contents"
        )
    else:
        elements = tensor.view(memoryview(request.raw_input_contents[0]), "raw_input_contents[0]")
    return Inference(tensor.rows(elements), request.id, outputs)


def _typed_elements(given: Any) -> NDArray[Any]:
    """Return the elements of a tensor's typed contents; raises Problem."""
    name = _CONTENTS[given.datatype]
    values = getattr(given.contents, name)
    expected = given.shape[0] * given.shape[1]
    if len(values) != expected:
        detail = f"expected {expected} elements, got {len(values)}"
        raise Problem(422, detail, field=f"inputs[0].contents.{name}")
    starts = range(0, expected, PIECE_ELEMENTS)
    return np.concatenate(
        [np.array(values[start : start + PIECE_ELEMENTS], DATATYPES[given.datatype]) for start in starts]
    )


def encode_reply(inference: Inference, answer: Answer) -> Any:
    """Return the `ModelInferResponse` to a request: with raw contents where it had them, else with typed ones."""
    card = answer.card
    reply = messages.ModelInferResponse(model_name=card.name, model_version=card.version, id=inference.id)
    for name, raw in inference.outputs.items():
        output = reply.outputs.add(name=name, datatype=OUTPUTS[name], shape=answer.shape(name))
        if raw:
            reply.raw_output_contents.append(answer.raw(name))
            continue
        elements = answer.elements(name)
        texts = OUTPUTS[name] == "BYTES"
        getattr(output.contents, _CONTENTS[OUTPUTS[name]]).extend(map(str.encode, elements) if texts else elements)
    return reply
