"""The command line of python -m tests.node.shell."""

import argparse
from pathlib import Path

import pytest

from tests.node.shell import addition, parser


def test_what_is_added_is_named_by_both_paths(tmp_path: Path) -> None:
    (tmp_path / "deb").touch()
    assert addition(f"{tmp_path}/deb:/root/deb") == (tmp_path / "deb", Path("/root/deb"))


@pytest.mark.parametrize("text", ["/", "/etc", "/etc:", "/etc:relative", "/nonexistent/x:/root/x"])
def test_a_missing_file_or_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        addition(text)


def test_options_have_defaults_and_additions_add_up(tmp_path: Path) -> None:
    options = parser().parse_args(["--add", f"{tmp_path}:/a", "--add", f"{tmp_path}:/b", "script"])
    assert [place for _, place in options.add] == [Path("/a"), Path("/b")]
    assert (options.memory, options.results, options.script) == (2048, None, "script")
