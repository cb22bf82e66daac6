"""Numbers on the command line, refused in words where they are none."""

import argparse

_MOST_DIGITS = 18
"""More of them fit no 64 bits."""


def number(text: str, least: int = 0) -> int:
    """Return a whole number from the least one on, for `argparse`."""
    if not (text.isascii() and text.isdecimal() and least <= int(text[:_MOST_DIGITS]) and len(text) <= _MOST_DIGITS):
        raise argparse.ArgumentTypeError(f"expected a number from {least} on, got {text!r}")
    return int(text)


def count(text: str) -> int:
    """Return a whole number from 1 on, for `argparse`."""
    return number(text, 1)
