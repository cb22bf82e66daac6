"""What the server tells of itself, to readers and to programs: made once a model, when it is first asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import msgspec
from starlette.routing import BaseRoute

from runtime.model import Model
from runtime.page import render_page
from runtime.selfcheck import SelfCheck
from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Site:
    """All of it for one model, as bytes.

    Attributes
    ----------
    openapi : bytes
        The OpenAPI document.
    service : bytes
        What the home page says, as JSON.
    home, reference : bytes
        The pages. These and `service` lack the address of who asks: `runtime.address.fill_in` gives it.
    """

    openapi: bytes
    service: bytes
    home: bytes
    reference: bytes


_SITES: WeakKeyDictionary[Model, Site] = WeakKeyDictionary()


def find_site(model: Model) -> Site | None:
    """Return the site of a model, where it has been made."""
    return _SITES.get(model)


def make_site(model: Model, settings: Settings, check: SelfCheck, routes: Sequence[BaseRoute]) -> Site:
    """Return the site of a model, from any thread; it takes some 20 ms when it is made.

    Raises
    ------
    KeyError
        Where a route has no description.
    """
    # Not at the top, because a server that no one asks for pages starts sooner without.
    from runtime.api_reference import render_reference
    from runtime.home import describe_service, render_home
    from runtime.openapi import describe_api

    site = find_site(model)
    if site is None:
        document, guarded = describe_api(model, settings, routes), settings.has_predict_tokens
        reference = render_reference(document, settings.metrics_port)
        site = _SITES[model] = Site(
            openapi=msgspec.json.encode(document),
            service=msgspec.json.encode(describe_service(model, settings, document)),
            home=render_page("Tickline", render_home(model, settings, check, document), guarded=guarded),
            reference=render_page("API reference - Tickline", reference, reference=True, guarded=guarded),
        )
    return site
