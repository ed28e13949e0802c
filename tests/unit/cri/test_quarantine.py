"""What cannot be shown is left out and told of once; the rest is served."""

import logging
from dataclasses import dataclass

import pytest

from cri.quarantine import Quarantine


@dataclass
class Thing:
    id: str
    name: str = ""


def test_one_that_cannot_be_shown_does_not_take_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def render(thing: Thing) -> str:
        if thing.id == "bad":
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return thing.id.upper()

    quarantine = Quarantine()
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            found = quarantine.rendered("container", [Thing("a"), Thing("bad"), Thing("c")], render)
            assert found == ["A", "C"]
    assert len(caplog.records) == 1
    assert "bad" in caplog.text
    assert [(kind, identifier) for kind, identifier, _ in quarantine] == [("container", "bad")]


def test_it_is_found_by_its_id_or_the_beginning_of_it_and_forgotten() -> None:
    quarantine = Quarantine()
    quarantine.add("container", "abc1", "x")
    quarantine.add("container", "abd2", "x")
    quarantine.add("sandbox", "abc3", "x")
    assert quarantine.find("container", "abc") == "abc1"
    assert quarantine.find("container", "ab") is None
    assert quarantine.find("container", "") is None
    assert quarantine.find("sandbox", "abc3") == "abc3"
    quarantine.discard("container", "abc1")
    quarantine.discard("container", "abc1")
    assert quarantine.find("container", "abc") is None
