import itertools

import pytest

from oci.states import TRANSITIONS, Event, InvalidTransition, State, after


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_only_the_listed_transitions_happen(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(InvalidTransition, match=state):
            after(state, event)


def test_every_life_ends_exited() -> None:
    reached = {State.CREATED}
    while new := {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached:
        reached |= new
    assert reached == set(State)
    assert not any(before is State.EXITED for before, _ in TRANSITIONS)
