"""What can go wrong between a client and a server."""

from typing import Any

import msgspec

from features_fast.errors import TicklineError
from runtime.client.http import Reply


class ClientError(TicklineError):
    """A request that got no result."""


class NoAnswerError(ClientError):
    """No whole reply came: nobody listens, the connection was lost, or what came is no HTTP."""


class DeadlineError(ClientError):
    """The time for the call is over, here or on the server (504)."""


class RefusedError(ClientError):
    """The server refused the request, with problem details (RFC 9457) where it gave some.

    Attributes
    ----------
    status : int
        HTTP's status.
    detail : str
        What was expected and what came.
    field : str or None
        Path of the offending value.
    members : dict
        All members of the problem details.
    """

    def __init__(
        self, status: int, detail: str, field: str | None = None, members: dict[str, Any] | None = None
    ) -> None:
        self.status, self.detail, self.field, self.members = status, detail, field, members or {}
        super().__init__(f"{status}: {detail}")


def refusal(reply: Reply) -> RefusedError | DeadlineError:
    """Return what a reply that is no success says."""
    try:
        members = msgspec.json.decode(reply.body, type=dict[str, Any])
        detail, field = str(members["detail"]), members.get("field")
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError):
        members, detail, field = {}, "the reply has no problem details", None
    if reply.status == 504:
        return DeadlineError(f"504: {detail}")
    return RefusedError(reply.status, detail, field, members)
