"""The plan of a container: its order, and how it depends on namespaces."""

from typing import Any, NamedTuple

import pytest

from host.clone import CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER
from oci.run import operations as op
from oci.run.errors import BadConfig
from oci.run.plan import create
from tests.unit.oci.run.plan.made import linux, spec

MAPS = [{"containerID": 0, "hostID": 1000, "size": 10}]
USER = {"uidMappings": MAPS, "gidMappings": MAPS}
OPTIONS = create.Options("/bundle", "name")


def plan(options: create.Options = OPTIONS, **changes: Any) -> op.Plan:
    return create.plan(spec(**changes), options)


def names(made: op.Plan) -> list[str]:
    return [type(step).__name__ for step in made.child]


def step(made: op.Plan, kind: type[NamedTuple]) -> Any:
    (found,) = [one for one in made.child if isinstance(one, kind)]
    return found


def test_the_order_of_a_plain_container() -> None:
    made = plan(
        process={"args": ["sh"], "cwd": "/w", "noNewPrivileges": True, "capabilities": {}},
        mounts=[{"destination": "/proc", "type": "proc"}],
        hostname="h",
        linux=linux("mount", "pid", "uts", maskedPaths=["/m"], seccomp={"defaultAction": "SCMP_ACT_ALLOW"}),
    )
    found = names(made)
    order = [
        *(
            "JoinCgroup",
            "RememberCgroups",
            "Unshare",
            "SessionKeyring",
            "EnterRoot",
            "NewMount",
            "MakeDevice",
        ),
        *(
            "DeviceLink",
            "ChangeRoot",
            "MakeDirectory",
            "SetUmask",
            "SetHostname",
            "MaskPath",
            "NoNewPrivileges",
        ),
        *("LimitBoundingSet", "SetUser", "SetCapabilities", "FindProgram", "ReportReady", "AwaitStart"),
        *("LoadSeccomp", "Execute"),
    ]
    positions = [found.index(name) for name in order]
    assert positions == sorted(positions)
    assert made.flags == CLONE_NEWPID


@pytest.mark.parametrize("nnp", [True, False])
def test_a_filter_is_loaded_while_we_may(nnp: bool) -> None:
    filters = {"defaultAction": "SCMP_ACT_ALLOW"}
    process = {"args": ["sh"], "cwd": "/", "noNewPrivileges": nnp, "capabilities": {}}
    found = names(plan(process=process, linux=linux("mount", seccomp=filters)))
    assert (found.index("LoadSeccomp") > found.index("AwaitStart")) == nnp
    assert (found.index("LoadSeccomp") < found.index("LimitBoundingSet")) == (not nnp)


def test_a_filter_that_listens_is_loaded_while_the_parent_is_there() -> None:
    filters = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/l",
        "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}],
    }
    process = {"args": ["sh"], "cwd": "/", "noNewPrivileges": True}
    found = names(plan(process=process, linux=linux("mount", seccomp=filters)))
    assert found.index("LoadSeccomp") < found.index("ReportReady")
    assert found.count("LoadSeccomp") == 1


@pytest.mark.parametrize(
    ("given", "flags", "twice"),
    [
        (linux("mount", "pid"), CLONE_NEWPID, None),
        (linux("mount", "pid", "user", **USER), CLONE_NEWPID | CLONE_NEWUSER, None),
        (linux("mount", "pid", "time"), 0, CLONE_NEWPID),
        (linux("mount", "time"), 0, 0),
        (linux("mount", "pid", "user", "time", **USER), CLONE_NEWUSER, CLONE_NEWPID),
        (
            {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "user", "path": "/u"}]},
            0,
            CLONE_NEWPID,
        ),
        (
            {
                "namespaces": [
                    {"type": "mount"},
                    {"type": "pid", "path": "/p"},
                    {"type": "user", "path": "/u"},
                ]
            },
            0,
            None,
        ),
        (
            {
                "namespaces": [
                    {"type": "pid"},
                    {"type": "mount"},
                    {"type": "user"},
                    {"type": "ipc", "path": "/i"},
                ],
                **USER,
            },
            0,
            CLONE_NEWPID,
        ),
    ],
)
def test_who_makes_the_pid_namespace(given: dict[str, Any], flags: int, twice: int | None) -> None:
    """The fork, unless it is to belong to a user namespace that we enter later, or clocks are to change."""
    made = plan(linux=given)
    assert made.flags == flags
    assert [one.flags for one in made.child if isinstance(one, op.Rebirth)] == (
        [] if twice is None else [twice]
    )
    unshared = [one.flags for one in made.child if isinstance(one, op.Unshare)]
    assert not any(one & (CLONE_NEWPID | CLONE_NEWTIME) for one in unshared)
    assert sum(bool(one & CLONE_NEWNS) for one in unshared) == 1


def test_joined_namespaces() -> None:
    given = {"namespaces": [{"type": "mount"}, {"type": "ipc", "path": "/i"}, {"type": "pid", "path": "/p"}]}
    made = plan(linux=given)
    assert made.pid_path == "/p"
    assert step(made, op.JoinNamespaces).namespaces == ((CLONE_NEWIPC, "/i"),)


def test_sources_are_opened_by_a_helper_where_a_user_namespace_may_not_see_them() -> None:
    bind = {"destination": "/x", "source": "/y", "options": ["bind"]}
    made = plan(linux=linux("mount", "user", **USER), mounts=[bind])
    order = step(made, op.AwaitTrees)
    binds = [one for one in made.child if isinstance(one, op.BindMount)]
    assert [one.source for one in order.binds] == [one.source for one in binds]
    assert [one.tree for one in binds] == list(range(len(binds)))
    assert "/y" in [one.source for one in order.binds]
    assert not [one for one in made.child if isinstance(one, op.MakeDevice)]
    assert order.root.rootfs == "/bundle/rootfs"


def test_without_a_mount_namespace_the_root_is_only_changed() -> None:
    made = plan(linux=linux("pid"))
    assert step(made, op.ChangeRoot).how == "chroot"
    assert step(made, op.EnterRoot).propagation == -1
    assert plan(OPTIONS._replace(no_pivot=True)).child.count(op.ChangeRoot("move", 0)) == 1


def test_hooks_stand_before_the_change_of_root_and_after_the_start() -> None:
    hooks = {point: [{"path": "/h"}] for point in ("createRuntime", "createContainer", "startContainer")}
    found = names(plan(hooks=hooks))
    assert found.index("AskParent") < found.index("RunHooks") < found.index("ChangeRoot")
    assert found.count("RunHooks") == 2
    assert found.index("AwaitStart") < len(found) - 1 - found[::-1].index("RunHooks")


def test_a_keyring_is_left_out_when_told() -> None:
    assert "SessionKeyring" in names(plan())
    assert "SessionKeyring" not in names(plan(OPTIONS._replace(no_new_keyring=True)))


def test_what_the_parent_does() -> None:
    process = {
        "args": ["sh"],
        "cwd": "/",
        "oomScoreAdj": 5,
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 1},
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
    }
    made = plan(process=process)
    assert made.outside == (op.OomScore(5), op.IoPriority(2, 1))
    assert made.limits == (op.ResourceLimit("RLIMIT_CORE", 0, 0),)


@pytest.mark.parametrize(
    "changes",
    [
        {"root": {}},
        {"hostname": "h"},
        {"domainname": "d"},
        {"linux": linux("pid"), "mounts": [{"destination": "/x", "type": "tmpfs"}]},
        {"linux": linux("mount", rootfsPropagation="x")},
        {"linux": linux("mount", intelRdt={"closID": "x"})},
        {"linux": linux("mount", netDevices={"eth0": {}})},
        {"hooks": {"prestart": [{"path": "relative"}]}},
        {"hooks": {"prestart": [{"path": "/x", "timeout": 0}]}},
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadConfig):
        plan(**changes)


def test_every_operation_can_be_printed() -> None:
    for operation in plan(linux=linux("mount", "pid", "network", maskedPaths=["/m"])).child:
        assert op.describe(operation)["operation"] == type(operation).__name__
