import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.errors import PodwrightError
from conf.schema import Config
from cri.cli import check, main
from cri.cli.examine.findings import Finding, Level


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_version_is_the_first_line(tmp_path: Path) -> None:
    assert check.first_line_of_version(script(tmp_path / "run", "echo run 1.2; echo more")) == "run 1.2"


@pytest.mark.parametrize("text", ["exit 3", "exec /nonexistent/interpreter"])
def test_a_runtime_that_fails_is_an_os_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(OSError, match="status"):
        check.first_line_of_version(script(tmp_path / "run", text))


def test_a_bus_that_is_not_there_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(PodwrightError, match="no system bus"):
        check.systemd_version()


def test_this_host_is_examined_in_every_respect() -> None:
    subjects = {finding.subject for finding in check.examine(Config())}
    assert {"kernel", "cgroups", "runtime", "network", "nft", "seccomp", "root", "disk"} <= subjects


def test_what_may_not_be_read_hides_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As another user than root, whose home directory is closed."""

    def refused(_: object) -> Iterator[Finding]:
        yield from ()
        raise PermissionError(13, "Permission denied", "/root/.config/containers/auth.json")

    monkeypatch.setattr("cri.cli.examine.files.auth_files", refused)
    monkeypatch.setattr("cri.cli.examine.places.disk", refused)
    main(["check", "--config", os.devnull])
    lines = capsys.readouterr().out.splitlines()
    refusals = [line for line in lines if "could not be examined" in line]
    assert [line.split()[1] for line in refusals] == ["disk:", "auth:"]
    assert lines[-1].startswith("Pods can")


def test_a_host_without_its_runtime_fails_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.conf"
    file.write_text(
        '[runtime]\ndefault_runtime = "own"\n[runtime.runtimes.own]\nruntime_path = "/nonexistent"'
    )
    assert main(["check", "--config", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(Level.FAILS) and "own (default) was not found" in line for line in lines)
    assert lines[-1].startswith("Pods cannot run")


def test_an_option_that_names_what_is_not_there_fails_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option = f"runtime.seccomp_profile={tmp_path}/none.json"
    assert main(["check", "--config", os.devnull, "--set", option]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(Level.FAILS) and "seccomp_profile" in line for line in lines)
    assert lines[-1].startswith("Pods cannot run")
