"""What the zygote forks for an order: it does what podwright-oci would, in its place and by its name.

It does nothing before the monitor has said that it knows of it. From then on it is like a command: it may
outlive monitor and daemon, is found by its command line, and is killed with its process group.
"""

import contextlib
import importlib
import json
import os
import signal
import socket
from typing import NoReturn

from host.fds import receive_message, send_message
from host.keyrings import leave_session_keyring
from host.libseccomp import version as libseccomp_version
from host.process_name import set_name
from host.spawn import IGNORED
from oci.inside.words import MESSAGE_LIMIT, Work, decode_work, encode_pid
from oci.orders import Create, Exec, Start, verb_of
from oci.run.cli.main import Log, attempt
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.verbs import control, create, settings
from oci.run.verbs import exec as executing

NAME = "podwright-oci"
# What the verbs import when they need it.
_LATER = (
    *("oci.run.cgroups.choose", "oci.run.cgroups.scopes", "oci.run.cgroups.version1"),
    *("oci.run.cgroups.version2", "encodings.ascii"),
)


def warm_up() -> None:
    """Have in memory what each worker needs."""
    for name in _LATER:
        importlib.import_module(name)
    with contextlib.suppress(OSError):
        libseccomp_version()


def work(payload: bytes, descriptors: list[int]) -> NoReturn:
    """Carry out one order, with its channel and the three descriptors that follow; end as a command."""
    code = 1
    try:
        os.setpgid(0, 0)
        _ordinary_signals()
        channel, *stdio = descriptors
        for target, source in enumerate(stdio):
            os.dup2(source, target)
            os.close(source)
        order = decode_work(payload)
        set_name(NAME, " ".join(order.argv))
        if _is_known(channel):
            code = _carry_out(order)
    finally:
        os._exit(code)


def _ordinary_signals() -> None:
    """What programs expect that were just started: the zygote ignores more, and so would the container."""
    for number in (signal.SIGTERM, *IGNORED):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _is_known(descriptor: int) -> bool:
    """Tell the monitor who we are; it has told the daemon when it lets us go on, or it is gone."""
    gone = (BrokenPipeError, ConnectionResetError)
    with socket.socket(fileno=descriptor) as channel, contextlib.suppress(*gone):
        send_message(channel, encode_pid(os.getpid()))
        return bool(receive_message(channel, MESSAGE_LIMIT)[0])
    return False


def _carry_out(work: Work) -> int:
    with contextlib.suppress(PermissionError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
        file.write(b"%d" % work.oom_adj)
    log = Log(work.inside.files.log, as_json=True, aloud=False)
    try:
        return attempt(verb_of(work.inside.order), log, lambda: _perform(work))
    except Exception as error:
        log.error(f"{type(error).__name__}: {error}")
        return 1


def _perform(work: Work) -> int:
    leave_session_keyring()
    order, files, root, systemd = work.inside
    where = settings.Settings(root, systemd)
    match order:
        case Create(id=name, bundle=bundle, no_pivot=no_pivot):
            options = create.Options(bundle, files.pid, files.console, no_pivot=no_pivot)
            create.create(where, name, options)
        case Exec(id=name):
            how = executing.Options(files.pid, files.console, detach=True)
            executing.execute(where, name, _process(files.process), how)
        case Start(id=name):
            control.start(where, name)
    return 0


def _process(path: str) -> "dict[str, object]":
    try:
        with open(path, "rb") as file:
            return dict(Table(json.load(file), "process").raw)
    except ValueError as error:
        raise BadConfig(f"process file {path}: {error}") from None
