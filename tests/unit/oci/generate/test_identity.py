from typing import Any

import pytest

from oci.generate.identity import resolve, with_line
from oci.generate.inputs import BadContainer, GroupsPolicy, SecurityContext

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:100::/home/alice:/bin/sh\n# note\nbroken\n77:x:7:7::/:/x\n"
)
GROUP = b"root:x:0:\nusers:x:100:\nfriends:x:50000:bob,alice\nbroken:x:many:\n"


@pytest.mark.parametrize(
    ("image_user", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, (0,), "/root"),
        ("alice", 1000, 100, (100, 50000), "/home/alice"),
        ("1000", 1000, 100, (100, 50000), "/home/alice"),
        ("alice:friends", 1000, 50000, (50000,), "/home/alice"),
        ("1001", 1001, 0, (0,), "/"),
        ("1001:1002", 1001, 1002, (1002,), "/"),
        ("77", 7, 7, (7,), "/"),
        (":100", 0, 100, (100,), "/root"),
    ],
)
def test_image_users(image_user: str, uid: int, gid: int, groups: tuple[int, ...], home: str) -> None:
    found = resolve(SecurityContext(), image_user, PASSWD, GROUP)
    assert (found.uid, found.gid, found.additional_gids, found.home) == (uid, gid, groups, home)


@pytest.mark.parametrize(
    ("fields", "uid", "gid", "groups"),
    [
        ({"run_as_user": 1001}, 1001, 0, (0,)),
        ({"run_as_user": 0}, 0, 0, (0,)),
        ({"run_as_username": "alice"}, 1000, 100, (100, 50000)),
        ({"run_as_user": 1001, "run_as_group": 1002}, 1001, 1002, (1002,)),
        ({"run_as_user": 1000, "supplemental_groups": (1234, 100)}, 1000, 100, (100, 1234, 50000)),
        (
            {
                "run_as_user": 1000,
                "supplemental_groups": (1234,),
                "supplemental_groups_policy": GroupsPolicy.STRICT,
            },
            1000,
            100,
            (100, 1234),
        ),
    ],
)
def test_the_request_replaces_the_images_user(
    fields: dict[str, Any], uid: int, gid: int, groups: tuple[int, ...]
) -> None:
    found = resolve(SecurityContext(**fields), "alice:friends", PASSWD, GROUP)
    assert (found.uid, found.gid, found.additional_gids) == (uid, gid, groups)


@pytest.mark.parametrize(
    ("fields", "image_user", "named"),
    [
        ({"run_as_group": 5}, "", "run_as_group: 5"),
        ({"run_as_username": "carol"}, "", "carol"),
        ({}, "carol", "carol"),
        ({}, "alice:nogroup", "nogroup"),
        ({"run_as_user": -1}, "", "-1"),
        ({"run_as_user": 1 << 32}, "", "4294967296"),
        ({"supplemental_groups": (-2,)}, "", "-2"),
        ({}, "9" * 5000, "user"),
    ],
)
def test_what_cannot_be_resolved_is_refused_by_value(
    fields: dict[str, Any], image_user: str, named: str
) -> None:
    with pytest.raises(BadContainer, match=named):
        resolve(SecurityContext(**fields), image_user, PASSWD, GROUP)


def test_host_ids_above_two_to_the_31_are_ids() -> None:
    assert resolve(SecurityContext(run_as_user=3949199360), "").uid == 3949199360


def test_an_unknown_user_gets_lines_and_a_known_one_none() -> None:
    stranger = resolve(SecurityContext(run_as_user=4000, run_as_group=4001), "", PASSWD, GROUP)
    assert with_line(PASSWD, stranger.passwd_line).endswith(
        b"\n4000:x:4000:4001:container user:/:/sbin/nologin\n"
    )
    assert with_line(b"a:x:1:", stranger.group_line) == b"a:x:1:\n4001:x:4001:\n"
    known = resolve(SecurityContext(run_as_user=1000), "", PASSWD, GROUP)
    assert (known.passwd_line, known.group_line, known.username) == ("", "", "alice")


def test_hostile_files_are_passed_over() -> None:
    passwd = b"\xff\xfe:x:1:1::/:\n" + b"a:x:" + b"9" * 9000 + b":0::/:\n" + b":" * 100_000
    assert resolve(SecurityContext(run_as_user=5), "", passwd, passwd).uid == 5
