"""The address under which a client knows the server, whatever it says it is."""

import pytest
from starlette.requests import Request

from runtime.address import ADDRESS, HOST, client_address, fill_in


def request(host: str | None, scheme: str = "http") -> Request:
    headers = [] if host is None else [(b"host", host.encode("latin-1"))]
    return Request(
        {
            "type": "http",
            "scheme": scheme,
            "path": "/",
            "query_string": b"",
            "headers": headers,
            "server": ("::1", 5123),
        }
    )


@pytest.mark.parametrize("host", ["localhost:5000", "tickline.example.com", "a_b-c.d:1", "127.0.0.1:80", "[::1]:5000"])
def test_it_is_what_the_client_wrote(host: str) -> None:
    assert client_address(request(host)) == f"http://{host}"
    assert client_address(request(host, "https")) == f"https://{host}"


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "<script>",
            "a b",
            "a'b",
            'a"b',
            "a;id",
            "$(id)",
            "`id`",
            "a/b",
            "a@b",
            "-o",
            ".",
            "a:b",
            "a:1:2",
            "a:123456",
        ),
        *("a\n", "é", "[::1", "[x]", "a" * 300),
        None,
    ],
)
def test_what_is_no_host_becomes_localhost(host: str | None) -> None:
    assert client_address(request(host)) == "http://localhost:5123"


def test_a_page_is_filled_in_with_it() -> None:
    content = f"{ADDRESS}/predict {HOST}:9100/metrics {ADDRESS}".encode()
    assert (
        fill_in(content, "https://[::1]:5000")
        == b"https://[::1]:5000/predict https://[::1]:9100/metrics https://[::1]:5000"
    )
    assert fill_in(content, "http://a") == b"http://a/predict http://a:9100/metrics http://a"
