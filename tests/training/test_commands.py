import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features_fast import FEATURE_NAMES, WARM_UP
from runtime.artifact import ArtifactError
from training.commands import add_data, add_features, add_train
from training.data import write_table
from training.errors import DataError, ModelError
from training.features import create_features
from training.predictor import StockPredictor
from training.reader import read_bars

Fill = Callable[[argparse.ArgumentParser], None]


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every command in an empty directory, without settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_PATH", raising=False)


def run(fill: Fill, *arguments: str) -> None:
    """Parse arguments and run the command, as the front door does."""
    parser = argparse.ArgumentParser()
    fill(parser)
    args = parser.parse_args(arguments)
    assert args.run(args) is None


def test_help_is_instant() -> None:
    program = (
        "import argparse, sys, training.commands as commands\n"
        "for fill in (commands.add_data, commands.add_features, commands.add_train):\n"
        "    parser = argparse.ArgumentParser()\n"
        "    fill(parser)\n"
        "    parser.format_help()\n"
        "print({'pandas', 'sklearn', 'numba', 'matplotlib'} & set(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert result.stdout == "set()\n"


def test_data_writes_synthetic_bars(capsys: pytest.CaptureFixture[str]) -> None:
    run(add_data, "--days", "30", "--seed", "3", "--ticker", "[XYZ]")
    bars = read_bars("data/raw/stock_data.csv")
    assert len(bars) == 30
    assert set(bars["Ticker"]) == {"[XYZ]"}
    printed = capsys.readouterr().out
    assert printed == "wrote data/raw/stock_data.csv: 30 bars of [XYZ] from 2010-01-04 to 2010-02-12\n"


def test_data_writes_a_real_series_as_parquet(capsys: pytest.CaptureFixture[str]) -> None:
    run(add_data, "--source", "nasdaq", "--output", "index.parquet")
    assert len(read_bars("index.parquet")) == 5031
    assert "5,031 bars of NASDAQ from 1999-01-04 to 2018-12-31" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_features_of_several_tickers(
    suffix: str, two_tickers: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(two_tickers, f"bars{suffix}")
    run(add_features, f"bars{suffix}", f"out{suffix}")
    frame = pd.read_csv("out.csv") if suffix == ".csv" else pd.read_parquet("out.parquet")
    assert tuple(frame.columns) == ("Date", "Ticker", *FEATURE_NAMES)
    expected = create_features(two_tickers)
    assert frame["Ticker"].tolist() == expected["Ticker"].tolist()
    values = frame[list(FEATURE_NAMES)].to_numpy(dtype=np.float32)
    np.testing.assert_array_equal(values, expected[list(FEATURE_NAMES)].to_numpy())
    printed, progress = capsys.readouterr()
    assert printed.startswith(f"wrote out{suffix}: 710 rows of AAA, BBB from 2010-01-04 to 2011-07-15, 22 features")
    assert [line.split(" s  ")[1] for line in progress.splitlines()] == ["reading", "computing", "writing"]


def test_features_can_leave_out_the_warm_up(two_tickers: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(two_tickers, "bars.csv")
    run(add_features, "bars.csv", "out.parquet", "--drop-warm-up")
    frame = pd.read_parquet("out.parquet")
    assert len(frame) == len(two_tickers) - 2 * WARM_UP
    assert not frame.isna().any(axis=None)
    assert capsys.readouterr().out.startswith(f"wrote out.parquet: {len(frame)} rows of AAA, BBB from ")


def test_features_of_too_few_bars_are_an_empty_table(bars: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(bars.iloc[:10], "bars.csv")
    run(add_features, "bars.csv", "out.csv", "--drop-warm-up")
    assert pd.read_csv("out.csv").empty
    assert capsys.readouterr().out == "wrote out.csv: 0 rows of no ticker, 22 features\n"


def test_features_name_file_row_and_column(bars: pd.DataFrame) -> None:
    write_table(bars.assign(Close=bars["Close"].mask(bars.index == 7)), "bars.csv")
    with pytest.raises(DataError, match=r"bars\.csv, row 9, column 'Close': expected a number, got ''"):
        run(add_features, "bars.csv", "out.csv")
    assert not Path("out.csv").exists()


def test_train_on_a_file_shows_the_model_beside_the_baselines(
    bars: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(bars, "mine.csv")
    run(add_train, "--data", "mine.csv", "--model", "logistic", "--set", "C=0.5", "--set", "solver=lbfgs")
    printed, progress = capsys.readouterr()
    assert printed.startswith("logistic 1.0.0, trained on 600 bars of SYNTH from 2010-01-04 to 2012-04-20\n")
    for text in ("validation: 82 rows", "test: 82 rows", "majority class", "persistence", "roc auc", "The test shows"):
        assert text in printed
    assert "wrote models/metadata.json\n" in printed
    assert "wrote models/report/index.html\n" in printed
    assert [line.split(" s  ")[1] for line in progress.splitlines()] == [
        "libraries",
        "bars",
        "features",
        "fit",
        "evaluation",
        "report",
    ]
    metadata = StockPredictor.load("models").metadata
    assert metadata["params"] == {"max_iter": 1000, "C": 0.5, "solver": "lbfgs"}
    assert metadata["data"]["source"] == "mine.csv"


def test_train_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    run(
        add_train,
        "--source",
        "synthetic",
        "--days",
        "400",
        "--model",
        "logistic",
        "--model-version",
        "7",
        "--json",
        "--model-path",
        "deep/down",
    )
    metadata = json.loads(capsys.readouterr().out)
    assert metadata == json.loads(Path("deep/down/metadata.json").read_text())
    assert metadata["version"] == "7"
    assert metadata["data"]["source"] == "synthetic"
    assert metadata["data"]["bars"] == 400
    assert not Path("data").exists()


def test_train_without_a_source_generates_bars_once(capsys: pytest.CaptureFixture[str]) -> None:
    sources = []
    for _ in range(2):
        run(add_train, "--days", "300", "--model", "logistic", "--json")
        sources.append(json.loads(capsys.readouterr().out)["data"])
    assert [data["source"] for data in sources] == ["synthetic", "stock_data.csv"]
    assert sources[0]["sha256"] == sources[1]["sha256"]
    assert Path("data/raw/stock_data.csv").is_file()


def test_model_path_comes_from_the_environment_and_the_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    def model_path(*arguments: str) -> Path:
        parser = argparse.ArgumentParser()
        add_train(parser)
        path = parser.parse_args(arguments).model_path
        assert isinstance(path, Path)
        return path

    assert model_path() == Path("models")
    monkeypatch.setenv("MODEL_PATH", "")
    assert model_path() == Path("models")
    monkeypatch.setenv("MODEL_PATH", "from_environment")
    assert model_path() == Path("from_environment")
    assert model_path("--model-path", "from_flag") == Path("from_flag")


def test_train_refuses_a_folder_before_it_works(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").write_text("")
    with pytest.raises(ModelError, match="taken/models: the model cannot be written: Not a directory"):
        run(add_train, "--source", "synthetic", "--days", "300", "--model-path", "taken/models")
    assert "bars" not in capsys.readouterr().err


def test_train_refuses_parameters_that_the_model_lacks() -> None:
    with pytest.raises(ModelError, match=r"parameter of logistic: expected .*, got 'max_depth'"):
        run(add_train, "--source", "synthetic", "--model", "logistic", "--set", "max_depth=3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "max_depth"], "argument --set: expected NAME=VALUE, got 'max_depth'"),
        (["--source", "sp500", "--data", "x.csv"], "argument --data: not allowed with argument --source"),
        (["--source", "dax"], "argument --source: invalid choice: 'dax'"),
    ],
)
def test_wrong_arguments_are_usage_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(add_train, *arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("value", ["{[]: 1}", "-" * 5000 + "1", "(" * 5000])
def test_a_parameter_that_is_no_python_literal_is_text(value: str) -> None:
    with pytest.raises(ModelError, match="max_depth"):
        run(add_train, "--source", "synthetic", "--days", "200", "--set", f"max_depth={value}")


@pytest.mark.parametrize("version", ["", " 1", "a\nb", "1" * 129, "\udcff"])
def test_a_version_that_no_export_takes_is_refused_before_the_work(version: str) -> None:
    with pytest.raises(ArtifactError, match="--model-version: expected 1 to 128 printable characters"):
        run(add_train, "--source", "synthetic", "--model-version", version)
    assert not Path("models").exists()


def test_what_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)

    def tickline(*arguments: bytes) -> subprocess.CompletedProcess[bytes]:
        command = [os.fsencode(sys.executable), b"-m", b"tickline", *arguments]
        environ = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # as in most locales, but not in that of tests
        return subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2], env=environ, check=False)

    done = tickline(b"data", b"--days", b"60", b"--output", folder + b"/\xff.csv")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"wrote " + folder + b"/\\udcff.csv: 60 bars")
    assert os.path.getsize(folder + b"/\xff.csv")
    for arguments in (
        (b"--output", folder + b"/\xff.parquet"),
        (b"--ticker", b"\xff", b"--output", folder + b"/x.csv"),
    ):
        done = tickline(b"data", b"--days", b"60", *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith(b"tickline: expected text that utf-8 can hold, got '")
        assert done.stderr.count(b"\n") == 1
