"""What a reboot makes void: everything below runroot that speaks of processes, mounts and namespaces.

On a tmpfs it is gone anyway. Elsewhere the id of the boot, kept in ``<runroot>/boot_id``, tells that the
records are of processes that no longer exist; address leases and root file systems of theirs are given
back by what looks after those (``Network.collect``, ``restore``).
"""

import logging
from pathlib import Path

from host.files import remove_temporaries, remove_tree, write_atomic

logger = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MARK = "boot_id"
# The lock is held open by this daemon already.
_KEPT = {"lock", _MARK}


def forget_other_boots(runroot: Path, boot_id_file: Path = BOOT_ID) -> bool:
    """Empty ``runroot`` if it is of another boot, and mark it as of this one; True when it was emptied."""
    current = boot_id_file.read_text().strip()
    mark = runroot / _MARK
    known = mark.read_text(errors="replace").strip() if mark.exists() else current
    if known != current:
        logger.info("the node was rebooted: what %s says of earlier pods is void", runroot)
        for path in runroot.iterdir():
            if path.name not in _KEPT:
                _remove(path)
    try:
        remove_temporaries(runroot)
        write_atomic(mark, current.encode() + b"\n", durable=False)
    except OSError as error:  # a full disk: a mark that is there says the same but after a reboot
        logger.warning("%s cannot be marked as of this boot: %s", runroot, error)
    return known != current


def _remove(path: Path) -> None:
    """One that cannot be removed is no reason not to start: what it says of pods is read by nobody."""
    try:
        remove_tree(path)
    except OSError as error:
        logger.warning("leftover of another boot stays: %s: %s", path, error)
