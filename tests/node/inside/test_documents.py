"""What the documents say to type to systemd and its journal, and to put into places of the system."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client import Client, eventually
from tests.harness.documents import inline_code, typed
from tests.harness.patience import patient
from tests.node.inside.pods import Pods
from tests.node.inside.service import Unit
from tests.unit.conf.crio_defaults import LAST, sample

CONFIGURATION = Path("/etc/podwright")


def bash(line: str, **environment: str) -> str:
    """What the line prints, which must succeed; with its comment, as it is typed."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert done.returncode == 0, f"{line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def one(document: str, begin: str) -> str:
    """The line to type that begins so: set apart, or within the text."""
    lines = [line for _, line in typed(document)] + [code for _, code in inline_code(document)]
    return next(line for line in lines if line.startswith(begin))


def journal() -> str:
    return bash("journalctl -u podwright --no-pager")


@pytest.fixture
def web(pods: Pods) -> str:
    """A container of the pod ``web``."""
    pod = pods.run("web")
    pod.reaches(1)
    return pod.container


def test_the_journal_tells_a_pods_life(web: str) -> None:
    told = bash(one("docs/debugging.md", "journalctl -u podwright | grep"))
    for event in ("pod started", "container created", "container started"):
        assert event in told
    bash(one("docs/debugging.md", "journalctl -u podwright -p warning"))
    assert "pod=web" in bash(f"{one('docs/faq.md', 'journalctl')} --no-pager")


def test_what_is_sent_with_a_report(tmp_path: Path) -> None:
    lines = [line for _, line in typed("docs/debugging.md") if "report.txt" in line]
    bash(f"cd {tmp_path}\nset -e\n" + "\n".join(lines))
    report = (tmp_path / "report.txt").read_text()
    for part in ("podwright", "Pods can run on this host", "nothing is running", "Linux", "crun version"):
        assert part in report


def test_the_daemon_says_where_its_tasks_wait(service: Unit) -> None:
    before = len(journal())
    bash(one("docs/debugging.md", "systemctl kill"))
    eventually(lambda: journal()[before:], lambda text: ": task " in text, "the tasks are told")
    assert "the streaming process has ended" not in journal()[before:]


def test_a_reload_changes_the_level_of_the_log(service: Unit) -> None:
    pid = service.pid
    file = CONFIGURATION / "podwright.conf.d/level.conf"
    file.write_text('[crio.runtime]\nlog_level = "debug"\n')
    try:
        bash(one("docs/debugging.md", "systemctl reload"))
        eventually(
            lambda: journal().splitlines()[-20:],
            lambda lines: any("reload" in line for line in lines),
            "it has read its files again",
        )
    finally:
        file.unlink()
        service.do("reload")
    assert service.pid == pid


def test_cgroups_are_looked_at(web: str, client: Client) -> None:
    page = "docs/cgroups.md"
    shown = bash(one(page, "systemctl show").replace("<id>", web))
    assert re.search(r"^MemoryMax=", shown, re.MULTILINE)
    bash(one(page, "systemd-cgls").replace("/kubepods.slice", "/podwright.slice"))
    assert re.search(r"cgroup driver: +SYSTEMD", bash(one(page, "crictl runtime-config")))


def test_a_proxy_is_set(service: Unit, tmp_path: Path) -> None:
    line, _, comment = one("docs/registries.md", "systemctl edit").partition("#")
    section, _, setting = comment.partition(", then: ")
    typed_text = tmp_path / "typed"
    typed_text.write_text(f"{section.strip()}\n{setting}\n")
    editor = tmp_path / "editor"
    # The file is the last of its arguments.
    script = f'for file; do :; done\ncat {typed_text} "$file" >"$file.new"\nmv "$file.new" "$file"\n'
    editor.write_text(f"#!/bin/sh\nset -e\n{script}")
    editor.chmod(0o755)
    try:
        # An editor wants a terminal; script(1) lends one.
        bash(f"script -qec {shlex.quote(line.strip())} /dev/null", SYSTEMD_EDITOR=str(editor))
        bash(one("docs/registries.md", "systemctl restart"))
        environment = processes.read_bytes(service.pid, "environ").split(b"\0")
        assert b"HTTPS_PROXY=http://proxy.example.com:3128" in environment
        assert b"NO_PROXY=.example.com,10.0.0.0/8" in environment
    finally:
        bash("systemctl revert podwright")
        service.do("restart")


def test_an_authority_is_put_into_its_place(tmp_path: Path) -> None:
    place = Path("/etc/containers/certs.d/registry.example.com:5000")
    subject = "-newkey rsa:2048 -nodes -subj /CN=ca"
    bash(f"openssl req -x509 {subject} -keyout {tmp_path}/ca.key -out {tmp_path}/ca.crt")
    try:
        for begin in ("mkdir -p /etc/containers/certs.d", "cp ca.crt"):
            bash(f"cd {tmp_path} && {one('docs/registries.md', begin)}")
        assert f"certs.d: {place}" in bash("podwright check")
        (place / "ca.crt").write_text("no certificate\n")
        assert f"{place}/ca.crt is no authority" in bash("podwright check")
    finally:
        bash(f"rm -r {place}")


@pytest.fixture
def configuration(service: Unit, tmp_path: Path) -> Iterator[None]:
    """As it was, afterwards."""
    saved = tmp_path / "saved"
    bash(f"cp -a {CONFIGURATION} {saved}")
    yield
    bash(f"rm -r {CONFIGURATION} /etc/crio && cp -a {saved} {CONFIGURATION}")
    service.do("restart")


def test_a_node_of_cri_o_moves_over(service: Unit, configuration: None, client: Client) -> None:
    """Its files as the newest CRI-O prints them, taken along as the page says."""
    page = "docs/moving-over.md"
    crio = Path("/etc/crio")
    (crio / "crio.conf.d").mkdir(parents=True)
    own = re.compile(
        r"^(root|runroot|listen|log_dir) = .*\n", re.MULTILINE
    )  # which the page says to take out
    (crio / "crio.conf").write_text(own.sub("", sample(LAST)))
    patience = f"monitor_timeout_s = {round(patient(30))}"
    (crio / "crio.conf.d/10-crun.conf").write_text(f'[crio.runtime]\ndefault_runtime = "crun"\n{patience}\n')
    for begin in ("cp /etc/crio/crio.conf ", "cp /etc/crio/crio.conf.d"):
        bash(one(page, begin))
    assert 'default_runtime = "crun"' in bash(one(page, "podwright config"))
    assert "Pods can run on this host." in bash(one(page, "systemctl restart podwright && podwright check"))
    eventually(client.not_ready, lambda reason: reason == "", "pods can run")
    for line in ("systemctl disable --now podwright", "systemctl enable --now podwright"):
        bash(line)
    eventually(client.not_ready, lambda reason: reason == "", "pods can run again")
