import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.backtest import break_even_cost, gain_a_year, trade

DAYS = np.arange("2020-01-01", 5, dtype="datetime64[D]")
ONE = np.array(["A"] * 5)


def naive_net(rows: list[tuple[int, str, float, float]], cost: float) -> list[float]:
    """Return the net return of each date, ticker by ticker."""
    held: dict[str, float] = {}
    found = []
    dates = sorted({date for date, *_ in rows})
    for date in dates:
        today = [row for row in rows if row[0] == date]
        wanted = {ticker: position / len(today) for _, ticker, position, _ in today}
        traded = sum(abs(wanted.get(ticker, 0) - held.get(ticker, 0)) for ticker in wanted.keys() | held.keys())
        if date == dates[-1]:
            traded += sum(abs(weight) for weight in wanted.values())
        earned = sum(wanted[ticker] * change for _, ticker, _, change in today)
        found.append(earned - cost / 10_000 * traded)
        held = wanted
    return found


@given(
    rows=st.dictionaries(
        st.tuples(st.integers(0, 12), st.sampled_from("ABC")),
        st.tuples(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-0.2, 0.2)),
        min_size=1,
        max_size=25,
    ),
    cost=st.floats(0, 100),
)
def test_an_account_is_that_of_the_slow_twin(rows: dict[tuple[int, str], tuple[float, float]], cost: float) -> None:
    table = [(*key, *value) for key, value in rows.items()]
    dates, tickers, positions, returns = (np.array(column) for column in zip(*table, strict=True))
    account = trade(dates.astype("datetime64[D]"), tickers, positions, returns, cost=cost)
    np.testing.assert_allclose(account.net, naive_net(table, cost), atol=1e-12)
    assert len(account.dates) == len({date for date, _ in rows})


def test_costs_by_hand() -> None:
    returns = np.array([0.10, -0.50, 0.10, 0.20, 0.0])
    account = trade(DAYS, ONE, np.array([1.0, 0.0, 1.0, 1.0, 1.0]), returns, cost=100)
    np.testing.assert_allclose(account.turnover, [1, 1, 1, 0, 1])
    np.testing.assert_allclose(account.net, [0.09, -0.01, 0.09, 0.20, -0.01])
    figures = account.summary()
    assert figures["total_return"] == pytest.approx(1.09 * 0.99 * 1.09 * 1.2 * 0.99 - 1)
    assert figures["exposure"] == pytest.approx(0.8)
    assert figures["max_drawdown"] == pytest.approx(0.01)


def test_a_loss_on_the_first_date_is_a_drawdown() -> None:
    account = trade(DAYS, ONE, np.ones(5), np.array([-0.5, 0.2, 0, 0, 0]), cost=0)
    assert account.summary()["max_drawdown"] == pytest.approx(0.5)


def test_figures_of_a_year() -> None:
    days = np.arange("2020-01-01", "2022-01-01", dtype="datetime64[D]")
    changes = np.random.default_rng(1).normal(0.001, 0.01, len(days))
    account = trade(days, np.array(["A"] * len(days)), np.ones(len(days)), changes, cost=0)
    figures = account.summary()
    assert account.periods_a_year == pytest.approx(365.25)
    assert figures["sharpe"] == pytest.approx(changes.mean() / changes.std(ddof=1) * math.sqrt(365.25))
    assert figures["yearly_return"] == pytest.approx(np.prod(1 + changes) ** (365.25 / len(days)) - 1)


def test_nothing_held_earns_and_costs_nothing() -> None:
    figures = trade(DAYS, ONE, np.zeros(5), np.full(5, 0.1), cost=10).summary()
    assert {name for name, value in figures.items() if value} == set()
    assert figures["sharpe"] is None


def test_the_cost_that_breaks_even_does() -> None:
    generator = np.random.default_rng(4)
    days = np.arange(200).astype("datetime64[D]")
    tickers, returns = np.array(["A"] * 200), generator.normal(0, 0.01, 200)
    seen = (returns + generator.normal(0, 0.02, 200) > 0).astype(float)

    def accounts(cost: float) -> tuple[object, object]:
        return tuple(trade(days, tickers, held, returns, cost=cost) for held in (seen, np.ones(200)))  # type: ignore[return-value]

    cost = break_even_cost(*accounts(0))  # type: ignore[arg-type]
    assert cost is not None
    assert cost > 0
    assert gain_a_year(*accounts(cost)).estimate == pytest.approx(0, abs=1e-12)  # type: ignore[arg-type]
    assert gain_a_year(*accounts(cost / 2)).estimate > 0  # type: ignore[arg-type]
    hold, hindered = accounts(0)[1], trade(days, tickers, -np.ones(200), np.full(200, 0.1), cost=0)
    assert break_even_cost(hindered, hold) is None  # type: ignore[arg-type]
