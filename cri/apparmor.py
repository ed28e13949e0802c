"""AppArmor: the built-in profile is loaded where it is needed, and profiles that are not there are named."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.errors import FailedPrecondition, InvalidArgument, PodwrightError
from conf.apparmor import BUILT_IN, default_profile
from host.apparmor import SECURITYFS, loaded_profiles
from host.processes import run

logger = logging.getLogger(__name__)

PARSER = "apparmor_parser"
PARSER_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
PARSER_TIMEOUT_S = 30.0


class ProfileNotLoaded(InvalidArgument):
    """The request names an AppArmor profile that the kernel does not have."""


class DefaultProfileNotLoaded(FailedPrecondition):
    """The configured default profile is not in the kernel."""


async def load_default(name: str, *, securityfs: Path = SECURITYFS, parser: str = PARSER) -> None:
    """Load the built-in profile under ``name`` unless it is there; other names are the administrator's.

    Call it on hosts with AppArmor only. A failure is logged: containers that need the profile will say so.
    """
    if name not in BUILT_IN or name in (loaded_profiles(securityfs) or ()):
        return
    argv = [shutil.which(parser, path=PARSER_PATH) or parser, "--replace", "--skip-cache"]
    try:
        done = await run(argv, stdin=default_profile(name).encode(), timeout_s=PARSER_TIMEOUT_S)
    except PodwrightError as error:
        logger.error("AppArmor profile %s is not loaded: %s: %s; install apparmor", name, parser, error)
        return
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()
        logger.error("AppArmor profile %s is not loaded: %s: %s", name, parser, words)
        return
    logger.info("AppArmor profile %s loaded", name)


def require_loaded(document: Mapping[str, Any], default: str, *, securityfs: Path = SECURITYFS) -> None:
    """Refuse a runtime-spec document whose AppArmor profile the kernel lacks.

    The runtime would fail later and say less. Where the profiles cannot be read, it must.

    Raises:
        ProfileNotLoaded: it is one of the request's. DefaultProfileNotLoaded: it is the configured one.
    """
    name = document["process"].get("apparmorProfile")
    if not name:
        return
    loaded = loaded_profiles(securityfs)
    if loaded is None or name in loaded:
        return
    if name == default:
        raise DefaultProfileNotLoaded(
            f"apparmor_profile {name!r} of the configuration is not loaded: load it with apparmor_parser, "
            "or set apparmor_profile to another one or to unconfined"
        )
    raise ProfileNotLoaded(
        f"apparmor.localhost_ref {name!r} is not loaded on this node: load it with apparmor_parser"
    )
