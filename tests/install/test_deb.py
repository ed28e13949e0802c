"""The Debian package: what is in it, what lintian and systemd say of it, and its life on a clean system."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cri.version import VERSION
from tools.packaging.chroot import build, debian_root, run_inside
from tools.packaging.contents import documents
from tools.packaging.layout import CHECKOUT

pytestmark = pytest.mark.root

SUITE = "trixie"
TIMEOUT_S = 120
# What Depends names, so that dpkg needs no network: it checks them itself.
CLEAN_PACKAGES = ("python3", "crun", "dbus", "gpgv", "nftables")
CHECKERS = ("python3", "lintian", "systemd", "man-db", "mandoc")

UNPACK = "dpkg-deb -x /shared/*.deb /"
# man itself always ends well: what it complains of must be nothing.
MAN = (
    "for page in 8/podwright.8 8/podwright-monitor.8 8/podwright-oci.8 8/podwright-streaming.8"
    " 5/podwright.conf.5; do"
    " man --warnings=w -E UTF-8 -l /usr/share/man/man$page.gz 2>&1 >/dev/null; done | { ! grep .; }"
)

LIFE = r"""
set -eu
list() {
    find / -xdev \( -path /proc -o -path /dev -o -path /src -o -path /shared \) -prune -o -print >/shared/$1
}
list before
dpkg -i /shared/*.deb
podwright version >/shared/version
(umask 000; podwright image list)
env -C /src python3 -m tests.harness.reach /etc/podwright /run /var/lib/podwright >/shared/reached
podwright config --default | diff - /etc/podwright/podwright.conf
dpkg --verify podwright >/shared/verify
mkdir -p /run/podwright/containers
echo '# changed' >>/etc/podwright/podwright.conf
echo 'log_level = "debug"' >/etc/podwright/podwright.conf.d/10-mine.conf
list installed
dpkg -r podwright
list removed
dpkg -P podwright
list purged

cmp_crictl() { cmp /etc/crictl.yaml /src/docs/examples/crictl.yaml; }
dpkg -i /shared/*.deb && cmp_crictl
rm /etc/crictl.yaml && dpkg -i /shared/*.deb && [ ! -e /etc/crictl.yaml ]
echo 'timeout: 1' >/etc/crictl.yaml
dpkg -P podwright
dpkg -i /shared/*.deb && dpkg -P podwright
grep -x 'timeout: 1' /etc/crictl.yaml >/shared/crictl
"""


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this checkout."""
    directory = tmp_path_factory.mktemp("deb")
    build(SUITE, directory)
    (package,) = directory.glob("*.deb")
    return package


@pytest.fixture(scope="session")
def lists(package: Path) -> dict[str, set[str]]:
    """The files of a clean system by moment: before, installed, removed, purged; and what commands said."""
    (package.parent / "life").write_text(LIFE)
    run_inside(debian_root(SUITE, CLEAN_PACKAGES), package.parent, ["sh", "/shared/life"])
    moments = ("before", "installed", "removed", "purged", "version", "verify", "reached", "crictl")
    return {moment: set((package.parent / moment).read_text().splitlines()) for moment in moments}


def _tell(*argv: str | Path) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout


def test_it_depends_on_the_python_of_its_release_and_on_a_runtime(package: Path) -> None:
    depends = _tell("dpkg-deb", "--field", package, "Depends")
    assert "python3 (>= 3.13~), python3 (<< 3.14), crun | runc, " in depends
    assert ", default-dbus-system-bus | dbus-system-bus, nftables, libc6 (>= " in depends
    assert _tell("dpkg-deb", "--field", package, "Version") == f"{VERSION}+deb13\n"


def test_everything_in_it_belongs_to_root_and_nobody_else_can_write(package: Path) -> None:
    for line in _tell("dpkg-deb", "--contents", package).splitlines():
        mode, owner = line.split()[:2]
        assert owner == "root/root", line
        assert re.fullmatch(r"(l.{9}|[d-]rw[x-]r-[x-]r-[x-])", mode), line


def test_the_configuration_is_the_only_conffile(package: Path) -> None:
    assert _tell("dpkg-deb", "--info", package, "conffiles") == "/etc/podwright/podwright.conf\n"


@pytest.mark.parametrize(
    "check",
    [
        "lintian --allow-root --fail-on error,warning /shared/*.deb",
        f"{UNPACK} && systemd-analyze verify podwright.service",
        f"{UNPACK} && systemd-sysusers --dry-run podwright.conf",
        f"{UNPACK} && systemd-tmpfiles --create --dry-run podwright.conf",
        f"{UNPACK} && {MAN}",
    ],
    ids=["lintian", "unit", "sysusers", "tmpfiles", "man"],
)
def test_the_tools_of_its_release_find_no_fault(package: Path, check: str) -> None:
    run_inside(debian_root(SUITE, CHECKERS), package.parent, ["sh", "-c", check])


def test_the_program_runs_and_no_file_differs_from_the_package(lists: dict[str, set[str]]) -> None:
    assert lists["version"] == {f"podwright {VERSION}"}
    assert lists["verify"] == set()


def test_crictl_finds_the_socket_and_a_file_of_others_stays(lists: dict[str, set[str]]) -> None:
    assert "/etc/crictl.yaml" in lists["installed"] - lists["before"]
    assert "/etc/crictl.yaml" in lists["removed"] - lists["purged"]
    assert lists["crictl"] == {"timeout: 1"}


def test_every_document_is_there(lists: dict[str, set[str]]) -> None:
    place = Path("/usr/share/doc/podwright")
    wanted = {str(place / path.relative_to(CHECKOUT)) for path in documents() if path.name != "LICENSE"}
    assert wanted <= lists["installed"]


def test_others_reach_none_of_its_state(lists: dict[str, set[str]]) -> None:
    """Made by a program of the package under a careless umask; the configuration is for all to read."""
    ours = {line for line in lists["reached"] if "podwright" in line}
    assert ours == {
        "rx /etc/podwright",
        "r /etc/podwright/podwright.conf",
        "rx /etc/podwright/podwright.conf.d",
    }
    assert "/var/lib/podwright/catalogue.db" in lists["installed"]


TMPFILES = (
    f"{UNPACK} && mkdir -m 0711 /var/lib/podwright && umask 000 && systemd-tmpfiles --create podwright.conf"
    " && stat -c '%a %U:%G %n' /run/podwright /var/lib/podwright /var/log/podwright >/shared/modes"
)


def test_directories_that_it_has_made_at_boot_are_for_root_alone(package: Path) -> None:
    run_inside(debian_root(SUITE, CHECKERS), package.parent, ["sh", "-c", TMPFILES])
    assert (package.parent / "modes").read_text().splitlines() == [
        f"700 root:root {path}" for path in ("/run/podwright", "/var/lib/podwright", "/var/log/podwright")
    ]


def _ours(paths: set[str]) -> Iterator[str]:
    return (path for path in sorted(paths) if "dpkg" not in path)


def test_removing_leaves_configuration_and_state(lists: dict[str, set[str]]) -> None:
    left = set(_ours(lists["removed"] - lists["before"]))
    assert {path for path in left if not re.match(r"/etc/systemd|/var/lib/systemd", path)} == {
        "/etc/podwright",
        "/etc/podwright/podwright.conf",
        "/etc/podwright/podwright.conf.d",
        "/etc/podwright/podwright.conf.d/10-mine.conf",
        "/run/podwright",
        "/run/podwright/containers",
        "/var/lib/podwright",
        *(path for path in left if path.startswith("/var/lib/podwright/")),
    }


def test_purging_leaves_nothing(lists: dict[str, set[str]]) -> None:
    assert list(_ours(lists["purged"] - lists["before"])) == []
    assert list(_ours(lists["before"] - lists["purged"])) == []
