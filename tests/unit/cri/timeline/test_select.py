"""What is about whom: by names, ids and their beginnings."""

import pytest

from cri.operations import Operations
from cri.timeline import select

ABOUT = {
    "namespace": "tests",
    "pod": "web",
    "sandbox_id": "5a" * 32,
    "container": "main",
    "container_id": "c0" * 32,
    "image": "registry.example/team/app:1",
}
IMAGES = ("registry.example/team/app:1", "registry.example/team/app", "team/app", "app:1", "app")


@pytest.mark.parametrize(
    "word", ["web", "tests/web", "tests/web/main", "main", "5a5a5a", "c0c0c0c0", "c0" * 32, *IMAGES]
)
async def test_an_operation_is_found_by(word: str) -> None:
    operations = Operations(slow_seconds=60)
    operations.note("Exited", "c0" * 32, ABOUT)
    for _ in range(100):  # so that it is a line of the history, too
        operations.note("Exited", "dd" * 32, {"pod": "other", "namespace": "tests"})
    assert [each["about"] for each in await select.past(operations, word, 10)] == [ABOUT]


@pytest.mark.parametrize("word", ["we", "tests", "other/web", "ap", "example/team", "5b", "5a/web", "nobody"])
async def test_nothing_is_found_by(word: str) -> None:
    operations = Operations(slow_seconds=60)
    operations.note("Exited", "c0" * 32, ABOUT)
    assert await select.past(operations, word, 10) == []


async def test_the_newest_come_in_the_order_of_their_beginnings_and_later_than_an_id() -> None:
    operations = Operations(slow_seconds=60)
    for number in range(200):
        operations.note("Exited", str(number), {"pod": "web"})
    found = await select.past(operations, "", 3)
    assert [each["subject"] for each in found] == ["197", "198", "199"]
    assert [each["subject"] for each in await select.past(operations, "", 9, found[1]["id"])] == ["199"]
