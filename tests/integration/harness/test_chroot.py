"""A chroot, where commands that are executed in containers run outside of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.cache import PROJECT

pytestmark = pytest.mark.root
LOOK = "from cri.cli.check import in_chroot; print(in_chroot())"


@pytest.mark.parametrize(("enter", "told"), [("exec", "False"), ('exec chroot "$1"', "True")])
def test_a_chroot_is_told_from_the_root_of_a_mount_namespace(tmp_path: Path, enter: str, told: str) -> None:
    script = f'mount --rbind / "$1" && {enter} env -C "$2" "$3" -c "$4"'
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    line = [*inside, str(tmp_path), str(PROJECT), sys.executable, LOOK]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"{told}\n", done.stderr
