"""storage/registry/http: error bodies and proxies."""

import errno
import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from storage.registry.conversation import what_was_asked
from storage.registry.http import error_message, in_words, proxy_for


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"errors": [{"code": "DENIED", "message": "no access"}]}', "DENIED: no access"),
        (b'{"errors": [{"code": "DENIED"}]}', "DENIED"),
        (b'{"errors": []}', '{"errors": []}'),
        (b"<html>\n  Bad   Gateway\n", "<html> Bad Gateway"),
        (b"", ""),
    ],
)
def test_the_registrys_own_words(data: bytes, message: str) -> None:
    assert error_message(data) == message


def test_proxies_come_from_the_environment_and_spare_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", "internal.test")
    assert proxy_for(URL("https://quay.io/v2/")) == URL("http://proxy.test:3128")
    assert proxy_for(URL("http://quay.io/v2/")) is None
    for text in (
        "https://127.0.0.1:5000/",
        "https://localhost/",
        "https://[::1]/",
        "https://a.internal.test/",
    ):
        assert proxy_for(URL(text)) is None


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize("tls", [True, ssl.create_default_context()], ids=["default", "own"])
async def test_a_refused_connection_is_told_in_words(
    session: aiohttp.ClientSession, tls: ssl.SSLContext | bool
) -> None:
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await session.get("https://127.0.0.1:1/", ssl=tls)
    assert in_words(caught.value) == "cannot connect: Connection refused"


def test_a_name_that_is_not_known_is_told_in_words() -> None:
    reason = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    key = ConnectionKey("reg.test", 443, True, True, None, None, None)
    text = in_words(aiohttp.ClientConnectorDNSError(key, reason))
    assert text == "cannot connect: its name cannot be looked up: Temporary failure in name resolution"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "TimeoutError"),
        (aiohttp.ServerDisconnectedError("gone"), "gone"),
        (OSError(errno.EPIPE, "pipe"), f"[Errno {errno.EPIPE}] pipe"),
    ],
)
def test_other_failures_keep_their_text(error: Exception, words: str) -> None:
    assert in_words(error) == words


def untrusted(code: int, words: str, port: int) -> aiohttp.ClientConnectorCertificateError:
    reason = ssl.SSLCertVerificationError()
    reason.verify_code, reason.verify_message = code, words
    key = ConnectionKey("reg.test", port, True, True, None, None, None)
    return aiohttp.ClientConnectorCertificateError(key, reason)


@pytest.mark.parametrize(("port", "place"), [(443, "reg.test"), (5000, "reg.test:5000")])
def test_an_unknown_authority_is_told_with_the_place_for_its_certificate(port: int, place: str) -> None:
    text = in_words(untrusted(18, "self-signed certificate", port))
    assert "an authority that this node does not know (self-signed certificate)" in text
    assert text.endswith(f"into /etc/containers/certs.d/{place}/ca.crt")


def test_a_certificate_that_has_expired_is_no_matter_of_authorities() -> None:
    text = in_words(untrusted(10, "certificate has expired", 443))
    assert text == "its certificate is not valid: certificate has expired"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v2/a/b/manifests/1.2", "manifest 1.2"),
        ("/v2/a/blobs/sha256:00", "blob sha256:00"),
        ("/elsewhere", "elsewhere"),
    ],
)
def test_what_was_asked_of_a_registry_is_named(path: str, asked: str) -> None:
    assert what_was_asked(URL(f"https://reg.test{path}")).strip() == asked
