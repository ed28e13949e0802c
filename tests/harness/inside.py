"""podwright-oci for tests, but create and exec go as they do inside the monitor: by a zygote and a worker
(oci/inside), with the monitor's own parts. Other commands are the program's.

An exec that is not detached is waited for here. Run as ``python -m tests.harness.inside``.
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from host.spawn import become_subreaper, exit_code_of
from oci.monitor.children import Children
from oci.monitor.commands import Commands, Programs, Result, Task
from oci.monitor.inside import Inside
from oci.monitor.reactor import Reactor
from oci.orders import Create, Exec, Files, Order
from oci.orders import Inside as Wish
from oci.run.cli import commands, process_file
from oci.run.cli.main import main as run_program
from oci.run.cli.words import Option, parse
from oci.run.verbs.settings import Settings

_GLOBAL = (Option(("root",)),)
_TIMEOUT_S = 120.0


def main() -> None:
    given = parse(sys.argv[1:], _GLOBAL, mixed=False)
    verb, *rest = given.rest
    if verb not in ("create", "exec"):
        run_program()
    become_subreaper()
    with tempfile.TemporaryDirectory(prefix="pw-inside-") as directory:
        root = given.text("root")
        sys.exit(_create(root, rest, directory) if verb == "create" else _exec(root, rest, directory))


def _create(root: str, words: list[str], directory: str) -> int:
    given = parse(words, commands._CREATE)
    pid_file = given.text("pid-file") or f"{directory}/pid"
    order = Create(given.rest[0], str(Path(given.text("bundle")).absolute()), given.has("no-pivot"))
    code, _ = _launch(root, order, Files(f"{directory}/log", pid_file, given.text("console-socket")))
    return code


def _exec(root: str, words: list[str], directory: str) -> int:
    given = parse(words, process_file._OPTIONS, mixed=False)
    document = process_file._document(Settings(root), given)
    process = Path(directory) / "process.json"
    process.write_text(json.dumps(dict(document)))
    pid_file = given.text("pid-file") or f"{directory}/pid"
    files = Files(f"{directory}/log", pid_file, given.text("console-socket"), str(process))
    code, ends = _launch(root, Exec(given.rest[0]), files, None if given.has("detach") else pid_file)
    return code or ends


def _launch(root: str, order: Order, files: Files, wait_for: str | None = None) -> tuple[int, int]:
    """The worker's exit code, and that of the process that it made if that is to be waited for."""
    reactor = Reactor()
    children = Children(reactor)
    inside = Inside(reactor, children, os.environ)
    running = Commands(reactor, children, Programs(os.environ), inside)
    results: list[Result] = []
    ends: list[int] = []

    def ended(result: Result, since: float) -> None:
        results.append(result)
        if result.status == 0 and wait_for is not None:
            pid = int(Path(wait_for).read_text())
            children.watch(pid, since, lambda status: ends.append(exit_code_of(status)))

    wish = Wish(order, files, str(Path(root).absolute()), systemd=False).encode()
    argv = ["podwright-oci", f"--root={root}", order.id]
    running.run(Task(argv, files.log, _TIMEOUT_S, wish), [0, 1, 2], errors=None, on_end=ended)
    while not results or (results[0].status == 0 and wait_for is not None and not ends):
        reactor.turn()
    signal.set_wakeup_fd(-1)
    if results[0].status:
        sys.stderr.write(results[0].log + results[0].stderr)
    return results[0].status, ends[0] if ends else 0


if __name__ == "__main__":
    main()
