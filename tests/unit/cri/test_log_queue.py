import io
import logging
import threading

from cri.log_queue import QueueHandler


class Disk(io.StringIO):
    """Takes nothing while it hangs, and refuses while it is full."""

    def __init__(self) -> None:
        super().__init__()
        self.lives = threading.Event()
        self.is_full = False

    def write(self, text: str) -> int:
        self.lives.wait()
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def logger_of(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger


def test_messages_come_in_order() -> None:
    disk = Disk()
    disk.lives.set()
    handler = QueueHandler(disk)
    logger = logger_of(handler)
    for number in range(100):
        logger.error("message %d", number)
    handler.close()
    assert disk.getvalue() == "".join(f"message {number}\n" for number in range(100))


def test_a_disk_that_hangs_stops_nobody_who_logs_and_what_is_lost_is_counted() -> None:
    disk = Disk()
    handler = QueueHandler(disk, limit=10)
    logger = logger_of(handler)
    for number in range(100):
        logger.error("message %d", number)
    disk.lives.set()
    handler.flush()
    logger.error("later")
    handler.close()
    lines = disk.getvalue().splitlines()
    written = [line for line in lines if line.startswith("message")]
    assert len(written) in (10, 11)  # one may be on its way already
    assert (
        f"{100 - len(written)} messages are lost here: the log was not written in time, or not at all"
        in lines
    )
    assert lines[-1] == "later"


def test_messages_that_a_full_disk_refuses_are_counted() -> None:
    disk = Disk()
    disk.is_full = True
    disk.lives.set()
    handler = QueueHandler(disk)
    logger = logger_of(handler)
    logger.error("one")
    logger.error("two")
    handler.flush()
    disk.is_full = False
    logger.error("three")
    handler.close()
    assert disk.getvalue().splitlines()[-1] == "three"
    assert disk.getvalue().startswith("2 messages are lost here")
