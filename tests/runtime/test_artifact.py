"""The artifact: every byte is sealed, and every way of spoiling a file has its own message."""

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from runtime.artifact import (
    CARD_KEY,
    CERTIFICATE_KEY,
    ArtifactError,
    Certificate,
    Comparison,
    EngineFinding,
    ModelCard,
    check_seal,
    compare,
    golden_rows,
    model_file,
    parse_metadata,
    read_sealed,
    seal,
)
from runtime.model import load_model
from runtime.onnxruntime_engine import OnnxruntimeEngine
from runtime.predictor import Predictor
from tests.runtime.conftest import edited


def test_a_sealed_file_is_an_ordinary_onnx_model(forest_path: Path) -> None:
    content, sha256 = read_sealed(forest_path)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["tickline.sha256"] == sha256
    card, certificate = parse_metadata(OnnxruntimeEngine(content).metadata)
    assert msgspec.json.decode(properties[CARD_KEY], type=ModelCard) == card
    assert msgspec.json.decode(properties[CERTIFICATE_KEY], type=Certificate) == certificate


def test_any_changed_byte_is_noticed(forest_path: Path) -> None:
    content, _ = read_sealed(forest_path)
    generator = np.random.default_rng(0)
    for position in [0, len(content) - 1, *generator.integers(0, len(content), 200).tolist()]:
        changed = bytearray(content)
        changed[position] ^= 1 << int(generator.integers(8))
        with pytest.raises(ArtifactError):
            check_seal(bytes(changed))


def test_a_certificate_of_an_older_export_tells_of_onnxruntime_alone(forest_path: Path) -> None:
    properties = dict(OnnxruntimeEngine(forest_path.read_bytes()).metadata)
    certificate = parse_metadata(properties)[1]
    assert [finding.engine.partition(" ")[0] for finding in certificate.engines] == ["onnxruntime", "compiled"]
    assert certificate.findings == certificate.engines
    older = json.loads(properties[CERTIFICATE_KEY])
    del older["engines"]
    properties[CERTIFICATE_KEY] = json.dumps(older)
    read = parse_metadata(properties)[1]
    assert read == msgspec.structs.replace(certificate, engines=())
    own = Comparison(certificate.compared_rows, certificate.max_probability_difference, certificate.label_flips)
    assert read.findings == (EngineFinding(engine="onnxruntime", found=own),)


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (EngineFinding(engine="compiled", detail="not supported: x"), "compiled: not supported: x"),
        (EngineFinding(engine="e 1", found=Comparison(9, 2e-7, 3)), "e 1: largest difference 2.00e-07, 3 label flips"),
    ],
)
def test_a_finding_is_one_line(finding: EngineFinding, text: str) -> None:
    assert str(finding) == text


@pytest.mark.parametrize("length", [0, 1, 84, 85, 86, 1000, -1])
def test_any_truncation_is_noticed(forest_path: Path, length: int) -> None:
    with pytest.raises(ArtifactError):
        check_seal(forest_path.read_bytes()[:length])


def test_messages_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nothing\.onnx: no model file; make one with `tickline train`"):
        read_sealed(tmp_path / "nothing.onnx")
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(b"not a model" * 100)
    with pytest.raises(ArtifactError, match=r"foreign\.onnx: no seal at the end"):
        read_sealed(foreign)
    with pytest.raises(ArtifactError, match="cannot be read: Is a directory"):
        read_sealed(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(
        ArtifactError, match=r"model\.onnx: cannot be read: expected a file of bytes on a disk, got a pipe"
    ):
        read_sealed(tmp_path / "model.onnx")


@pytest.mark.parametrize("text", [b"tickline.certificate", b'"feature_names"', b"probabilities"])
def test_text_that_is_not_utf_8_is_refused_in_one_line(
    text: bytes, forest_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = forest_path.read_bytes().replace(text, text[:-1] + b"\xff")
    with pytest.raises(ArtifactError) as refused:
        Predictor(seal(content))
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")  # onnxruntime's wrapper prints of its own accord


def test_metadata_that_is_missing_or_malformed_is_named() -> None:
    with pytest.raises(ArtifactError, match=f"{CARD_KEY} is missing"):
        parse_metadata({})
    with pytest.raises(ArtifactError, match=f"{CARD_KEY} is malformed.*feature_names"):
        parse_metadata({CARD_KEY: '{"name":"a","version":"1"}', CERTIFICATE_KEY: "{}"})
    card = '{"name":"a","version":"1","feature_names":["x"],"labels":["0","1"],"created":""}'
    with pytest.raises(ArtifactError, match=f"{CERTIFICATE_KEY} is malformed"):
        parse_metadata({CARD_KEY: card, CERTIFICATE_KEY: '{"reference": 1}'})


BAD_TEXTS = [
    "",
    " ",
    "a ",
    " a",
    ".",
    "..",
    "a\nb",
    "a\r",
    "a\tb",
    "\x00",
    "\x7f",
    "\x85",
    "a\u2028b",
    "\u202eonnx",
    "a" * 129,
]


@pytest.mark.parametrize(
    ("field", "text"),
    [*(("name", text) for text in [*BAD_TEXTS, "a/b", "50%"]), *(("version", text) for text in BAD_TEXTS)],
)
def test_a_name_that_is_none_is_refused_where_a_card_is_made_and_where_it_is_read(
    field: str, text: str, forest_path: Path, tmp_path: Path
) -> None:
    names = {"name": "a", "version": "1", field: text}
    refusal = f"card: {field}: expected 1 to 128 printable characters"
    with pytest.raises(ArtifactError, match=f"^{refusal}") as made:
        ModelCard(name=names["name"], version=names["version"], feature_names=("x",), labels=("0", "1"), created="")
    assert len(str(made.value)) < 400
    assert str(made.value).isprintable()
    path = tmp_path / "model.onnx"
    path.write_bytes(edited(forest_path.read_bytes(), CARD_KEY, lambda card: json.dumps({**json.loads(card), **names})))
    with pytest.raises(ArtifactError, match=refusal) as read:
        load_model(path, 1)
    assert str(read.value) == f"{path}: {made.value}"


@pytest.mark.parametrize(
    "text", ["random_forest", "1.0.0", "v2.1-rc.1+build.5", "my model (2026)", "Börse", "a" * 128, "..a"]
)
def test_other_names_are_taken(text: str) -> None:
    card = ModelCard(name=text, version=text, feature_names=("x",), labels=("0", "1"), created="")
    assert (card.name, card.version) == (text, text)


def test_golden_rows_of_the_wrong_size_are_refused() -> None:
    card = ModelCard(name="a", version="1", feature_names=("x", "y"), labels=("0", "1"), created="")
    for rows, probabilities in ((b"", b""), (b"1234", bytes(16)), (bytes(16), bytes(16)), (bytes(8), bytes(15))):
        certificate = Certificate(
            reference="r",
            tolerance=0,
            rows=rows,
            probabilities=probabilities,
            compared_rows=0,
            max_probability_difference=0,
            label_flips=0,
        )
        with pytest.raises(ArtifactError, match="certificate: expected rows of 2 float32"):
            golden_rows(card, certificate)


def test_compare_counts_flips_and_never_overlooks_a_nan() -> None:
    reference = np.array([[0.4, 0.6], [0.5, 0.5], [1.0, 0.0]])
    found = compare(np.array([[0.6, 0.4], [0.5, 0.5], [1.0, 0.0]]), reference)
    assert (found.rows, found.label_flips) == (3, 1)
    assert found.max_probability_difference == pytest.approx(0.2)
    assert compare(np.full((3, 2), np.nan), reference).max_probability_difference == np.inf


def test_a_model_path_is_a_file_or_its_folder(tmp_path: Path) -> None:
    assert model_file(tmp_path) == tmp_path / "model.onnx"
    assert model_file(tmp_path / "a.onnx") == tmp_path / "a.onnx"
    assert model_file(tmp_path / "missing") == tmp_path / "missing" / "model.onnx"
    (tmp_path / "champion").write_bytes(b"")
    assert model_file(tmp_path / "champion") == tmp_path / "champion"


def test_seal_is_the_hash_of_all_before_it() -> None:
    assert check_seal(seal(b"body")) == "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"
