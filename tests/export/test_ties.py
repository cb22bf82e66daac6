import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from export.graph import convert
from runtime.onnxruntime_engine import OnnxruntimeEngine
from tests.export.samples import market


@pytest.mark.parametrize("forest", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("trees", [10, 20, 50])
def test_tied_votes_go_to_the_first_class(forest: type, trees: int) -> None:
    rows, targets = market()
    model = make_pipeline(StandardScaler(), forest(trees, random_state=0)).fit(rows[:2000], targets[:2000])
    reference = model.predict_proba(rows)
    assert np.count_nonzero(reference[:, 0] == reference[:, 1]) > 20
    engine = OnnxruntimeEngine(convert(model, 22, 2).SerializeToString())
    batch = engine.predict(rows)
    np.testing.assert_array_equal(batch.argmax(axis=1), reference.argmax(axis=1))
    assert np.abs(batch - reference).max() < 1e-6
    for row, expected in zip(rows[:300], reference[:300], strict=True):
        engine.row[0] = row
        assert engine.predict_one().argmax() == expected.argmax()
