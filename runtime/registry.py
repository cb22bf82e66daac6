"""Model files from an MLflow registry, by its REST interface and the standard library alone.

A server's init container fetches its model with this, so the serving image needs no MLflow. onnxruntime is loaded where
a file is verified, so that `--help` answers at once.
"""

import base64
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from features_fast.atomic_file import write_atomically
from features_fast.errors import TicklineError
from runtime.artifact import MODEL_FILE, ArtifactError, check_seal, naming, read

if TYPE_CHECKING:
    from runtime.predictor import Predictor

REGISTERED_MODEL = "tickline"
CHAMPION, CHALLENGER = "champion", "challenger"
"""The alias of the version that serves, and that of the version that wants to."""

SHA256_TAG = "tickline.sha256"
"""The tag of a version that says with which hash its model file is sealed."""

TRACKING_URI = "http://localhost:5001"

_REFERENCE = re.compile(r"models:/([^/@:]+)(?:@([^/@]+)|/(\d+))")
_API = "/api/2.0/mlflow"
_TRIES = 3
_PAUSE_SECONDS = 0.5  # between two tries
_TIMEOUT_SECONDS = 10.0


class RegistryError(TicklineError):
    """A registry that does not answer, or that refuses."""


class NotRegisteredError(RegistryError):
    """A registry has no such model, alias or version."""


@dataclass(frozen=True)
class Reference:
    """Which version of which registered model: the one of an alias, or the one of a number."""

    name: str
    alias: str | None
    version: str | None

    def __str__(self) -> str:
        return f"models:/{self.name}@{self.alias}" if self.alias else f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class Version:
    """A version of a registered model as it was fetched and verified.

    Attributes
    ----------
    name, number : str
        Of the registered model, and of this version of it.
    content : bytes
        The model file.
    predictor : Predictor
        The model in it, which held its certificate.
    """

    name: str
    number: str
    content: bytes
    predictor: "Predictor"


_Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}$")]


class _Tag(msgspec.Struct):
    key: str
    value: str = ""


class FoundVersion(msgspec.Struct):
    """What a registry says of a version: its number, its tags."""

    version: _Number
    tags: list[_Tag] = []


class _Alias(msgspec.Struct):
    alias: str
    version: _Number


class _RegisteredModel(msgspec.Struct):
    aliases: list[_Alias] = []


class _ModelReply(msgspec.Struct):
    registered_model: _RegisteredModel | None = None


class _VersionReply(msgspec.Struct):
    model_version: FoundVersion


class _PlaceReply(msgspec.Struct):
    artifact_uri: str


_Reply = TypeVar("_Reply", _ModelReply, _VersionReply, _PlaceReply)


def tracking_uri(environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of the MLflow server, from the environment or the default."""
    return environ.get("MLFLOW_TRACKING_URI") or TRACKING_URI


def parse_reference(text: str) -> Reference:
    """Read `models:/NAME@ALIAS` or `models:/NAME/VERSION`; raises RegistryError for anything else."""
    match = _REFERENCE.fullmatch(text)
    if not match:
        raise RegistryError(f"model: expected models:/NAME@ALIAS or models:/NAME/VERSION, got {text!r}")
    return Reference(*match.groups())


def fetch(server: "Server", reference: Reference) -> Version:
    """Fetch and verify a version of a registered model.

    Raises
    ------
    RegistryError
        The server does not answer, has no such version, or does not hand out its files.
    ArtifactError
        The file is not what was sealed and registered, or does not hold its certificate.
    """
    from runtime.predictor import Predictor

    found = server.version(reference)
    number = found.version
    content = server.file(reference.name, number, MODEL_FILE)
    with naming(f"models:/{reference.name}/{number}"):
        sha256 = check_seal(content)
        registered = {tag.key: tag.value for tag in found.tags}.get(SHA256_TAG, sha256)
        if sha256 != registered:
            raise ArtifactError(f"registered with sha256 {registered}, got a file with {sha256}")
        return Version(reference.name, number, content, Predictor(content))


def write_model(content: bytes, path: Path) -> bool:
    """Put a model file in the place of the old one in one step.

    Returns
    -------
    bool
        Whether it was written; a file that is the same already is left alone.
    """
    try:
        if path.exists() and read(path) == content:
            return False
        with write_atomically(path) as staging:
            staging.write_bytes(content)
            staging.chmod(0o644)  # a server may run as another user
    except OSError as error:
        raise RegistryError(f"{path}: cannot be written: {error.strerror or error}") from None
    return True


class Server:
    """An MLflow server, asked for what a registry knows. A connection that fails is tried again, three times in all.

    Parameters
    ----------
    uri : str
        Its address. MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, are sent along.
    """

    def __init__(self, uri: str) -> None:
        if not uri.startswith(("http://", "https://")):
            raise RegistryError(f"MLFLOW_TRACKING_URI: expected http:// or https://, got {uri!r}")
        try:
            parts = urllib.parse.urlsplit(uri)
            has_secret, has_host = "@" in parts.netloc, bool(parts.hostname)
        except ValueError:
            has_secret = has_host = False
        if has_secret:  # which no message may show
            raise RegistryError(
                "MLFLOW_TRACKING_URI: expected no user and password in it; "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD take them"
            )
        if not has_host or not uri.isprintable():
            raise RegistryError(f"MLFLOW_TRACKING_URI: expected the address of a server, got {uri!r}")
        self.uri = uri.rstrip("/")

    def check(self) -> None:
        """Raise RegistryError where nothing answers."""
        self._send("GET", "/health")

    def version(self, reference: Reference) -> FoundVersion:
        """Return what the registry says of a version; raises NotRegisteredError."""
        number = reference.version
        if number is None:
            model = self._ask("registered-models/get", {"name": reference.name}, _ModelReply).registered_model
            aliases = {entry.alias: entry.version for entry in model.aliases} if model else {}
            if reference.alias not in aliases:
                known = ", ".join(sorted(aliases)) or "none"
                raise NotRegisteredError(f"{reference}: no such alias at {self.uri}; there are: {known}")
            number = aliases[reference.alias]
        query = {"name": reference.name, "version": number}
        return self._ask("model-versions/get", query, _VersionReply).model_version

    def file(self, name: str, version: str, file: str) -> bytes:
        """Return a file of a version."""
        query = {"name": name, "version": version}
        source = self._ask("model-versions/get-download-uri", query, _PlaceReply).artifact_uri
        scheme, _, place = source.partition(":")
        if scheme != "mlflow-artifacts":
            raise RegistryError(
                f"models:/{name}/{version}: expected files that the server hands out (mlflow-artifacts:), got "
                f"{source}: start it with --artifacts-destination"
            )
        folder = urllib.parse.quote(urllib.parse.urlsplit(place).path.strip("/"))
        return self._send("GET", f"/api/2.0/mlflow-artifacts/artifacts/{folder}/{file}")

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Have an alias mean a version, and no other."""
        self._send("POST", f"{_API}/registered-models/alias", {"name": name, "alias": alias, "version": version})

    def delete_alias(self, name: str, alias: str) -> None:
        """Have an alias mean nothing."""
        self._send("DELETE", f"{_API}/registered-models/alias", {"name": name, "alias": alias})

    def set_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Note something about a version."""
        tag = {"name": name, "version": version, "key": key, "value": value}
        self._send("POST", f"{_API}/model-versions/set-tag", tag)

    def _ask(self, path: str, query: Mapping[str, str], kind: type[_Reply]) -> _Reply:
        """Return what a route of the registry answers."""
        content = self._send("GET", f"{_API}/{path}?{urllib.parse.urlencode(query)}")
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.ValidationError as error:
            raise RegistryError(f"{self.uri}: {path}: expected the answer of an MLflow server: {error}") from None
        except (msgspec.DecodeError, RecursionError):
            raise RegistryError(f"{self.uri}: expected the JSON of an MLflow server, got {content[:40]!r}") from None

    def _send(self, method: str, path: str, body: Mapping[str, str] | None = None) -> bytes:
        """Return the body of an answer, after another try where the connection or the server fails."""
        data = None if body is None else json.dumps(body).encode()
        headers = _authorization() | ({} if body is None else {"Content-Type": "application/json"})
        request = urllib.request.Request(self.uri + path, data, headers, method=method)
        for left in reversed(range(_TRIES)):
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as reply:
                    content: bytes = reply.read()
                return content
            except urllib.error.HTTPError as error:
                with error:
                    code, message = _refusal(error)
                if error.code < 500 or not left:
                    kind = NotRegisteredError if code == "RESOURCE_DOES_NOT_EXIST" else RegistryError
                    raise kind(f"MLflow at {self.uri}: {error.code}: {message}") from None
            except (OSError, ValueError, http.client.HTTPException) as error:
                if not left:
                    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
                    raise RegistryError(f"MLflow at {self.uri}: no answer: {reason}") from None
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError  # the last try returned or raised


def _authorization() -> dict[str, str]:
    """Return the header that the environment asks for, as MLflow's own client reads it."""
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if user and password:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    if token and not (token.isascii() and token.isprintable()):  # the library's own error would show it
        raise RegistryError("MLFLOW_TRACKING_TOKEN: expected one line of ASCII characters; its value is not shown")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _refusal(error: urllib.error.HTTPError) -> tuple[str, str]:
    """Return the code of a refusal, and what it says in one line."""
    try:
        content = json.loads(error.read())
        code, message = content["error_code"], content["message"]
    except (OSError, ValueError, KeyError, TypeError):
        code, message = "", error.reason
    return str(code), " ".join(str(message).split())
