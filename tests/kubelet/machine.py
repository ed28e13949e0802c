"""What a kubelet expects of its machine, given to it inside private namespaces so that nothing is changed.

It writes three kernel settings and refuses to start if it may not, and keeps a few directories outside of its
own. A link with an address stands for the node's.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.harness import private
from tests.harness.patience import patient

NODE_ADDRESS = "192.0.2.10"
LINK = "kubelet0"
SETTINGS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
PLACES = (Path("/var/log"), Path("/var/lib/kubelet"))
STEP_TIMEOUT_S = patient(30)


@contextlib.contextmanager
def furnished(further: Sequence[Path] = ()) -> Iterator[None]:
    """Files over the kernel settings, tmpfs over PLACES and ``further``, and a link; all gone afterwards.

    A directory that is missing is made in an overlay: made on the machine itself it would be in the way of
    others who do the same, for the removal of a directory takes away whatever is mounted on it anywhere.
    """
    if not os.environ.get(private.INSIDE):
        raise RuntimeError("this changes mounts: run it by python -m tests.harness.private")
    with contextlib.ExitStack() as undo:
        files = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="kubelet-settings-", dir="/run")))
        for number, (name, value) in enumerate(SETTINGS.items()):
            (files / str(number)).write_text(f"{value}\n")
            _mounted(undo, "--bind", str(files / str(number)), f"/proc/sys/{name}")
        # Inside a user namespace a proc can be mounted only where one is seen that nothing covers.
        (files / "proc").mkdir()
        _mounted(undo, "-t", "proc", "proc", str(files / "proc"))
        places = (*PLACES, *further)
        for place in places:
            if not place.exists():
                upper, work = (files / f"{place.name}-{part}" for part in ("upper", "work"))
                upper.mkdir()
                work.mkdir()
                layers = f"lowerdir={place.parent},upperdir={upper},workdir={work}"
                _mounted(undo, "-t", "overlay", "-o", layers, "overlay", str(place.parent))
                place.mkdir()
        for place in places:
            _mounted(undo, "-t", "tmpfs", "tmpfs", str(place))
        _run("ip", "link", "add", LINK, "type", "bridge")
        undo.callback(_run, "ip", "link", "delete", LINK)
        _run("ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", LINK)
        _run("ip", "link", "set", LINK, "up")
        yield


def _mounted(undo: contextlib.ExitStack, *arguments: str) -> None:
    _run("mount", *arguments)
    undo.callback(_run, "umount", "-l", arguments[-1])


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=STEP_TIMEOUT_S)
