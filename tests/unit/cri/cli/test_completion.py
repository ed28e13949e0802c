import re
import subprocess
from pathlib import Path

import pytest

from cri.cli import main
from cri.cli.arguments import parser
from cri.cli.completion import _quoted, bash, fish, zsh
from cri.cli.grammar import commands

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
        ("podwright image p", ["pull", "prune"]),
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


def test_a_value_that_is_one_of_few_is_completed(tmp_path: Path) -> None:
    assert _complete(tmp_path, "podwright version --output j") == ["json"]
    assert _complete(tmp_path, "podwright image ls -o ") == ["table", "json", "yaml"]


@pytest.mark.parametrize("script", [zsh(), fish()], ids=["zsh", "fish"])
def test_every_command_and_option_is_in_every_script(script: str) -> None:
    for command in commands(parser()):
        for word in command.words:
            assert re.search(rf"['\s]{word}\b", script), word
        for argument in (*command.own, *command.common):
            for name in argument.names[:1]:
                assert re.search(rf"(?:'|-l |-s ){name.lstrip('-')}\b|'{name}\b", script), name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_the_script(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert main(["complete", shell]) == 0
    assert capsys.readouterr().out == printed
    assert printed.startswith("#")


def test_help_in_quotation_marks_stays_in_them() -> None:
    assert _quoted("CRI-O's \\ own") == "'CRI-O'\\''s \\\\ own'"
