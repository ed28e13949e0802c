"""Scopes of policy.json: under which names an image is looked for, the most specific first.

Lists never merge: the first scope that is there decides alone. Behind the names stands the transport's own
"", and behind that the policy's "default".
"""

import posixpath
from collections.abc import Iterator

from storage.reference import Reference
from storage.signatures.strict import Malformed

DOCKER = "docker"
_BY_PATH = frozenset({"dir", "oci", "oci-archive", "sif"})
_WITHOUT = frozenset({"docker-archive", "tarball"})
_STORAGE = "containers-storage"


def of_image(reference: Reference) -> Iterator[str]:
    """The scopes of an image of a registry (transports docker and atomic); not the transport's ""."""
    yield str(reference)
    yield from of_repository(reference.name)


def of_repository(name: str) -> Iterator[str]:
    """From a repository over its parents and its registry to the wildcards of that, without its port."""
    while "/" in name:
        yield name
        name = name.rpartition("/")[0]
    yield name
    host = name if name.startswith("[") else name.partition(":")[0]
    while "." in host and not host.startswith("["):
        host = host.partition(".")[2]
        yield f"*.{host}"


def of_path(path: str) -> Iterator[str]:
    """From a directory or archive over its parents, but for the root (dir, oci, oci-archive, sif)."""
    path = posixpath.normpath(path)
    while path not in ("/", "."):
        yield path
        path = posixpath.dirname(path)


def of_stored(graph_root: str, driver: str, reference: Reference, image_id: str = "") -> Iterator[str]:
    """Of an image in a store (containers-storage): with id, without, name, parents, and the store itself."""
    store = f"[{driver}@{graph_root}]"
    if image_id:
        yield f"{store}{reference}@{image_id}"
    yield f"{store}{reference}"
    name = reference.name
    while name:
        yield f"{store}{name}"
        name = name.rpartition("/")[0]
    yield store
    yield f"[{graph_root}]"


def require_scope(transport: str, scope: str) -> None:
    """Refuse what can be no scope of a transport; those of unknown transports are anything.

    Raises:
        Malformed: naming the scope.
    """
    if not scope:
        return
    if transport in _WITHOUT:
        raise Malformed(f'{transport}: has no scopes but "", and not {scope!r}')
    if transport in _BY_PATH and (scope == "/" or scope != posixpath.normpath(scope) or scope[0] != "/"):
        raise Malformed(f"{transport}: scope {scope!r} is no absolute path in its shortest form")
    if transport == _STORAGE:
        store, closed, _ = scope.partition("]")
        root = store.removeprefix("[").rpartition("@")[2]
        if not (scope.startswith("[") and closed and root.startswith("/")):
            raise Malformed(f"{transport}: scope {scope!r} does not begin with [DRIVER@/ROOT] or [/ROOT]")
