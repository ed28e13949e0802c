"""storage/registry/origins: who may be asked."""

import pytest
from yarl import URL

from storage.registry.origins import BadUrl, ForbiddenTarget, Origin, Trust, parse_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://a.test/x?y#z", "https://a.test/x?y"),
        ("https://user:secret@a.test:444/x", "https://a.test:444/x"),
        ("/store", "https://registry.test/store"),
        ("//b.test/x", "https://b.test/x"),
        ("../x", "https://registry.test/v2/x"),
    ],
)
def test_an_address_is_absolute_and_carries_no_user(text: str, url: str) -> None:
    assert str(parse_url(text, URL("https://registry.test/v2/a/b"))) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "http://[::1", "http://h:99999999/", "file:///etc/shadow", "data:text/plain,hi", "https://", "http:///x",
        "unix:/run/x", "ftp://a.test/", "https://xn--\udcff/", "https://[::1]a%\xc6O@#c", "https://a.test:0/",
    ],
)  # fmt: skip
def test_what_is_no_address_of_http_is_refused(text: str) -> None:
    with pytest.raises(BadUrl):
        parse_url(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.test/x", "https://A.test:443/y", True),
        ("https://a.test", "http://a.test:443", False),
        ("https://a.test", "https://a.test:444", False),
        ("https://a.test", "https://b.a.test", False),
        ("http://127.0.0.1:5000", "http://localhost:5000", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert (Origin.of(URL(one)) == Origin.of(URL(other))) is same


def listed(host: str) -> bool:
    return host in ("listed.test:5000", "plain.test", "169.254.1.1:80")


@pytest.mark.parametrize(
    ("url", "insecure"),
    [
        ("http://own.test:5000/", True),
        ("https://own.test:5000/", True),
        ("http://listed.test:5000/", True),
        ("http://listed.test:5001/", False),
        ("http://plain.test/", True),
        ("https://plain.test/", True),
        ("http://plain.test:81/", False),
        ("https://own.test/", False),
    ],
)
def test_being_insecure_belongs_to_the_host_that_is_listed(url: str, insecure: bool) -> None:
    trust = Trust("own.test:5000", True, listed)
    assert trust.is_insecure(Origin.of(URL(url))) is insecure
    if url.startswith("http:") and not insecure:
        with pytest.raises(ForbiddenTarget, match="not https"):
            trust.check(URL(url), "redirect")
    else:
        trust.check(URL(url), "redirect")


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "[fe80::1]",
        "[::ffff:169.254.169.254]", "0.0.0.0", "[::]", "127.0.0.1", "127.1", "localhost", "a.localhost.",
        "[::1]", "224.0.0.1", "[ff02::1]",
    ],
)  # fmt: skip
def test_no_registry_sends_a_pull_to_the_link_or_to_this_host(host: str) -> None:
    with pytest.raises(ForbiddenTarget, match="of this host or its link"):
        Trust("own.test", False, listed).check(parse_url(f"https://{host}/latest"), "redirect")


def test_a_registry_of_this_host_may_point_to_it_and_a_listed_address_may_be_asked() -> None:
    for own in ("127.0.0.1:5000", "localhost:5000", "[::1]:5000"):
        Trust(own, False, listed).check(URL("https://127.0.0.2:1/"), "redirect")
    Trust("own.test", False, listed).check(URL("http://169.254.1.1:80/"), "redirect")
    for url in ("https://10.0.0.1/", "https://[2001:db8::1]/", "https://cdn.test/"):
        Trust("own.test", False, listed).check(URL(url), "redirect")
