"""The model file as a contract: what `model.onnx` says of itself, and the seal that proves that it is unchanged.

An artifact is a serialized ONNX model whose metadata properties carry a `ModelCard` and a `Certificate` as JSON. Its
last bytes are one more metadata property, the seal: the SHA-256 of every byte before it. ONNX readers see an ordinary
model, because Protocol Buffers allow the fields of a message in any order.
"""

import hashlib
import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from features_fast.errors import TicklineError
from runtime.baseline import Baseline
from runtime.plain_file import open_file

MODEL_FILE = "model.onnx"
CARD_KEY = "tickline.model"
CERTIFICATE_KEY = "tickline.certificate"
SEAL_KEY = b"tickline.sha256"

_UNSAFE_IN_A_NAME = re.compile(r'["\\\x00-\x1f]')  # what JSON would have to escape
_LONGEST_NAME = 128  # characters of a model's name or version

# ModelProto.metadata_props is field 14 and each entry has a key (field 1) and a value (field 2), all length-delimited.
_SEAL_PREFIX = b"\x0a" + bytes([len(SEAL_KEY)]) + SEAL_KEY + b"\x12\x40"
_SEAL_PREFIX = b"\x72" + bytes([len(_SEAL_PREFIX) + 64]) + _SEAL_PREFIX
_SEAL_LENGTH = len(_SEAL_PREFIX) + 64


class ArtifactError(TicklineError):
    """A model file that cannot be served: missing, foreign, changed after export, or unequal to its certificate."""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a model file says of the model in it.

    Attributes
    ----------
    name, version : str
        What the model is called, and which one it is: 1 to 128 printable characters. The name is a part of paths,
        without `/` and `%`.
    feature_names : tuple of str
        The columns of an input row, in order.
    labels : tuple of str
        The classes, in the order of the probabilities.
    created : str
        When it was exported, ISO 8601 in UTC.
    feature_specification : str or None
        Hash of the definitions of the features, where they are Tickline's own.
    training : dict
        Facts of the training run: data, split, parameters, metrics, baselines.
    libraries : dict
        Versions of the libraries that made the model.
    baseline : Baseline or None
        How the training rows are distributed.
    background : bytes or None
        Training rows at equal distances, little-endian float32, row-major: what contributions compare a row with.
    """

    name: str
    version: str
    feature_names: tuple[str, ...]
    labels: tuple[str, ...]
    created: str
    feature_specification: str | None = None
    training: dict[str, Any] = {}
    libraries: dict[str, str] = {}
    baseline: Baseline | None = None
    background: bytes | None = None

    def __post_init__(self) -> None:
        check_text("card: name", self.name, unsafe="/%")
        check_text("card: version", self.version)
        for what, names in (("feature_names", self.feature_names), ("labels", self.labels)):
            if not names or len(set(names)) != len(names):
                raise ArtifactError(f"card: {what}: expected different names, got {', '.join(names) or 'none'}")
        for name in self.feature_names:
            if not name or _UNSAFE_IN_A_NAME.search(name):
                raise ArtifactError(
                    f"card: feature_names: expected no quotes, backslashes or control characters, got {name!r}"
                )


def check_text(what: str, text: str, unsafe: str = "") -> None:
    """Refuse a name or a version that would break a line of a log, an address, or the eye that compares two of them."""
    plain = 1 <= len(text) <= _LONGEST_NAME and text.isprintable() and text == text.strip() and set(text) != {"."}
    if not plain or not set(unsafe).isdisjoint(text):
        without = f" without {' and '.join(unsafe)}" if unsafe else ""
        shown = text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."
        expected = f"1 to {_LONGEST_NAME} printable characters{without}, no blank at either end and not only dots"
        raise ArtifactError(f"{what}: expected {expected}, got {shown!r}")


class Comparison(msgspec.Struct, frozen=True):
    """How far two sets of probabilities for the same rows are apart."""

    rows: int
    max_probability_difference: float
    label_flips: int

    def __str__(self) -> str:
        return f"largest difference {self.max_probability_difference:.2e}, {self.label_flips} label flips"


class EngineFinding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the export found of one engine.

    Attributes
    ----------
    engine : str
        Its name, and its version where it was loaded.
    found : Comparison or None
        Beside the reference over golden rows and test set; None where the engine did not answer them all.
    detail : str or None
        Why it did not.
    """

    engine: str
    found: Comparison | None = None
    detail: str | None = None

    def __str__(self) -> str:
        return f"{self.engine}: {self.found or self.detail}"


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """Golden rows with the reference's own answers, and what the export found over a whole test set.

    Attributes
    ----------
    reference : str
        The library that gave the probabilities, with its version.
    tolerance : float
        Largest absolute difference of a probability that is allowed.
    rows : bytes
        Golden input rows, little-endian float32, row-major, shape (n, features).
    probabilities : bytes
        The reference's probabilities for exactly these rows, little-endian float64, row-major, shape (n, classes).
    compared_rows : int
        Number of rows over which graph and reference were compared at export, the golden ones included.
    max_probability_difference : float
        Largest absolute difference found over them.
    label_flips : int
        Number of them for which the two most probable classes differ.
    engines : tuple of EngineFinding
        The same for every engine; none in files of older exports. The two figures above are onnxruntime's.
    """

    reference: str
    tolerance: float
    rows: bytes
    probabilities: bytes
    compared_rows: int
    max_probability_difference: float
    label_flips: int
    engines: tuple[EngineFinding, ...] = ()

    @property
    def findings(self) -> tuple[EngineFinding, ...]:
        """What the export found of each engine, in files of older exports too."""
        own = Comparison(self.compared_rows, self.max_probability_difference, self.label_flips)
        return self.engines or (EngineFinding(engine="onnxruntime", found=own),)


def compare(probabilities: NDArray[np.floating[Any]], reference: NDArray[np.floating[Any]]) -> Comparison:
    """Compare two arrays of probabilities, shape (rows, classes); a NaN counts as an infinite difference."""
    difference = np.abs(probabilities.astype(np.float64) - reference)
    flips = probabilities.argmax(axis=1) != reference.argmax(axis=1)
    largest = float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))
    return Comparison(len(reference), largest, int(flips.sum()))


def golden_rows(card: ModelCard, certificate: Certificate) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the golden rows, float32 (n, features), and the reference's probabilities, float64 (n, classes)."""
    features, classes = len(card.feature_names), len(card.labels)
    count, remainder = divmod(len(certificate.rows), 4 * features)
    if remainder or not count or len(certificate.probabilities) != 8 * classes * count:
        raise ArtifactError(
            f"certificate: expected rows of {features} float32 and as many of {classes} float64 probabilities, "
            f"got {len(certificate.rows)} and {len(certificate.probabilities)} bytes"
        )
    rows = np.frombuffer(certificate.rows, "<f4").reshape(count, features)
    probabilities = np.frombuffer(certificate.probabilities, "<f8").reshape(count, classes)
    return rows.astype(np.float32, copy=False), probabilities.astype(np.float64, copy=False)


def metadata(card: ModelCard, certificate: Certificate) -> dict[str, str]:
    """Return the metadata properties that make an ONNX model an artifact."""
    return {
        CARD_KEY: msgspec.json.encode(card).decode(),
        CERTIFICATE_KEY: msgspec.json.encode(certificate).decode(),
    }


def parse_metadata(properties: dict[str, str]) -> tuple[ModelCard, Certificate]:
    """Read card and certificate from a model's metadata properties."""
    for key in (CARD_KEY, CERTIFICATE_KEY):
        if key not in properties:
            raise ArtifactError(f"metadata property {key} is missing: the file was not made by `tickline export`")
    try:
        card = msgspec.json.decode(properties[CARD_KEY], type=ModelCard)
    except msgspec.DecodeError as error:
        raise ArtifactError(f"metadata property {CARD_KEY} is malformed: {error}") from None
    try:
        certificate = msgspec.json.decode(properties[CERTIFICATE_KEY], type=Certificate)
    except msgspec.DecodeError as error:
        raise ArtifactError(f"metadata property {CERTIFICATE_KEY} is malformed: {error}") from None
    return card, certificate


def seal(model: bytes) -> bytes:
    """Return a serialized model with its seal: the SHA-256 of all of `model` as one more metadata property."""
    return model + _SEAL_PREFIX + hashlib.sha256(model).hexdigest().encode()


def check_seal(content: bytes, pins: Collection[str] = ()) -> str:
    """Return the SHA-256 that a model file is sealed with.

    Parameters
    ----------
    content : bytes
        The whole file.
    pins : collection of str
        The seals, in lower-case hexadecimal, that are accepted; none accepts any.

    Raises
    ------
    ArtifactError
        Where there is no seal, the file is not what was sealed, or is not what is pinned.
    """
    body, tail = content[:-_SEAL_LENGTH], content[-_SEAL_LENGTH:]
    if not body or not tail.startswith(_SEAL_PREFIX):
        raise ArtifactError("no seal at the end of the file: truncated, or not made by `tickline export`")
    sealed, found = tail[len(_SEAL_PREFIX) :], hashlib.sha256(body).hexdigest()
    if sealed != found.encode():
        raise ArtifactError(f"changed after export: sealed as sha256 {sealed.decode('latin-1')}, found {found}")
    if pins and found not in pins:
        raise ArtifactError(f"MODEL_SHA256: expected sha256 {' or '.join(pins)}, got {found}")
    return found


def read(path: Path, most: int = sys.maxsize) -> bytes:
    """Return the bytes of a model file, at most so many, or say why it cannot be read."""
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > most else file.read(size)
    except FileNotFoundError:
        raise ArtifactError("no model file; make one with `tickline train` and `tickline export`") from None
    except OSError as error:
        raise ArtifactError(f"cannot be read: {error.strerror}") from None
    if size > most:
        raise ArtifactError(f"MAX_MODEL_BYTES: expected at most {most} bytes, got {size}")
    return content


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Put the name of the model file in front of an error of its reading."""
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None


def read_sealed(path: Path, most: int = sys.maxsize, pins: Collection[str] = ()) -> tuple[bytes, str]:
    """Return the bytes of a model file and the SHA-256 that it is sealed with; errors name the file."""
    with naming(path):
        content = read(path, most)
        return content, check_seal(content, pins)


def model_file(path: Path) -> Path:
    """Return the model file that a model path means: the file itself, or `model.onnx` in the folder."""
    # Unlike those of Path, these say no where the folder may not be searched; reading then says why.
    if os.path.isfile(path):
        return path
    return path / MODEL_FILE if os.path.isdir(path) or path.suffix != ".onnx" else path
