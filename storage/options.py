"""How the store behaves: what the configuration says, in the store's words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.manifest import Platform, this_platform
from storage.registry.options import ClientOptions
from storage.unpack.faults import Limits


@dataclass(frozen=True, slots=True)
class Options:
    """How a store behaves; files are read again for every pull, so edits need no restart."""

    registries_conf: Path = Path("/etc/containers/registries.conf")
    registries_conf_dir: Path | None = None  # None: registries_conf with .d added
    insecure_registries: Sequence[str] = ()
    policy_file: Path = Path("/etc/containers/policy.json")  # without it everything is accepted
    signature_policy: Path | None = None  # in its place, and for containers that are made too
    signature_policy_dir: Path | None = None  # NAMESPACE.json there stands in for both
    registries_d: Path = Path("/etc/containers/registries.d")  # where signatures are beside registries
    auth_files: Sequence[Path] | None = None  # None: the usual places
    namespaced_auth_dir: Path | None = None  # see storage/registry/namespaced.py
    short_names_enforcing: bool = True
    pinned_images: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    parallel_layers: int = 4  # at once from one registry
    total_layers: int = 16  # at once in the whole store
    layers_per_pull: int = 3
    platform: Platform = field(default_factory=this_platform)
    client: ClientOptions = field(default_factory=ClientOptions)
    unpack_stall_timeout_s: float = 300.0
    pull_deadline_s: float = 6 * 3600.0  # of a whole pull; 0: none
    abandoned_s: float = 120.0  # how long a pull goes on for which nobody waits
