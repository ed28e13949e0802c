"""Small parts of HTTP that the registry client needs: bounded bodies, error bodies, proxies."""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from yarl import URL

from storage.bounded_json import BadJson, bounded_json
from storage.registry.proxies import Proxies

HTTPS_PORT = 443
_VALUES = 10_000
# Of OpenSSL (verify(1)): the issuer is missing, or the chain ends with one that nobody vouches for.
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})


async def read_bounded(chunks: AsyncIterator[bytes], limit: int) -> bytes | None:
    """A body, or None when it is longer than ``limit``."""
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > limit:
            return None
    return bytes(data)


def in_words(error: Exception) -> str:
    """What failed, for people: aiohttp's own text of a failed connection shows a Python object's address."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _untrusted(error)
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
    if cause is None:
        return str(error) or type(error).__name__
    if isinstance(cause, socket.gaierror):  # its numbers are below zero
        return f"cannot connect: its name cannot be looked up: {cause.strerror}"
    plain = isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and (cause.errno or 0) > 0
    return f"cannot connect: {os.strerror(cause.errno) if plain else cause}"


def _untrusted(error: aiohttp.ClientConnectorCertificateError) -> str:
    why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
    if getattr(error.certificate_error, "verify_code", 0) not in _UNKNOWN_AUTHORITY:
        return f"its certificate is not valid: {why}"
    host = error.host if error.port == HTTPS_PORT else f"{error.host}:{error.port}"
    return (
        f"its certificate is of an authority that this node does not know ({why}): "
        f"put that authority's certificate, PEM, into /etc/containers/certs.d/{host}/ca.crt"
    )


def json_object(data: bytes | None) -> Mapping[str, Any]:
    try:
        document = bounded_json(data or b"", "answer", values=_VALUES)
    except BadJson:
        return {}
    return document if isinstance(document, dict) else {}


def error_message(data: bytes) -> str:
    """The words of a registry's error body (distribution-spec, "Error Codes"), or its beginning."""
    errors = json_object(data).get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        code, message = str(errors[0].get("code") or ""), str(errors[0].get("message") or "")
        return ": ".join(filter(None, (code, message)))[:500]
    return " ".join(data[:200].decode(errors="replace").split())


def proxy_for(target: URL) -> URL | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY ask for; never one for the loopback.

    Raises:
        BadProxy: the one that is named cannot be used.
    """
    return Proxies.read(os.environ).proxy_for(target)
