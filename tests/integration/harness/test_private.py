"""The private namespaces that tests run in, and the registry in them."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness import private
from tests.harness.cache import PROJECT
from tests.harness.images import MANIFEST_TYPE, Entry, Image, Layer, digest_of
from tests.harness.registry import Registry, RegistryFailed

pytestmark = pytest.mark.root


def inside(argv: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    """Run ``argv`` in new private namespaces, also when this test runs in some already."""
    monkeypatch.delenv(private.INSIDE, raising=False)
    line = private.command_line(argv)
    return subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)


def test_inside_there_is_one_link_and_it_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    done = inside(["ip", "-json", "link", "show"], monkeypatch)
    [link] = json.loads(done.stdout[done.stdout.index("[") :])
    assert link["ifname"] == "lo"
    assert "UP" in link["flags"]


def test_a_mount_made_inside_stays_inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = inside(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], monkeypatch)
    assert done.returncode == 0, done.stderr
    assert not os.path.ismount(tmp_path)


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_exit_code_comes_out(monkeypatch: pytest.MonkeyPatch, script: str, code: int) -> None:
    assert inside(["sh", "-c", script], monkeypatch).returncode == code


def test_what_still_runs_when_the_command_ends_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    # The reader of the pipe sees its end only when the last holder, the orphan, is gone.
    done = inside(["sh", "-c", "setsid sleep 600 & echo started"], monkeypatch)
    assert done.stdout.endswith("started\n")


def test_inside_the_private_namespaces_nothing_is_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(private.INSIDE, "1")
    assert private.command_line(["true"]) == ["true"]


def test_what_is_pushed_is_served(tmp_path: Path) -> None:
    image = Image([Layer.of([Entry("file", b"x")])])
    with Registry(tmp_path) as registry:
        digest = registry.push(image, "registry.k8s.io/a/b:1")
        path = "/v2/registry.k8s.io/a/b/manifests/1"
        status, headers, body = registry.request("GET", path, headers={"Accept": MANIFEST_TYPE})
    assert status == 200
    assert headers["docker-content-digest"] == digest == digest_of(body)


def test_a_read_only_registry_refuses_pushes(tmp_path: Path) -> None:
    with Registry(tmp_path, readonly=True) as registry, pytest.raises(RegistryFailed, match="answered 405"):
        registry.push_blob("a/b", b"x")
