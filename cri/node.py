"""Everything that the verbs work with. The composition root (cri/daemon.py) builds the one Node there is."""

from dataclasses import dataclass, field

from conf.schema import Config
from cri.cgroups.ahead import MovesAhead
from cri.cgroups.driver import CgroupDriver
from cri.containers.accounts import Accounts
from cri.containers.record import Container
from cri.defaults import HandlerDefaults
from cri.events import Events
from cri.handlers import Handlers
from cri.operations import Operations
from cri.parts import Images, Monitor, Network, Rootfs
from cri.paths import Paths
from cri.quarantine import Quarantine
from cri.records import Records
from cri.sandboxes.record import Sandbox
from cri.space import Space
from cri.stats.collected import Collected
from cri.store import Store
from cri.streaming.server import StreamingServer
from cri.stuck_logs import StuckLogs
from cri.supervise import Supervisor
from host.cgroups import Hierarchy
from host.threads import DetachedThreads
from oci.generate.inputs import HostView
from oci.precompiled import Filters


@dataclass(slots=True)
class Node:
    """The parts of the daemon, by the names that the verbs use.

    A reload puts others in the place of ``config``, ``handlers`` and ``defaults`` (cri/reload.py, and nobody
    else): read them from here when they are needed.
    """

    config: Config
    paths: Paths
    records: Records
    sandboxes: Store[Sandbox]
    containers: Store[Container]
    operations: Operations
    events: Events
    images: Images
    rootfs: Rootfs
    network: Network
    handlers: Handlers
    monitor: Monitor
    cgroups: Hierarchy
    cgroup_driver: CgroupDriver
    host: HostView
    defaults: HandlerDefaults
    filters: Filters
    streaming: StreamingServer
    # For what touches the file systems of volumes, which may hang for ever.
    volume_threads: DetachedThreads
    stuck_logs: StuckLogs
    # What cannot be read or shown.
    quarantine: Quarantine
    accounts: Accounts
    # Work of the daemon's own: an error in it is listed, and ends nothing.
    background: Supervisor
    space: Space
    moves: MovesAhead = field(default_factory=MovesAhead)
    # Statistics and metrics that were read ahead of being asked for.
    collected: Collected = field(default_factory=Collected)
    # Containers and sandboxes whose records cannot be read: nothing of theirs is touched.
    unreadable: set[str] = field(default_factory=set)
