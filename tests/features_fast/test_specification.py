"""The specification as data: names, order, lookbacks and the hash that models carry."""

import dataclasses
import json

import pytest

from features_fast import FEATURE_NAMES, FEATURES, WARM_UP, Feature, specification, specification_hash

WIRE_ORDER = (
    "SMA_5 SMA_10 SMA_20 SMA_50 EMA_5 EMA_10 EMA_20 RSI MACD MACD_Signal MACD_Hist BB_Width BB_Position "
    "Return_1d Return_5d Return_10d Volatility_10d Volatility_20d Volume_Ratio High_Low_Range Close_Position Gap"
)


def test_the_order_on_the_wire() -> None:
    assert " ".join(FEATURE_NAMES) == WIRE_ORDER


def test_the_warm_up_is_the_longest_lookback() -> None:
    assert WARM_UP == 49
    assert [feature.name for feature in FEATURES if feature.lookback == WARM_UP] == ["SMA_50"]


def test_features_are_plain_data() -> None:
    listed = json.loads(json.dumps([dataclasses.asdict(feature) for feature in FEATURES]))
    assert [Feature(**entry) for entry in listed] == list(FEATURES)
    assert all(feature.formula for feature in FEATURES)


@pytest.mark.parametrize("change", [{"name": "SMA_6"}, {"formula": "C[t]"}, {"lookback": 5}, {"convention": "none"}])
def test_any_change_of_a_definition_changes_the_hash(change: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = specification_hash()
    changed = dataclasses.replace(FEATURES[0], **change)  # type: ignore[arg-type]
    monkeypatch.setattr(specification, "FEATURES", (changed, *FEATURES[1:]))
    assert len(before) == 64
    assert specification_hash() != before
