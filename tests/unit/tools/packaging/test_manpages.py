import subprocess
from datetime import date
from pathlib import Path

import pytest

from conf.reference import reference
from cri.cli.arguments import parser
from cri.cli.grammar import commands
from tools.packaging.manpages import pages

NAMES = ("podwright.8", "podwright.conf.5", "podwright-monitor.8", "podwright-oci.8", "podwright-streaming.8")
TIMEOUT_S = 30


def _rendered(tmp_path: Path, name: str) -> str:
    """The page as its reader sees it, without bold and underlined signs and without hyphenation."""
    source = tmp_path / name
    source.write_text(pages(date(2026, 1, 2))[name])
    command = ["groff", "-ww", "-man", "-Tascii", "-P-c", "-P-bou", "-rHY=0", "-rLL=400n", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert done.stderr == ""
    return done.stdout


def test_these_are_the_pages() -> None:
    assert set(pages(date(2026, 1, 2))) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_groff_renders_a_page_without_a_warning(tmp_path: Path, name: str) -> None:
    assert "2026-01-02" in _rendered(tmp_path, name)


@pytest.mark.parametrize("name", NAMES)
def test_mandoc_finds_no_fault_in_a_page(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(pages(date(2026, 1, 2))[name])
    command = ["mandoc", "-T", "lint", "-W", "warning", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_every_option_is_in_the_page_with_its_default(tmp_path: Path) -> None:
    text = _rendered(tmp_path, "podwright.conf.5")
    for table in reference():
        assert f"[{table.name}]" in text
        for option in table.options:
            assert f"{option.key} ({option.kind})" in text
            assert f"Default: {option.default}" in text


def test_values_stand_in_the_page_as_they_are_typed(tmp_path: Path) -> None:
    text = _rendered(tmp_path, "podwright.8")
    assert "podwright node-config {kubeadm|kubelet|kind|minikube|crictl}" in text
    assert "--discovery-token-ca-cert-hash sha256:HASH" in text


def test_every_command_is_in_the_page_with_its_options(tmp_path: Path) -> None:
    text = _rendered(tmp_path, "podwright.8")
    for command in commands(parser()):
        assert f"podwright {' '.join(command.words)}" in text
        assert all(name in text for argument in (*command.own, *command.common) for name in argument.names)
