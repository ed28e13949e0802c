import math

from cri.streaming.control import decode, encode
from cri.streaming.settings import Settings
from cri.streaming.timeouts import Timeouts


def test_settings_come_over_as_they_are() -> None:
    settings = Settings(
        key=bytes(range(32)),
        timeouts=Timeouts(idle_s=math.inf, head_s=0.5),
        most_sessions=7,
        tls=True,
        host_names=("node", "10.0.0.1"),
        log_level="debug",
        log_form="json",
    )
    assert Settings.of_message(decode(encode(settings.to_message()))) == settings
