"""What a model file says of its training, whatever that is."""

from typing import Any

import pytest

from runtime.artifact import ModelCard
from runtime.training_facts import render_training
from tests.outline import Outline

VALUES = {"accuracy": 0.51234, "roc_auc": None}
FACTS = {
    "metrics": {"validation": VALUES, "test": {**VALUES, "accuracy": 0.6}},
    "baselines": {"test": {"majority_class": {"accuracy": 0.55, "roc_auc": 0.5}}},
    "skill": {"test": {"baseline": "majority_class", "accuracy_gain": 0.05, "standard_error": 0.03}},
}


def render(training: dict[str, Any]) -> Outline:
    card = ModelCard(
        name="a", version="1", feature_names=("x",), labels=("y",), created="2026-01-01T00:00:00Z", training=training
    )
    return Outline(render_training(card))


def test_metrics_stand_beside_those_of_the_baselines() -> None:
    text = " ".join(render(FACTS).text.split())
    assert "On test rows accuracy roc auc a 0.600 - majority class 0.550 0.500" in text
    assert "On validation rows accuracy roc auc a 0.512 -" in text
    assert text.index("test rows") < text.index("validation rows")
    assert "+5.0 points of accuracy against the baseline majority class, standard error 3.0." in text


@pytest.mark.parametrize(
    "training",
    [
        {"metrics": None},
        {"metrics": [1, 2]},
        {"metrics": {"test": 0.5, "other": {}}},
        {"metrics": {"test": VALUES}, "baselines": {"test": {"a": 1}}},
        {"metrics": {"test": VALUES}, "baselines": 7, "skill": {"test": {"accuracy_gain": "much"}}},
        {"metrics": {"test": {"accuracy": {"value": 0.5, "interval": [0.4, 0.6]}}}, "skill": []},
        {"anything": {"else": ["x"]}},
    ],
)
def test_other_forms_are_told_as_far_as_they_go(training: dict[str, Any]) -> None:
    assert "/model/info" in render(training).text


def test_no_file_makes_the_page_large() -> None:
    many = {f"{'m' * 500}{index}": "v" * 10_000 for index in range(1000)}
    training = {
        "metrics": dict.fromkeys(map(str, range(1000)), many),
        "baselines": {"1": dict.fromkeys("abcdefghijkl", many)},
    }
    assert len(render(training).text) < 20_000
    assert "nothing of its training" in render({}).text
