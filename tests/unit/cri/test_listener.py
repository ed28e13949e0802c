import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from cri.listener import UnknownGroup, make_way, open_to


@pytest.fixture
def listening(tmp_path: Path) -> Path:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


def test_a_socket_without_a_group_is_for_its_owner_and_their_group(listening: Path) -> None:
    before = listening.stat().st_gid
    open_to(listening, "")
    assert stat.S_IMODE(listening.stat().st_mode) == 0o660
    assert listening.stat().st_gid == before


def test_a_socket_belongs_to_the_group_that_is_asked_for(listening: Path) -> None:
    usable = grp.getgrall() if os.geteuid() == 0 else [grp.getgrgid(number) for number in os.getgroups()]
    group = usable[-1]
    open_to(listening, group.gr_name)
    assert listening.stat().st_gid == group.gr_gid
    assert stat.S_IMODE(listening.stat().st_mode) == 0o660


def test_a_group_that_does_not_exist_is_named_with_the_option_and_a_way_out(listening: Path) -> None:
    with pytest.raises(UnknownGroup, match=r"socket_group.*'no-such-group'.*groupadd"):
        open_to(listening, "no-such-group")


def test_a_socket_that_nobody_listens_on_makes_way(listening: Path) -> None:
    make_way(listening)
    assert not listening.exists()
