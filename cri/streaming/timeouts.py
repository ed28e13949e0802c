"""How long the streaming server waits for others, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Defaults are those of the common CRI streaming library where it has them."""

    idle_s: float = 4 * 3600.0
    # Whoever has a token says so at once.
    head_s: float = 10.0
    tls_handshake_s: float = 10.0
    # How often changed files of TLS are looked for.
    tls_check_s: float = 2.0
    stream_creation_s: float = 30.0
    # After an exit, output that grandchildren hold open is given up when it has been silent so long.
    quiet_after_exit_s: float = 2.0
    # After the last byte, how long the client may take to close first.
    linger_s: float = 2.0
    # How often a client whose bytes are not being read is asked for.
    departure_check_s: float = 1.0
    # How long one forwarded connection that takes nothing may hold back the others beside it.
    stall_s: float = 30.0
