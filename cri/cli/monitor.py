"""``podwright monitor upgrade``: the running monitor executes this installation's release in place."""

import argparse
import asyncio
import os
from pathlib import Path

from cri.cli.arguments import load_configuration
from cri.cli.output import show
from oci.monitor import launch, protocol
from oci.monitor.connection import Connection
from oci.monitor.types import MonitorFailed

QUIET_S = 10.0
TIMEOUT_S = 60.0


def run(arguments: argparse.Namespace) -> int:
    """Upgrade it and print from what to what.

    Raises:
        MonitorUnavailable: none runs, or it died of that.
        MonitorFailed: it cannot be replaced, or not now.
    """
    done = asyncio.run(upgrade(load_configuration(arguments).config.runroot))
    line = f"monitor {done['pid']}: release {done['before']} has become {done['release']}"
    show(arguments.output, done, [line])
    return 0


async def upgrade(directory: Path) -> dict[str, object]:
    """Have the monitor of ``directory`` replaced; its pid, and the release before and now."""
    sock, _ = await launch.connect(directory, start=False)
    connection = Connection(sock, lambda _: None, lambda: None)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            hello = await connection.request(protocol.Hello(protocol.VERSION, events=False))
            _close(hello.descriptors)
            if "upgrade" not in _abilities(hello.result):
                raise MonitorFailed(
                    "the running monitor is too old for that; restart the daemon, which replaces it"
                )
            wanted = protocol.Upgrade(launch.command(directory), QUIET_S)
            after = await connection.request(wanted)
            _close(after.descriptors)
    finally:
        connection.close()
    before, now = hello.result.get("release"), after.result.get("release")
    return {"pid": after.result.get("pid"), "before": before, "release": now}


def _abilities(hello: protocol.Json) -> list[object]:
    found = hello.get("abilities")
    return found if isinstance(found, list) else []


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
