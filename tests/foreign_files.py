"""The same bars as people have them: written by banks, brokers, spreadsheets and other programs."""

from collections.abc import Callable

import pandas as pd


def yahoo(bars: pd.DataFrame) -> str:
    """As the web page of Yahoo wrote it, with a holiday."""
    frame = bars.assign(**{"Adj Close": bars["Close"] * 0.9})
    frame = frame[["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]]
    return frame.to_csv(index=False) + "2030-01-01,null,null,null,null,null,null\n"


def yfinance(bars: pd.DataFrame) -> str:
    """As `yfinance.download(...).to_csv()` writes it: three heads."""
    frame = bars[["Date", "Close", "High", "Low", "Open", "Volume"]]
    heads = "Price,Close,High,Low,Open,Volume\nTicker,X,X,X,X,X\nDate,,,,,\n"
    return heads + frame.to_csv(index=False, header=False)


def nasdaq(bars: pd.DataFrame) -> str:
    """As nasdaq.com writes it: newest first, American dates, dollars, another order of columns."""
    rows = [
        f"{day:%m/%d/%Y},${close:.2f},{volume:.0f},${first:.2f},${high:.2f},${low:.2f}"
        for day, first, high, low, close, volume in _values(bars)
    ]
    return "\n".join(["Date,Close/Last,Volume,Open,High,Low", *rows[::-1]]) + "\n"


def investing(bars: pd.DataFrame) -> str:
    """As investing.com writes it: quoted, thousands marked, a price for a close, volumes with a letter."""
    rows = [
        f'"{day:%m/%d/%Y}","{close:,.2f}","{first:,.2f}","{high:,.2f}","{low:,.2f}","{volume / 1e6:.6f}M","0.1%"'
        for day, first, high, low, close, volume in _values(bars)
    ]
    return "\ufeff" + "\n".join(['"Date","Price","Open","High","Low","Vol.","Change %"', *rows[::-1]]) + "\n"


def german(bars: pd.DataFrame) -> str:
    """As a spreadsheet set to German writes it: semicolons, decimal commas, days first, a byte order mark."""
    rows = [
        ";".join([f"{day:%d.%m.%Y}", *(f"{value:,.2f}".translate(str.maketrans(",.", ".,")) for value in values)])
        for day, *values in _values(bars)
    ]
    return "\ufeff" + "\r\n".join(["DATE;OPEN;HIGH;LOW;CLOSE;VOLUME", *rows, ";;;;;"]) + "\r\n"


def exchange(bars: pd.DataFrame) -> str:
    """As exchanges of coins write it: milliseconds since 1970, tabs, lower case."""
    frame = bars.assign(timestamp=bars["Date"].astype("datetime64[ms]").astype("int64"))
    frame.columns = frame.columns.str.lower()
    return frame[["timestamp", "low", "high", "open", "close", "volume"]].to_csv(index=False, sep="\t")


def zoned(bars: pd.DataFrame) -> str:
    """With times that have a zone."""
    frame = bars.assign(Date=bars["Date"].dt.tz_localize("UTC").dt.strftime("%Y-%m-%d %H:%M:%S+00:00"))
    return frame.drop(columns="Ticker").to_csv(index=False)


def headless(bars: pd.DataFrame) -> str:
    """Without a header."""
    return bars.drop(columns="Ticker").to_csv(index=False, header=False)


def german_headless(bars: pd.DataFrame) -> str:
    """The same as a spreadsheet set to German writes it."""
    return "\ufeff" + german(bars).partition("\r\n")[2]


def _values(bars: pd.DataFrame) -> "zip[tuple[pd.Timestamp, float, float, float, float, float]]":
    return zip(*(bars[name] for name in ("Date", "Open", "High", "Low", "Close", "Volume")), strict=True)


FORMS: tuple[Callable[[pd.DataFrame], str], ...] = (
    *(yahoo, yfinance, nasdaq, investing, german, exchange, zoned),
    *(headless, german_headless),
)
