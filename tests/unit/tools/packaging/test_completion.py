import subprocess
from pathlib import Path

import pytest

from tools.packaging.completion import bash

TIMEOUT_S = 10


def _complete(tmp_path: Path, line: str) -> list[str]:
    """What bash offers for the last word of ``line``."""
    (tmp_path / "completion").write_text(bash())
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"source ./completion\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_podwright\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("podwright se", ["serve"]),
        ("podwright image p", ["pull"]),
        ("podwright version --j", ["--json"]),
        ("podwright --log-level debug ser", ["serve"]),
        ("podwright --config podwright.conf che", ["check"]),
        ("podwright image import --na", ["--name"]),
        ("podwright node-config kube", ["kubeadm", "kubelet"]),
        ("podwright node-config --write dir mini", ["minikube"]),
        ("podwright node-config kubeadm --jo", ["--join"]),
    ],
)
def test_the_last_word_is_completed(tmp_path: Path, line: str, offered: list[str]) -> None:
    assert _complete(tmp_path, line) == offered


@pytest.mark.parametrize("line", ["podwright serve --config pod", "podwright image import pod"])
def test_files_are_left_to_bash(tmp_path: Path, line: str) -> None:
    assert _complete(tmp_path, line) == []
    assert "complete -o default " in bash()
