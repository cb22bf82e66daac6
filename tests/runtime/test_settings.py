"""Settings: flags win over the environment, and a bad value is one clear line."""

import argparse
from pathlib import Path

import pytest

from runtime.settings import SETTINGS, SettingError, add_flag, read_settings


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for setting in SETTINGS:
        add_flag(parser, setting)
    return parser.parse_args(arguments)


def test_defaults() -> None:
    settings = read_settings(options(), {})
    assert (settings.host, settings.port, settings.workers) == ("0.0.0.0", 5000, 2)
    assert settings.model_path == Path("models/")
    assert settings.reload_token == ""
    assert (settings.engine, settings.keep_reference) == ("AUTO", "AUTO")


def test_flag_wins_over_environment_wins_over_default() -> None:
    assert read_settings(options(), {"PORT": "6000"}).port == 6000
    assert read_settings(options("--port", "7000"), {"PORT": "6000"}).port == 7000


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("PORT", "http", "an integer from 0 to 65535"),
        ("PORT", "65536", "an integer from 0 to 65535"),
        ("WORKERS", "0", "an integer from 1 to 64"),
        ("WORKERS", "", "an integer from 1 to 64"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("MAX_BATCH_ROWS", "1.5", "an integer"),
        ("ACCESS_LOG", "maybe", "1, true, yes, 0, false, no"),
        ("HOST", "", "an address"),
        ("MODEL_PATH", "", "a path"),
        ("ENGINE", "fast", "one of auto, onnxruntime, compiled"),
        ("MODEL_SHA256", "12ab", "64 hexadecimal digits"),
        ("MODEL_SHA256", "0" * 64 + ",", "64 hexadecimal digits"),
        ("KEEP_REFERENCE", "1", "one of auto, yes, no"),
    ],
)
def test_a_bad_value_names_variable_value_and_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings(options(), {variable: value})
    message = str(caught.value)
    assert message.startswith(f"{variable}: ")
    assert repr(value) in message
    assert allowed in message


def test_every_setting_has_a_readable_default_and_a_flag() -> None:
    settings = read_settings(options(), {})
    for setting in SETTINGS:
        assert hasattr(settings, setting.field)
        assert getattr(options(f"--{setting.field.replace('_', '-')}=1"), setting.field) == "1"


def test_the_documentation_lists_every_setting() -> None:
    documentation = Path(__file__).parents[2].joinpath("docs", "serving.md").read_text()
    for setting in SETTINGS:
        flag, default = setting.field.replace("_", "-"), f"`{setting.default}`" if setting.default else ""
        row = f"| `{setting.variable}` | `--{flag}` | {default} | {setting.allowed} | {setting.summary} |\n"
        assert row in documentation
