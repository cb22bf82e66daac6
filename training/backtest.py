"""What signals would have earned after costs: a simple account, not a simulation of a market.

A position is taken at the close of the bar that its signal is computed from, and held until the close of the next
one. Every ticker of a date has the same weight. A trade costs a share of what is bought or sold, which stands for
commission, spread and slippage. Nothing is borrowed, and cash earns nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.resampling import Interval, mean_interval

_BASIS_POINT = 1e-4
_DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Account:
    """What one strategy earned.

    Attributes
    ----------
    dates : (d,) datetime64
        Each date once, in order.
    net : (d,) float64
        Return from the close of each date to the next close, after costs, as a share of the capital.
    gross : (d,) float64
        The same before costs.
    turnover, exposure : (d,) float64
        Share of the capital that was bought or sold, and that was held, long or short.
    """

    dates: NDArray[np.datetime64]
    net: NDArray[np.float64]
    gross: NDArray[np.float64]
    turnover: NDArray[np.float64]
    exposure: NDArray[np.float64]

    @property
    def periods_a_year(self) -> float:
        """How many dates a year has."""
        days = (self.dates[-1] - self.dates[0]) / np.timedelta64(1, "D")
        return float((len(self.dates) - 1) * _DAYS_A_YEAR / days) if days else 1.0

    @property
    def value(self) -> NDArray[np.float64]:
        """What one unit of capital has become after each date, (d,) float64."""
        return np.cumprod(1 + self.net, dtype=np.float64)

    def summary(self) -> dict[str, float | None]:
        """Return the figures of the account.

        ``total_return``; ``yearly_return``, that of an average year; ``yearly_volatility``; ``sharpe``, the mean over
        the standard deviation of net returns, a year, without a riskless rate, None where they do not vary;
        ``max_drawdown``, the largest fall from a peak; ``yearly_turnover``, in units of the capital; ``exposure``, the
        mean share of it that was held.
        """
        value, periods = self.value, self.periods_a_year
        deviation = float(self.net.std(ddof=1)) if len(self.net) > 1 else 0.0
        peak = np.maximum.accumulate(np.concatenate([[1.0], value]))[1:]
        return {
            "total_return": float(value[-1] - 1),
            "yearly_return": float(value[-1] ** (periods / len(value)) - 1),
            "yearly_volatility": deviation * periods**0.5,
            "sharpe": float(self.net.mean()) / deviation * periods**0.5 if deviation else None,
            "max_drawdown": float((1 - value / peak).max()),
            "yearly_turnover": float(self.turnover.mean()) * periods,
            "exposure": float(self.exposure.mean()),
        }


def trade(
    dates: NDArray[np.datetime64],
    tickers: NDArray[np.str_],
    positions: NDArray[np.float64],
    returns: NDArray[np.float64],
    *,
    cost: float,
) -> Account:
    """Return the account of positions.

    Parameters
    ----------
    dates, tickers : (n,) array
        Of each row; no two rows have both alike.
    positions : (n,) float64
        1 to hold the ticker until its next bar, 0 to hold none, -1 to sell it short.
    returns : (n,) float64
        Return of the ticker from this close to the next one.
    cost : float
        Basis points of what is bought or sold. The last position is sold at the end.

    Returns
    -------
    Account
        One entry for each date.
    """
    days, day = np.unique(dates, return_inverse=True)
    _, ticker = np.unique(tickers, return_inverse=True)
    weights = np.zeros((len(days), ticker.max() + 1))
    counts = np.bincount(day)
    weights[day, ticker] = positions / counts[day]
    earned = np.zeros_like(weights)
    earned[day, ticker] = returns
    gross = (weights * earned).sum(axis=1)
    exposure = np.abs(weights).sum(axis=1)
    turnover = np.abs(np.diff(weights, axis=0, prepend=0)).sum(axis=1)
    turnover[-1] += exposure[-1]
    return Account(days, gross - cost * _BASIS_POINT * turnover, gross, turnover, exposure)


def gain_a_year(ours: Account, theirs: Account) -> Interval:
    """Return by how much more one account earns than another in a year, net returns added up, with an interval."""
    found = mean_interval(ours.net - theirs.net, ours.dates)
    scale = ours.periods_a_year
    return Interval(scale * found.estimate, scale * found.low, scale * found.high, found.confidence)


def break_even_cost(ours: Account, theirs: Account) -> float | None:
    """Return the cost in basis points at which both accounts earn the same.

    None where ours earns less even for nothing; infinite where it earns more and trades no more.
    """
    ahead, more = float((ours.gross - theirs.gross).sum()), float((ours.turnover - theirs.turnover).sum())
    if ahead <= 0:
        return None
    return ahead / more / _BASIS_POINT if more > 0 else float("inf")
