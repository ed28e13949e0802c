"""The sources of a container's mounts: links resolved, missing directories made."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from api.errors import InvalidArgument
from api.runtime.v1 import api_pb2 as pb
from cri import translate
from host.private import public_directory
from oci.generate import inputs


class BadMount(InvalidArgument):
    """A mount cannot be honoured."""


def resolve(
    mounts: Sequence[pb.Mount], must_exist: Sequence[Path], images: Mapping[int, Path]
) -> tuple[inputs.Mount, ...]:
    """Mounts with final host paths; a missing source becomes a directory, unless it is in ``must_exist``.

    ``images`` has the sources of the image volumes, mounted already, by the number of their mount.

    Blocks for file operations on the mounts' own file systems, for ever when one hangs: call it by
    ``Node.volume_threads``.

    Raises:
        BadMount: a path is missing, or a source that must exist does not.
    """
    return tuple(
        translate.mount(mount, str(images.get(index) or _source(index, mount, must_exist)))
        for index, mount in enumerate(mounts)
    )


def _source(index: int, mount: pb.Mount, must_exist: Sequence[Path]) -> str:
    field = f"mounts[{index}]"
    if not mount.container_path:
        raise BadMount(f"{field}.container_path is empty: say where in the container it belongs")
    if not mount.host_path:
        raise BadMount(f"{field}.host_path is empty: name the source for {mount.container_path}")
    if not mount.host_path.startswith("/"):
        raise BadMount(f"{field}.host_path {mount.host_path!r} is not absolute")
    source = Path(os.path.realpath(mount.host_path))
    if not source.exists():
        if source in must_exist or Path(mount.host_path) in must_exist:
            raise BadMount(
                f"{field}.host_path {mount.host_path} does not exist, "
                "and absent_mount_sources_to_reject names it"
            )
        try:
            public_directory(source)
        except OSError as error:
            raise BadMount(f"{field}.host_path {mount.host_path} cannot be made: {error.strerror}") from error
    return str(source)
