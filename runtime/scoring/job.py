"""A job and its folder: what is to be done, what is done, and the manifest when all is."""

import csv
import fcntl
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from features_fast import specification_hash
from features_fast.errors import TicklineError
from runtime.engine import name_of
from runtime.offer import offer_bars
from runtime.predictor import Predictor
from runtime.scoring.bar_rows import Parked
from runtime.scoring.files import UNFINISHED, Written, flush_folder, replace, replacing
from runtime.scoring.plan import Chain, make_chains
from runtime.scoring.sources import BARS, Source, read_sources

LAYOUT = 3
"""Changes with the meaning of what is in a job's folder."""

MANIFEST, ERRORS, SCORES, PRIVATE = "manifest.json", "errors.csv", "scores", ".job"
_DONE = ".job.done"
PARQUET, CSV = "parquet", "csv"
"""What files of scores are."""

ERROR_HEADER = ("file", "row", "reason")

_T = TypeVar("_T")


class Counts(msgspec.Struct, frozen=True):
    """Rows by what became of them; `read` is the sum of the other three."""

    read: int = 0
    scored: int = 0
    warm_up: int = 0
    errors: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.read + other.read,
            self.scored + other.scored,
            self.warm_up + other.warm_up,
            self.errors + other.errors,
        )


class Identity(msgspec.Struct, frozen=True):
    """What a resumed job must have in common with the one that was interrupted."""

    layout: int
    input: str
    sources: list[Source]
    kind: str
    model: str
    engine: str
    features: str
    part_rows: int
    format: str


class Plan(msgspec.Struct, frozen=True):
    """A job as it is written down before it begins."""

    identity: Identity
    chains: list[Chain]


class PartRecord(msgspec.Struct, frozen=True):
    """What is written down when a part is done: after its files, so that it tells of whole ones."""

    counts: Counts
    scores: Written


class Manifest(msgspec.Struct, frozen=True):
    """What a finished job says of itself.

    Attributes
    ----------
    input, kind : str
        The file or folder, and what its rows are.
    files : int
        Files that were read.
    model : dict
        Name, version, SHA-256 and engine.
    rows : Counts
        All of them.
    scores : list of Written
        The files of scores, by their place in the job's folder.
    errors : Written
        The file of rows that were not scored.
    identity : str
        SHA-256 of all that the job depends on: by it a finished job is known again.
    """

    input: str
    kind: str
    files: int
    model: dict[str, str]
    rows: Counts
    scores: list[Written]
    errors: Written
    identity: str


def identify(root: Path, predictor: Predictor, part_rows: int, form: str = PARQUET) -> Identity:
    """Return what is to be done with an input; raises TicklineError where model or files do not fit."""
    kind, sources = read_sources(root, predictor.card.feature_names)
    if kind == BARS and not (offer := offer_bars(predictor.card.feature_specification)).offered:
        raise TicklineError(f"{root}: expected the model's features, got bars: {offer.reason}")
    return Identity(
        LAYOUT,
        str(root.resolve()),
        sources,
        kind,
        predictor.sha256,
        name_of(predictor.engine),
        specification_hash(),
        part_rows,
        form,
    )


class Job:
    """The folder of a job.

    Parameters
    ----------
    folder : Path
        Where scores, errors and manifest go.
    plan : Plan
        What is to be done.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.root = Path(plan.identity.input)

    @classmethod
    def load(cls, folder: Path) -> "Job":
        """Return the job that is written down in a folder."""
        return cls(folder, _read(_plan_path(folder), Plan))

    def path_of(self, source: Source) -> Path:
        """Return where a file of the input is."""
        return self.root / source.path if self.root.is_dir() else self.root

    def scores_path(self, chain: int, part: int) -> Path:
        """Return where the scores of a part go."""
        return self.folder / SCORES / f"part-{chain:05d}-{part:05d}.{self.plan.identity.format}"

    def errors_path(self, chain: int, part: int) -> Path:
        """Return where the errors of a part go, until the job is done."""
        return self.folder / PRIVATE / f"errors-{chain:05d}-{part:05d}.csv"

    def record(self, chain: int, part: int) -> PartRecord | None:
        """Return what is written down of a part, if it is done."""
        path = self._record_path(chain, part)
        return _read(path, PartRecord) if path.exists() else None

    def write_record(self, chain: int, part: int, record: PartRecord) -> None:
        """Write down that a part is done."""
        replace(self._record_path(chain, part), msgspec.json.encode(record))

    def write_changes(self, chain: int, part: int, changes: dict[str, Parked]) -> None:
        """Keep the series that a part has changed, for the case that the job is interrupted after it."""
        replace(self._changes_path(chain, part), msgspec.msgpack.encode(changes))

    def read_changes(self, chain: int, part: int) -> dict[str, Parked]:
        """Return the series that a part has changed."""
        return msgspec.msgpack.decode(self._changes_path(chain, part).read_bytes(), type=dict[str, Parked])

    def drop_changes(self, chain: int) -> None:
        """Forget the series of a chain that is done."""
        for part in range(len(self.plan.chains[chain].parts)):
            self._changes_path(chain, part).unlink(missing_ok=True)

    def _record_path(self, chain: int, part: int) -> Path:
        return self.folder / PRIVATE / f"part-{chain:05d}-{part:05d}.json"

    def _changes_path(self, chain: int, part: int) -> Path:
        return self.folder / PRIVATE / f"series-{chain:05d}-{part:05d}"

    def rows(self) -> int:
        """Return how many rows there are to read, as nearly as is known before."""
        return sum(
            piece.rows for chain in self.plan.chains for part in chain.parts for piece in part.slices if piece.home
        )

    def records(self) -> Iterator[tuple[int, int, PartRecord | None]]:
        """Yield chain, part and what is written down, of every part."""
        for chain, found in enumerate(self.plan.chains):
            for part in range(len(found.parts)):
                yield chain, part, self.record(chain, part)

    def finish(self, predictor: Predictor) -> Manifest:
        """Put the errors together, check the sums, and write the manifest.

        Raises
        ------
        TicklineError
            If a row is not accounted for, or a file of scores is not as it was written.
        """
        counts = Counts()
        scores: list[Written] = []
        with replacing(self.folder / ERRORS) as file:
            file.write(error_lines([ERROR_HEADER]))
            for chain, part, record in self.records():
                if record is None:
                    raise TicklineError(f"{self.folder}: expected every part to be done, not all but {chain}-{part}")
                counts += record.counts
                if record.scores.rows:
                    self._check(self.folder / record.scores.path, record.scores)
                    scores.append(record.scores)
                if record.counts.errors:
                    with self.errors_path(chain, part).open("rb") as piece:
                        shutil.copyfileobj(piece, file)
            errors = Written(ERRORS, counts.errors, file.size, file.sha256())
        if counts.read != counts.scored + counts.warm_up + counts.errors:
            raise TicklineError(f"{self.folder}: expected every row to be accounted for, got {counts}")
        identity, card = self.plan.identity, predictor.card
        manifest = Manifest(
            identity.input,
            identity.kind,
            len(identity.sources),
            {"name": card.name, "version": card.version, "sha256": identity.model, "engine": identity.engine},
            counts,
            scores,
            errors,
            digest(identity),
        )
        replace(self.folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        # By one rename the job is done; what is then left of it can vanish piece by piece.
        os.rename(self.folder / PRIVATE, self.folder / _DONE)
        flush_folder(self.folder)
        shutil.rmtree(self.folder / _DONE)
        return manifest

    def _check(self, path: Path, written: Written) -> None:
        size = path.stat().st_size if path.exists() else None
        if size != written.bytes:
            raise TicklineError(f"{path}: expected {written.bytes:,} bytes, got {'no file' if size is None else size}")


def error_lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows as lines of CSV."""
    lines = io.StringIO(newline="")
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue().encode()


def digest(identity: Identity) -> str:
    """Return the SHA-256 of an identity."""
    return hashlib.sha256(msgspec.json.encode(identity)).hexdigest()


def finished(folder: Path, identity: Identity) -> Manifest | None:
    """Return the manifest of a job that is done; raises TicklineError if it is that of another job."""
    path = folder / MANIFEST
    if not path.exists() or (folder / PRIVATE).exists():
        return None
    manifest = _read(path, Manifest)
    if manifest.identity != digest(identity):
        raise TicklineError(
            f"{folder}: holds the scores of another job: other input, model, engine, --part-rows or --format; take "
            f"another folder, or --restart"
        )
    return manifest


@contextmanager
def open_job(folder: Path, identity: Identity, restart: bool) -> Iterator[Job]:
    """Yield the job of a folder, begun anew or as it was interrupted; nobody else can open it meanwhile.

    Raises
    ------
    TicklineError
        If the folder holds other things, or a job of another input, model or size of parts, or is in use.
    """
    private = folder / PRIVATE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = not any(folder.iterdir()) or any((folder / name).exists() for name in (PRIVATE, MANIFEST))
    except OSError as error:
        raise TicklineError(f"{folder}: cannot be written to: {error.strerror}") from None
    if not own:
        raise TicklineError(f"{folder}: expected a new folder or that of a job, got one with other files")
    with _locked(folder):
        if restart:
            _clear(folder)
        if _plan_path(folder).exists():
            _sweep(folder)
            job = Job.load(folder)
            _check_same(folder, job.plan.identity, identity)
        else:
            _clear(folder)
            private.mkdir()
            (folder / SCORES).mkdir()
            root = Path(identity.input)
            chains = make_chains(root, identity.kind, identity.sources, identity.part_rows)
            job = Job(folder, Plan(identity, chains))
            replace(_plan_path(folder), msgspec.json.encode(job.plan))
        yield job


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TicklineError(f"{folder}: another process works on this job") from None
        yield
    finally:
        os.close(number)


def _sweep(folder: Path) -> None:
    """Remove files that were being written when a job was interrupted."""
    for place in (folder, folder / SCORES, folder / PRIVATE):
        for path in place.glob(f"{UNFINISHED}*"):
            path.unlink()


def _clear(folder: Path) -> None:
    (folder / MANIFEST).unlink(missing_ok=True)
    (folder / ERRORS).unlink(missing_ok=True)
    for name in (SCORES, PRIVATE, _DONE):
        if (folder / name).exists():
            shutil.rmtree(folder / name)


def _check_same(folder: Path, was: Identity, now: Identity) -> None:
    for what in Identity.__struct_fields__:
        if getattr(was, what) != getattr(now, what):
            raise TicklineError(
                f"{folder}: expected the job that was interrupted, got another {_SAYS[what]}; take another folder, or "
                f"--restart"
            )


_SAYS = {
    "layout": "version of Tickline",
    "input": "input",
    "sources": "state of the input's files",
    "kind": "kind of rows",
    "model": "model",
    "engine": "engine",
    "features": "definition of the features",
    "part_rows": "--part-rows",
    "format": "--format",
}


def _plan_path(folder: Path) -> Path:
    return folder / PRIVATE / "plan.json"


def _read(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise TicklineError(f"{path}: expected a file of a job: {error}") from None
