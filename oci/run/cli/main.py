"""podwright-oci, the program: global options, the verb, and what is said when it fails."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from api.errors import PodwrightError
from oci.run.cli import commands
from oci.run.cli.words import Option, Usage, Words, parse
from oci.run.errors import StepFailed
from oci.run.verbs.settings import Settings
from oci.run.words import explain

_GLOBAL = (
    Option(("root",)),
    Option(("log",)),
    Option(("log-format",)),
    Option(("log-level",)),
    Option(("debug",), takes=False),
    Option(("systemd-cgroup",), takes=False),
    Option(("cgroup-manager",)),
    Option(("rootless",)),
    Option(("criu",)),
    Option(("version", "v"), takes=False),
    Option(("help", "h"), takes=False),
)
_FAILED = 1
_EXEC_FAILED = 255
_PRIVATE_UMASK = 0o077


class Log(NamedTuple):
    """Where a failure is written besides standard error, and how; not ``aloud``: to the file alone."""

    path: str
    as_json: bool
    aloud: bool = True

    def error(self, message: str) -> None:
        """One line; without a file it is said on standard error only."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.as_json:
            line = json.dumps({"level": "error", "msg": message, "time": stamp})
        else:
            line = f"time={json.dumps(stamp)} level=error msg={json.dumps(message)}"
        if self.path:
            try:
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(line + "\n")
            except OSError as error:
                if self.aloud:
                    sys.stderr.write(f"cannot write {self.path}: {error.strerror}\n")
            line = message
        if self.aloud:
            sys.stderr.write(line + "\n")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command; the process's exit code is its own, 1, or 255 after a failed exec."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    log = Log("", as_json=False)
    try:
        given = parse(words, _GLOBAL, mixed=False)
    except PodwrightError as error:
        log.error(str(error))
        _leave(_FAILED)
    log = Log(_log_path(given.text("log")), given.text("log-format", "text") == "json")
    verb, *rest = given.rest or [""]
    _leave(attempt(verb, log, lambda: _run(given, verb, rest)))


def _run(given: Words, verb: str, rest: list[str]) -> int:
    if given.has("version"):
        commands.print_version()
        return 0
    if given.has("help") or not verb:
        commands.print_help()
        return 0
    return _command(verb)(_settings(given), rest)


def attempt(verb: str, log: Log, run: Callable[[], int]) -> int:
    """The exit code of a verb that ``run`` carries out; a failure is told to ``log``."""
    try:
        return run()
    except StepFailed as error:
        log.error(f"podwright-oci {verb} failed: {error}" if verb in ("create", "run") else str(error))
    except PodwrightError as error:
        log.error(str(error))
    except OSError as error:
        log.error(f"{verb}: {explain(error)}")
    return _EXEC_FAILED if verb == "exec" else _FAILED


def _leave(code: int) -> NoReturn:
    """End at once: there is nothing to tidy, and an interpreter takes milliseconds over it."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _log_path(text: str) -> str:
    return text.removeprefix("file:")


def _settings(given: Words) -> Settings:
    root = given.text("root") or _default_root()
    systemd = given.has("systemd-cgroup") or given.text("cgroup-manager") == "systemd"
    os.umask(_PRIVATE_UMASK)
    return Settings(os.path.abspath(root), systemd)


def _default_root() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() != 0 and runtime:
        return os.path.join(runtime, "podwright-oci")
    return "/run/podwright-oci"


def _command(verb: str) -> Callable[[Settings, list[str]], int]:
    found = commands.COMMANDS.get(verb)
    if found is None:
        raise Usage(f"No help topic for '{verb}'")
    return found


if __name__ == "__main__":
    main()
