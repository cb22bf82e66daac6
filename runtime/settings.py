"""Settings of the server: each is read once, from its flag or its environment variable, and never changes."""

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from features_fast.errors import TicklineError

_SHA256 = re.compile("[0-9a-f]{64}")


class SettingError(TicklineError):
    """A setting whose value is unknown or malformed; the message names the variable, the value and what is allowed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of a server; `SETTINGS` says what each one means."""

    host: str
    port: int
    grpc_port: int
    workers: int
    log_level: str
    log_format: str
    access_log: bool
    lane: str
    busy_poll_us: int
    model_path: Path
    model_sha256: tuple[str, ...]
    max_model_bytes: int
    reload_token: str
    reload_token_file: Path | None
    predict_tokens: str
    predict_token_file: Path | None
    tls_cert_file: Path | None
    tls_key_file: Path | None
    metrics_port: int
    max_body_bytes: int
    max_header_bytes: int
    max_batch_rows: int
    max_queued_rows: int
    max_queued_ms: int
    max_in_flight: int
    max_connections: int
    max_symbols: int
    header_seconds: int
    body_seconds: int
    keep_alive_seconds: int
    drain_seconds: int
    grace_seconds: int
    hang_seconds: int
    engine: str
    drift_window_seconds: int
    engine_threads: int
    keep_reference: str
    recent_rows: int
    keep_versions: int

    @property
    def has_predict_tokens(self) -> bool:
        """Whether predictions, and what describes the model, are for those alone who have a token."""
        return bool(self.predict_tokens or self.predict_token_file)

    @property
    def has_reload_tokens(self) -> bool:
        """Whether a reload needs a token."""
        return bool(self.reload_token or self.reload_token_file)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its environment variable, its default, what it takes in words and as help shows it."""

    variable: str
    default: str
    parse: Callable[[str], Any]
    allowed: str
    shown: str
    summary: str

    @property
    def field(self) -> str:
        """Name of the attribute of `Settings`."""
        return self.variable.lower()

    def read(self, text: str) -> Any:
        """Parse a value, or say what is allowed."""
        try:
            return self.parse(text)
        except ValueError:
            raise SettingError(f"{self.variable}: expected {self.allowed}, got {text!r}") from None


def _integer(low: int, high: int) -> tuple[Callable[[str], int], str, str]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return parse, f"an integer from {low} to {high}", "N"


def _choice(*names: str) -> tuple[Callable[[str], str], str, str]:
    """Take one of some words in any case, told as documents write them; what comes out is upper case."""
    known = {name.upper() for name in names}

    def parse(text: str) -> str:
        if text.upper() not in known:
            raise ValueError
        return text.upper()

    return parse, "one of " + ", ".join(names), "{" + ",".join(names) + "}"


def _switch() -> tuple[Callable[[str], bool], str, str]:
    values = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

    def parse(text: str) -> bool:
        if text.lower() not in values:
            raise ValueError
        return values[text.lower()]

    return parse, "one of " + ", ".join(values), "{" + ",".join(values) + "}"


def _text() -> tuple[Callable[[str], str], str, str]:
    return str, "a text", "TEXT"


def _file() -> tuple[Callable[[str], Path | None], str, str]:
    return lambda text: Path(text) if text else None, "a path, or nothing", "FILE"


def _hashes() -> tuple[Callable[[str], tuple[str, ...]], str, str]:
    def parse(text: str) -> tuple[str, ...]:
        hashes = tuple(each.strip().lower() for each in text.split(",")) if text else ()
        if not all(_SHA256.fullmatch(each) for each in hashes):
            raise ValueError
        return hashes

    return parse, "64 hexadecimal digits, commas between several, or nothing", "SHA256"


def _nonempty(cast: Callable[[str], Any], what: str, shown: str) -> tuple[Callable[[str], Any], str, str]:
    def parse(text: str) -> Any:
        if not text:
            raise ValueError
        return cast(text)

    return parse, what, shown


def _address(text: str) -> str:
    if not text.isprintable() or " " in text:
        raise ValueError
    return text


MODEL_PATH = Setting(
    "MODEL_PATH", "models/", *_nonempty(Path, "a path", "PATH"), "model file, or the folder that holds model.onnx"
)

MODEL_SHA256 = Setting(
    "MODEL_SHA256", "", *_hashes(), "sha256 of the model files that may be served, as tickline export prints it"
)
MAX_MODEL_BYTES = Setting("MAX_MODEL_BYTES", str(2**29), *_integer(1, 2**31), "largest model file")

ENGINE = Setting(
    "ENGINE",
    "auto",
    *_choice("auto", "onnxruntime", "compiled"),
    "what runs the model; auto takes compiled where it proves itself against onnxruntime",
)

GROUPS: Mapping[str, tuple[Setting, ...]] = {
    "where it listens": (
        Setting("HOST", "0.0.0.0", *_nonempty(_address, "an address", "ADDRESS"), "address to listen on"),
        Setting("PORT", "5000", *_integer(0, 65535), "port to listen on; 0 takes a free one"),
        Setting("GRPC_PORT", "0", *_integer(0, 65535), "port of the Open Inference Protocol over gRPC; 0 turns it off"),
        Setting(
            "METRICS_PORT", "0", *_integer(0, 65535), "port of /metrics, which PORT then does not serve; 0: on PORT"
        ),
        Setting("WORKERS", "2", *_integer(1, 64), "worker processes; 1 runs without a supervisor"),
        Setting(
            "LANE", "fast", *_choice("fast", "asgi"), "fast answers /predict before ASGI; asgi answers all through it"
        ),
        Setting(
            "BUSY_POLL_US",
            "0",
            *_integer(0, 10**6),
            "how long a worker looks for more requests after a prediction before it sleeps; burns a processor each",
        ),
    ),
    "the model": (
        MODEL_PATH,
        MODEL_SHA256,
        MAX_MODEL_BYTES,
        ENGINE,
        Setting("ENGINE_THREADS", "1", *_integer(1, 256), "threads of the engine inside one batch"),
        Setting(
            "KEEP_REFERENCE",
            "auto",
            *_choice("auto", "yes", "no"),
            "keep onnxruntime's session beside the compiled engine; auto where the memory limit leaves room",
        ),
        Setting(
            "KEEP_VERSIONS", "3", *_integer(1, 32), "model files that are kept to go back to, the served one included"
        ),
        Setting(
            "RECENT_ROWS", "256", *_integer(0, 65536), "most rows that a worker keeps to compare models on; 0: none"
        ),
        Setting(
            "DRIFT_WINDOW_SECONDS",
            "3600",
            *_integer(0, 10**7),
            "how far back the rows reach whose drift is told; 0: none",
        ),
    ),
    "tokens and TLS": (
        Setting(
            "PREDICT_TOKENS", "", *_text(), "bearer tokens for predictions, commas between them; none: open to all"
        ),
        Setting("PREDICT_TOKEN_FILE", "", *_file(), "file of bearer tokens for predictions, one a line"),
        Setting("RELOAD_TOKEN", "", *_text(), "bearer token for /reload; without one it answers loopback only"),
        Setting("RELOAD_TOKEN_FILE", "", *_file(), "file of bearer tokens for /reload, one a line"),
        Setting("TLS_CERT_FILE", "", *_file(), "certificate chain (PEM); with it all is served over TLS alone"),
        Setting("TLS_KEY_FILE", "", *_file(), "private key of the certificate (PEM)"),
    ),
    "bounds of work": (
        Setting("MAX_BODY_BYTES", str(64 * 2**20), *_integer(1, 2**40), "largest request body"),
        Setting("MAX_HEADER_BYTES", "16384", *_integer(1024, 2**20), "largest request line with all headers"),
        Setting("MAX_BATCH_ROWS", "100000", *_integer(1, 2**31), "most rows in one batch"),
        Setting("MAX_QUEUED_ROWS", "400000", *_integer(1, 2**40), "most rows of batches that a worker has under way"),
        Setting("MAX_QUEUED_MS", "500", *_integer(1, 10**7), "longest wait of a batch for its first turn"),
        Setting("MAX_IN_FLIGHT", "1024", *_integer(2, 2**20), "most requests that a worker has under way"),
        Setting("MAX_CONNECTIONS", "10000", *_integer(1, 2**20), "most connections of a worker"),
        Setting("MAX_SYMBOLS", "10000", *_integer(1, 10**9), "most symbols that are held for bars one by one"),
    ),
    "bounds of time": (
        Setting("HEADER_SECONDS", "10", *_integer(1, 86400), "how long the headers of a request may take"),
        Setting("BODY_SECONDS", "30", *_integer(1, 86400), "how long a body may bring less than 1,000 bytes a second"),
        Setting("KEEP_ALIVE_SECONDS", "75", *_integer(1, 86400), "how long an idle connection stays open"),
        Setting(
            "DRAIN_SECONDS", "0", *_integer(0, 86400), "how long the server answers while unready, before it stops"
        ),
        Setting("GRACE_SECONDS", "30", *_integer(0, 86400), "how long requests in flight may take to finish at a stop"),
        Setting("HANG_SECONDS", "10", *_integer(1, 86400), "how long a worker may hang before it is replaced"),
    ),
    "logs": (
        Setting("LOG_LEVEL", "INFO", *_choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), "what is logged"),
        Setting("LOG_FORMAT", "text", *_choice("text", "json"), "how it is logged, one line a record"),
        Setting("ACCESS_LOG", "0", *_switch(), "log every request"),
    ),
}
"""All settings in the order of the documentation, by what they are about."""

SETTINGS = tuple(setting for group in GROUPS.values() for setting in group)


def add_flag(parser: argparse._ActionsContainer, setting: Setting) -> None:
    """Give a command, or a group of its flags, the flag of one setting."""
    bounds = setting.allowed.removeprefix("an integer from ") if setting.shown == "N" else ""
    fallback = f"${setting.variable}, else {setting.default}" if setting.default else f"${setting.variable}"
    parser.add_argument(
        "--" + setting.field.replace("_", "-"),
        metavar=setting.shown,
        help=f"{setting.summary}{bounds and f'; {bounds}'} ({fallback})",
    )


def read_setting(setting: Setting, options: argparse.Namespace, environ: Mapping[str, str]) -> Any:
    """Return the value of one setting: its flag, its environment variable or its default."""
    flag: str | None = getattr(options, setting.field, None)
    return setting.read(flag if flag is not None else environ.get(setting.variable, setting.default))


def read_settings(options: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """Return all settings.

    Raises
    ------
    SettingError
        Where a value is malformed or unknown.
    """
    return Settings(**{setting.field: read_setting(setting, options, environ) for setting in SETTINGS})
