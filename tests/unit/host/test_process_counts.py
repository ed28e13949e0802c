"""Open files of processes, some of which end while they are looked at."""

import os
import socket
from pathlib import Path

import pytest

from host.process_counts import OpenFiles, open_files, soft_limit

LIMITS = "Limit                     Soft Limit           Hard Limit           Units\n"
FILES = "Max open files            {}                 4096                 files\n"


def process(proc: Path, pid: int, links: list[str], soft: str = "1024") -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    for number, target in enumerate(links):
        (proc / str(pid) / "fd" / str(number)).symlink_to(target)
    (proc / str(pid) / "limits").write_text(LIMITS + FILES.format(soft))


def test_descriptors_and_sockets_are_added_up_and_the_ended_is_passed_over(tmp_path: Path) -> None:
    process(tmp_path, 7, ["/dev/null", "socket:[12]", "pipe:[3]"])
    process(tmp_path, 9, ["socket:[13]"], soft="2048")
    assert open_files([9, 8, 7], tmp_path) == OpenFiles(4, 2, 2048)


def test_no_process_has_nothing_open(tmp_path: Path) -> None:
    assert open_files([1, 2], tmp_path) == OpenFiles()


@pytest.mark.parametrize(("soft", "limit"), [("1024", 1024), ("unlimited", None)])
def test_the_soft_limit(soft: str, limit: int | None) -> None:
    assert soft_limit(LIMITS + FILES.format(soft)) == limit
    assert soft_limit("") is None


def test_our_own_are_counted() -> None:
    before = open_files([os.getpid()])
    with socket.socket():
        after = open_files([os.getpid()])
    assert after.sockets >= before.sockets + 1
