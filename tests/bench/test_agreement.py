"""Whether a peer answers as this server does."""

from bench.agreement import same


def prediction(up: float, label: int) -> dict[str, object]:
    probabilities = {"DOWN": 1 - up, "UP": up}
    return {"prediction": label, "prediction_label": ("DOWN", "UP")[label], "probabilities": probabilities}


def test_peers_that_answer_otherwise_are_found() -> None:
    assert same(prediction(0.7, 1), prediction(0.700001, 1))
    assert not same(prediction(0.7, 1), prediction(0.71, 1))
    assert not same(prediction(0.7, 1), prediction(0.7, 0))
    assert same(prediction(0.500001, 1), prediction(0.499999, 0)), "a tie may fall either way"
    batch = {"predictions": [prediction(0.7, 1), prediction(0.2, 0)]}
    assert same(batch, batch)
    assert not same(batch, {"predictions": batch["predictions"][:1]})
    assert not same(batch, prediction(0.7, 1))
