"""Sandbox configurations that are refused before anything is made."""

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.sandboxes.validate import BadSandboxConfig, sandbox

MAPPING = pb.IDMapping(container_id=0, host_id=3949199360, length=65536)
SHIFTED = pb.IDMapping(container_id=1, host_id=1000, length=10)
HIGH = pb.IDMapping(container_id=0, host_id=4294967290, length=10)
EMPTY = pb.IDMapping(container_id=0, host_id=1000, length=0)


def _config(hostname: str = "", **options: object) -> pb.PodSandboxConfig:
    context = pb.LinuxSandboxSecurityContext(namespace_options=pb.NamespaceOption(**options))  # type: ignore[arg-type]
    return pb.PodSandboxConfig(hostname=hostname, linux=pb.LinuxPodSandboxConfig(security_context=context))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (_config(network=pb.CONTAINER), "namespace_options.network is CONTAINER"),
        (_config(ipc=pb.TARGET), "namespace_options.ipc is TARGET"),
        (_config(pid=pb.TARGET), "namespace_options.pid is TARGET"),
        (_config(hostname="h" * 65), "longer than"),
        (_config(hostname="é" * 33), "longer than"),
        (pb.PodSandboxConfig(log_directory="logs"), "log_directory"),
        (pb.PodSandboxConfig(log_directory="/var/log/../../etc"), "log_directory"),
        (_config(userns_options=pb.UserNamespace(mode=pb.CONTAINER)), "userns_options.mode is CONTAINER"),
        (_config(userns_options=pb.UserNamespace(mode=pb.TARGET)), "userns_options.mode is TARGET"),
        (_config(userns_options=pb.UserNamespace(mode=pb.NODE, uids=[MAPPING])), "mode NODE"),
        (_config(userns_options=pb.UserNamespace(uids=[MAPPING] * 2, gids=[MAPPING])), "uids has 2 mappings"),
        (_config(userns_options=pb.UserNamespace(uids=[SHIFTED], gids=[SHIFTED])), "container id 1: 0 must"),
        (_config(userns_options=pb.UserNamespace(uids=[EMPTY], gids=[EMPTY])), "length 0"),
        (_config(userns_options=pb.UserNamespace(uids=[MAPPING])), "uids and gids differ"),
        (
            _config(userns_options=pb.UserNamespace(uids=[HIGH], gids=[HIGH])),
            "10 ids from host id 4294967290",
        ),
        (
            _config(pid=pb.NODE, userns_options=pb.UserNamespace(uids=[MAPPING], gids=[MAPPING])),
            "namespace_options.pid is NODE",
        ),
    ],
)
def test_the_field_and_its_value_are_named(config: pb.PodSandboxConfig, words: str) -> None:
    with pytest.raises(BadSandboxConfig, match=words):
        sandbox(config)


@pytest.mark.parametrize(
    "config",
    [
        _config(),
        _config(network=pb.NODE, ipc=pb.NODE, pid=pb.NODE),
        _config(pid=pb.CONTAINER, userns_options=pb.UserNamespace(mode=pb.NODE)),
        _config(network=pb.NODE, userns_options=pb.UserNamespace(uids=[MAPPING], gids=[MAPPING])),
    ],
)
def test_what_the_kubelet_sends_passes(config: pb.PodSandboxConfig) -> None:
    sandbox(config)
