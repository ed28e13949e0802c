"""What is kept of a container."""

import os
import threading
from pathlib import Path

import pytest

from host.spawn import start_time
from oci.run.errors import BadConfig, ContainerExists, NoSuchContainer
from oci.run.state import Container, Place, ids, is_alive, now, open_process


def container(pid: int = 0, ticks: int = 0) -> Container:
    return Container("name", pid, ticks, "/b", "/b/r", now(), "1.2.0", {"a": "b"}, {"driver": "cgroupfs"})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(str(tmp_path / "states"), "name")
    made.reserve()
    return made


def test_what_was_saved_is_loaded(place: Place) -> None:
    with pytest.raises(NoSuchContainer):
        place.load()
    place.save(container(5, 6))
    assert place.load() == container(5, 6)._replace(created=place.load().created)
    place.save_config(b'{"key": 1}')
    assert place.config().number("key") == 1
    assert ids(str(Path(place.directory).parent)) == ["name"]
    place.remove()
    place.remove()
    assert ids(str(Path(place.directory).parent)) == []


def test_an_id_is_taken_once(place: Place) -> None:
    with pytest.raises(ContainerExists):
        place.reserve()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a\0", "ä", "x" * 1025])
def test_an_id_is_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfig):
        Place(str(tmp_path), name)


def test_a_process_is_alive_while_it_is_the_same_one() -> None:
    own = container(os.getpid(), start_time(os.getpid()))
    assert is_alive(own)
    assert not is_alive(own._replace(start_time=own.start_time + 1))
    descriptor = open_process(own)
    assert descriptor is not None
    os.close(descriptor)
    assert open_process(own._replace(start_time=1)) is None
    assert open_process(container()) is None


@pytest.mark.parametrize("words", [b"", b"it failed"])
def test_a_start_is_answered(place: Place, words: bytes) -> None:
    """By what the waiting process says until its end of the FIFO is closed."""
    start, answer = place.make_fifos()
    assert place.is_created()

    def child() -> None:
        assert os.read(start, 1) == b"!"
        if words:
            os.write(answer, words)
        os.close(start)
        os.close(answer)

    thread = threading.Thread(target=child)
    thread.start()
    own = os.pidfd_open(os.getpid())
    assert place.begin(own) == words
    thread.join()
    os.close(own)
    assert not place.is_created()
    with pytest.raises(FileNotFoundError):
        place.begin(-1)


def test_who_waits_no_more_cannot_be_started(place: Place) -> None:
    for descriptor in place.make_fifos():
        os.close(descriptor)
    with pytest.raises(OSError, match="No such device or address"):
        place.begin(-1)


def test_times_are_rfc_3339() -> None:
    assert len(now()) == len("2026-01-01T00:00:00.123456789Z")
