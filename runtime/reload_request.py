"""The body of a reload: how much may change."""

from typing import Annotated

import msgspec

from runtime.decoding import DECODE_ERRORS, explain


class ReloadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reload of the model file. A bound that the comparison exceeds refuses it.

    Attributes
    ----------
    max_flips : int or None
        Most rows, golden and recent ones together, whose label may be another one.
    max_probability_change : float or None
        Most that any probability of any of these rows may change.
    """

    max_flips: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_probability_change: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


_REQUEST = msgspec.json.Decoder(ReloadRequest)


def decode_reload(body: bytes) -> ReloadRequest:
    """Decode the body of a reload, which may be empty; raises Problem."""
    try:
        return _REQUEST.decode(body) if body else ReloadRequest()
    except DECODE_ERRORS as error:
        raise explain(body, error) from None
