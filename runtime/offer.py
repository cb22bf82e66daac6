"""Whether bars are taken: only by a model of exactly our features, and only where the kernels run."""

from functools import cache

import msgspec
import numpy as np

import features_fast
from features_fast import WARM_UP, Stream, TicklineError

_OURS = features_fast.specification_hash()


class BarsOffer(msgspec.Struct, frozen=True):
    """What `/model/info` says of bars.

    Attributes
    ----------
    offered : bool
        Whether the model's predictions can be asked for with bars.
    reason : str or None
        Why not.
    backend : str or None
        Where the kernels come from, where they are loaded.
    """

    offered: bool
    reason: str | None = None
    backend: str | None = None


@cache
def offer_bars(specification: str | None) -> BarsOffer:
    """Say whether a model takes bars, by the hash of its feature specification.

    The first call for our own specification loads the kernels and runs each of them, so that no request does; without a
    library built ahead of time it compiles them, which takes seconds.
    """
    if specification is None:
        return BarsOffer(False, "the model does not say that its features are Tickline's")
    if specification != _OURS:
        return BarsOffer(
            False, f"the model was trained on feature specification {specification[:12]}, this server has {_OURS[:12]}"
        )
    bars = np.ones((5, WARM_UP + 1))
    try:
        features_fast.compute(*bars)
        features_fast.compute_last(*bars)
        stream = Stream()
        stream.extend(*bars)
        stream.restore(stream.snapshot())
        stream.update(bars[:, 0].tolist())
    except TicklineError as error:
        return BarsOffer(False, str(error))
    return BarsOffer(True, backend=features_fast.backend())
