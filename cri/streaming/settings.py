"""What the daemon tells a streaming process at its start, once, before that gives up anything."""

from dataclasses import asdict, dataclass, field
from typing import Self

from cri.streaming.control import Json
from cri.streaming.timeouts import Timeouts


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it; the descriptors of TLS come by messages of their own."""

    key: bytes
    timeouts: Timeouts = field(default_factory=Timeouts)
    most_sessions: int = 1024
    tls: bool = False
    host_names: tuple[str, ...] = ()
    log_level: str = "info"
    log_form: str = "text"

    def to_message(self) -> Json:
        """As JSON can carry it."""
        plain = asdict(self)
        return {"hello": {**plain, "key": self.key.hex(), "host_names": list(self.host_names)}}

    @classmethod
    def of_message(cls, message: Json) -> Self:
        """The other way round."""
        said = dict(message["hello"])
        said["key"] = bytes.fromhex(said["key"])
        said["timeouts"] = Timeouts(**said["timeouts"])
        said["host_names"] = tuple(said["host_names"])
        return cls(**said)
