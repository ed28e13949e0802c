"""Entry of the ``podwright`` command: parse, dispatch, and turn errors into one line and an exit code.

Exit codes: 0 done, 1 it failed (the reason is on standard error), 2 wrong usage, 130 interrupted.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from api.errors import PodwrightError
from conf.load import BadConfiguration
from cri.cli.arguments import parse
from cri.cli.output import reason, warn
from host.private import PRIVATE_UMASK

EXIT_FAILED = 1
# Commands by the names that CRI-O has for them.
ALIASES = {"complete": "completion"}
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; wrong usage leaves by SystemExit(2) as argparse does.

    Subcommands are imported when they are called, so that ``podwright version`` starts without gRPC.
    """
    arguments = parse(argv)
    own = os.umask(PRIVATE_UMASK)
    try:
        return _run(arguments)
    finally:
        os.umask(own)


def _run(arguments: argparse.Namespace) -> int:
    name = ALIASES.get(arguments.command, arguments.command)
    command = import_module(f"cri.cli.{name.replace('-', '_')}")
    try:
        status = int(command.run(arguments))
        sys.stdout.flush()
        return status
    except BadConfiguration as error:
        return _fail("the configuration is wrong:", *error.problems)
    except PodwrightError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader has gone, as in "podwright config | head": nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        return _fail(reason(error))
    except Exception:
        # A bug; its last words may be a stranger's, so they do not go to the terminal as they are.
        for line in traceback.format_exc().splitlines():
            warn(line)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _fail(text: str, *details: str) -> int:
    warn(f"podwright: {text}")
    for line in details:
        warn(f"  {line}")
    return EXIT_FAILED
