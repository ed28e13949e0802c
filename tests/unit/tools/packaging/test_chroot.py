import subprocess
import sys
from pathlib import Path

import pytest

from tools.packaging import chroot
from tools.packaging.environment import InstallFailed

TIMEOUT_S = 10


def test_a_step_that_fails_says_what_it_printed() -> None:
    program = [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"]
    with pytest.raises(InstallFailed, match=r"exit code 3\nthe reason"):
        chroot.run(program)


def test_a_program_that_is_missing_is_named_with_its_package() -> None:
    with pytest.raises(InstallFailed, match="apt install no-such-program"):
        chroot.run(["no-such-program"])


def test_of_the_callers_environment_only_the_sources_of_packages_get_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}
    monkeypatch.setattr(chroot, "run", lambda argv, env: seen.update(env))
    for name in ("PIP_CERT", "https_proxy", "PYTHONPATH", "LD_PRELOAD", "TMPDIR"):
        monkeypatch.setenv(name, "given")
    chroot.run_inside(tmp_path, tmp_path, ["true"], {"OWN": "1"})
    assert {"PYTHONPATH", "LD_PRELOAD", "TMPDIR"} & set(seen) == set()
    assert {seen["PIP_CERT"], seen["https_proxy"]} == {"given"}
    assert seen["OWN"] == "1"


def test_what_prepares_the_root_is_a_shell_script() -> None:
    subprocess.run(["sh", "-n"], input=chroot.PREPARE, text=True, timeout=TIMEOUT_S, check=True)
