"""Bounds of conversations with registries; apart from the client, which loads a large library."""

from dataclasses import dataclass
from pathlib import Path

CERTS_DIRS = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Bounds of a conversation, in seconds and counts."""

    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 60.0  # without a byte, and for the head of an answer; 0: no bound
    minimum_rate: float = 1024.0  # bytes a second, over stall_timeout_s of waiting; 0: no bound
    attempts: int = 5  # without progress between them
    backoff_s: float = 0.25  # of the first retry; doubled each time, and randomised
    backoff_limit_s: float = 10.0
    helper_timeout_s: float = 30.0  # of a credential helper
    connections: int = 4  # for one large blob
    piece_bytes: int = 8 << 20  # of a blob that comes over several; as many are held in memory
    pieces_from_bytes: int = 64 << 20  # smaller blobs come over one
    certs_dirs: tuple[Path, ...] = CERTS_DIRS
