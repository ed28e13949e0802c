"""Where the daemon keeps what it makes for pods and containers.

<runroot>/records.sqlite
<runroot>/sandboxes/<id>/  files/{resolv.conf,hostname} shm/ ns/{net,ipc,uts} pause/config.json
<runroot>/containers/<id>/ config.json accounts/{passwd,group} (the bundle)
<runroot>/mounts/<id>/<n>    while container <id> is created: mounts that its runtime cannot make
    <runroot>/runtimes/<handler>/   each runtime's own state
    <runroot>/pause/rootfs/    root file system of the built-in pause program
<reachable>/<id>/rootfs      while container <id> of a user namespace is created (cri/reach.py)

All below runroot is for root alone (host/private.py).
"""

from dataclasses import dataclass
from pathlib import Path

from api.ids import ContainerId, SandboxId


@dataclass(frozen=True, slots=True)
class Paths:
    """The volatile tree below ``runroot``; ``namespaces_dir`` may lie elsewhere."""

    runroot: Path
    namespaces_dir: Path | None = None
    # Not below runroot: nobody but root passes there.
    reachable: Path = Path("/run/podwright-userns")

    @property
    def records(self) -> Path:
        return self.runroot / "records.sqlite"

    @property
    def inspection(self) -> Path:
        """The socket for those who look inside (cri/inspect)."""
        return self.runroot / "inspect.sock"

    @property
    def dumps(self) -> Path:
        """What the daemon writes about itself when it is asked to (SIGUSR1)."""
        return self.runroot / "dumps"

    @property
    def sandboxes(self) -> Path:
        return self.runroot / "sandboxes"

    @property
    def containers(self) -> Path:
        return self.runroot / "containers"

    @property
    def mounts(self) -> Path:
        return self.runroot / "mounts"

    @property
    def runtimes(self) -> Path:
        return self.runroot / "runtimes"

    @property
    def pause_rootfs(self) -> Path:
        return self.runroot / "pause/rootfs"

    def sandbox(self, identifier: SandboxId) -> Path:
        return self.sandboxes / identifier

    def namespaces(self, identifier: SandboxId) -> Path:
        """Where a new sandbox's namespaces are pinned; one made under another configuration knows its own."""
        if self.namespaces_dir is None:
            return self.sandbox(identifier) / "ns"
        return self.namespaces_dir / identifier

    def container(self, identifier: ContainerId) -> Path:
        return self.containers / identifier
