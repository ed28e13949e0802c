import pytest

from conf.apparmor import BUILT_IN, NAME, default_profile
from conf.schema import RuntimeTable


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_profile_has_the_name_that_it_is_asked_under(name: str) -> None:
    text = default_profile(name)
    assert f"\nprofile {name} flags=" in text
    assert f"peer={name}," in text
    assert "@NAME@" not in text.split("profile ", 1)[1]


def test_nothing_else_is_needed_to_load_it() -> None:
    rules = [line for line in default_profile().splitlines() if not line.startswith("# ")]
    assert not any(line.lstrip().startswith(("#include", "include")) for line in rules)
    assert all(line.rstrip().endswith(("{", "}", ",")) or "#" in line for line in rules if line.strip())


def test_the_configured_default_is_built_in() -> None:
    assert RuntimeTable().apparmor_profile == NAME
