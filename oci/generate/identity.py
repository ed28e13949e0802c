"""Who a container's process runs as: the CRI's security context over the image's USER (image-spec config.md).

The container's /etc/passwd and /etc/group come as bytes, read by the caller (oci.hostview.read_in_root): they
are the image's and not to be trusted, so lines that do not parse are passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from oci.generate.inputs import BadContainer, GroupsPolicy, Identity, SecurityContext

MAX_ID = 0xFFFFFFFE  # (uid_t) -1 means "no change" to the kernel
FILE_LIMIT = 4 << 20  # bytes of passwd or group that a caller should read at most


@dataclass(frozen=True, slots=True)
class Account:
    """A line of passwd."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class Group:
    """A line of group."""

    name: str
    gid: int
    members: frozenset[str]


def resolve(security: SecurityContext, image_user: str, passwd: bytes = b"", group: bytes = b"") -> Identity:
    """The identity for a container; ``image_user`` is "user[:group]", names or numbers, or "".

    Raises:
        BadContainer: run_as_group without a user, a name that the files do not have, an id out of range.
    """
    accounts = list(_accounts(passwd))
    groups = list(_groups(group))
    wanted_user, wanted_group = _wanted(security, image_user)
    uid, account = _user(wanted_user, accounts)
    gid = _group(wanted_group, groups) if wanted_group else (account.gid if account else 0)
    additional = _additional(security, gid, account, groups)
    username = account.name if account else ""
    return Identity(
        uid=uid,
        gid=gid,
        additional_gids=(gid, *sorted(additional - {gid})),
        home=account.home if account and account.home.startswith("/") else "/",
        username=username,
        passwd_line="" if account else f"{uid}:x:{uid}:{gid}:container user:/:/sbin/nologin\n",
        group_line="" if any(one.gid == gid for one in groups) else f"{gid}:x:{gid}:\n",
    )


def with_line(content: bytes, line: str) -> bytes:
    """``content`` of passwd or group with ``line`` at its end."""
    return content + (b"" if not content or content.endswith(b"\n") else b"\n") + line.encode()


def _wanted(security: SecurityContext, image_user: str) -> tuple[str, str]:
    """(user, group) as text; the request's user replaces both of the image's."""
    for field, number in (("run_as_user", security.run_as_user), ("run_as_group", security.run_as_group)):
        if number is not None and not 0 <= number <= MAX_ID:
            raise BadContainer(f"{field}: {number} is not between 0 and {MAX_ID}")
    if security.run_as_username:
        user, group = security.run_as_username, ""
    elif security.run_as_user is not None:
        user, group = str(security.run_as_user), ""
    elif security.run_as_group is not None:
        raise BadContainer(
            f"run_as_group: {security.run_as_group} is set without run_as_user or run_as_username"
        )
    else:
        user, _, group = image_user.partition(":")
    if security.run_as_group is not None:
        group = str(security.run_as_group)
    return user or "0", group


def _user(wanted: str, accounts: list[Account]) -> tuple[int, Account | None]:
    """A name beats a number: an account may be called "1000"."""
    for account in accounts:
        if account.name == wanted:
            return account.uid, account
    uid = _number("user", wanted, "/etc/passwd")
    return uid, next((account for account in accounts if account.uid == uid), None)


def _group(wanted: str, groups: list[Group]) -> int:
    for group in groups:
        if group.name == wanted:
            return group.gid
    return _number("group", wanted, "/etc/group")


def _number(what: str, text: str, file: str) -> int:
    if not text.lstrip("-").isdecimal() or len(text) > 20:
        raise BadContainer(f"{what} {text!r} is not in the container's {file}")
    number = int(text)
    if not 0 <= number <= MAX_ID:
        raise BadContainer(f"{what} id {text} is not between 0 and {MAX_ID}")
    return number


def _additional(
    security: SecurityContext, gid: int, account: Account | None, groups: list[Group]
) -> set[int]:
    found = set(security.supplemental_groups)
    for number in found:
        if not 0 <= number <= MAX_ID:
            raise BadContainer(f"supplemental_groups: {number} is not between 0 and {MAX_ID}")
    if account and security.supplemental_groups_policy is GroupsPolicy.MERGE:
        found |= {group.gid for group in groups if account.name in group.members}
    return found | {gid}


def _accounts(content: bytes) -> Iterator[Account]:
    for fields in _lines(content, 7):
        uid, gid = _small(fields[2]), _small(fields[3])
        if uid is not None and gid is not None:
            yield Account(fields[0], uid, gid, fields[5])


def _groups(content: bytes) -> Iterator[Group]:
    for fields in _lines(content, 3):
        gid = _small(fields[2])
        if gid is not None:
            members = fields[3].split(",") if len(fields) > 3 else []
            yield Group(fields[0], gid, frozenset(filter(None, members)))


def _lines(content: bytes, minimum: int) -> Iterator[list[str]]:
    for line in content[:FILE_LIMIT].decode("utf-8", "replace").split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= minimum and fields[0] and not line.startswith("#"):
            yield fields


def _small(text: str) -> int | None:
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        return None
    return int(text) if int(text) <= MAX_ID else None
