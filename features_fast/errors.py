"""The one base of every error that Tickline raises on purpose."""


class TicklineError(Exception):
    """Something outside the program is wrong: a file, a setting, a bar, a request.

    The message is one line for a person: the field, what was expected and what came. The command line prints it and
    exits with 1; the server turns it into problem details.
    """


class BarError(TicklineError):
    """A bar that no market can produce; the message names its index and its field."""
