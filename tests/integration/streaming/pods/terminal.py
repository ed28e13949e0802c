"""A terminal that a test types into and reads: tmux, on a socket of its own."""

import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.client import eventually

COMMAND_TIMEOUT_S = 20


class Terminal:
    """``with Terminal(directory, argv) as terminal``: runs a command and then shows ``code=<exit code>``."""

    def __init__(
        self, directory: Path, argv: Sequence[str], *, width: int, height: int, env: Mapping[str, str]
    ) -> None:
        self._socket = directory / "tmux"
        script = f"{shlex.join(argv)}; echo code=$?; exec sleep 1000000"
        self._start = ["new-session", "-d", "-x", str(width), "-y", str(height), "sh", "-c", script]
        self._env = env

    def __enter__(self) -> Self:
        self._tmux(*self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the window, which hangs up what runs in it. Idempotent."""
        with suppress(subprocess.CalledProcessError):  # closed before
            self._tmux("kill-server")

    def type(self, text: str) -> None:
        """Type a line and Enter."""
        self._tmux("send-keys", "-l", text)
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: ``C-c``, ``Enter``."""
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size in characters."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self) -> str:
        """What is to be seen, wrapped lines joined."""
        return self._tmux("capture-pane", "-p", "-J")

    def until(self, right: Callable[[str], bool], what: str) -> str:
        """Wait for a screen that is right, and return it."""
        return eventually(self.screen, right, what, COMMAND_TIMEOUT_S)

    def until_shown(self, line: str) -> str:
        """Wait for a line that is this and nothing else."""
        return self.until(lambda screen: line in map(str.strip, screen.splitlines()), f"shows {line!r}")

    def until_prompt_after(self, command: str) -> str:
        """Wait until a shell has run ``command`` and prompts again.

        Only then does a lone key mean what it says: a shell that edits lines drops what was typed while it
        changed the terminal's mode.
        """

        def prompts(screen: str) -> bool:
            lines = [line.strip() for line in screen.splitlines() if line.strip()]
            return len(lines) > 1 and lines[-2].endswith(command) and lines[-1].endswith("#")

        return self.until(prompts, f"prompts after {command!r}")

    def _tmux(self, *arguments: str) -> str:
        argv = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=True, env=dict(self._env)
        )
        return done.stdout
