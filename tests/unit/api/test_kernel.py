import pytest

from api.kernel import CAPABILITIES, capability, rlimit


def test_capabilities_stand_in_the_order_of_the_kernels_numbers() -> None:
    assert CAPABILITIES.index("CAP_SYS_RESOURCE") == 24
    assert CAPABILITIES.index("CAP_CHECKPOINT_RESTORE") == 40


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("net_raw", "CAP_NET_RAW"),
        ("CAP_CHOWN", "CAP_CHOWN"),
        ("cap_bpf", "CAP_BPF"),
        ("ALL", None),
        ("", None),
    ],
)
def test_a_capability_may_be_written_in_several_ways(text: str, name: str | None) -> None:
    assert capability(text) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [("nofile", "RLIMIT_NOFILE"), ("RLIMIT_CORE", "RLIMIT_CORE"), ("locks", "RLIMIT_LOCKS"), ("files", None)],
)
def test_a_limit_may_be_written_in_several_ways(text: str, name: str | None) -> None:
    assert rlimit(text) == name
