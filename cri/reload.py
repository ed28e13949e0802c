"""SIGHUP: the configuration is read and checked again; what may change takes effect, all of it or nothing."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from conf.load import Loaded
from conf.reload import Reloaded, merge
from cri import apparmor
from cri.defaults import handler_defaults
from cri.handlers import Handlers
from cri.image_options import image_options
from cri.logs import set_filter, set_level
from cri.node import Node

logger = logging.getLogger(__name__)

Reread = Callable[[], Loaded]
# What is listed as in trouble while a configured seccomp profile cannot be read.
PROFILES = "seccomp profile"


async def watch(node: Node, requested: asyncio.Event, reread: Reread) -> None:
    """Reload whenever ``requested`` is set, for ever; what cannot be used changes nothing."""
    while True:
        await requested.wait()
        requested.clear()
        try:
            await reload(node, reread)
        except Exception as error:
            logger.error("reload refused, the configuration stays as it is: %s", error)


async def reload(node: Node, reread: Reread) -> Reloaded:
    """Read the configuration again and put what may change into effect.

    Raises:
        BadConfiguration, BadSeccompProfile, HandlersLost, OSError: nothing has changed.
    """
    loaded = await asyncio.to_thread(reread)
    reloaded = merge(node.config, loaded.config)
    config = reloaded.config
    handlers = Handlers.find(config, node.paths.runtimes, node.cgroup_driver.name)
    handlers.require_those_of(node.handlers)
    await handlers.probe()
    if node.host.apparmor:
        await apparmor.load_default(config.runtime.apparmor_profile)
    defaults = await asyncio.to_thread(handler_defaults, config, handlers.default)
    # Nothing from here on can fail or wait: a request sees all of the old or all of the new.
    node.config, node.handlers, node.defaults = config, handlers, defaults
    node.background.clear(PROFILES)
    _probe_again(node)
    node.images.reconfigure(image_options(config))
    set_level(config.runtime.log_level)
    set_filter(config.runtime.log_filter)
    node.streaming.set_log_level(config.runtime.log_level)
    _tell(loaded, reloaded)
    return reloaded


def _probe_again(node: Node) -> None:
    """Those that did not answer are asked until they do; of former ones nobody wants to know any more."""
    handlers = node.handlers
    for name in handlers.names():
        node.background.cancel(f"handler {name}")
    for name in handlers.unusable():
        node.background.until_done(f"handler {name}", partial(handlers.probe_one, name))


def _tell(loaded: Loaded, reloaded: Reloaded) -> None:
    for warning in loaded.warnings:
        logger.warning(warning)
    logger.info("reloaded changed=%s", ",".join(reloaded.applied) or "nothing")
    if reloaded.waiting:
        logger.warning("a restart is needed for changed=%s", ",".join(reloaded.waiting))
