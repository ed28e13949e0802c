"""The guest itself: what it is, and that one that breaks down is told from one whose job failed."""

import pytest

from tests.harness.processes import command_line, everyone
from tests.node.conftest import Guest
from tests.node.machine import GuestFailed

TIMEOUT_S = 900


def test_a_job_brings_back_output_exit_code_and_files(guest: Guest) -> None:
    script = """
        set -e
        test "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs
        test "$(cat /proc/1/comm)" = systemd
        test "$(cat /sys/module/apparmor/parameters/enabled)" = Y
        systemctl --failed --no-legend
        mkdir $RESULTS/below
        echo brought >$RESULTS/below/file
        exit 7
    """
    outcome = guest.run(script, timeout_s=TIMEOUT_S)
    assert (outcome.code, outcome.output) == (7, "")
    assert (guest.results / "below/file").read_text() == "brought\n"


def test_a_disk_lasts_over_boots(guest: Guest) -> None:
    assert guest.run("touch /root/mark", timeout_s=TIMEOUT_S).code == 0
    assert guest.run("test -f /root/mark", timeout_s=TIMEOUT_S).code == 0


def test_a_kernel_that_panics_is_told_with_its_last_words(guest: Guest) -> None:
    with pytest.raises(GuestFailed, match=r"(?s)middle of its job.*Kernel panic"):
        guest.run("echo c >/proc/sysrq-trigger", timeout_s=TIMEOUT_S)


def test_a_job_that_hangs_is_ended_and_nothing_stays(guest: Guest) -> None:
    with pytest.raises(GuestFailed, match="not finished after"):
        guest.run("echo waiting; sleep 100000", timeout_s=120)
    assert str(guest.machine.console.parent) not in _command_lines()


def _command_lines() -> str:
    """Of every process."""
    return "\n".join(map(command_line, everyone()))
