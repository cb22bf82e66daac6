"""The training pipeline: its compiled form and its picture are those of its code."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "kubeflow"
SPECIFICATION = yaml.safe_load((FOLDER / "pipeline.yaml").read_text().partition("\n---\n")[0])
STEPS = ["data", "features", "train", "evaluate", "export", "verify", "promote"]


@pytest.fixture(scope="module")
def picture() -> Any:
    """The module that draws."""
    found = importlib.util.spec_from_file_location("picture", FOLDER / "picture.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["picture"] = module
    found.loader.exec_module(module)
    return module


def pipeline(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the script of the pipeline."""
    command = [sys.executable, str(folder / "pipeline.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_made_of_the_code_is_up_to_date() -> None:
    done = pipeline(FOLDER, "compile", "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_change_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "deploy" / "kubeflow"
    folder.mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    for name in ("picture.py", "pipeline.yaml"):
        (folder / name).write_text((FOLDER / name).read_text())
    (tmp_path / "docs" / "pipeline.svg").write_text((ROOT / "docs" / "pipeline.svg").read_text())
    (folder / "pipeline.py").write_text((FOLDER / "pipeline.py").read_text().replace("least_gain", "least_skill"))
    done = pipeline(folder, "compile", "--check")
    assert done.returncode == 1
    assert done.stderr.startswith("out of date: ")
    assert "pipeline.yaml" in done.stderr
    assert "pipeline.svg" in done.stderr
    assert pipeline(folder, "compile").returncode == 0
    assert "least_skill" in (tmp_path / "docs" / "pipeline.svg").read_text()


def test_its_steps_run_in_the_image_of_the_training() -> None:
    executors = SPECIFICATION["deploymentSpec"]["executors"].values()
    assert {each["container"]["image"] for each in executors} == {"registry.example.com/tickline-train:0.1.0"}
    for each in executors:
        assert "pip install" not in " ".join(each["container"]["command"])
        assert each["container"]["resources"]["resourceMemoryLimit"] == "2Gi"


def test_its_image_begins_with_the_stage_of_the_serving_image_that_builds_the_kernels() -> None:
    """The same words are the same layers: Docker builds them once."""
    stages = [
        re.search(r"^FROM \S+ AS kernels\n.*?(?=^FROM )", (ROOT / file).read_text(), re.DOTALL | re.MULTILINE)
        for file in ("Dockerfile", "deploy/train/Dockerfile")
    ]
    serving, training = (found.group().rstrip() for found in stages if found)
    assert training == serving


def test_only_what_shows_skill_is_exported_and_promoted(picture: Any) -> None:
    steps = {step.name: step for step in picture.steps_of(SPECIFICATION)}
    assert [step.name for step in picture.in_order(list(steps.values()))] == STEPS
    judged = {name: step.groups for name, step in steps.items() if step.groups}
    skill = "if it shows skill"
    assert judged == {"export": (skill,), "verify": (skill,), "promote": (skill, "if MLflow runs")}
    for name in judged:
        assert "evaluate" in steps[name].waits
    assert steps["export"].takes == [("evaluate", "model")]
    assert dict(steps["promote"].takes) == {"verify": "certificate", "export": "exported"}
    assert steps["promote"].parameters == ["margin", "registered", "tracking_uri"]


def test_the_picture_shows_every_step_and_what_it_takes() -> None:
    drawn = ElementTree.fromstring((ROOT / "docs" / "pipeline.svg").read_text())
    said = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    for step in (*STEPS, "if it shows skill", "if MLflow runs"):
        assert said.count(step) == 1
    for parameter in SPECIFICATION["root"]["inputDefinitions"]["parameters"]:
        assert parameter in said


def test_steps_that_wait_for_one_another_are_refused(picture: Any) -> None:
    steps = [picture.Step("one", [("two", "x")]), picture.Step("two", [("one", "y")])]
    with pytest.raises(ValueError, match="expected steps without a circle, got one in \\['one', 'two'\\]"):
        picture.in_order(steps)


def test_conditions_within_conditions_have_a_frame_each(picture: Any) -> None:
    def task(component: str, made_by: str = "", taken: str = "") -> dict[str, Any]:
        made = {"taskOutputArtifact": {"producerTask": made_by, "outputArtifactKey": "x"}}
        artifacts = {"x": made if made_by else {"componentInputArtifact": taken}} if made_by or taken else {}
        named = {"name": component}
        return {"componentRef": named, "taskInfo": named, "inputs": {"artifacts": artifacts}}

    specification = {
        "pipelineInfo": {"name": "a <b>"},
        "components": {
            "step": {},
            "outer": {"dag": {"tasks": {"inner": task("inner", taken="x")}}},
            "inner": {"dag": {"tasks": {"last": task("step", taken="x")}}},
        },
        "root": {"dag": {"tasks": {"first": task("step"), "outer": task("outer", made_by="first")}}},
    }
    last = picture.steps_of(specification)[-1]
    assert (last.name, last.takes, last.groups) == ("last", [("first", "x")], ("if outer", "if inner"))
    drawn = picture.draw(specification)
    assert drawn.count('class="group"') == 2
    assert '<title id="title">a &lt;b&gt;</title>' in drawn


def test_the_page_describes_its_steps_in_order() -> None:
    page = (ROOT / "docs" / "pipelines.md").read_text()
    section = page[page.index("## Kubeflow") : page.index("## GitHub Actions")]
    described = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert described == STEPS
    (inputs, steps) = re.findall(r"pipeline of (\w+) inputs and (\w+) steps", section)[0]
    count = {7: "seven", 8: "eight", 9: "nine", 10: "ten"}
    assert count[len(SPECIFICATION["root"]["inputDefinitions"]["parameters"])] == inputs
    assert count[len(described)] == steps
    for path in re.findall(r"(?:deploy|docs)/[\w/.]+\w", section):
        assert (ROOT / path).exists(), path


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "outputs"
    done = pipeline(FOLDER, "run", str(folder), "--source", "synthetic")
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (1, [f"pipeline.py: {folder}: Not a directory"])
