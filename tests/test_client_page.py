"""docs/client.md: its programs run against a real server, its table names every method."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from runtime.client import Client
from tests.serving import running_server

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "client.md").read_text()


def test_its_programs_run(sp500_model: Callable[[str], Path]) -> None:
    programs = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(programs) == 2
    with running_server(sp500_model("gradient_boosting")) as server:
        for program in programs:
            assert "http://localhost:5000" in program
            there = program.replace("http://localhost:5000", f"http://127.0.0.1:{server.port}")
            done = subprocess.run([sys.executable, "-c", there], capture_output=True, text=True, cwd=ROOT)
            assert done.returncode == 0, done.stderr
            assert re.search(r"\b(UP|DOWN)\b", done.stdout)


def test_its_table_has_every_method() -> None:
    shown = set(re.findall(r"`(\w+)\(", PAGE.partition("| method |")[2].partition("\n\n")[0]))
    methods = {name for name, method in vars(Client).items() if inspect.isfunction(method) and name[0] != "_"}
    assert shown - {"to_frame"} == methods - {"run", "close"}
