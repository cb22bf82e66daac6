"""The one base of every error that Tickline raises on purpose."""


class TicklineError(Exception):
    """Something outside the program is wrong: a file, a setting, a bar, a request.

    The message is one line for a person: the field, what was expected and what came. The command line prints it and
    exits with 1; the server turns it into problem details.
    """


class BarError(TicklineError):
    """A bar that no market can produce; the message names its index and its field.

    Attributes
    ----------
    fault : str
        The message without the place: what was expected and what came.
    index : int or None
        Index of the bar in its series, in a panel that of its ticker; None if the error is not one bar's.
    field : str or None
        ``open``, ``high``, ``low``, ``close`` or ``volume``; None if the error is not one field's.
    ticker : int or None
        Place of the ticker in a panel.
    """

    def __init__(
        self, fault: str, index: int | None = None, field: str | None = None, ticker: int | None = None
    ) -> None:
        self.fault, self.index, self.field, self.ticker = fault, index, field, ticker
        super().__init__(fault, index, field, ticker)

    def __str__(self) -> str:
        places = [
            f"{name} {place}" for name, place in (("ticker", self.ticker), ("bar", self.index)) if place is not None
        ]
        if not places:
            return f"{self.field}: {self.fault}" if self.field else self.fault
        return f"{', '.join(places)}: {self.field} {self.fault}" if self.field else f"{', '.join(places)}: {self.fault}"
