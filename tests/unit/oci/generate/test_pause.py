from dataclasses import replace
from pathlib import Path

import pytest

from api.ids import SandboxId
from conf.seccomp import default_profile
from oci.generate.inputs import (
    BadContainer,
    Defaults,
    NamespaceMode,
    NamespaceOptions,
    PauseInput,
    SecurityContext,
    SecurityProfile,
)
from oci.generate.pause import generate
from tests.unit.oci.generate.builders import V1, V2

PAUSE = PauseInput(
    SandboxId("p" * 64),
    Path("/pause-root"),
    "/pods/pppp",
    namespaces={"network": Path("/run/ns/net"), "ipc": Path("/run/ns/ipc")},
    defaults=Defaults(seccomp_profile=default_profile()),
)


def test_it_holds_nothing_and_waits_in_the_pods_namespaces() -> None:
    document = generate(PAUSE, V1)
    assert document["process"]["args"] == ["/pause"]
    assert not any(document["process"]["capabilities"].values())
    assert document["process"]["noNewPrivileges"] is True
    assert document["process"]["oomScoreAdj"] == -998
    assert document["root"] == {"path": "/pause-root", "readonly": True}
    assert document["linux"]["namespaces"] == [
        {"type": "mount"},
        {"type": "network", "path": "/run/ns/net"},
        {"type": "ipc", "path": "/run/ns/ipc"},
        {"type": "pid"},
    ]
    assert document["linux"]["resources"]["cpu"] == {"shares": 2}


def test_it_is_confined_even_in_a_privileged_pod() -> None:
    security = SecurityContext(privileged=True, seccomp=SecurityProfile())
    document = generate(replace(PAUSE, security=security), V1)
    assert document["linux"]["seccomp"]["defaultErrnoRet"] == 38
    assert not any(document["process"]["capabilities"].values())


def test_it_runs_as_the_sandbox_says_also_with_a_group_alone() -> None:
    security = SecurityContext(run_as_group=70, supplemental_groups=(71,))
    process = generate(replace(PAUSE, security=security), V1)["process"]
    assert process["user"] == {"uid": 0, "gid": 70, "additionalGids": [70, 71]}
    with pytest.raises(BadContainer, match="run_as_user: -1"):
        generate(replace(PAUSE, security=SecurityContext(run_as_user=-1)), V1)


def test_it_has_an_apparmor_profile_where_the_sandbox_says_so() -> None:
    host = replace(V1, apparmor=True)
    pause = replace(PAUSE, defaults=replace(PAUSE.defaults, apparmor_profile="ours"))
    assert "apparmorProfile" not in generate(pause, host)["process"]
    asked = replace(pause, security=SecurityContext(privileged=True, apparmor=SecurityProfile()))
    assert generate(asked, host)["process"]["apparmorProfile"] == "ours"


def test_host_pid_version_2_cpuset_and_floor() -> None:
    security = SecurityContext(namespaces=NamespaceOptions(pid=NamespaceMode.NODE))
    pause = replace(PAUSE, security=security, cpuset_cpus="0")
    document = generate(pause, replace(V2, oom_score_adj_floor=0))
    kinds = [entry["type"] for entry in document["linux"]["namespaces"]]
    assert kinds == ["mount", "network", "ipc", "cgroup"]
    assert document["linux"]["resources"]["cpu"]["cpus"] == "0"
    assert document["process"]["oomScoreAdj"] == 0
