import logging
import os
from pathlib import Path

import pytest

from api.kernel import CAPABILITIES
from host import security

STATUS = """Name:\tx
CapInh:\t0000000000000000
CapPrm:\t000001fffeffffff
CapEff:\t0000000000000001
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000020
"""
EVERYTHING = frozenset(CAPABILITIES)


def test_names_and_bits_are_inverse() -> None:
    assert security.bits_from_names(["CAP_CHOWN", "CAP_KILL", "CAP_CHOWN"]) == 0x21
    assert security.names_from_bits(0x21) == {"CAP_CHOWN", "CAP_KILL"}
    assert security.names_from_bits(security.bits_from_names(EVERYTHING)) == EVERYTHING


def test_bits_beyond_what_has_a_name_are_left_out() -> None:
    assert security.names_from_bits(1 << 63 | 1) == {"CAP_CHOWN"}


def test_sets_of_a_process() -> None:
    sets = security.capability_sets(STATUS)
    assert sets["permitted"] == EVERYTHING - {"CAP_SYS_RESOURCE"}
    assert sets["bounding"] == EVERYTHING
    assert sets["effective"] == {"CAP_CHOWN"}
    assert sets["ambient"] == {"CAP_KILL"}
    assert not sets["inheritable"]


def test_a_full_root_has_no_limits_but_on_open_files(tmp_path: Path) -> None:
    assert security.oom_score_adj_floor(EVERYTHING) == -1000
    assert security.rlimit_ceilings(EVERYTHING, tmp_path) == {}
    (tmp_path / "sys/fs").mkdir(parents=True)
    (tmp_path / "sys/fs/nr_open").write_text("5\n")
    assert security.rlimit_ceilings(EVERYTHING, tmp_path) == {"RLIMIT_NOFILE": 5}
    assert security.rlimit_ceilings(EVERYTHING - {"CAP_SYS_RESOURCE"}, tmp_path)["RLIMIT_NOFILE"] == 5


def test_without_sys_resource_our_own_values_bound() -> None:
    held = EVERYTHING - {"CAP_SYS_RESOURCE"}
    assert security.oom_score_adj_floor(held) == int(Path("/proc/self/oom_score_adj").read_text())
    ceilings = security.rlimit_ceilings(held)
    assert all(name.startswith("RLIMIT_") and hard >= 0 for name, hard in ceilings.items())


def test_limitations_are_said_in_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        security.say_limitations(EVERYTHING - {"CAP_SYS_RESOURCE"})
    assert "CAP_SYS_RESOURCE" in caplog.text
    assert "oom_score_adj" in caplog.text
    assert security.limitations(EVERYTHING) == []


def test_modules_and_actions(tmp_path: Path) -> None:
    assert not security.apparmor_enabled(tmp_path)
    assert not security.selinux_enabled(tmp_path)
    assert security.seccomp_actions(tmp_path) == frozenset()
    for name, text in (
        ("module/apparmor/parameters/enabled", "Y\n"),
        ("fs/selinux/enforce", "0"),
        ("sys/kernel/seccomp/actions_avail", "kill errno allow\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert security.apparmor_enabled(tmp_path)
    assert security.selinux_enabled(tmp_path)
    assert "errno" in security.seccomp_actions(tmp_path)


def test_root_or_not() -> None:
    assert security.effective_uid_is_root() == (os.geteuid() == 0)
