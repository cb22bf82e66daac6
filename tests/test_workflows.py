"""The workflows of GitHub Actions: what they call exists, and their own steps do what they say."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

Job = dict[str, Any]
Step = dict[str, Any]


def jobs(path: Path) -> dict[str, Job]:
    """Return the jobs of a workflow."""
    found: dict[str, Job] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps() -> Iterator[Step]:
    """Yield every step of every workflow."""
    for path in WORKFLOWS:
        for job in jobs(path).values():
            yield from job["steps"]


def step(workflow: str, name: str) -> Step:
    """Return the one step of a name."""
    path = ROOT / ".github" / "workflows" / workflow
    (found,) = [each for job in jobs(path).values() for each in job["steps"] if each.get("name") == name]
    return dict(found)


def run(script: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a step as a runner runs it."""
    command = ["bash", "--noprofile", "--norc", "-e", "-c", script]
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **environment}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def test_every_action_is_pinned_and_says_its_version() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for line in re.findall(r"uses: (.*)", path.read_text()):
            action, commit = re.fullmatch(r"([\w-]+/[\w-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", line).groups()  # type: ignore[union-attr]
            pins.setdefault(action, set()).add(commit)
    assert {action for action, commits in pins.items() if len(commits) != 1} == set()


def test_no_workflow_may_more_than_its_jobs_and_no_job_more_than_it_needs() -> None:
    writes = {}
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] == {}
        for name, job in jobs(path).items():
            rights = job["permissions"]
            assert "timeout-minutes" in job
            if "write" in rights.values():
                writes[name] = {right for right, level in rights.items() if level == "write"}
    assert writes == {"build": {"packages"}, "publish": {"packages"}, "manifests": {"contents"}}


def test_its_commands_exist() -> None:
    called = "\n".join(each["run"] for each in steps() if "run" in each)
    for target in re.findall(r"\bmake (?:-C \S+ )?([a-z-]+)", called):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
    for path in re.findall(r"(?:scripts|deploy)/[\w/.]+", called):
        assert (ROOT / path).exists(), path
    for file in (each["with"]["cache-dependency-path"] for each in steps() if "cache" in each.get("with", {})):
        assert (ROOT / file).exists(), file


def test_the_tests_run_on_every_python_that_is_supported() -> None:
    said = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name}
    matrix = jobs(ROOT / ".github" / "workflows" / "ci.yml")["tests"]["strategy"]["matrix"]
    assert set(matrix["python"]) == said


def test_the_image_is_built_for_both_architectures_with_its_papers() -> None:
    build = jobs(ROOT / ".github" / "workflows" / "image.yml")["build"]
    assert [each["architecture"] for each in build["strategy"]["matrix"]["include"]] == ["amd64", "arm64"]
    (made,) = [each["with"] for each in build["steps"] if each.get("id") == "build"]
    assert (made["sbom"], made["provenance"]) == (True, "mode=max")
    known = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert {line.partition("=")[0] for line in made["build-args"].splitlines()} == known - {"PYTHON_IMAGE"}


def test_the_base_that_a_build_names_is_that_of_every_stage() -> None:
    for path in ("Dockerfile", "deploy/train/Dockerfile", "deploy/mlflow/Dockerfile"):
        text = (ROOT / path).read_text()
        stages = re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE)
        bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - set(stages)
        assert bases == {"${PYTHON_IMAGE}"}, path
        assert re.findall(r"^ARG PYTHON_IMAGE=(.*)$", text, re.MULTILINE) == ["python:3.11-slim"], path
    assert "--build-arg PYTHON_IMAGE=python:3.11-slim@sha256:DIGEST" in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize(("tag", "status"), [(f"v{PROJECT['version']}", 0), ("v99.0.0", 1)])
def test_a_tag_is_the_version(tmp_path: Path, tag: str, status: int) -> None:
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    output = tmp_path / "output"
    context = {"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": tag, "GITHUB_REPOSITORY": "Acme/Tickline"}
    done = run(step("image.yml", "Names")["run"], tmp_path, GITHUB_OUTPUT=str(output), **context)
    assert done.returncode == status
    if status:
        assert f"expected the tag v{PROJECT['version']}, as pyproject.toml says, got v99.0.0" in done.stdout
    else:
        said = dict(line.split("=") for line in output.read_text().splitlines())
        assert (said["image"], said["version"]) == ("ghcr.io/acme/tickline", PROJECT["version"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said["created"])


def test_both_architectures_get_one_name(tmp_path: Path) -> None:
    """Docker is a stand-in here that says what it is asked for: a registry to push to cannot be had."""
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text('#!/bin/sh\necho "$@" >>"$HOME/asked"\necho sha256:whole\n')
    docker.chmod(0o755)
    (tmp_path / "digests").mkdir()
    for architecture in ("amd64", "arm64"):
        folder = tmp_path / architecture
        folder.mkdir()
        done = run(step("image.yml", "Digest")["run"], folder, DIGEST=f"sha256:{architecture}")
        assert done.returncode == 0, done.stderr
        (uploaded,) = (folder / "digests").iterdir()
        uploaded.rename(tmp_path / "digests" / uploaded.name)
    output = tmp_path / "output"
    names = {"IMAGE": "ghcr.io/acme/tickline", "VERSION": "1.0", "GITHUB_OUTPUT": str(output)}
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = run(step("image.yml", "One name for both architectures")["run"], tmp_path, PATH=path, **names)
    assert done.returncode == 0, done.stderr
    created = (tmp_path / "asked").read_text().splitlines()[0]
    both = "ghcr.io/acme/tickline@sha256:amd64 ghcr.io/acme/tickline@sha256:arm64"
    assert created == f"buildx imagetools create --tag ghcr.io/acme/tickline:1.0 {both}"
    assert output.read_text() == "digest=sha256:whole\n"


def test_a_release_is_a_commit_that_names_its_image(tmp_path: Path) -> None:
    origin, checkout = tmp_path / "origin", tmp_path / "checkout"
    kubernetes = checkout / "deploy" / "kubernetes"
    (kubernetes / "image").mkdir(parents=True)
    for name in ("set_image.py", "image/kustomization.yaml"):
        (kubernetes / name).write_text((ROOT / "deploy" / "kubernetes" / name).read_text())
    begin = f"git init -q --bare {origin} && git init -q -b main . && git add . && git remote add origin {origin}"
    who = "git -c user.name=a -c user.email=b"
    assert run(f"{begin} && {who} commit -qm first && git push -q origin main", checkout).returncode == 0
    digest = "sha256:" + "ab" * 32
    context = {"IMAGE": "ghcr.io/acme/tickline", "VERSION": "9.8.7", "DIGEST": digest, "TOKEN": "not-asked-for-here"}
    for name in ("Name the image, by its digest", "Push"):
        done = run(step("image.yml", name)["run"], checkout, **context)
        assert done.returncode == 0, done.stderr
    pushed = run(
        "git log -1 --format=%s main && git show main:deploy/kubernetes/image/kustomization.yaml", origin
    ).stdout
    assert pushed.startswith("Deploy 9.8.7\n")
    assert digest in pushed


@pytest.mark.parametrize(("status", "job"), [(0, 0), (1, 1), (3, 0)])
def test_only_a_regression_fails_the_gates_job_which_has_its_summary(status: int, job: int, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    tickline = tmp_path / ".venv" / "bin" / "tickline"
    tickline.write_text(f"#!/bin/sh\necho 1 regressed\nexit {status}\n")
    tickline.chmod(0o755)
    assert run(step("ci.yml", "Gate")["run"], tmp_path).returncode == job
    summary = tmp_path / "summary"
    told = step("ci.yml", "Summary")
    assert told["if"] == "always()"
    assert run(told["run"], tmp_path, GITHUB_STEP_SUMMARY=str(summary)).returncode == 0
    assert "1 regressed" in summary.read_text()


def test_the_page_names_every_job_and_only_commands_that_exist() -> None:
    page = (ROOT / "docs" / "pipelines.md").read_text()
    section = page[page.index("## GitHub Actions") :]
    named = re.findall(r"^\| (?:`\w+\.yml`)? *\| ([A-Z][\w ]+) \|", section, re.MULTILINE)
    assert named == [job["name"].partition(",")[0] for path in WORKFLOWS for job in jobs(path).values()]
    for target in re.findall(r"`make ([a-z-]+)`", section):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
