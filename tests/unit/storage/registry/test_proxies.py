"""storage/registry/proxies: the cases of Go's httpproxy tests, as far as they are about forms."""

import pytest
from yarl import URL

from storage.registry.proxies import BadProxy, Proxies

PROXY = "http://proxy.test:3128"


def proxy(url: str, **environment: str) -> str | None:
    found = Proxies.read(environment).proxy_for(URL(url))
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("named", "used"),
    [
        ("http://proxy.test:3128", "http://proxy.test:3128"),
        ("proxy.test:3128", "http://proxy.test:3128"),
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("proxy.test", "http://proxy.test"),
        ("localhost:1", "http://localhost:1"),
        ("user:secret@proxy.test:1", "http://user:secret@proxy.test:1"),
        ("https://proxy.test", "https://proxy.test"),
    ],
)
def test_a_proxy_may_be_named_with_and_without_a_scheme(named: str, used: str) -> None:
    assert proxy("http://quay.io/v2/", HTTP_PROXY=named) == used


@pytest.mark.parametrize("named", ["socks5://proxy.test:1", "ftp://proxy.test:1"])
def test_a_scheme_that_cannot_be_used_is_named(named: str) -> None:
    with pytest.raises(BadProxy, match="HTTPS_PROXY names a proxy of the scheme"):
        proxy("https://quay.io/v2/", HTTPS_PROXY=named)


@pytest.mark.parametrize("named", ["http://", "proxy.test:port", "::", "http://proxy.test:99999"])
def test_what_is_no_proxy_is_an_error_that_does_not_repeat_it(named: str) -> None:
    with pytest.raises(BadProxy, match=r"^HTTP_PROXY is not a proxy such as http://proxy\.example:3128$"):
        proxy("http://quay.io/v2/", HTTP_PROXY=named)


def test_each_scheme_has_its_variable_and_upper_case_comes_first() -> None:
    assert proxy("https://quay.io/", HTTP_PROXY=PROXY) is None
    assert proxy("http://quay.io/", HTTPS_PROXY=PROXY) is None
    assert proxy("http://quay.io/", http_proxy=PROXY) == PROXY
    assert (
        proxy("http://quay.io/", HTTP_PROXY="http://upper.test:1", http_proxy=PROXY) == "http://upper.test:1"
    )
    assert proxy("http://quay.io/", HTTP_PROXY="", http_proxy=PROXY) == PROXY
    assert proxy("http://quay.io/", HTTP_PROXY=PROXY, NO_PROXY="a.test", no_proxy="quay.io") == PROXY


@pytest.mark.parametrize(
    "url", ["http://localhost/", "http://127.0.0.1:5000/", "http://127.9.9.9/", "http://[::1]/"]
)
def test_this_host_itself_is_always_asked_directly(url: str) -> None:
    assert proxy(url, HTTP_PROXY=PROXY) is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("10.99.0.0/16", "http://10.99.0.1:5000/", True),
        ("10.99.0.7/16", "http://10.99.3.1/", True),
        ("10.99.0.0/16", "http://10.98.0.1/", False),
        ("fd00::/8", "http://[fd12::1]/", True),
        ("10.99.0.0/16", "http://ten.test/", False),  # a name is not looked up
        ("10.99.0.1", "http://10.99.0.1:5000/", True),
        ("10.99.0.1:5000", "http://10.99.0.1:5000/", True),
        ("10.99.0.1:5000", "http://10.99.0.1:5001/", False),
        ("10.99.0.1:80", "http://10.99.0.1/", True),
        ("[fd00::1]:5000", "http://[fd00::1]:5000/", True),
        ("[fd00::1]:5000", "http://[fd00::1]:5001/", False),
        ("fd00::1", "http://[fd00::1]:5001/", True),
        ("registry.test", "http://registry.test:5000/", True),
        ("registry.test", "http://a.registry.test/", True),
        ("registry.test", "http://myregistry.test/", False),
        (".registry.test", "http://a.registry.test/", True),
        (".registry.test", "http://registry.test/", False),
        ("*.registry.test", "http://a.b.registry.test/", True),
        ("*.registry.test", "http://registry.test/", False),
        ("registry.test:5000", "http://registry.test:5000/", True),
        ("registry.test:5000", "http://a.registry.test:5000/", True),
        ("registry.test:5000", "http://registry.test:5001/", False),
        (" REGISTRY.test ,x", "http://registry.TEST/", True),
        ("*", "http://anything.test/", True),
        ("a.test,*", "http://anything.test/", True),
        ("", "http://registry.test/", False),
        (",, :80, /, 10.0.0.0/99, *., .", "http://registry.test/", False),
    ],
)
def test_no_proxy_spares_what_its_entries_cover(no_proxy: str, url: str, direct: bool) -> None:
    assert (proxy(url, HTTP_PROXY=PROXY, NO_PROXY=no_proxy) is None) == direct
