from pathlib import Path

import pytest

from tools.packaging.layout import BadLayout, Layout, below


def test_units_are_below_the_prefix_unless_said_otherwise() -> None:
    assert Layout.parse("/usr/local").unitdir == Path("/usr/local/lib/systemd/system")
    assert Layout.parse("/opt/x", unitdir="/etc/systemd/system").unitdir == Path("/etc/systemd/system")


@pytest.mark.parametrize("prefix", ["", "usr", "/with space", "/usr/../etc", "/new\nline"])
def test_a_prefix_that_no_interpreter_line_can_hold_is_refused(prefix: str) -> None:
    with pytest.raises(BadLayout, match="PREFIX"):
        Layout.parse(prefix)


def test_directories_with_its_name_are_its_own_and_common_ones_are_not() -> None:
    layout = Layout.parse("/usr")
    own = ("/usr/lib/podwright/bin", "/usr/share/doc/podwright", "/etc/podwright/podwright.conf.d")
    assert all(layout.owns(Path(path)) for path in own)
    assert not any(layout.owns(Path(path)) for path in ("/usr/lib", "/usr/share/doc", "/etc", "/usr/bin"))


def test_a_path_of_the_installation_is_found_below_destdir() -> None:
    assert below(Path("/stage"), Path("/usr/bin")) == Path("/stage/usr/bin")
    assert below(Path("/"), Path("/usr/bin")) == Path("/usr/bin")
