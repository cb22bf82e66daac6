"""`tickline verify`, as a person or a script calls it, and how commands choose a model."""

import json
import re
import shutil
from pathlib import Path

import pytest

import tickline


def test_verify_prints_what_it_replayed(forest_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tickline.main(["verify", str(forest_path)]) == 0
    assert capsys.readouterr().out.startswith("verified: random_forest 1.0.0, sha256 ")
    assert tickline.main(["verify", "--model-path", str(forest_path.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"]["replay"]["rows"] >= 256


def test_verify_says_what_each_engine_finds(
    forest_path: Path, naive_bayes_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENGINE", raising=False)
    distance = r"largest difference \d\.\d\de-\d\d, 0 label flips"
    assert tickline.main(["verify", str(forest_path)]) == 0
    replayed, _, exported = capsys.readouterr().out.partition("  at export")
    for text in (replayed, exported):
        assert re.search(rf"^ +compiled \S+: {distance}$", text, re.MULTILINE)
        assert re.search(rf"^ +onnxruntime \S+: {distance}$", text, re.MULTILINE)
    assert "  engine     compiled " in replayed
    assert tickline.main(["verify", str(naive_bayes_path)]) == 0
    replayed, _, exported = capsys.readouterr().out.partition("  at export")
    assert re.search(r"^  engine     onnxruntime \S+, unsupported: .*ReduceLogSumExp", replayed, re.MULTILINE)
    assert re.search(r"^ +compiled: .*ReduceLogSumExp", exported, re.MULTILINE)


def test_the_engine_can_be_asked_for(
    forest_path: Path, naive_bayes_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tickline.main(["verify", str(forest_path), "--engine", "onnxruntime", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"]["reason"] == "asked"
    for command in (["verify", str(naive_bayes_path)], ["predict", "--model-path", str(naive_bayes_path)]):
        assert tickline.main([*command, "--engine", "compiled"]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"tickline: {naive_bayes_path}: ENGINE compiled: ")
        assert error.count("\n") == 1
    answers = []
    for engine in ("onnxruntime", "compiled"):
        monkeypatch.setenv("ENGINE", engine)
        assert tickline.main(["predict", "--model-path", str(forest_path), "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0]["prediction"] == answers[1]["prediction"]
    assert answers[0]["probability"] == pytest.approx(answers[1]["probability"], abs=1e-6)


def test_verify_takes_the_environment(
    forest_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_PATH", str(forest_path))
    assert tickline.main(["verify"]) == 0
    assert "random_forest" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["graph", "golden probability"])
def test_verify_fails_after_one_changed_byte(
    part: str, forest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(forest_path.read_bytes())
    position = 2000 if part == "graph" else content.index(b'"probabilities":"') + 1017
    content[position] ^= 1
    changed = tmp_path / "model.onnx"
    changed.write_bytes(content)
    assert tickline.main(["verify", str(changed)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "changed after export" in error


def test_a_folder_holds_the_model(forest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tickline.main(["verify", str(tmp_path)]) == 1
    assert "no model file" in capsys.readouterr().err
    shutil.copy(forest_path, tmp_path)
    assert tickline.main(["verify", str(tmp_path)]) == 0
