"""``podwright status`` against somebody who answers as the daemon does, or not at all."""

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cri.cli import main

ID = "c" * 64
CONTAINER = {
    "id": ID,
    "name": "k8s_main",
    "state": "running",
    "pid": 7,
    "image": "app:1\x1b[31m",
    "labels": {"app": "web"},
    "ip_addresses": ["10.0.0.2", "fd00::2"],
}
MAPPING = {"container_id": 0, "host_id": 0, "size": 9}
INFO = {"version": "1", "pid": 5, "default_id_mappings": {"uids": [MAPPING]}}


class Answers(http.server.BaseHTTPRequestHandler):
    """By path, and what was asked."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        found: dict[str, Any] = {
            "/info": INFO,
            "/containers": {"containers": [CONTAINER]},
            f"/containers/{ID}": CONTAINER,
            "/config.json": {"crio": {"root": "/r"}},
        }
        texts = {
            "/config": '[crio]\nroot = "/r"\n',
            "/debug/tasks": "task one:\n",
            f"/pause/{ID}": "200 OK\n",
        }
        if self.path in found:
            self._send(200, json.dumps(found[self.path]))
        elif self.path in texts:
            self._send(200, texts[self.path])
        else:
            self._send(404, "can't find it\n")

    def do_POST(self) -> None:
        self.do_GET()

    def _send(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def address_string(self) -> str:
        return ""

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    Answers.asked.clear()
    with socketserver.UnixStreamServer(str(tmp_path / "s"), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield str(tmp_path / "s")
        server.shutdown()
        thread.join()


def run(daemon: str, *words: str) -> int:
    return main(["status", *words, "--socket", daemon, "--config", "/dev/null"])


@pytest.mark.parametrize("action", ["info", "i"])
def test_info_for_people_and_programs(daemon: str, capsys: pytest.CaptureFixture[str], action: str) -> None:
    assert run(daemon, action) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"version: 1", "process: 5", "  0:0:9"} <= set(lines)
    assert run(daemon, action, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == INFO


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (("config",), '[crio]\nroot = "/r"\n'),
        (("c", "-o", "yaml"), "crio:\n  root: /r\n"),
        (("containers", "-q"), f"{ID}\n"),
        (("tasks",), "task one:\n"),
    ],
)
def test_other_actions(
    daemon: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], printed: str
) -> None:
    assert run(daemon, *words) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("action", ["containers", "container", "cs", "s"])
def test_containers_in_a_table_and_one_in_full(
    daemon: str, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    assert run(daemon, action) == 0
    heads, row = capsys.readouterr().out.splitlines()
    assert heads.split() == ["CONTAINER", "STATE", "PID", "IMAGE", "NAME"]
    assert row.split() == [ID[:13], "running", "7", "app:1\\x1b[31m", "k8s_main"]
    assert run(daemon, action, "--id", ID) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"pid: 7", "  app: web", "ip addresses: 10.0.0.2, fd00::2"} <= set(lines)


def test_an_id_is_a_part_of_a_path_and_no_more(daemon: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(daemon, "containers", "--id", "../pause/x?y") == 1
    assert Answers.asked == ["GET /containers/..%2Fpause%2Fx%3Fy"]
    assert capsys.readouterr().err == "podwright: can't find it\n"


def test_pause_changes_by_post(daemon: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(daemon, "pause", ID) == 0
    assert Answers.asked == [f"POST /pause/{ID}"]
    assert capsys.readouterr().out == ""


def test_a_text_goes_to_a_file_for_root_alone(
    daemon: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(daemon, "tasks", "--file", str(tmp_path / "t")) == 0
    assert (tmp_path / "t").read_text() == "task one:\n"
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().out == ""


def test_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "none"), "info") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"podwright: no daemon answers on {tmp_path}/none: No such file or directory; start it"
    )
