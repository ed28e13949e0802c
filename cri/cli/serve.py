"""``podwright serve``: run the daemon until it is told to end."""

import argparse
import asyncio
import logging
import os

from cri.cli.arguments import load_configuration
from cri.cli.privilege import require_root
from cri.logs import set_up
from cri.version import VERSION
from host.spawn import keep_to_itself


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
    from cri.daemon import serve

    asyncio.run(serve(loaded.config, lambda: load_configuration(arguments)))
    return 0
