"""Which policy file holds: that of a pod's namespace, else the configured one, else the machine's.

The file of a namespace stands in for the others, as CRI-O has it. A file that is named and missing is an
error; without the machine's everything is accepted.
"""

import errno
import re
from dataclasses import dataclass
from pathlib import Path

from storage.signatures.errors import BadPolicy
from storage.signatures.policy import Policy

_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Policies:
    """Where policies are; files are read for every pull and every container, so edits need no restart."""

    machine: Path = Path("/etc/containers/policy.json")
    configured: Path | None = None
    by_namespace: Path | None = None

    def load(self, namespace: str = "") -> Policy:
        """The policy for images of a namespace's pods. Blocking.

        Raises:
            BadPolicy: the file cannot be read, or is no policy.
        """
        return self.explicit(namespace) or Policy.load(self.machine)

    def explicit(self, namespace: str = "") -> Policy | None:
        """The one that somebody configured, and by which containers are checked too. Blocking.

        Raises:
            BadPolicy: as above.
        """
        path = self._of_namespace(namespace) or self.configured
        return Policy.load(path, needed=True) if path is not None else None

    def _of_namespace(self, namespace: str) -> Path | None:
        if self.by_namespace is None or not namespace:
            return None
        if not _NAMESPACE.fullmatch(namespace):
            raise BadPolicy(f"namespace {namespace[:100]!r} has no name that a file could have")
        path = self.by_namespace / f"{namespace}.json"
        try:
            path.lstat()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
                return None
            raise BadPolicy(f"policy {path} cannot be looked for: {error.strerror}") from error
        return path
