from collections.abc import Iterator
from pathlib import Path

import pytest

from api.errors import NotFound
from cri.cli.examine.findings import Finding, fails, guarded, ok, verdict, warning


def test_a_finding_is_one_line_with_its_way_out() -> None:
    assert str(ok("kernel", "6.1")) == "ok       kernel: 6.1"
    assert str(warning("nft", "not found", "install it")) == "warning  nft: not found -> install it"


def test_the_verdict_counts_what_fails() -> None:
    assert verdict([ok("a", "b"), warning("c", "d")]) == "Pods can run on this host."
    assert "(2)" in verdict([fails("a", "b"), ok("c", "d"), fails("e", "f")])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "/root/auth.json"), "/root/auth.json: Permission denied"),
        (OSError("odd"), "odd"),
        (NotFound("no image x"), "no image x"),
    ],
)
def test_an_examination_that_fails_is_a_finding_and_keeps_what_it_found(error: Exception, words: str) -> None:
    def examination() -> Iterator[Finding]:
        yield ok("auth", "one")
        raise error

    assert list(guarded("auth", examination())) == [
        ok("auth", "one"),
        warning("auth", f"could not be examined: {words}"),
    ]


def test_a_mistake_of_ours_is_not_hidden() -> None:
    def examination() -> Iterator[Finding]:
        yield ok("auth", str(Path("x")))
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        list(guarded("auth", examination()))
