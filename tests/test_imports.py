"""Who may import whom: read from the sources, and seen in the modules of a real process."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("features_fast", "training", "export", "runtime", "bench", "tests")
SERVING = {"onnxruntime", "numpy", "starlette", "uvicorn", "httptools", "uvloop", "msgspec", "prometheus_client"}
COMPILER = {"numba", "llvmlite"}

ALLOWED = {
    "features_fast": {"numpy"} | COMPILER,
    "runtime": SERVING | {"features_fast"},
    "export": {
        *("features_fast", "runtime", "numpy", "msgspec", "sklearn", "skl2onnx", "onnx", "onnxruntime"),
        *("joblib", "pandas"),
    },
    "training": {
        *("features_fast", "numpy", "pandas", "sklearn", "joblib", "matplotlib", "arch", "pyarrow", "scipy"),
    },
}
"""Everything beyond the standard library and the package itself that a package may import."""

ALLOWED_IN_MODULES = {
    "runtime/_codec.py": COMPILER,
    "runtime/_objects.py": COMPILER,
    "runtime/compiled/_kernels.py": COMPILER,
    "runtime/compiled/_walk.py": COMPILER,
    "runtime/batch_arrow.py": {"pyarrow"},
    **{f"runtime/scoring/{module}.py": {"pyarrow"} for module in ("cells", "chain", "form", "reading", "sources")},
    "runtime/client/results.py": {"pandas"},
    "runtime/scoring/ray_engine.py": {"ray"},
    "runtime/grpc_server.py": {"grpc", "google"},
    "export/commands.py": {"training"},
    "training/commands.py": {"runtime"},
    "training/tracking.py": {"runtime", "mlflow", "msgspec", "onnx"},
    "training/promotion.py": {"runtime"},
    "training/promotion_commands.py": {"runtime"},
    "runtime/_messages/inference_pb2.py": {"google"},
}
"""What one module may import beyond that: extras (`arrow`, `ray`, `grpc`, `mlflow`), what a build compiles with,
pandas for who asks a client for a DataFrame, and the contract of the model file where one is tracked and promoted."""

EXPORT_SEES_OF_RUNTIME = {
    *(
        "runtime.artifact",
        "runtime.baseline",
        "runtime.engine",
        "runtime.engines",
        "runtime.graph_rules",
        "runtime.onnxruntime_engine",
        "runtime.registry",
        "runtime.replay",
    ),
    "runtime.settings",
}
NEVER_WHILE_SERVING = {
    *("training", "export", "bench", "tests", "sklearn", "skl2onnx", "onnx", "pandas", "joblib", "scipy"),
    *("numba", "llvmlite", "matplotlib", "rich", "grpc", "google"),
}


def imports(path: Path) -> set[tuple[str, bool]]:
    """Return the full names that a module imports, and whether each is imported when the module is."""
    tree = ast.parse(path.read_text())
    at_import = set(ast.walk(ast.Module([node for node in tree.body], [])))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            at_import -= set(ast.walk(node))
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
        found |= {(name, node in at_import) for name in names}
    return found


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    assert modules(package)
    for path in modules(package):
        roots = {name.partition(".")[0] for name, _ in imports(path)} - sys.stdlib_module_names - {package}
        name = str(path.relative_to(ROOT))
        allowed = ALLOWED[package] | ALLOWED_IN_MODULES.get(name, set())
        assert roots <= allowed, f"{name} imports {roots - allowed}"


def test_export_sees_the_contract_of_runtime_alone() -> None:
    seen = {name for path in modules("export") for name, _ in imports(path) if name.startswith("runtime")}
    assert seen <= EXPORT_SEES_OF_RUNTIME


@pytest.mark.parametrize("package", [package for package in PACKAGES if package not in ("bench", "tests")])
def test_nothing_imports_benchmarks_or_tests(package: str) -> None:
    for path in [*modules(package), ROOT / "tickline.py"]:
        assert not {name for name, _ in imports(path) if name.partition(".")[0] in ("bench", "tests")}


def loaded_after(statement: str) -> set[str]:
    """Return the root names of all modules that a fresh interpreter holds after a statement."""
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_features_fast_loads_numpy_alone() -> None:
    before = loaded_after("import numpy")
    assert loaded_after("import features_fast") - before - sys.stdlib_module_names == {"features_fast"}


def test_the_server_loads_nothing_of_training() -> None:
    loaded = loaded_after("import runtime.server, runtime.application")
    assert "onnxruntime" in loaded
    assert not loaded & NEVER_WHILE_SERVING


def test_the_server_loads_nothing_that_pages_alone_need() -> None:
    assert not loaded_after("import runtime.server, runtime.application") & {"yaml"}  # by way of starlette.schemas


def test_a_client_loads_no_server() -> None:
    loaded = loaded_after("from tickline import AsyncClient, Client")
    assert not loaded & (NEVER_WHILE_SERVING | {"onnxruntime", "starlette", "uvicorn", "uvloop"})


def test_the_front_door_loads_no_command_before_it_is_called() -> None:
    assert not loaded_after("import tickline") & {"training", "export", "runtime", "numba"}
