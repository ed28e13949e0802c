"""The file that ``podwright node-config crictl`` prints, read by crictl."""

import subprocess
from pathlib import Path

from tests.critest.toolchain import ensure_tool
from tests.harness.daemon import Daemon


def test_crictl_reaches_the_daemon_by_the_printed_file(tmp_path: Path) -> None:
    with Daemon() as daemon:
        subprocess.run(
            daemon.command("node-config crictl", "--write", str(tmp_path)),
            check=True,
            timeout=60,
            capture_output=True,
        )
        version = subprocess.run(
            [ensure_tool("crictl"), "--config", str(tmp_path / "crictl.yaml"), "version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (version.returncode, version.stderr) == (0, "")
    assert "RuntimeName:  podwright" in version.stdout
