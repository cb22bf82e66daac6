"""What all pages share: their frame, the headers that bind a browser, and the door to them where tokens are needed."""

from base64 import b64encode
from hashlib import sha256
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from runtime.accept import prefer
from runtime.address import ADDRESS, client_address, fill_in
from runtime.bodies import JSON
from runtime.markup import Markup, fill, join, read_script, read_style

_STYLE, _REFERENCE_STYLE = read_style("page.css"), read_style("reference.css")
_SCRIPT, _DOOR_SCRIPT = read_script("page.js"), read_script("door.js")


def _source(content: str) -> str:
    """Return the source expression of a Content Security Policy that allows this content and no other."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"script-src {_source(_SCRIPT)} {_source(_DOOR_SCRIPT)}",
            f"style-src {_source(_STYLE)} {_source(_REFERENCE_STYLE)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types tickline",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "private, no-cache",
    "Vary": "Accept",
}
"""What a browser may do with a page: run our scripts, apply our style sheets, and ask its own server."""


def render_page(title: str, main: Markup, *, reference: bool = False, guarded: bool = False) -> bytes:
    """Return a page around its content, without the address of its client.

    Parameters
    ----------
    title : str
        What the browser calls it.
    main : Markup
        The content.
    reference : bool
        Whether it is the API reference, which has a style sheet more.
    guarded : bool
        Whether the server wants a token, which takes a script more.
    """
    styles = (_STYLE, _REFERENCE_STYLE) if reference else (_STYLE,)
    scripts = (_SCRIPT, _DOOR_SCRIPT) if guarded else (_SCRIPT,)
    page = fill(
        "frame",
        title=title,
        styles=join(fill("style", text=style) for style in styles),
        scripts=join(fill("script", text=script) for script in scripts),
        main=main,
        address=ADDRESS,
        version=version("tickline"),
    )
    return page.encode()


def answer_page(request: Request, page: bytes, status: int = 200) -> Response:
    """Answer with a page that `render_page` returned."""
    return HTMLResponse(fill_in(page, client_address(request)), status, HEADERS)


def wants_page(request: Request) -> bool:
    """Tell whether a client likes a page better than JSON."""
    accept = ", ".join(request.headers.getlist("accept"))
    liked = prefer(accept, (JSON, "text/html"))
    return liked is not None and liked[0] != JSON


_COMMAND = f'curl -s {ADDRESS} -H "Authorization: Bearer $PREDICT_TOKEN"'
_DOOR = render_page("Tickline", fill("door", command=fill("example", text=_COMMAND)), guarded=True)


def answer_door(request: Request) -> Response:
    """Ask a browser for a token; the page says nothing of the model, and stores nothing."""
    response = answer_page(request, _DOOR, 401)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response
