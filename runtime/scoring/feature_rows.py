"""Rows of features, scored as they are."""

import numpy as np

from runtime.predictor import Predictor
from runtime.scoring.cells import text
from runtime.scoring.reading import Block, Rejects
from runtime.scoring.scored import Filler, Scored, check_labels, keep


class FeatureRows:
    """Scores blocks of features.

    Parameters
    ----------
    predictor : Predictor
        The model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._names = predictor.card.feature_names
        self._filler = Filler(predictor)

    def score(self, block: Block) -> Scored:
        """Return the probabilities of a block's rows; those with a number that is none or not finite are rejects."""
        rejects: Rejects = list(block.broken)
        found, good = check_labels(block, rejects)
        count = len(block.rows)
        values = [block.numbers(name) for name in self._names]
        self._filler.begin(count)
        start = 0
        while start < count:
            room = self._filler.room()[start - count :]
            stop = start + len(room)
            with np.errstate(over="ignore", invalid="ignore"):
                for place, column in enumerate(values):
                    room[:, place] = column[start:stop]
            if not np.isfinite(room).all():
                for row in np.flatnonzero(~np.isfinite(room).all(axis=1)).tolist():
                    if good[start + row]:
                        place = int(np.flatnonzero(~np.isfinite(room[row]))[0])
                        rejects.append((int(block.rows[start + row]), self._reason(block, start + row, place)))
                    good[start + row] = False
                    room[row] = 0.0
            self._filler.take(len(room), slice(start, stop))
            start = stop
        return keep(block, good, self._filler.finish(), found, 0, rejects)

    def _reason(self, block: Block, row: int, place: int) -> str:
        name = self._names[place]
        return f"{name}: expected a finite float32 number, got {text(block.columns[name], row)}"
