import configparser
import re
from datetime import date
from pathlib import Path

import pytest

from conf.sample import sample
from tools.packaging.contents import texts, walk
from tools.packaging.layout import CHECKOUT, Layout

DAY = date(2026, 1, 2)
LAYOUT = Layout.parse("/opt/tree")
UNIT = LAYOUT.unitdir / "podwright.service"

# systemd.exec(5): each gives the service a mount namespace of its own.
MOUNT_NAMESPACE = (
    "ProtectSystem ProtectHome ProtectProc ProcSubset ProtectControlGroups ProtectKernelTunables "
    "ProtectKernelModules ProtectKernelLogs PrivateTmp PrivateDevices PrivateMounts MountFlags MountAPIVFS "
    "ReadOnlyPaths ReadWritePaths InaccessiblePaths ExecPaths NoExecPaths TemporaryFileSystem BindPaths "
    "BindReadOnlyPaths RootDirectory RootImage DynamicUser"
)
# Every container would have it too.
INHERITED = (
    "SystemCallFilter SystemCallArchitectures LockPersonality RestrictRealtime RestrictSUIDSGID "
    "RestrictNamespaces RestrictAddressFamilies ProtectClock ProtectHostname MemoryDenyWriteExecute "
    "NoNewPrivileges CapabilityBoundingSet AmbientCapabilities SecureBits PrivateNetwork PrivateUsers "
    "PrivateIPC User Group Personality DevicePolicy"
)


def _unit() -> configparser.ConfigParser:
    reader = configparser.ConfigParser(
        interpolation=None, strict=True, delimiters=("=",), comment_prefixes=("#",)
    )
    reader.optionxform = str  # type: ignore[assignment,method-assign]
    reader.read_string(texts(LAYOUT, DAY)[UNIT])
    return reader


def test_the_unit_runs_the_program_of_this_installation() -> None:
    assert _unit()["Service"]["ExecStart"] == "/opt/tree/bin/podwright serve"
    assert "@" not in texts(LAYOUT, DAY)[UNIT]


def test_a_configuration_elsewhere_is_named_in_the_unit() -> None:
    layout = Layout.parse("/opt/tree", "/opt/tree/etc")
    unit = texts(layout, DAY)[layout.unitdir / "podwright.service"]
    file = "/opt/tree/etc/podwright/podwright.conf"
    assert f"ExecStart=/opt/tree/bin/podwright serve --config {file} --config-dir {file}.d\n" in unit


def test_a_restart_of_the_unit_leaves_the_monitor_and_containers_alone() -> None:
    service = _unit()["Service"]
    assert service["KillMode"] == "process"
    assert service["Delegate"] == "yes"
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")


def test_the_unit_sets_nothing_that_containers_would_inherit_or_mounts_would_miss() -> None:
    assert set(_unit()["Service"]) & {*MOUNT_NAMESPACE.split(), *INHERITED.split()} == set()


def test_the_unit_bounds_the_daemons_memory_and_lets_it_make_files_for_root_alone() -> None:
    service = _unit()["Service"]
    assert service["UMask"] == "0077"
    assert (service["MemoryHigh"], service["MemoryMax"], service["OOMPolicy"]) == ("2G", "3G", "continue")


def test_containers_are_started_with_the_limits_of_the_unit_and_none_is_lowered() -> None:
    service = _unit()["Service"]
    assert (service["LimitCORE"], service["LimitNPROC"], service["TasksMax"]) == ("infinity",) * 3


def test_what_is_left_out_of_the_unit_is_explained_there() -> None:
    comments = (CHECKOUT / "systemd/podwright.service.in").read_text()
    for name in (
        "ProtectSystem",
        "PrivateTmp",
        "RestrictSUIDSGID",
        "MemoryDenyWriteExecute",
        "NoNewPrivileges",
    ):
        assert re.search(rf"^#.*\b{name}\b", comments, re.MULTILINE), name


def test_every_file_of_the_layout_comes_along() -> None:
    written = {str(path) for path in texts(LAYOUT, DAY)}
    assert {
        "/etc/podwright/podwright.conf",
        "/opt/tree/lib/systemd/system/podwright.service",
        "/opt/tree/lib/systemd/system/kubelet.service.d/10-podwright.conf",
        "/opt/tree/lib/tmpfiles.d/podwright.conf",
        "/opt/tree/lib/sysusers.d/podwright.conf",
        "/opt/tree/lib/podwright/purge",
        "/opt/tree/share/man/man5/podwright.conf.5",
        "/opt/tree/share/man/man8/podwright.8",
        "/opt/tree/share/man/man8/podwright-monitor.8",
        "/opt/tree/share/bash-completion/completions/podwright",
        "/opt/tree/share/doc/podwright/examples/crictl.yaml",
        "/opt/tree/share/doc/podwright/examples/10-podwright-bridge.conflist",
    } <= written
    assert texts(LAYOUT, DAY)[LAYOUT.configuration] == sample()


@pytest.mark.parametrize("link", ["file", "directory"])
def test_links_count_as_files(tmp_path: Path, link: str) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(link)
    assert dict(walk(tmp_path)) == {
        Path("/directory"): True,
        Path("/file"): False,
        Path("/link"): False,
    }
