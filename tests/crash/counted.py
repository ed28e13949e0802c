"""A daemon that tells what its start cost: ``python -m tests.crash.counted REPORT serve …``.

REPORT is written when it serves, before the first request: a JSON object of

    opened        files and directories by path; what differs from one to the next (ids, numbers) is a #
    statements    of SQLite, by their text
    requests      to the monitor, by kind
    cpu_s, s      of processor and of the clock, from the beginning of the program's own work
"""

import json
import re
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cri import listener
from cri.cli import main
from oci.monitor.link import Link

_VARIABLE = re.compile(r"[0-9a-f]{64}|(?<=\.)\w+(?=\.tmp$)|\d+")


class Costs:
    """What has been counted so far."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._begun, self._cpu = time.monotonic(), time.process_time()
        self.opened: Counter[str] = Counter()
        self.statements: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.counts = True

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.counts and event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str):
            self.opened[_VARIABLE.sub("#", arguments[0])] += 1

    def statement(self, text: str) -> None:
        if self.counts:
            self.statements[_VARIABLE.sub("#", text)] += 1

    def tell(self) -> None:
        """The daemon serves: that is all that counts."""
        self.counts = False
        costs = {
            "opened": self.opened,
            "statements": self.statements,
            "requests": self.requests,
            "s": time.monotonic() - self._begun,
            "cpu_s": time.process_time() - self._cpu,
        }
        self._report.write_text(json.dumps(costs))


def put(costs: Costs) -> None:
    """Count in this process from now on, for good."""
    sys.addaudithook(costs.audit)
    _count_statements(costs)
    _count_requests(costs)
    listen = listener.listen

    async def listening(*arguments: Any) -> Any:
        server = await listen(*arguments)
        costs.tell()
        return server

    listener.listen = listening  # type: ignore[assignment]


def _count_statements(costs: Costs) -> None:
    connect = sqlite3.connect

    def connecting(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(costs.statement)
        return connection

    sqlite3.connect = connecting  # type: ignore[assignment]


def _count_requests(costs: Costs) -> None:
    for name in ("request", "request_once"):
        send = getattr(Link, name)

        async def sending(
            link: Link, request: Any, *arguments: Any, _send: Any = send, **options: Any
        ) -> Any:
            costs.requests[type(request).__name__] += 1
            return await _send(link, request, *arguments, **options)

        setattr(Link, name, sending)


if __name__ == "__main__":
    put(Costs(Path(sys.argv[1])))
    sys.exit(main(sys.argv[2:]))
