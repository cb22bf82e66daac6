"""Who is measured: this server in both lanes, and its peers, started as their own documentation advises for speed."""

import sys
from pathlib import Path

from bench.peer_environments import environment
from bench.servers import Contender, Request, find_program, free_port

_APPS = Path(__file__).parent / "peers"


def ours(model: Path, lane: str = "fast", workers: int = 1) -> Contender:
    """Return this server with one worker or several, on a model file or the folder of one."""
    environ = {"HOST": "127.0.0.1", "PORT": "{port}", "WORKERS": str(workers), "LANE": lane, "MODEL_PATH": str(model)}
    command = [sys.executable, "-m", "tickline", "serve"]
    name = "Tickline" if lane == "fast" else "Tickline, LANE=asgi"
    return Contender(name, command, Request("/health/ready"), environ)


def fastapi(model: Path, ready: Request) -> Contender:
    """Return FastAPI and onnxruntime under uvicorn."""
    options = "--loop uvloop --http httptools --workers 1 --no-access-log --log-level warning --port {port}"
    program = str(environment("fastapi") / "uvicorn")
    command = [program, *options.split(), "--app-dir", str(_APPS), "fastapi_app:app"]
    return Contender("FastAPI + onnxruntime", command, ready, {"MODEL_FILE": str(model / "model.onnx")})


def granian(model: Path, ready: Request) -> Contender:
    """Return onnxruntime under Granian, by its own interface."""
    options = "--interface rsgi --http 1 --no-ws --loop uvloop --runtime-mode st --workers 1 --no-log --port {port}"
    program = str(environment("granian") / "granian")
    command = [program, *options.split(), "--working-dir", str(_APPS), "granian_app:app"]
    return Contender("Granian RSGI + onnxruntime", command, ready, {"MODEL_FILE": str(model / "model.onnx")})


def flask(model: Path, ready: Request) -> Contender:
    """Return Flask and scikit-learn's model under gunicorn."""
    program = str(environment("flask") / "gunicorn")
    options = "--workers 1 --log-level warning --bind 127.0.0.1:{port}"
    command = [program, *options.split(), "--chdir", str(_APPS), "flask_app:app"]
    return Contender("Flask + gunicorn + joblib", command, ready, {"MODEL_FOLDER": str(model)})


def nginx(folder: Path) -> Contender:
    """Return nginx with a reply of 11 bytes, which keeps its files in a folder."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text((_APPS / "nginx.conf").read_text().replace("PORT", str(port)))
    command = [find_program("nginx", "nginx"), "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
    return Contender("nginx, static 11 bytes", command, Request("/"), port=port)
