import subprocess
import sys
from pathlib import Path

import pytest

from tools.packaging.environment import (
    LAUNCHER,
    InstallFailed,
    collect_wheels,
    compile_bytecode,
    programs,
    site_packages,
)
from tools.packaging.layout import CHECKOUT, Layout

LAYOUT = Layout.parse("/usr")


def test_the_programs_are_those_of_the_project() -> None:
    assert dict(programs()) == {
        "podwright": "cri.cli:main",
        "podwright-monitor": "oci.monitor.main:main",
        "podwright-oci": "oci.run.cli.entry:main",
        "podwright-streaming": "cri.streaming.process.main:main",
    }


def _launcher(directory: Path, module: str, function: str) -> Path:
    path = directory / "launcher"
    path.write_text(LAUNCHER.format(python=sys.executable, module=module, function=function))
    path.chmod(0o755)
    return path


def test_a_launcher_ends_with_the_programs_exit_code(tmp_path: Path) -> None:
    launcher = _launcher(tmp_path, "os", "getpid")
    process = subprocess.Popen([launcher])
    assert process.wait() == process.pid % 256


def test_a_launcher_ignores_the_callers_modules(tmp_path: Path) -> None:
    (tmp_path / "this_is_foreign.py").write_text("def main(): return 0\n")
    launcher = _launcher(tmp_path, "this_is_foreign", "main")
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([launcher], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert b"ModuleNotFoundError" in done.stderr


def test_byte_code_carries_the_names_of_files_as_they_will_be(tmp_path: Path) -> None:
    site = site_packages(tmp_path, LAYOUT)
    site.mkdir(parents=True)
    (site / "fails.py").write_text("def fail(): raise ValueError\n")
    compile_bytecode(tmp_path, LAYOUT)
    (compiled,) = site.rglob("*.pyc")
    assert str(tmp_path).encode() not in compiled.read_bytes()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert f"/usr/lib/podwright/lib/{version}/site-packages/fails.py".encode() in compiled.read_bytes()


COMPILE = """
import sys
from pathlib import Path
from tools.packaging.environment import compile_bytecode
from tools.packaging.layout import CHECKOUT, Layout
compile_bytecode(Path(sys.argv[1]), Layout.parse("/usr"))
"""


def test_a_module_that_is_no_python_fails_the_installation(tmp_path: Path) -> None:
    site = site_packages(tmp_path, LAYOUT)
    site.mkdir(parents=True)
    (site / "broken.py").write_text("def\n")
    # By itself: its workers may come from a server of processes, which an earlier test may have started.
    line = [sys.executable, "-c", COMPILE, str(tmp_path)]
    done = subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert "InstallFailed: not all modules can be compiled" in done.stderr
    assert "SyntaxError" in done.stdout


def test_what_pip_complains_of_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InstallFailed, match=r"pip download failed[^$]*No matching distribution"):
        collect_wheels(tmp_path)
