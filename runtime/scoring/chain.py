"""The work on one chain, which every engine runs: read, compute, predict, write, and write down what is done."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.predictor import Predictor
from runtime.scoring.bar_rows import BarRows
from runtime.scoring.cells import dates, decoded
from runtime.scoring.feature_rows import FeatureRows
from runtime.scoring.files import HashedFile, Written, replacing
from runtime.scoring.job import CSV, Counts, Job, PartRecord, error_lines
from runtime.scoring.plan import Chain, Part
from runtime.scoring.reading import Block, read_blocks
from runtime.scoring.scored import Scored
from runtime.scoring.sources import BARS, Source

Progress = Callable[[int], object]
"""Told how many rows have been read since the last call."""

_READERS = 2
"""Threads that read ahead where one chain has all cores: reading CSV takes longer than everything after it."""


def score_chain(job: Job, number: int, predictor: Predictor, parallel: bool, progress: Progress) -> Counts:
    """Score what is not done yet of a chain.

    Parts are done in order. Each leaves its scores, its errors, the series that it changed and, last, its record: a
    part with a record is whole, one without is made again, with the same rows.

    Parameters
    ----------
    job : Job
        The job, in a folder that the whole work shares.
    number : int
        Which chain; no other call may work on it meanwhile.
    predictor : Predictor
        The job's model.
    parallel : bool
        Whether to read ahead and to write in threads of their own.
    progress : callable
        Told of rows as they are read.

    Returns
    -------
    Counts
        The rows of the whole chain, those of parts that were done before too.

    Raises
    ------
    TicklineError
        If a file cannot be read any more.
    """
    chain = job.plan.chains[number]
    rows = BarRows(predictor) if job.plan.identity.kind == BARS else FeatureRows(predictor)
    total = Counts()
    for place, part in enumerate(chain.parts):
        record = job.record(number, place)
        last = place == len(chain.parts) - 1
        if record is None:
            record = _score_part(job, number, place, part, rows, predictor.card, parallel, progress)
            if isinstance(rows, BarRows) and not last:
                job.write_changes(number, place, rows.changes())
            job.write_record(number, place, record)
        else:
            progress(record.counts.read)
            if isinstance(rows, BarRows) and not last:
                rows.restore(job.read_changes(number, place))
        total += record.counts
    job.drop_changes(number)
    return total


def _score_part(
    job: Job,
    number: int,
    place: int,
    part: Part,
    rows: BarRows | FeatureRows,
    card: ModelCard,
    parallel: bool,
    progress: Progress,
) -> PartRecord:
    chain, sources = job.plan.chains[number], job.plan.identity.sources
    counts = Counts()
    scores = PartWriter(card, sources, job.plan.identity.format)
    with ExitStack() as stack:
        output = stack.enter_context(replacing(job.scores_path(number, place)))
        errors: HashedFile | None = None
        writing = stack.enter_context(ThreadPoolExecutor(1)) if parallel else None
        pending: Any = None
        for source, block in _blocks(job, part, chain, parallel):
            scored = rows.score(block)
            path = sources[source].path
            if scored.rejects:
                errors = errors or stack.enter_context(replacing(job.errors_path(number, place)))
                errors.write(error_lines([(path, row, reason) for row, reason in sorted(scored.rejects)]))
            counts += Counts(block.count, len(scored.rows), scored.warm_up, len(scored.rejects))
            if writing:
                if pending:
                    pending.result()
                pending = writing.submit(scores.add, output, source, scored)
            else:
                scores.add(output, source, scored)
            progress(block.count)
        if pending:
            pending.result()
        scores.close(output)
    wrote = Written(
        str(job.scores_path(number, place).relative_to(job.folder)), counts.scored, output.size, output.sha256()
    )
    if not counts.scored:
        job.scores_path(number, place).unlink()
    return PartRecord(counts, wrote)


def _blocks(job: Job, part: Part, chain: Chain, parallel: bool) -> Iterator[tuple[int, Block]]:
    """Yield source and rows of each block, in order."""
    sources = job.plan.identity.sources
    slices = (
        (piece.source, read_blocks(job.path_of(sources[piece.source]), sources[piece.source], piece, chain, parallel))
        for piece in part.slices
    )
    found = _ahead(slices) if parallel else ((source, block) for source, blocks in slices for block in blocks)
    return ((source, block) for source, block in found if block.count)


def _ahead(slices: Iterator[tuple[int, Iterator[Block]]]) -> Iterator[tuple[int, Block]]:
    """Yield the blocks of slices, while the next block of each of the next slices is made in threads."""
    with ThreadPoolExecutor(_READERS) as pool:

        def begin(count: int) -> Iterator[tuple[int, Iterator[Block], "Future[Block | None]"]]:
            return ((source, blocks, pool.submit(next, blocks, None)) for source, blocks in islice(slices, count))

        # The slice that is worked on may have no block left.
        begun = deque(begin(_READERS + 1))
        while begun:
            source, blocks, following = begun[0]
            if (block := following.result()) is None:
                begun.popleft()
                begun.extend(begin(1))
            else:
                begun[0] = source, blocks, pool.submit(next, blocks, None)
                yield source, block


def _winners(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the first class of the greatest probability, and that, of (classes, rows)."""
    best = probabilities[0].copy()
    winners = np.zeros(len(best), np.int32)
    for place, values in enumerate(probabilities[1:], 1):
        winners[values > best] = place
        np.maximum(best, values, out=best)
    return winners, best


class PartWriter:
    """Writes scores as Parquet, a row group a block, each with names of its own; or as CSV with one header.

    Parameters
    ----------
    card : ModelCard
        Gives the labels.
    sources : list of Source
        The files that rows may be of.
    form : str
        `PARQUET` or `CSV`.
    """

    def __init__(self, card: ModelCard, sources: list[Source], form: str) -> None:
        self._labels = pa.array(card.labels, pa.string())
        self._files = pa.array([source.path for source in sources], pa.string())
        self._card = card
        self._form = form
        self._writer: Any = None

    def add(self, output: HashedFile, source: int, scored: Scored) -> None:
        """Write the rows of one block."""
        count = len(scored.rows)
        if not count:
            return
        file = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), self._files[source : source + 1])
        columns: dict[str, Any] = {"file": file, "row": pa.array(scored.rows)}
        if scored.times is not None:
            columns["Date"] = dates(scored.times)
        if scored.codes is not None:
            columns["Ticker"] = pa.DictionaryArray.from_arrays(
                pa.array(scored.codes, mask=scored.codes < 0), scored.tickers
            )
        winners, best = _winners(scored.probabilities)
        columns["prediction"] = pa.array(winners)
        columns["prediction_label"] = pa.DictionaryArray.from_arrays(winners, self._labels)
        columns["probability"] = pa.array(best)
        for label, values in zip(self._card.labels, scored.probabilities, strict=True):
            columns[f"probability_{label}"] = pa.array(values)
        if self._form == CSV:
            # Its writer knows no dictionaries.
            table = pa.table({name: decoded(column) for name, column in columns.items()})
            self._open(output, table.schema).write_table(table)
        else:
            table = pa.table(columns)
            self._open(output, table.schema).write_table(table, row_group_size=count)

    def _open(self, output: HashedFile, schema: Any) -> Any:
        if self._writer is None and self._form == CSV:
            self._writer = pa_csv.CSVWriter(pa.PythonFile(output, mode="w"), schema)
        elif self._writer is None:
            packed = {name: "DELTA_BINARY_PACKED" for name in ("row", "Date") if name in schema.names}
            self._writer = pq.ParquetWriter(
                pa.PythonFile(output, mode="w"),
                schema.with_metadata({"model_version": self._card.version}),
                compression="none",  # probabilities do not shrink, and the rest is packed already
                use_dictionary=["file", "Ticker", "prediction", "prediction_label"],
                column_encoding=packed,
                write_statistics=["Date", "Ticker"],
                write_batch_size=1 << 16,
            )
        return self._writer

    def close(self, output: HashedFile) -> None:
        """Write what ends the file."""
        if self._writer is not None:
            self._writer.close()
