"""storage/reference: distribution's grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.digest import Digest
from storage.reference import InvalidReference, Reference

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busybox", Reference("", "busybox")),
        ("busybox:1.36", Reference("", "busybox", "1.36")),
        ("library/busybox", Reference("", "library/busybox")),
        ("docker.io/busybox", Reference("docker.io", "library/busybox")),
        ("index.docker.io/busybox", Reference("docker.io", "library/busybox")),
        ("docker.io/team/app", Reference("docker.io", "team/app")),
        ("localhost/app", Reference("localhost", "app")),
        ("localhost:5000/app:v1", Reference("localhost:5000", "app", "v1")),
        ("127.0.0.1:5000/a/b/c", Reference("127.0.0.1:5000", "a/b/c")),
        ("[::1]:5000/app", Reference("[::1]:5000", "app")),
        ("Host/app", Reference("Host", "app")),
        ("registry.k8s.io/pause:3.10", Reference("registry.k8s.io", "pause", "3.10")),
        (f"quay.io/a/b@sha256:{HEX}", Reference("quay.io", "a/b", None, Digest(HEX))),
        (f"quay.io/a/b:v1@sha256:{HEX}", Reference("quay.io", "a/b", "v1", Digest(HEX))),
        ("q.io/a__b/c--d/e.f_g", Reference("q.io", "a__b/c--d/e.f_g")),
        ("busybox:5000", Reference("", "busybox", "5000")),
    ],
)
def test_what_a_reference_means(text: str, expected: Reference) -> None:
    assert Reference.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ":tag", "@", "a@sha256:12", f"a@sha512:{HEX}", "UPPER", "q.io/Upper/x", "a//b", "/a", "a/",
        "a:", "a: b",
        "-a", "a-", "a..b", "a___b", "q.io/a:" + "t" * 129, "q.io/" + "a" * 256, HEX,
        "a:.tag", "http://q.io/a", "a b",
        "q.io:port/a", "ä", "q.io/", "a@b@c", "a\n",
    ],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(text)


def test_default_tag_and_digest() -> None:
    assert str(Reference.parse("q.io/a").with_default_tag()) == "q.io/a:latest"
    assert str(Reference.parse("q.io/a:b").with_default_tag()) == "q.io/a:b"
    assert str(Reference.parse(f"q.io/a:b@sha256:{HEX}").with_default_tag()) == f"q.io/a@sha256:{HEX}"


def test_a_short_name_gets_its_registry() -> None:
    short = Reference.parse("busybox:1")
    assert short.is_short
    assert str(short.qualified("docker.io")) == "docker.io/library/busybox:1"
    assert str(short.qualified("quay.io")) == "quay.io/busybox:1"


_WORD = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?", fullmatch=True)


@given(
    st.sampled_from(["quay.io", "localhost", "h:5000", "[::1]:1"]),
    st.lists(_WORD, min_size=1, max_size=4),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.none() | st.just(Digest(HEX)),
)
def test_what_is_written_reads_back(
    registry: str, parts: list[str], tag: str | None, digest: Digest | None
) -> None:
    reference = Reference(registry, "/".join(parts), tag, digest)
    assert Reference.parse(str(reference)) == reference


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_an_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        return
    assert Reference.parse(str(reference)) == reference
