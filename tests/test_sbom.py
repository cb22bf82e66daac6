"""The list of what the image has: made of its lock file, whole, and valid."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements" / "serve.txt"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `make sbom` writes."""
    path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    subprocess.run(
        ["make", "--old-file=.venv/installed", "sbom", f"SBOM={path}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return path.read_text()


def test_it_is_valid(document: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(document) is None
    assert validator.validate_str(document.replace('"components"', '"component"', 1)) is not None


def test_it_has_every_package_of_the_lock_file_with_its_hashes_and_no_other(document: str) -> None:
    locked = {
        name: (version, set(re.findall(r"sha256:([0-9a-f]{64})", rest)))
        for name, version, rest in re.findall(r"^([\w.-]+)==([^\s;]+)(.*?)(?=^\S|\Z)", LOCK.read_text(), re.M | re.S)
    }
    assert {"onnxruntime", "numpy", "starlette", "uvicorn"} < set(locked)
    found = {
        component["name"]: (
            component["version"],
            {each["content"] for reference in component["externalReferences"] for each in reference.get("hashes", [])},
        )
        for component in json.loads(document)["components"]
    }
    assert found == locked
    assert all(hashes for _, hashes in locked.values())


def test_it_names_the_product_and_is_the_same_each_time(document: str) -> None:
    product = json.loads(document)["metadata"]["component"]
    version = re.search(r'^version = "(.*)"$', ROOT.joinpath("pyproject.toml").read_text(), re.M)
    assert version
    assert (product["name"], product["version"]) == ("tickline", version[1])
    assert "serialNumber" not in json.loads(document)
