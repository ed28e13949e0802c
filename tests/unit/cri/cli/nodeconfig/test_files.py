from pathlib import Path

import pytest
import yaml

from cri.cli.nodeconfig.files import File, FileDiffers, document, printed, template, write, yaml_text

TWO = [File("a", "A\n"), File("b", "B\n", 0o755)]


def test_one_file_is_printed_as_it_is_and_several_below_their_names() -> None:
    assert printed(TWO[:1]) == "A\n"
    assert printed(TWO) == "# file: a\nA\n\n# file: b\nB\n"


def test_files_are_written_with_their_modes_into_a_directory_that_is_made(tmp_path: Path) -> None:
    directory = tmp_path / "deep/er"
    assert write(TWO, directory) == [directory / "a", directory / "b"]
    assert (directory / "b").read_text() == "B\n"
    assert [path.stat().st_mode & 0o777 for path in sorted(directory.iterdir())] == [0o644, 0o755]


def test_writing_the_same_again_is_fine(tmp_path: Path) -> None:
    write(TWO, tmp_path)
    assert write(TWO, tmp_path) == [tmp_path / "a", tmp_path / "b"]


def test_a_file_with_another_content_stays_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine")
    with pytest.raises(FileDiffers, match=str(tmp_path / "b")):
        write(TWO, tmp_path)
    assert (tmp_path / "b").read_text() == "mine"
    assert not (tmp_path / "a").exists()


def test_a_document_keeps_the_order_of_its_keys_below_the_comment() -> None:
    assert document("one\ntwo", {"b": True, "a": [1]}) == "# one\n# two\nb: true\na:\n- 1\n"


def test_a_text_of_several_lines_is_a_block() -> None:
    assert yaml_text({"a": "x: 1\ny: 2\n", "b": "z"}) == "a: |\n  x: 1\n  y: 2\nb: z\n"


@pytest.mark.parametrize("text", ["yes", "0x1", "a: b", "# c", "", "'", "unix:///run/with space.sock"])
def test_no_text_becomes_something_else_in_yaml(text: str) -> None:
    assert yaml.safe_load(yaml_text({"key": text})) == {"key": text}


def test_a_template_without_a_value_is_refused() -> None:
    with pytest.raises(KeyError, match="IMAGE"):
        template("kind.Dockerfile", {})
