"""The address under which a client knows the server: pages and examples are made before it is known."""

import re
from secrets import token_hex

from starlette.requests import Request

ADDRESS, HOST = (f"tickline-{part}-{token_hex(16)}" for part in ("address", "host"))
"""Stand for the address, and for its scheme and host alone, until a client asks; no model can have them in a text."""

_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

_HOST_FIELD = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9._~!$&'()*+,;=-]*)*"
    rb"|\[(?:[0-9A-Fa-f:.]+|[Vv][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\])(?::[0-9]*)?"
)


def is_host(value: bytes) -> bool:
    """Tell whether a `Host` header has a value that it may have: `uri-host [ ":" port ]` of RFC 9110, also empty."""
    return _HOST_FIELD.fullmatch(value) is not None


def client_address(request: Request) -> str:
    """Return scheme, host and port as the client wrote them; what is no host becomes `localhost`."""
    authority = request.headers.get("host", "")
    if not _AUTHORITY.fullmatch(authority):
        authority = f"localhost:{(request.scope['server'] or ('', 5000))[1]}"
    return f"{request.url.scheme}://{authority}"


def fill_in(content: bytes, address: str) -> bytes:
    """Put an address, which `client_address` returned, into a page or a document."""
    scheme, _, authority = address.partition("://")
    found = _AUTHORITY.fullmatch(authority)
    assert found
    host = f"{scheme}://{found['host']}"
    return content.replace(ADDRESS.encode(), address.encode()).replace(HOST.encode(), host.encode())
