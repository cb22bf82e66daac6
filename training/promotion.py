"""Whether a challenger becomes the champion: only where it is better on rows that neither model has seen."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.predictor import Predictor
from runtime.registry import CHALLENGER, CHAMPION, NotRegisteredError, Reference, RegistryError, Server, Version, fetch
from training.defaults import CONFIDENCE, LOSS_NAMES
from training.errors import ModelError
from training.forecasts import LOSSES, gain
from training.holdout import HOLDOUT_FILE, Holdout, decode
from training.resampling import Interval

MINIMUM_ROWS = 100
"""Rows below which a comparison says nothing."""

VERDICT_TAG = "tickline.promotion"
"""The tag of a version that says how it was judged."""


@dataclass(frozen=True)
class Contest:
    """The challenger beside one opponent, on the same rows.

    Attributes
    ----------
    opponent : str
        The champion, or a forecast without a model.
    loss : str
        One of `training.forecasts.LOSSES`.
    margin : float
        By how much less the challenger must lose.
    rows, first_date, last_date : int, str, str
        The rows of the comparison.
    challenger_loss, opponent_loss : float
        What each loses by row.
    gain : Interval
        By how much less the challenger loses.
    """

    opponent: str
    loss: str
    margin: float
    rows: int
    first_date: str
    last_date: str
    challenger_loss: float
    opponent_loss: float
    gain: Interval

    @property
    def won(self) -> bool:
        """Whether the whole interval is above the margin."""
        return self.gain.low > self.margin

    def __str__(self) -> str:
        return (
            f"{self.loss} {self.challenger_loss:.4f} beside {self.opponent_loss:.4f} of {self.opponent} on "
            f"{self.rows:,} rows from {self.first_date} to {self.last_date}: gain {self.gain}, margin {self.margin:g}"
        )


@dataclass(frozen=True)
class Promotion:
    """A decision and its reasons.

    Attributes
    ----------
    version : str
        The challenger's number in the registry.
    promoted : bool
        Whether it is the champion now.
    reason : str
        Why, in one line.
    contests : tuple of Contest
        With the champion, or where there is none with each baseline.
    """

    version: str
    promoted: bool
    reason: str
    contests: tuple[Contest, ...]


def promote(
    server: Server,
    name: str,
    *,
    loss: str = LOSS_NAMES[0],
    margin: float = 0.0,
    confidence: float = CONFIDENCE,
    accept_first: bool = False,
) -> Promotion:
    """Judge the challenger of a registered model, and give it the alias of the champion where it wins.

    Its seal, registered hash and certificate are verified first, and those of the champion too. Both predict the rows
    of the challenger's test window that are later than all rows that either was fitted or tuned on. It wins where it
    loses less than the champion by more than `margin`, in the whole interval of a block bootstrap. The first champion
    has to win over every forecast without a model instead.

    Parameters
    ----------
    server : Server
        The MLflow server.
    name : str
        The registered model.
    loss : str
        What is compared, one of `training.forecasts.LOSSES`.
    margin : float
        By how much less the challenger must lose, in units of the loss.
    confidence : float
        Of the interval, between 0 and 1.
    accept_first : bool
        Take the first champion as it is; a certificate must hold nevertheless.

    Returns
    -------
    Promotion
        The registry holds its reason as a tag of the version too.

    Raises
    ------
    RegistryError
        The server does not answer, or there is no challenger.
    ArtifactError
        A model file does not hold what it says.
    ModelError
        Loss, margin or confidence is none, which is said before the server is asked; or the two cannot be compared.
    """
    if loss not in LOSSES:
        raise ModelError(f"metric: expected {', '.join(LOSSES)}, got {loss!r}")
    if not math.isfinite(margin):
        raise ModelError(f"margin: expected a number, got {margin}")
    if not 0 < confidence < 1:
        raise ModelError(f"confidence: expected a number between 0 and 1, got {confidence}")
    challenger = fetch(server, Reference(name, CHALLENGER, None))
    champion = find_champion(server, name)
    if champion is not None and champion.number == challenger.number:
        raise RegistryError(f"models:/{name}/{champion.number} is challenger and champion at once: nothing to promote")
    source = f"models:/{name}/{challenger.number}, {HOLDOUT_FILE}"
    holdout = decode(server.file(name, challenger.number, HOLDOUT_FILE), source)
    held = contests(challenger, champion, holdout, loss, margin, confidence)
    lost = [contest for contest in held if not contest.won]
    promoted = not lost or (champion is None and accept_first)
    reason = "; ".join(str(contest) for contest in (lost or held))
    if promoted and lost:
        reason = f"accepted as the first champion without skill: {reason}"
    server.set_tag(name, challenger.number, VERDICT_TAG, f"{'promoted' if promoted else 'refused'}: {reason}")
    if promoted:
        server.set_alias(name, CHAMPION, challenger.number)
        server.delete_alias(name, CHALLENGER)
    return Promotion(challenger.number, promoted, reason, held)


def compare(
    holdout: Holdout,
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    opponent: str,
    *,
    loss: str,
    margin: float,
    confidence: float = CONFIDENCE,
) -> Contest:
    """Compare two forecasts of the probability of UP, (n,) float64 each, on the rows that both are of."""
    y, dates = holdout.y, holdout.dates
    return Contest(
        opponent=opponent,
        loss=loss,
        margin=margin,
        rows=len(y),
        first_date=str(dates.min())[:10],
        last_date=str(dates.max())[:10],
        challenger_loss=float(LOSSES[loss](y, ours).mean()),
        opponent_loss=float(LOSSES[loss](y, theirs).mean()),
        gain=gain(y, dates, ours, theirs, loss=loss, confidence=confidence),
    )


def last_seen(card: ModelCard) -> np.datetime64:
    """Return the last date of the rows that a model was fitted or tuned on; raises ModelError where it is not told."""
    try:
        return np.datetime64(card.training["split"]["validation"]["last_date"], "us")
    except (KeyError, TypeError, ValueError):
        raise ModelError(
            f"{card.name} {card.version}: expected split.validation.last_date in its training facts"
        ) from None


def find_champion(server: Server, name: str) -> Version | None:
    """Return the champion, verified; None only where no version has its alias."""
    try:
        found = server.version(Reference(name, CHAMPION, None))
    except NotRegisteredError:
        return None
    return fetch(server, Reference(name, None, found.version))


def contests(
    challenger: Version, champion: Version | None, holdout: Holdout, loss: str, margin: float, confidence: float
) -> tuple[Contest, ...]:
    """Return the challenger's contests: with the champion, or where there is none with each baseline.

    Raises
    ------
    ModelError
        The two models read other features, or there are too few rows that neither has seen.
    """
    rows, versions = holdout, [challenger]
    if champion is not None:
        versions.append(champion)
        for field in ("feature_names", "labels", "feature_specification"):
            ours, theirs = (getattr(version.predictor.card, field) for version in versions)
            if ours != theirs:
                raise ModelError(f"{field}: expected {theirs} as version {champion.number} has, got {ours}")
        rows = holdout.after(max(last_seen(version.predictor.card) for version in versions))
    if len(rows.y) < MINIMUM_ROWS:
        numbers = " and ".join(version.number for version in versions)
        raise ModelError(
            f"comparison: expected at least {MINIMUM_ROWS} test rows later than all that version {numbers} was fitted "
            f"or tuned on, got {len(rows.y)}"
        )
    ours = _up(challenger.predictor, rows)
    opponents = {f"version {champion.number}": _up(champion.predictor, rows)} if champion else rows.baselines
    return tuple(
        compare(rows, ours, theirs, opponent, loss=loss, margin=margin, confidence=confidence)
        for opponent, theirs in opponents.items()
    )


def _up(predictor: Predictor, rows: Holdout) -> NDArray[np.float64]:
    """Return the probability of the last class, UP, (n,) float64."""
    return predictor.predict(rows.X)[:, -1].astype(np.float64)
