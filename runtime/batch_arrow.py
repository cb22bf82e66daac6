"""Batches as Arrow IPC streams, where the extra `arrow` is installed; imported for such a request alone."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.batch_arrays import take_rows
from runtime.batch_json import Bad
from runtime.batch_replies import Probabilities, error_members
from runtime.problems import Problem
from runtime.replies import timestamp

# Where Arrow's tables of a message (Message.fbs) keep what is read here: places in a table's list of fields.
_HEADER, _COMPRESSION = 2, 3


class ArrowBatch:
    """A stream with one column a feature, in any order, of floating-point numbers or integers; a null makes a bad row.

    Parameters
    ----------
    feature_names : tuple of str
        The columns.
    """

    def __init__(self, feature_names: tuple[str, ...]) -> None:
        self._names = feature_names
        self._body = bytearray()
        self._complete = False
        self._batches: Iterator[Any] | None = None
        self._batch: list[Any] = []  # the columns of the record batch that is being read
        self._place = self._length = self._read = 0

    @property
    def waiting(self) -> int:
        """Bytes that could be read now."""
        return len(self._body) if self._complete else 0

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._body += piece

    def close(self) -> None:
        """Take the body as complete."""
        self._complete = True

    def read(self, out: NDArray[np.float32]) -> tuple[int, Bad]:
        """Fill `out`, float32 (n, features), with the next rows; return how many, and the bad ones, which are zeros.

        Raises
        ------
        Problem
            400 where the body is no such stream, 422 where it has other columns.
        """
        if not self._complete:
            return 0, []
        if self._batches is None:
            self._batches = self._open()
        while self._place == self._length:
            batch = next(self._batches, None)
            if batch is None:
                return 0, []
            self._batch, self._place, self._length = [batch.column(name) for name in self._names], 0, batch.num_rows
        count = min(len(out), self._length - self._place)
        values = np.empty((count, len(self._names)))
        nulls: dict[int, str] = {}
        for place, (name, column) in enumerate(zip(self._names, self._batch, strict=True)):
            part = column.slice(self._place, count)
            if part.null_count:
                for row in np.flatnonzero(part.is_null().to_numpy(zero_copy_only=False)).tolist():
                    nulls.setdefault(row, name)
                part = part.fill_null(0)
            with np.errstate(invalid="ignore"):  # NaN with unusual bits
                values[:, place] = part.to_numpy()
        bad = dict(take_rows(values, out[:count], self._read))
        for row, name in nulls.items():
            bad[row] = Problem(422, "expected number, got null", field=f"features[{self._read + row}].{name}")
            out[row] = 0
        self._place += count
        self._read += count
        return count, sorted(bad.items())

    def _open(self) -> Iterator[Any]:
        """Yield the record batches of the stream."""
        try:
            buffer = pa.py_buffer(self._body)
            _check_messages(buffer)
            # Only this reader verifies all that it follows; reading message by message crashes on a damaged stream.
            stream = pa.ipc.open_stream(buffer)
            self._check_columns(stream.schema)
            for batch in stream:
                batch.validate(full=True)
                yield batch
        except (pa.ArrowException, OSError, EOFError, ValueError, struct.error) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Problem(400, f"the body is not an Arrow IPC stream: {text}") from None

    def _check_columns(self, schema: Any) -> None:
        for name in self._names:
            if schema.names.count(name) != 1:
                detail = f"expected one column of this name, got {schema.names.count(name)}"
                raise Problem(422, detail, field=f"columns.{name}")
        for field in schema:
            if field.name not in self._names:
                raise Problem(422, "no such feature", field=f"columns.{field.name}")
            if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
                raise Problem(422, f"expected a column of numbers, got {field.type}", field=f"columns.{field.name}")


def _check_messages(buffer: Any) -> None:
    """Look at the messages of a stream without reading what is in them; raises Problem."""
    stream = pa.BufferReader(buffer)
    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.type not in ("schema", "record batch"):
            raise Problem(422, f"expected record batches alone, got a {message.type}", field="body")
        if message.type == "record batch" and _compressed(message.metadata.to_pybytes()):
            raise Problem(422, "expected buffers without compression", field="body")
    if behind := buffer.size - stream.tell():
        raise Problem(400, f"expected nothing behind the end of the stream, got {behind} bytes", field="body")


def _compressed(metadata: bytes) -> bool:
    """Tell whether a record batch is compressed: a small body could then unpack into any amount of memory."""
    message = struct.unpack_from("<I", metadata)[0]
    header = _field(metadata, message, _HEADER)
    if header is None:
        return False
    return _field(metadata, header + struct.unpack_from("<I", metadata, header)[0], _COMPRESSION) is not None


def _field(buffer: bytes, table: int, place: int) -> int | None:
    """Return where a field of a FlatBuffers table stands, None where it is absent."""
    fields = table - struct.unpack_from("<i", buffer, table)[0]
    if struct.unpack_from("<H", buffer, fields)[0] <= 4 + 2 * place:
        return None
    offset = struct.unpack_from("<H", buffer, fields + 4 + 2 * place)[0]
    return table + offset if offset else None


class ArrowReply:
    """A stream with the columns of a prediction and `error`, of which each row has either.

    Parameters
    ----------
    card : ModelCard
        Gives the labels, and the version for the schema's metadata.
    """

    marks_errors = True

    def __init__(self, card: ModelCard) -> None:
        self._labels = pa.array(card.labels, pa.string())
        self._members = [pa.field(label, pa.float32()) for label in card.labels]
        self._schema = pa.schema(
            [
                pa.field("prediction", pa.int32()),
                pa.field("prediction_label", pa.string()),
                pa.field("probability", pa.float32()),
                pa.field("probabilities", pa.struct(self._members)),
                pa.field("error", pa.struct([pa.field("field", pa.string()), pa.field("detail", pa.string())])),
            ],
            metadata={"model_version": card.version, "timestamp": timestamp()},
        )
        self._sink = pa.BufferOutputStream()
        self._writer = pa.ipc.new_stream(self._sink, self._schema)

    def add(self, probabilities: Probabilities, bad: Bad) -> None:
        """Add a chunk of probabilities, float32 (rows, classes)."""
        missing = np.zeros(len(probabilities), bool)
        errors: list[dict[str, str] | None] = [None] * len(probabilities)
        for row, problem in bad:
            missing[row] = True
            errors[row] = error_members(problem)
        indexes = pa.array(probabilities.argmax(axis=1).astype(np.int32), mask=missing)
        columns = [pa.array(np.ascontiguousarray(values)) for values in probabilities.T]
        arrays = [
            indexes,
            self._labels.take(indexes),
            pa.array(probabilities.max(axis=1), mask=missing),
            pa.StructArray.from_arrays(columns, fields=self._members, mask=pa.array(missing)),
            pa.array(errors, self._schema.field("error").type),
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def finish(self, count: int, errors: int) -> list[bytes]:
        """Return the whole stream."""
        self._writer.close()
        return [self._sink.getvalue().to_pybytes()]
