from typing import Any

import pytest

from oci.generate.identity import FILE_LIMIT, LINES_LIMIT, image_uid, resolve, with_line, without_misleading
from oci.generate.inputs import BadContainer, GroupsPolicy, SecurityContext

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:100::/home/alice:/bin/sh\n# note\nbroken\n77:x:7:7::/:/x\n"
)
GROUP = (
    b"root:x:0:\nusers:x:100:\nfriends:x:50000:bob,alice\nbroken:x:many:\n2000:x:0:\n0x:x:5:77,malice,alic\n"
)


@pytest.mark.parametrize(
    ("image_user", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, (0,), "/root"),
        ("alice", 1000, 100, (100, 50000), "/home/alice"),
        ("1000", 1000, 100, (100, 50000), "/home/alice"),
        ("alice:friends", 1000, 50000, (50000,), "/home/alice"),
        ("1001", 1001, 0, (0,), "/"),
        ("1001:1002", 1001, 1002, (1002,), "/"),
        ("77", 77, 0, (0,), "/"),  # an account of that name is none of that number
        ("+77", 77, 0, (0,), "/"),
        ("0077:0x", 77, 5, (5,), "/"),
        ("alice:100", 1000, 100, (100, 50000), "/home/alice"),
        ("alice:2000", 1000, 2000, (2000, 50000), "/home/alice"),
        ("4294967294", 4294967294, 0, (0,), "/"),
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
        ({}, "--5", "--5"),
        ({}, "-1", "-1"),
        ({}, " 0", "' 0'"),
        ({}, "0\n", "user"),
        ({}, "\uff15", "\uff15"),
        ({}, "\u0663", "user"),
        ({}, "\ud800", "user"),
        ({}, "a\0b", "user"),
        ({}, "0:0:0", "'0:0'"),
        ({}, "4294967295", "4294967295"),
        ({}, "4294967296", "4294967296"),
        ({}, "0:4294967295", "group id 4294967295"),
        ({}, "0:--5", "group"),
        ({}, "0x10", "0x10"),
        ({}, "1_0", "1_0"),
        ({}, "18446744073709551616", "18446744073709551616"),
        ({"run_as_username": "4294967295"}, "", "4294967295"),
        ({"run_as_group": 4294967295, "run_as_user": 5}, "", "4294967295"),
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


EVIL_PASSWD = b"root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/root:/bin/sh\n+5:x:0:0::/:/x\n007:x:0:0::/:/x\n"
EVIL_GROUP = b"root:x:0:\n2000:x:0:\n3000:x:0:1000\n"


@pytest.mark.parametrize(
    ("fields", "image_user"),
    [
        ({}, "1000"),
        ({}, "1000:2000"),
        ({}, "+5"),
        ({}, "007:3000"),
        ({"run_as_user": 1000}, ""),
        ({"run_as_user": 1000, "run_as_group": 2000}, "root"),
        ({"run_as_username": "1000"}, ""),
        ({"run_as_username": "1000", "run_as_group": 3000}, ""),
        ({"run_as_user": 1000, "run_as_group": 2000, "supplemental_groups": (3000,)}, "1000:2000"),
    ],
)
def test_what_is_named_like_a_number_is_nobody(fields: dict[str, Any], image_user: str) -> None:
    found = resolve(SecurityContext(**fields), image_user, EVIL_PASSWD, EVIL_GROUP)
    text = fields.get("run_as_username") or fields.get("run_as_user") or image_user.partition(":")[0]
    group = fields.get("run_as_group") or image_user.partition(":")[2] or 0
    assert (found.uid, found.gid) == (int(text), int(group))
    assert set(found.additional_gids) == {int(group), *fields.get("supplemental_groups", ())}


@pytest.mark.parametrize(
    "image_user",
    [
        "",
        "root",
        "1000",
        "+5",
        "007",
        "-1",
        "--5",
        " 5",
        "\uff15",
        "0:0",
        ":5",
        "4294967295",
        "9" * 30,
        "1000:x",
    ],
)
def test_who_asks_for_the_image_hears_what_its_containers_run_as(image_user: str) -> None:
    """What ImageStatus tells of a number is what runs, and of everything else it tells no number."""
    uid = image_uid(image_user)
    try:
        runs = resolve(SecurityContext(), image_user, b"", b"x:x:1:\n").uid
    except BadContainer:
        runs = None
    assert uid == runs


def test_account_files_are_bounded_by_bytes_and_lines() -> None:
    long = b"a:x:1:1::/:\n" * LINES_LIMIT + b"alice:x:7:7::/:\n"
    with pytest.raises(BadContainer, match="alice"):
        resolve(SecurityContext(), "alice", long)
    large = b"#" * (FILE_LIMIT - 12) + b"\nbob:x:8:8::/:/x\n"
    assert large[FILE_LIMIT - 1 :].startswith(b"b") is False
    with pytest.raises(BadContainer, match="bob"):  # not by the half of a line
        resolve(SecurityContext(), "bob", large)
    with pytest.raises(BadContainer, match="grp"):
        resolve(SecurityContext(), "0:grp", b"", b"#" * (FILE_LIMIT - 9) + b"\ngrp:x:12345:\n")


def test_files_of_the_largest_size_are_read_to_their_end() -> None:
    names = b",".join(b"%x" % number for number in range(400_000))
    group = b"a:x:9:" + names + b",alice\nb:x:10:malice,alices\n"
    passwd = (
        b"".join(b"%x:x:5:5::/:/x\n" % number for number in range(LINES_LIMIT - 1)) + b"alice:x:7:7::/:\n"
    )
    assert len(group) < FILE_LIMIT
    assert len(passwd) < FILE_LIMIT
    found = resolve(SecurityContext(), "alice", passwd, group)
    assert (found.uid, found.additional_gids) == (7, (7, 9))


@pytest.mark.parametrize(
    ("group", "left"),
    [
        (b"a:x:1:\n2000:x:0:\nb:x:2:", b"a:x:1:\nb:x:2:"),
        (b"2000:x:2000:me\n", b"2000:x:2000:me\n"),
        (b" 2000 :x:0:\n", b""),
        (b"2000\nc:x:3:\n", b"c:x:3:\n"),
        (b"2000:\n2000::\n2000:x:zero:\n2000:x:-0\n", b""),
        (
            b"02000:x:0:\n20000:x:0:\nx2000:x:0:\n#2000:x:0:\n",
            b"02000:x:0:\n20000:x:0:\nx2000:x:0:\n#2000:x:0:\n",
        ),
        (b"", b""),
    ],
)
def test_no_group_is_named_like_another_that_the_process_has(group: bytes, left: bytes) -> None:
    assert without_misleading(group, (5, 2000)) == left
    assert without_misleading(group, ()) == group
