"""crictl exec -it and attach -it, as someone at a terminal uses them, over both transports."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.critest.toolchain import ensure_tool
from tests.harness.client import Client, eventually
from tests.harness.daemon import Daemon
from tests.integration.streaming.pods.conftest import Pods
from tests.integration.streaming.pods.observe import inside
from tests.integration.streaming.pods.remote import TRANSPORTS
from tests.integration.streaming.pods.terminal import Terminal

pytestmark = pytest.mark.root

WIDTH, HEIGHT = 100, 30
WATCH = ("sh", "-c", "while sleep 0.1; do busybox stty size; done")
# Detaching is the client's doing: it closes the connection.
DETACH = ("C-p", "C-q")
Open = Callable[..., Terminal]


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def crictl() -> Path:
    return ensure_tool("crictl")


@pytest.fixture
def open_terminal(pods: Pods, daemon: Daemon, crictl: Path, transport: str, tmp_path: Path) -> Iterator[Open]:
    """``open_terminal("exec", "-it", …)``: crictl in a terminal."""
    environment = {
        "PATH": os.environ["PATH"],
        "TERM": "xterm",
        "LANG": "C.UTF-8",
        "CONTAINER_RUNTIME_ENDPOINT": daemon.endpoint,
        "IMAGE_SERVICE_ENDPOINT": daemon.endpoint,
    }

    with ExitStack() as stack:

        def opened(verb: str, *arguments: str) -> Terminal:
            argv = [str(crictl), "--timeout", "30s", verb, "--transport", transport, *arguments]
            directory = Path(tempfile.mkdtemp(dir=tmp_path))
            return stack.enter_context(Terminal(directory, argv, width=WIDTH, height=HEIGHT, env=environment))

        yield opened


def ended(terminal: Terminal) -> str:
    """The screen once crictl has ended, lines without indentation, which a raw terminal gives them.

    crictl's own exit code is 1 whenever the command's is not 0.
    """
    screen = terminal.until(lambda seen: "code=" in seen, "crictl has ended")
    return "\n".join(line.strip() for line in screen.splitlines())


def follows_the_window(terminal: Terminal) -> None:
    """In the terminal runs WATCH."""
    terminal.until_shown(f"{HEIGHT} {WIDTH}")
    for height, width in ((23, 91), (50, 132)):
        terminal.resize(width, height)
        terminal.until_shown(f"{height} {width}")


def test_exec_follows_the_window(pods: Pods, open_terminal: Open) -> None:
    follows_the_window(open_terminal("exec", "-it", pods.run().container, *WATCH))


def test_the_exit_code_arrives(pods: Pods, open_terminal: Open) -> None:
    terminal = open_terminal("exec", "-it", pods.run().container, "sh")
    terminal.type("exit 42")
    assert "command terminated with exit code 42" in ended(terminal)


def test_exec_without_a_failure_ends_well(pods: Pods, open_terminal: Open) -> None:
    terminal = open_terminal("exec", "-it", pods.run().container, "busybox", "tty")
    assert "\ncode=0" in ended(terminal)
    assert "/dev/pts/0" in terminal.screen()


def test_control_c_interrupts_and_control_d_ends(pods: Pods, open_terminal: Open) -> None:
    terminal = open_terminal("exec", "-it", pods.run().container, "sh")
    # Who prints has the terminal already, so that the signal does not meet the shell alone.
    terminal.type("sh -c 'echo begin $((1+1)); exec sleep 1000'")
    terminal.until_shown("begin 2")
    terminal.press("C-c")
    terminal.type("echo code of sleep: $?")
    terminal.until_shown("code of sleep: 130")
    terminal.type("(exit 9)")
    terminal.until_prompt_after("(exit 9)")
    terminal.press("C-d")
    assert "command terminated with exit code 9" in ended(terminal)


def test_control_c_ends_a_command_with_its_signal(pods: Pods, open_terminal: Open) -> None:
    terminal = open_terminal("exec", "-it", pods.run().container, "sh", "-c", "echo ready; exec sleep 1000")
    terminal.until_shown("ready")
    terminal.press("C-c")
    assert "command terminated with exit code 130" in ended(terminal)


def test_full_screens_pass_unharmed(pods: Pods, open_terminal: Open) -> None:
    terminal = open_terminal(
        "exec", "-it", pods.run().container, "sh", "-c", "busybox seq 200000; echo ü end"
    )
    assert "199999\n200000\nü end\ncode=0" in ended(terminal)


def test_detaching_from_exec_ends_its_input_alone(pods: Pods, open_terminal: Open, client: Client) -> None:
    """What a program has typed into a terminal of its own must not be lost with its end."""
    pod = pods.run()
    script = "echo ready; while ! [ -e /tmp/go ]; do sleep 0.1; done; echo over"
    terminal = open_terminal("exec", "-it", pod.container, "sh", "-c", script)
    terminal.until_shown("ready")
    terminal.press(*DETACH)
    assert client.exec(pod.container, "sh", "-c", "echo > /tmp/go").exit_code == 0
    assert "\nover\ncode=0" in ended(terminal)


def test_a_closed_window_hangs_the_command_up(pods: Pods, open_terminal: Open) -> None:
    pod = pods.run()
    terminal = open_terminal("exec", "-it", pod.container, "sh")
    terminal.type("echo here $((1+1)); sleep 1000")
    terminal.until_shown("here 2")
    assert len(inside(pod.container)) == 3
    terminal.close()
    eventually(lambda: inside(pod.container), lambda found: len(found) == 1, "the shell has ended")


def test_attach_follows_the_window(pods: Pods, open_terminal: Open) -> None:
    pod = pods.run(*WATCH, stdin=True, tty=True)
    follows_the_window(open_terminal("attach", "-it", pod.container))


def test_attach_passes_control_c_and_control_d(pods: Pods, open_terminal: Open, client: Client) -> None:
    pod = pods.run("sh", stdin=True, tty=True)
    terminal = open_terminal("attach", "-it", pod.container)
    # Who prints has the terminal already, so that the signal does not meet the shell alone.
    terminal.type("sh -c 'echo begin $((1+1)); exec sleep 1000'")
    terminal.until_shown("begin 2")
    terminal.press("C-c")
    terminal.type("echo code of sleep: $?")
    terminal.until_shown("code of sleep: 130")
    terminal.type("(exit 9)")
    terminal.until_prompt_after("(exit 9)")
    terminal.press("C-d")
    ended(terminal)
    assert client.wait_exited(pod.container).exit_code == 9


def test_detaching_from_a_container_lets_it_run_and_come_back(
    pods: Pods, open_terminal: Open, client: Client
) -> None:
    pod = pods.run("sh", stdin=True, tty=True)
    first = open_terminal("attach", "-it", pod.container)
    first.type("kept=yes; echo kept $((1+1))")
    first.until_shown("kept 2")
    first.press(*DETACH)
    ended(first)
    assert client.container(pod.container).state == pb.CONTAINER_RUNNING
    second = open_terminal("attach", "-it", pod.container)
    second.type("echo still $kept")
    second.until_shown("still yes")
    second.type("exit 5")
    ended(second)
    assert client.wait_exited(pod.container).exit_code == 5


def test_two_terminals_on_one_container_see_the_same(pods: Pods, open_terminal: Open) -> None:
    script = "(while sleep 0.1; do echo tick; done) & while read -r line; do echo said $line; done"
    pod = pods.run("sh", "-c", script, stdin=True, tty=True)
    terminals = [open_terminal("attach", "-it", pod.container) for _ in range(2)]
    for terminal in terminals:
        terminal.until_shown("tick")
    for word, terminal in zip(("one", "two"), terminals, strict=True):
        terminal.type(word)
        for each in terminals:
            each.until_shown(f"said {word}")
