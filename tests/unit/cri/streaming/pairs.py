"""Helpers: two ends of a connection driven against each other, and events told apart from their cuts."""

from cri.streaming.spdy import Connection
from cri.streaming.spdy_events import DataReceived, Event


def deliver(sender: Connection, receiver: Connection, data: bytes = b"") -> list[Event]:
    """Bytes of the sender's, and what it owes, to the receiver."""
    return receiver.receive(data + sender.data_to_send())


def joined(events: list[Event]) -> list[Event]:
    """Neighbouring pieces of one stream made whole, since frames are handed on as they come."""
    whole: list[Event] = []
    for event in events:
        last = whole[-1] if whole else None
        if (
            isinstance(event, DataReceived)
            and isinstance(last, DataReceived)
            and last.stream_id == event.stream_id
            and not last.ended
        ):
            whole[-1] = DataReceived(event.stream_id, last.data + event.data, event.ended)
        else:
            whole.append(event)
    return whole
