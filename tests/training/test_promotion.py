"""The rules of a promotion, without a registry; tests/system/test_mlflow.py has a real one."""

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.registry import FoundVersion, NotRegisteredError, Reference, Server, Version
from training.defaults import LOSS_NAMES
from training.errors import ModelError
from training.forecasts import LOSSES
from training.holdout import Holdout
from training.promotion import contests, find_champion, last_seen, promote

ROWS = 400
DATES = np.arange("2020-01-01", ROWS, dtype="datetime64[D]").astype("datetime64[us]")
Y = np.random.default_rng(3).integers(2, size=ROWS)
CARD = ModelCard(
    name="made_up",
    version="1",
    feature_names=("truth",),
    labels=("DOWN", "UP"),
    created="2026-01-15T10:30:00Z",
    training={"split": {"validation": {"last_date": "2019-12-31"}}},
)
HOLDOUT = Holdout(
    Y[:, None].astype(np.float32), Y, DATES, {"majority_class": np.full(ROWS, 0.5), "persistence": np.full(ROWS, 0.49)}
)
RULES: dict[str, Any] = {"loss": "log_loss", "margin": 0.0, "confidence": 0.95}


@dataclass
class Known:
    """A predictor that knows the truth, and says it with some confidence."""

    confidence: float
    card: ModelCard = CARD

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        up = 0.5 + self.confidence * (rows[:, 0] - 0.5)
        return np.stack([1 - up, up], axis=1)


def version(number: str, confidence: float, **card: Any) -> Version:
    """Return a version of a model as the registry hands it out."""
    return Version("tickline", number, b"", Known(confidence, msgspec.structs.replace(CARD, **card)))  # type: ignore[arg-type]


def test_a_first_champion_meets_every_baseline() -> None:
    found = contests(version("1", 0.2), None, HOLDOUT, **RULES)
    assert [contest.opponent for contest in found] == ["majority_class", "persistence"]
    assert all(contest.won for contest in found)
    assert not any(contest.won for contest in contests(version("1", -0.2), None, HOLDOUT, **RULES))


@pytest.mark.parametrize(("theirs", "won"), [(0.1, True), (0.2, False), (0.3, False)])
def test_a_challenger_has_to_be_better_than_the_champion(theirs: float, won: bool) -> None:
    (contest,) = contests(version("2", 0.2), version("1", theirs), HOLDOUT, **RULES)
    assert (contest.opponent, contest.rows, contest.won) == ("version 1", ROWS, won)
    assert contest.gain.estimate == pytest.approx(contest.opponent_loss - contest.challenger_loss)


def test_the_margin_is_for_the_whole_interval() -> None:
    noise = np.random.default_rng(0).normal(scale=0.5, size=ROWS)
    noisy = replace(HOLDOUT, X=(HOLDOUT.X[:, 0] + noise).astype(np.float32)[:, None])
    (contest,) = contests(version("2", 0.3), version("1", 0.1), noisy, **RULES)
    assert 0 < contest.gain.low < contest.gain.estimate
    for margin, won in ((contest.gain.low - 1e-9, True), (contest.gain.low, False), (contest.gain.estimate, False)):
        (again,) = contests(version("2", 0.3), version("1", 0.1), noisy, **RULES | {"margin": margin})
        assert again.won is won


def test_only_rows_count_that_neither_has_seen() -> None:
    later = {"split": {"validation": {"last_date": str(DATES[149])[:10]}}}
    for challenger, champion in (({}, {"training": later}), ({"training": later}, {})):
        (contest,) = contests(version("2", 0.2, **challenger), version("1", 0.1, **champion), HOLDOUT, **RULES)
        assert (contest.rows, contest.first_date) == (250, str(DATES[150])[:10])
    all_but_99 = {"split": {"validation": {"last_date": str(DATES[300])[:10]}}}
    with pytest.raises(ModelError, match=r"at least 100 test rows later than all that version 2 and 1 .* got 99"):
        contests(version("2", 0.2), version("1", 0.1, training=all_but_99), HOLDOUT, **RULES)


def test_models_of_other_features_are_not_compared() -> None:
    with pytest.raises(ModelError, match=r"feature_names: expected \('other',\) as version 1 has, got \('truth',\)"):
        contests(version("2", 0.2), version("1", 0.1, feature_names=("other",)), HOLDOUT, **RULES)


def test_a_model_says_what_it_has_seen() -> None:
    assert last_seen(CARD) == np.datetime64("2019-12-31")
    with pytest.raises(ModelError, match=r"made_up 1: expected split\.validation\.last_date"):
        last_seen(msgspec.structs.replace(CARD, training={}))


class Registry(Server):
    """A registry with a champion whose file is lost."""

    def version(self, reference: Reference) -> FoundVersion:
        if reference.alias == "champion" and reference.name == "none":
            raise NotRegisteredError("no such alias")
        return FoundVersion("1")

    def file(self, name: str, version: str, file: str) -> bytes:
        raise NotRegisteredError(f"no such artifact: {file}")


def test_a_champion_whose_file_is_lost_is_not_taken_for_none() -> None:
    registry = Registry("http://localhost")
    assert find_champion(registry, "none") is None
    with pytest.raises(NotRegisteredError, match=r"no such artifact: model\.onnx"):
        find_champion(registry, "tickline")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "luck"}, "metric: expected log_loss, brier, error, got 'luck'"),
        ({"margin": float("nan")}, "margin: expected a number, got nan"),
        ({"confidence": 1.0}, r"confidence: expected a number between 0 and 1, got 1\.0"),
        ({"confidence": float("nan")}, "confidence: expected a number between 0 and 1, got nan"),
    ],
)
def test_what_no_comparison_can_have_is_refused_before_the_server_is_asked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        promote(Registry("http://localhost"), "tickline", **wrong)


def test_the_command_offers_what_there_is() -> None:
    assert tuple(LOSSES) == LOSS_NAMES


def test_a_contest_reads_well() -> None:
    (contest,) = contests(version("2", 0.2), version("1", 0.2), HOLDOUT, **RULES)
    assert str(contest) == (
        "log_loss 0.5108 beside 0.5108 of version 1 on 400 rows from 2020-01-01 to 2021-02-03: "
        "gain +0.0000, 95% interval +0.0000 to +0.0000, margin 0"
    )
