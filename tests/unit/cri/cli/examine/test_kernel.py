import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cri.cli.examine import kernel
from cri.cli.examine.findings import Finding, Level

ALL = (1 << 41) - 1
ADMIN, RESOURCE = 21, 24


def status(uid: int = 0, bounding: int = ALL, permitted: int = ALL) -> str:
    sets = {"Inh": 0, "Prm": permitted, "Eff": permitted, "Bnd": bounding, "Amb": 0}
    lines = [f"Cap{name}:\t{bits:016x}" for name, bits in sets.items()]
    return "\n".join(["Name:\tx", f"Uid:\t1000\t{uid}\t0\t0", *lines])


def levels(findings: list[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


@pytest.mark.parametrize(
    ("release", "level"),
    [
        ("6.18.44-fc", Level.OK),
        ("5.15.0-91-generic", Level.OK),
        ("5.10.0", Level.WARNING),
        ("5.5.1", Level.FAILS),
        ("4.19", Level.FAILS),
        ("unknown", Level.FAILS),
    ],
)
def test_kernels_are_judged_by_version(release: str, level: Level) -> None:
    (finding,) = kernel.kernel(release)
    assert finding.level is level
    assert release in finding.text


def test_another_user_than_root_fails() -> None:
    (finding,) = kernel.privileges(status(uid=1000))
    assert finding.level is Level.FAILS
    assert "root" in finding.text


def test_a_missing_capability_that_all_containers_need_fails() -> None:
    findings = list(kernel.privileges(status(bounding=ALL & ~(1 << ADMIN))))
    assert levels(findings)[0] is Level.FAILS
    assert "CAP_SYS_ADMIN" in findings[0].text


@pytest.mark.parametrize("of", ["bounding", "permitted"])
def test_a_missing_resource_capability_is_a_warning_with_its_consequences(of: str) -> None:
    findings = list(kernel.privileges(status(**{of: ALL & ~(1 << RESOURCE)})))
    assert set(levels(findings)) == {Level.WARNING}
    said = " ".join(finding.text for finding in findings)
    assert "CAP_SYS_RESOURCE" in said
    assert "oom_score_adj" in said


def test_all_capabilities_are_fine() -> None:
    assert levels(list(kernel.privileges(status()))) == [Level.OK]


@pytest.mark.parametrize(("actions", "level"), [("kill errno allow", Level.OK), (None, Level.WARNING)])
def test_seccomp_is_found_by_its_actions(tmp_path: Path, actions: str | None, level: Level) -> None:
    if actions is not None:
        directory = tmp_path / "sys/kernel/seccomp"
        directory.mkdir(parents=True)
        (directory / "actions_avail").write_text(actions)
    (finding,) = kernel.seccomp(tmp_path)
    assert finding.level is level


def test_security_modules_are_found_in_sysfs(tmp_path: Path) -> None:
    assert levels(list(kernel.security_modules(tmp_path))) == [Level.OK, Level.OK]
    apparmor = tmp_path / "module/apparmor/parameters"
    apparmor.mkdir(parents=True)
    (apparmor / "enabled").write_text("Y\n")
    selinux = tmp_path / "fs/selinux"
    selinux.mkdir(parents=True)
    (selinux / "enforce").write_text("1")
    found = list(kernel.security_modules(tmp_path))
    assert [finding.text.split(",")[0] for finding in found] == ["enabled", "enabled"]
    assert levels(found) == [Level.OK, Level.WARNING]


def refuse(number: int) -> Callable[[], None]:
    def add_layer() -> None:
        raise OSError(number, os.strerror(number))

    return add_layer


def test_overlay_is_needed() -> None:
    (finding,) = kernel.overlay("nodev\tsysfs\n\text4\n", refuse(errno.ENODEV))
    assert finding.level is Level.FAILS
    assert "No such device" in finding.text
    assert finding.way_out == "modprobe overlay"


def test_overlay_without_single_layers_is_a_warning() -> None:
    # Trying a layer loads the module, so that an older list of file systems says nothing.
    for filesystems in ("nodev\toverlay\n", "nodev\tsysfs\n"):
        (finding,) = kernel.overlay(filesystems, refuse(errno.EINVAL))
        assert finding.level is Level.WARNING
        assert "Invalid argument" in finding.text
    (finding,) = kernel.overlay("nodev\toverlay\n", refuse(errno.EPERM))
    assert finding.level is Level.WARNING


def test_a_module_that_is_loaded_by_the_attempt_is_there() -> None:
    (finding,) = kernel.overlay("nodev\tsysfs\n\text4\n", lambda: None)
    assert finding.level is Level.OK


def test_a_chroot_is_a_warning_and_a_root_that_cannot_be_seen_is_none() -> None:
    def hidden() -> bool:
        raise PermissionError(errno.EPERM, "setns")

    assert list(kernel.root(lambda: False)) == []
    assert list(kernel.root(hidden)) == []
    (finding,) = kernel.root(lambda: True)
    assert finding.level is Level.WARNING
    assert "this is a chroot" in finding.text
