"""Completion in the real zsh and fish, from Debian's packages, unpacked and never installed."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from cri.cli.completion import fish, zsh
from tests.harness import shells
from tests.harness.patience import patient

TIMEOUT_S = patient(30)
CASES = [
    ("podwright se", {"serve"}),
    ("podwright image p", {"pull", "prune"}),
    ("podwright version --outp", {"--output"}),
    ("podwright version --output j", {"json"}),
    ("podwright --log-level debug ser", {"serve"}),
    ("podwright image import --na", {"--name"}),
    ("podwright node-config kube", {"kubeadm", "kubelet"}),
    ("podwright status hea", {"heap"}),
    ("podwright completion z", {"zsh"}),
]
# What completes is shown by a stand-in for the function that would put it on the screen.
ZSH = """
module_path=(%s)
source ./_podwright
_describe() {
    local each found=1
    for each in ${(P)2}; do
        if [[ $each = $words[CURRENT]* ]]; then print -r -- "${each%%%%:*}"; found=0; fi
    done
    return found
}
_files() { print -l -- $words[CURRENT]*(N) }
words=(%s) CURRENT=%d
_podwright
"""


def run(argv: Sequence[str | Path], directory: Path, root: Path) -> set[str]:
    """The first words of what it prints."""
    libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))
    environment = os.environ | {"LD_LIBRARY_PATH": libraries, "HOME": str(directory), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        argv, cwd=directory, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    assert done.stderr == ""
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


def by_zsh(directory: Path, line: str) -> set[str]:
    root = shells.zsh()
    (directory / "_podwright").write_text(zsh())
    words, modules = line.split(" "), next(root.glob("usr/lib/*-linux-gnu/zsh/*"))
    script = ZSH % (modules, " ".join(f"'{word}'" for word in words), len(words))
    return run([next(root.glob("**/bin/zsh")), "-f", "-c", script], directory, root)


def by_fish(directory: Path, line: str) -> set[str]:
    root = shells.fish()
    (directory / "podwright.fish").write_text(fish())
    script = f"source ./podwright.fish; complete -C '{line}'"
    return run([root / "usr/bin/fish", "--no-config", "-c", script], directory, root)


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_zsh_completes_the_last_word(tmp_path: Path, line: str, offered: set[str]) -> None:
    assert by_zsh(tmp_path, line) == offered


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_fish_completes_the_last_word(tmp_path: Path, line: str, offered: set[str]) -> None:
    assert by_fish(tmp_path, line) == offered


@pytest.mark.parametrize("line", ["podwright serve --config pod", "podwright image import pod"])
def test_files_are_completed_where_the_script_has_nothing(tmp_path: Path, line: str) -> None:
    (tmp_path / "podman.tar").touch()
    assert "podman.tar" in by_zsh(tmp_path, line)
    assert "podman.tar" in by_fish(tmp_path, line)
