import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from export import DEFAULT_TOLERANCE, ExportError
from export.commands import add_export
from runtime.artifact import read_sealed


def run(*arguments: str | Path) -> None:
    parser = argparse.ArgumentParser(prog="tickline export")
    add_export(parser)
    options = parser.parse_args([str(argument) for argument in arguments])
    options.run(options)


def test_exports_a_model_directory_and_says_what_was_compared(
    model_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--model-path", model_directory)
    content, sha256 = read_sealed(model_directory / "model.onnx")
    output = capsys.readouterr().out
    assert output.startswith(
        f"wrote {model_directory / 'model.onnx'}: logistic 1.4.0, {len(content):,} bytes, sha256 {sha256}\n"
    )
    assert "100 of the test set" in output
    assert "allowed   1e-05" in output
    assert re.search(r"found     onnxruntime [\d.]+: largest difference .*, 0 label flips\n", output)
    assert "found     compiled" in output


def test_json_is_one_object(model_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--model-path", model_directory, "--json")
    report = json.loads(capsys.readouterr().out)
    content, sha256 = read_sealed(model_directory / "model.onnx")
    assert report["sha256"] == sha256
    assert report["size_bytes"] == len(content)
    assert report["labels"] == ["down", "flat", "up"]
    assert report["compared_rows"] == 100 + report["golden_rows"]
    assert report["max_probability_difference"] < report["tolerance"] == DEFAULT_TOLERANCE
    assert report["label_flips"] == 0


def test_the_tolerance_decides(model_directory: Path) -> None:
    with pytest.raises(ExportError, match="within 1e-12"):
        run("--model-path", model_directory, "--tolerance", "1e-12")
    assert not (model_directory / "model.onnx").exists()


def test_the_environment_names_the_directory(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PATH", str(model_directory))
    run()
    assert (model_directory / "model.onnx").exists()


def test_the_path_may_be_that_of_the_file(model_directory: Path) -> None:
    run("--model-path", model_directory / "best.onnx")
    assert (model_directory / "best.onnx").exists()


def test_help_loads_no_library_and_warns_of_pickles() -> None:
    program = (
        "import argparse, sys\n"
        "from export.commands import add_export\n"
        "parser = argparse.ArgumentParser()\n"
        "add_export(parser)\n"
        "print(parser.format_help())\n"
        "print('loaded', {'sklearn', 'skl2onnx', 'onnx', 'onnxruntime'} & set(sys.modules))\n"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "loaded set()" in output
    assert "pickles" in output
    assert "tickline export && tickline verify" in output
