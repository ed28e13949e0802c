"""Running hooks (config.md, POSIX-platform hooks): a program each, the state on its standard input."""

import errno
import json
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence

from host.fds import close_all
from host.spawn import CommandNotStarted, exit_code_of
from oci.run.errors import StepFailed
from oci.run.operations import Hook

_OUTPUT_LIMIT = 65536
_UMASK_OF_PROGRAMS = 0o022


def run(
    point: str, hooks: Sequence[Hook], state: Mapping[str, object], inherited: Sequence[str] = ()
) -> None:
    """Run the hooks of a point one after the other; one without an environment of its own gets the inherited.

    Raises:
        StepFailed: one could not be run, failed, or took too long.
    """
    for number, hook in enumerate(hooks):
        prefix = f"error running {point} hook #{number}"
        try:
            code, output, errors = _run(
                hook._replace(env=hook.env if hook.env is not None else tuple(inherited)),
                json.dumps(state).encode(),
            )
        except CommandNotStarted as error:
            raise StepFailed(f"{prefix}: {error}", errno.ENOENT) from error
        if code is None:
            raise StepFailed(
                f"{prefix}: hook ran past specified timeout of {hook.timeout_s}s", errno.ETIMEDOUT
            )
        if code:
            said = f"stdout: {output}, stderr: {errors}"
            raise StepFailed(f"{prefix}: exit status {code}, {said}")


def _run(hook: Hook, state: bytes) -> tuple[int | None, str, str]:
    """Exit code (None: killed when its time was over) and what it printed."""
    given, ours = os.pipe2(os.O_CLOEXEC)
    out, out_end = os.pipe2(os.O_CLOEXEC)
    err, err_end = os.pipe2(os.O_CLOEXEC)
    try:
        pid = _spawn(hook, (given, out_end, err_end))
        close_all((given, out_end, err_end))
        texts = _converse(ours, state, out, err, hook.timeout_s)
        if texts is None:
            os.kill(pid, signal.SIGKILL)
        code = exit_code_of(os.waitpid(pid, 0)[1])
        return (None, "", "") if texts is None else (code, *texts)
    finally:
        close_all((out, err))


def _spawn(hook: Hook, descriptors: tuple[int, int, int]) -> int:
    """Words and environment as they are given: the first word is a name, not the path."""
    own = os.umask(_UMASK_OF_PROGRAMS)
    try:
        return os.posix_spawn(
            hook.path,
            list(hook.args) or [hook.path],
            dict(entry.partition("=")[::2] for entry in hook.env or ()),
            file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(descriptors)],
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    except OSError as error:
        raise CommandNotStarted(f"fork/exec {hook.path}: {(error.strerror or '').lower()}") from error
    finally:
        os.umask(own)


def _converse(ours: int, state: bytes, out: int, err: int, timeout_s: int) -> tuple[str, str] | None:
    """Write the state and read both outputs until their end; None when the time is over."""
    deadline = time.monotonic() + timeout_s if timeout_s else None
    texts = {out: b"", err: b""}
    reading = set(texts)
    writing = {ours}
    os.set_blocking(ours, False)
    try:
        while reading or writing:
            patience = None if deadline is None else deadline - time.monotonic()
            if patience is not None and patience <= 0:
                return None
            readable, writable, _ = select.select(reading, writing, [], patience)
            if writable:
                state = _write_some(ours, state)
                if not state:
                    writing.clear()
                    os.close(ours)
                    ours = -1
            for descriptor in readable:
                data = os.read(descriptor, 4096)
                texts[descriptor] = (texts[descriptor] + data)[:_OUTPUT_LIMIT]
                if not data:
                    reading.discard(descriptor)
    finally:
        close_all([ours] if ours >= 0 else [])
    return texts[out].decode(errors="replace"), texts[err].decode(errors="replace")


def _write_some(descriptor: int, data: bytes) -> bytes:
    """What is left; nothing, when the hook does not read it."""
    try:
        return data[os.write(descriptor, data) :]
    except BrokenPipeError:
        return b""
