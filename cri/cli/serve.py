"""``podwright serve``: run the daemon until it is told to end."""

import argparse
import asyncio
import logging
import os

from cri.cli.arguments import load_configuration
from cri.cli.privilege import require_root
from cri.logs import set_up
from cri.version import VERSION
from host.memory import share_arenas
from host.spawn import keep_to_itself

_ARENAS = 2  # the event loop's, and one for all other threads: few of them work at once


def run(arguments: argparse.Namespace) -> int:
    """Read the configuration, log its warnings and serve; returns the exit code."""
    require_root("serve", "start it by its unit, or with sudo")
    loaded = load_configuration(arguments)
    runtime = loaded.config.runtime
    set_up(runtime.log_level, runtime.log_format, runtime.log_filter)
    read = ", ".join(map(str, loaded.files)) or "no configuration file"
    logging.getLogger(__name__).info("Podwright %s starts; it has read %s", VERSION, read)
    for warning in loaded.warnings:
        logging.getLogger(__name__).warning(warning)
    # gRPC reads this when it is imported: the daemon never forks, so it need not prepare for it.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    keep_to_itself()
    share_arenas(_ARENAS)
    from cri.daemon import serve

    asyncio.run(serve(loaded.config, lambda: load_configuration(arguments)))
    return 0
