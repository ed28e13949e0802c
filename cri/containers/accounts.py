"""Who a container runs as by the account files of its image, and those files where they must be others.

A file is completed where it lacks the user or the group, and freed of groups that would mislead the runtime.

The files are a stranger's and may be of the largest size: they are gone through one container at a time, so
that many creations at once take no more of the daemon than one. Larger ones are refused, for what runtimes
make of them is not known.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from host import mounts
from oci import hostview
from oci.generate import identity
from oci.generate.inputs import BadContainer, Identity, SecurityContext

# In the bundle: a tmpfs with the files that were completed, and what a container may add to them.
FILES = "files"
_ROOM = 64 << 10


class Accounts:
    """Resolves users; safe to use from several threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def resolve(
        self,
        rootfs: Path,
        security: SecurityContext,
        image_user: str,
        directory: Path,
        owner: tuple[int, int],
    ) -> tuple[Identity, Mapping[str, Path]]:
        """The identity, and the files in ``directory`` that are to lie over the image's; they are
        ``owner``'s.

        Blocks for a few file operations.

        Raises:
            BadContainer: there is no such user or group, or a file is too large.
        """
        passwd, group = (_read(rootfs, name) for name in ("/etc/passwd", "/etc/group"))
        with self._turn:
            who = identity.resolve(security, image_user, passwd, group)
            wanted = {
                "passwd": (passwd, _completed(passwd, who.passwd_line)),
                "group": (
                    group,
                    _completed(identity.without_misleading(group, who.additional_gids), who.group_line),
                ),
            }
        contents = {name: needed for name, (found, needed) in wanted.items() if needed != found}
        return who, _write(directory / FILES, contents, owner) if contents else {}


def _write(place: Path, contents: Mapping[str, bytes], owner: tuple[int, int]) -> dict[str, Path]:
    """The files on a tmpfs of their own: the container may write to them, and must not fill our disk."""
    place.mkdir(mode=0o711)
    size = sum(map(len, contents.values())) + _ROOM
    flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
    mounts.mount_tmpfs(place, f"mode=0711,size={size},nr_inodes=16", flags)
    for name, content in contents.items():
        path = place / name
        path.write_bytes(content)
        os.chown(path, *owner)
        path.chmod(0o644)
    return {name: place / name for name in contents}


def _read(rootfs: Path, name: str) -> bytes:
    content = hostview.read_in_root(rootfs, name)
    if len(content) > identity.FILE_LIMIT:
        raise BadContainer(f"{name} of the image is larger than {identity.FILE_LIMIT} bytes")
    return content


def _completed(content: bytes, line: str) -> bytes:
    """An image without the file gets none."""
    return identity.with_line(content, line) if line and content else content
