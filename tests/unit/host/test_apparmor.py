from pathlib import Path

from host.apparmor import loaded_profiles


def test_names_of_the_loaded_profiles(tmp_path: Path) -> None:
    (tmp_path / "apparmor").mkdir()
    lines = "podwright-default (enforce)\n/usr/bin/man (complain)\nwith (brackets) and blanks (enforce)\n"
    (tmp_path / "apparmor/profiles").write_text(lines)
    assert loaded_profiles(tmp_path) == frozenset(
        {"podwright-default", "/usr/bin/man", "with (brackets) and blanks"}
    )


def test_no_profiles_is_not_the_same_as_no_answer(tmp_path: Path) -> None:
    assert loaded_profiles(tmp_path) is None
    (tmp_path / "apparmor").mkdir()
    (tmp_path / "apparmor/profiles").write_text("")
    assert loaded_profiles(tmp_path) == frozenset()
