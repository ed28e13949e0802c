"""The states of a container, and what leads from one to the next (runtime-spec, runtime.md#state).

    created ──started──▶ running
       │                    │
       └──────ended─────────┴──▶ exited

Standard library only: monitor and daemon share it.
"""

from enum import StrEnum

from api.errors import FailedPrecondition


class State(StrEnum):
    """Where a container is in its life."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


class Event(StrEnum):
    """What moves it on."""

    STARTED = "started"
    ENDED = "ended"


class InvalidTransition(FailedPrecondition):
    """This cannot happen to a container in this state."""


TRANSITIONS = {
    (State.CREATED, Event.STARTED): State.RUNNING,
    (State.CREATED, Event.ENDED): State.EXITED,
    (State.RUNNING, Event.ENDED): State.EXITED,
}


def after(state: State, event: Event) -> State:
    """The state that follows.

    Raises:
        InvalidTransition: nothing follows.
    """
    following = TRANSITIONS.get((state, event))
    if following is None:
        raise InvalidTransition(f"a container that is {state} cannot be {event}")
    return following
