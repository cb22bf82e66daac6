"""Train, export and verify a model, then have a running server take it.

``python retrain.py [--unless-served] [--track [--accept-first]] [--reload URL] [arguments of tickline train]``. With
--track the model goes through the MLflow registry: it has to become the champion there, and the champion is what is
served. The model file replaces the one in MODEL_PATH when all else has succeeded, and in one step: a server that starts
meanwhile reads either, whole.
"""

import argparse
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import tickline
from features_fast.atomic_file import check_file, write_atomically
from runtime.registry import CHAMPION, REGISTERED_MODEL

FILE = Path(os.environ["MODEL_PATH"]) / "model.onnx"


def main() -> int:
    """Run the steps until one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unless-served", action="store_true", help="do nothing where there is a verified model")
    parser.add_argument("--track", action="store_true", help="register the model in MLflow, and serve the champion")
    parser.add_argument(
        "--accept-first", action="store_true", help="take a first champion that is no better than the baselines"
    )
    parser.add_argument(
        "--reload", metavar="URL", help="server that is to take the new model; RELOAD_TOKEN is its token"
    )
    options, training = parser.parse_known_args()
    if options.unless_served and FILE.exists():
        return tickline.main(["verify", str(FILE)])
    try:
        check_file(FILE)
    except OSError as error:
        sys.stderr.write(f"{FILE}: cannot be written: {error.strerror}\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        where = ["--model-path", str(Path(folder) / "model")]
        steps = [["train", *training, *where], ["export", *where], ["verify", *where]]
        if options.track:
            steps[1].append("--track")
            steps.append(["promote", "--accept-first"] if options.accept_first else ["promote"])
            steps.append(["pull", f"models:/{REGISTERED_MODEL}@{CHAMPION}", "--model-path", str(FILE)])
        for step in steps:
            if status := tickline.main(step):
                return status
        if not options.track:
            with write_atomically(FILE) as staging:
                shutil.copyfile(Path(folder) / "model" / FILE.name, staging)
    return reload(options.reload) if options.reload else 0


def reload(url: str) -> int:
    """Ask a server to verify the new model and to serve it."""
    token = os.environ.get("RELOAD_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{url}/reload", b"", headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            sys.stdout.write(f"served by {url}: {reply.read().decode()}\n")
        return 0
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"{url}/reload: {error.code}: {error.read().decode()}\n")
    except OSError as error:
        sys.stderr.write(f"{url}/reload: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
