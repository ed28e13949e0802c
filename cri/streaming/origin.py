"""Which web pages and names a streaming request may come by: a check before any token counts.

A browser says in ``Origin`` which page makes it connect, and cannot be kept from connecting to a node's
address by that page. No client of Kubernetes is a page:

    no Origin                              let in: kubelet, crictl, kubectl by way of the kubelet
    Origin and X-Forwarded-For             let in: passed on by a kubelet, which has authenticated its
                                           client; a page cannot set that header
    Origin equal to a Host that is an      let in: clients that say where they are connecting to; an
    address, localhost or allowed name     address cannot be rebound by a page's own name server
    any other Origin                       refused
"""

import ipaddress
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from cri.streaming.http_head import Head, Refused


def check_origin(head: Head, host_names: Collection[str]) -> None:
    """Refuse pages, and hosts other than ``host_names``, if there are any.

    Raises:
        Refused: 403 for a page; 421 for a Host that is not one of ours.
    """
    host = _host(head)
    name = _name(host)
    if host_names and name not in host_names:
        raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name: see stream_host_names")
    origins = [value for key, value in head.headers if key == "origin"]
    if not origins or head.values("x-forwarded-for"):
        return
    own = name in host_names or name == "localhost" or _is_address(name)
    if not own or any(_host_of(origin) != host for origin in origins):
        raise Refused(HTTPStatus.FORBIDDEN, "pages of browsers are not served")


def _host(head: Head) -> str:
    """The Host of the request in lower case; h11 has seen to it that there is one at most."""
    return next((value.strip().lower() for key, value in head.headers if key == "host"), "")


def _host_of(origin: str) -> str:
    """``host[:port]`` of an origin, lower case; empty when it is none."""
    try:
        return urlsplit(origin.strip().lower()).netloc
    except ValueError:
        return ""


def _name(host: str) -> str:
    """A host without its port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
