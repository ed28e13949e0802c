"""One invocation of a plugin: who, where, with what; and the two things that can carry it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cni.fields import Json


@dataclass(frozen=True, slots=True)
class Call:
    """The parameters of SPEC.md section 2 that do not differ along a chain.

    ``netns`` is "" when the namespace is gone (only DEL allows that). ``capabilities`` holds every
    capability argument there is; a plugin gets those that its configuration declares.
    """

    container_id: str
    netns: str
    ifname: str
    args: tuple[tuple[str, str], ...] = ()
    capabilities: Mapping[str, object] = field(default_factory=dict)

    def args_text(self) -> str:
        """CNI_ARGS: ``KEY=VALUE;KEY=VALUE``."""
        return ";".join(f"{key}={value}" for key, value in self.args)


class Plugin(Protocol):
    """A plugin, in-process or executed. ``conf`` is the complete plugin configuration of this call."""

    async def add(self, call: Call, conf: Json) -> Json:
        """Attach; returns the result document."""

    async def check(self, call: Call, conf: Json) -> None:
        """Verify that the attachment is as the previous result says."""

    async def delete(self, call: Call, conf: Json) -> None:
        """Detach; what is gone already is fine."""

    async def status(self, conf: Json) -> None:
        """Raise if the plugin cannot take ADD now (CNI 1.1)."""

    async def collect(self, conf: Json) -> None:
        """Release what belongs to none of ``cni.dev/valid-attachments`` (GC, CNI 1.1)."""
