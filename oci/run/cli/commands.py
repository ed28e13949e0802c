"""The commands of podwright-oci: their options, and the verbs that they call."""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from oci.run.cli.words import Option, Usage, Words, parse
from oci.run.verbs.settings import Settings

if TYPE_CHECKING:  # a command imports what it needs when it runs: starting is most of the time of most
    from oci.run.verbs import create

_CREATE = (
    Option(("bundle", "b")),
    Option(("config", "f")),
    Option(("console-socket",)),
    Option(("pidfd-socket",)),
    Option(("pid-file",)),
    Option(("preserve-fds",)),
    Option(("no-pivot",), takes=False),
    Option(("no-new-keyring",), takes=False),
    Option(("dry-run",), takes=False),
)
_RUN = (
    *_CREATE,
    Option(("detach", "d"), takes=False),
    Option(("keep",), takes=False),
    Option(("no-subreaper",), takes=False),
)
_UPDATE = tuple(
    Option((name,))
    for name in (
        *("blkio-weight", "cpu-period", "cpu-quota", "cpu-burst", "cpu-share", "cpu-rt-period"),
        *("cpu-rt-runtime", "cpu-idle", "cpuset-cpus", "cpuset-mems", "memory", "memory-reservation"),
        *(
            "memory-swap",
            "kernel-memory",
            "kernel-memory-tcp",
            "pids-limit",
            "l3-cache-schema",
            "mem-bw-schema",
        ),
    )
)


def _parsed(words: list[str], options: tuple[Option, ...], least: int = 1, most: int = 1) -> Words:
    given = parse(words, options)
    if not least <= len(given.rest) <= most:
        raise Usage(f"{least} to {most} arguments are needed, not {len(given.rest)}")
    return given


def _create_options(given: Words, *, detach: bool) -> "create.Options":
    from oci.run.verbs import create

    return create.Options(
        bundle=given.text("bundle") or ".",
        pid_file=given.text("pid-file"),
        console_socket=given.text("console-socket"),
        pidfd_socket=given.text("pidfd-socket"),
        preserve_fds=given.number("preserve-fds"),
        no_pivot=given.has("no-pivot"),
        no_new_keyring=given.has("no-new-keyring"),
        detach=detach,
    )


def _create(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import create

    given = _parsed(words, _CREATE)
    options = _create_options(given, detach=True)
    if given.has("dry-run"):
        from oci.run.cli import dry_run

        dry_run.show(given.rest[0], options)
        return 0
    create.create(settings, given.rest[0], options)
    return 0


def _run(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import foreground

    given = _parsed(words, _RUN)
    detach = given.has("detach")
    options = _create_options(given, detach=detach)
    subreaper = not given.has("no-subreaper")
    return foreground.run(settings, given.rest[0], options, keep=given.has("keep"), subreaper=subreaper)


def _start(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import control

    control.start(settings, _parsed(words, ()).rest[0])
    return 0


def _kill(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import control

    given = _parsed(words, (Option(("all", "a"), takes=False),), 1, 2)
    number = signal_number(given.rest[1] if len(given.rest) > 1 else "SIGTERM")
    control.kill(settings, given.rest[0], number, everything=given.has("all"))
    return 0


def signal_number(text: str) -> int:
    """``9``, ``KILL``, ``SIGKILL`` or ``RTMIN+3``.

    Raises:
        Usage: there is no such signal.
    """
    if text.isdecimal() and 0 < int(text) < signal.NSIG:
        return int(text)
    name, plus, more = text.upper().removeprefix("SIG").partition("+")
    found = signal.Signals.__members__.get(f"SIG{name}")
    if found is None or (plus and not more.isdecimal()):
        raise Usage(f"unknown signal {text!r}")
    return int(found) + (int(more) if plus else 0)


def _delete(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import control

    given = _parsed(words, (Option(("force", "f"), takes=False),))
    control.delete(settings, given.rest[0], force=given.has("force"))
    return 0


def _exec(settings: Settings, words: list[str]) -> int:
    from oci.run.cli import process_file

    return process_file.execute(settings, words)


def _pause(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import control

    control.pause(settings, _parsed(words, ()).rest[0])
    return 0


def _resume(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import control

    control.resume(settings, _parsed(words, ()).rest[0])
    return 0


def _update(settings: Settings, words: list[str]) -> int:
    from oci.run.cli import resources
    from oci.run.verbs import control

    given = _parsed(words, (Option(("resources", "r")), *_UPDATE))
    control.update(settings, given.rest[0], resources.read(given))
    return 0


def _state(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import listing

    _print(listing.state(settings, _parsed(words, ()).rest[0]))
    return 0


def _list(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import listing

    given = _parsed(words, (Option(("format", "f")), Option(("quiet", "q"), takes=False)), 0, 0)
    found = listing.all_states(settings)
    if given.has("quiet"):
        sys.stdout.writelines(f"{one['id']}\n" for one in found)
    elif given.text("format", "table") == "json":
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(listing.table(found))
    return 0


def _ps(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import listing

    given = parse(words, (Option(("format", "f")),), mixed=False)
    if not given.rest:
        raise Usage("a container id is needed")
    pids = listing.pids(settings, given.rest[0])
    if given.text("format", "table") == "json":
        sys.stdout.write(json.dumps(pids) + "\n")
    else:
        sys.stdout.write(listing.process_table(pids, given.rest[1:]))
    return 0


def _events(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import events

    given = _parsed(words, (Option(("stats",), takes=False), Option(("interval",))))
    events.follow(settings, given.rest[0], given.text("interval", "5s"), once=given.has("stats"))
    return 0


def _spec(settings: Settings, words: list[str]) -> int:
    from oci.run.cli import template

    del settings
    given = _parsed(words, (Option(("bundle", "b")), Option(("rootless",), takes=False)), 0, 0)
    template.write(given.text("bundle") or ".", rootless=given.has("rootless"))
    return 0


def _features(settings: Settings, words: list[str]) -> int:
    from oci.run.verbs import features

    del settings
    _parsed(words, (), 0, 0)
    _print(features.document())
    return 0


def _print(document: object) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_version() -> None:
    """As runc has it; go-runc looks for the second word."""
    from oci.run.verbs import features

    sys.stdout.write(features.version_text())


def print_help() -> None:
    """The verbs."""
    sys.stdout.write("usage: podwright-oci [global options] command [options] [arguments]\n\ncommands:\n")
    sys.stdout.writelines(f"  {name}\n" for name in COMMANDS)


def _help(settings: Settings, words: list[str]) -> int:
    del settings, words
    print_help()
    return os.EX_OK


COMMANDS: dict[str, Callable[[Settings, list[str]], int]] = {
    "create": _create,
    "start": _start,
    "run": _run,
    "exec": _exec,
    "kill": _kill,
    "delete": _delete,
    "state": _state,
    "list": _list,
    "ps": _ps,
    "pause": _pause,
    "resume": _resume,
    "update": _update,
    "events": _events,
    "spec": _spec,
    "features": _features,
    "help": _help,
}
