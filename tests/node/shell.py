"""Run a script in a fresh guest.

    python -m tests.node.shell [--memory MB] [--timeout S] [--add HOST:GUEST]… [--results DIR] SCRIPT

SCRIPT (a file, or - for standard input) is run by bash as root in /srv/podwright, where the files of the
checkout are, beside a .venv like the developer's. Its output is shown as it comes, its exit code is ours, and
what it leaves in $RESULTS is brought back into DIR. crictl, critest, ginkgo and kubelet are on its PATH.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.critest.toolchain import ToolchainFailed
from tests.harness.debian import PackagesUnavailable
from tests.harness.registry import RegistryFailed
from tests.node.chroot import ChrootFailed
from tests.node.image import ImageFailed, image
from tests.node.machine import GuestFailed, Machine, show_on_stdout

TIMEOUT_S = 1800


def addition(text: str) -> tuple[Path, Path]:
    """Read ``HOST:GUEST``; both exist or are absolute."""
    source, colon, place = text.partition(":")
    if not colon or not Path(place).is_absolute() or not Path(source).exists():
        raise argparse.ArgumentTypeError(
            f"{text!r}: an existing path, a colon, an absolute path in the guest"
        )
    return Path(source), Path(place)


def parser() -> argparse.ArgumentParser:
    reader = argparse.ArgumentParser(
        prog="python -m tests.node.shell", description="Run a script in a guest."
    )
    reader.add_argument("--memory", type=int, default=2048, metavar="MB", help="of the guest (%(default)s)")
    reader.add_argument(
        "--timeout", type=float, default=TIMEOUT_S, metavar="S", help="for all of it (%(default)s)"
    )
    reader.add_argument(
        "--add",
        type=addition,
        action="append",
        default=[],
        metavar="HOST:GUEST",
        help="lay a copy there",
    )
    reader.add_argument("--results", type=Path, metavar="DIR", help="where the contents of $RESULTS go")
    reader.add_argument("script", metavar="SCRIPT", help="for bash; - reads standard input")
    return reader


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    script = sys.stdin.read() if options.script == "-" else Path(options.script).read_text()
    # As Ctrl-C: the guest and its files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with Machine(image(), memory_mb=options.memory) as machine:
            outcome = machine.boot(
                script,
                timeout_s=options.timeout,
                additions=dict(options.add),
                results=options.results,
                show=show_on_stdout,
            )
    except (
        GuestFailed,
        ImageFailed,
        ChrootFailed,
        ToolchainFailed,
        PackagesUnavailable,
        RegistryFailed,
    ) as error:
        print(error, file=sys.stderr)
        return 125
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return outcome.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
