"""Who a container's process runs as: the CRI's security context over the image's USER (image-spec config.md).

Decimal text is a number, for everybody who asks: create, exec, and ImageStatus, by which the kubelet
decides about runAsNonRoot. An account or group that is *named* like a number is never looked up by that
name, else an image could make "1000" mean root. Integers of the CRI never become text.

The container's /etc/passwd and /etc/group come as bytes, read by the caller (oci.hostview.read_in_root): they
are the image's and not to be trusted. Lines that do not parse are passed over, and so is what lies beyond
FILE_LIMIT bytes or LINES_LIMIT lines; the work grows with their size and no faster.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from oci.generate.inputs import BadContainer, GroupsPolicy, Identity, SecurityContext

MAX_ID = 0xFFFFFFFE  # (uid_t) -1 means "no change" to the kernel
FILE_LIMIT = 4 << 20  # bytes of passwd or group that are looked at
LINES_LIMIT = 100_000

# Go's strconv, by which the peers read it, takes a sign too.
_DECIMAL = re.compile(r"[+-]?[0-9]{1,19}")
_PASSWD, _GROUP = "/etc/passwd", "/etc/group"


@dataclass(frozen=True, slots=True)
class Account:
    """A line of passwd."""

    name: bytes
    uid: int
    gid: int
    home: bytes


def split_user(text: str) -> tuple[str, str]:
    """User and group of an image's USER, "user[:group]"; each may be "", a number or a name."""
    user, _, group = text.partition(":")
    return user, group


def number_of(text: str) -> int | None:
    """The number that decimal text is, whatever its size or sign; None for a name."""
    return int(text) if _DECIMAL.fullmatch(text) else None


def image_uid(image_user: str) -> int | None:
    """The uid that an image's USER means by number, root's where it says nothing; None: by a name, or no
    id."""
    user, _ = split_user(image_user)
    number = number_of(user or "0")
    return number if number is not None and 0 <= number <= MAX_ID else None


def resolve(security: SecurityContext, image_user: str, passwd: bytes = b"", group: bytes = b"") -> Identity:
    """The identity for a container; ``image_user`` is "user[:group]", names or numbers, or "".

    Raises:
        BadContainer: run_as_group without a user, a name that the files do not have, an id out of range.
    """
    wanted_user, wanted_group = _wanted(security, image_user)
    uid, account = _user(wanted_user, passwd)
    gid = account.gid if account else 0
    if wanted_group is not None:
        gid = _group(wanted_group, group)
    additional = _additional(security, account, group)
    home = account.home.decode(errors="replace") if account else "/"
    return Identity(
        uid=uid,
        gid=gid,
        additional_gids=(gid, *sorted(additional - {gid})),
        home=home if home.startswith("/") and "\0" not in home else "/",
        username=account.name.decode(errors="replace") if account else "",
        passwd_line="" if account else f"{uid}:x:{uid}:{gid}:container user:/:/sbin/nologin\n",
        group_line="" if _has_group(group, gid) else f"{gid}:x:{gid}:\n",
    )


def with_line(content: bytes, line: str) -> bytes:
    """``content`` of passwd or group with ``line`` at its end."""
    return content + (b"" if not content or content.endswith(b"\n") else b"\n") + line.encode()


def without_misleading(group: bytes, gids: Iterable[int]) -> bytes:
    """``group`` without groups that are named like one of ``gids`` and are another: runc looks additional
    groups up by their decimal text as a name too, and takes a number that it cannot read for 0."""
    names = {b"%d" % gid for gid in gids}
    if not any(re.search(rb"^\s*%b\s*(?::|$)" % name, group, re.MULTILINE) for name in names):
        return group
    return b"\n".join(line for line in group.split(b"\n") if not _misleads(line, names))


def _misleads(line: bytes, names: Collection[bytes]) -> bool:
    fields = line.strip().split(b":", 3)
    return fields[0].strip() in names and fields[2:3] != fields[:1]


def _wanted(security: SecurityContext, image_user: str) -> tuple[int | str, int | str | None]:
    """(user, group), numbers or names; the request's user replaces both of the image's. A group of None is
    the account's own."""
    for field, number in (("run_as_user", security.run_as_user), ("run_as_group", security.run_as_group)):
        if number is not None and not 0 <= number <= MAX_ID:
            raise BadContainer(f"{field}: {number} is not between 0 and {MAX_ID}")
    group: int | str | None = None
    if security.run_as_username:
        user = _parsed("user", security.run_as_username)
    elif security.run_as_user is not None:
        user = security.run_as_user
    elif security.run_as_group is not None:
        raise BadContainer(
            f"run_as_group: {security.run_as_group} is set without run_as_user or run_as_username"
        )
    else:
        user_text, group_text = split_user(image_user)
        user = _parsed("user", user_text or "0")
        group = _parsed("group", group_text) if group_text else None
    return user, group if security.run_as_group is None else security.run_as_group


def _parsed(what: str, text: str) -> int | str:
    """A number where the text is one, else the name."""
    number = number_of(text)
    if number is None:
        return text
    if not 0 <= number <= MAX_ID:
        raise BadContainer(f"{what} id {text} is not between 0 and {MAX_ID}")
    return number


def _user(wanted: int | str, passwd: bytes) -> tuple[int, Account | None]:
    """The uid, and the first account that has it or the name."""
    if isinstance(wanted, int):
        return wanted, next((account for account in _accounts(passwd) if account.uid == wanted), None)
    name = _encoded(wanted)
    for account in _accounts(passwd):
        if account.name == name:
            return account.uid, account
    raise BadContainer(f"user {_shown(wanted)} is not in the container's {_PASSWD}")


def _group(wanted: int | str, content: bytes) -> int:
    if isinstance(wanted, int):
        return wanted
    name = _encoded(wanted)
    for found, gid, _ in _groups(content):
        if found == name:
            return gid
    raise BadContainer(f"group {_shown(wanted)} is not in the container's {_GROUP}")


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else name[:100] + "…")


def _has_group(content: bytes, gid: int) -> bool:
    return any(found == gid for _, found, _ in _groups(content))


def _additional(security: SecurityContext, account: Account | None, content: bytes) -> set[int]:
    found = set(security.supplemental_groups)
    for number in found:
        if not 0 <= number <= MAX_ID:
            raise BadContainer(f"supplemental_groups: {number} is not between 0 and {MAX_ID}")
    if account and security.supplemental_groups_policy is GroupsPolicy.MERGE:
        name = account.name
        # Looked for as a part of the text first: most lines need no list of their members.
        found |= {
            gid for _, gid, members in _groups(content) if name in members and name in members.split(b",")
        }
    return found


def _accounts(content: bytes) -> Iterator[Account]:
    for fields in _lines(content, 7):
        uid, gid = _small(fields[2]), _small(fields[3])
        if uid is not None and gid is not None:
            yield Account(fields[0], uid, gid, fields[5])


def _groups(content: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Name, number and members, the last still one text."""
    for fields in _lines(content, 3):
        gid = _small(fields[2])
        if gid is not None:
            yield fields[0], gid, fields[3] if len(fields) > 3 else b""


def _lines(content: bytes, minimum: int) -> Iterator[list[bytes]]:
    """The fields of lines that have some; a last line without its end is none where the file goes on."""
    looked_at = content[:FILE_LIMIT]
    if len(content) > FILE_LIMIT:
        looked_at = looked_at[: looked_at.rfind(b"\n") + 1]
    for line in looked_at.split(b"\n", LINES_LIMIT)[:LINES_LIMIT]:
        fields = line.strip().split(b":", 7)
        if len(fields) >= minimum and fields[0] and not line.startswith(b"#"):
            yield fields


def _small(text: bytes) -> int | None:
    if not text.isdigit() or len(text) > 10:  # of bytes: ASCII digits alone
        return None
    return int(text) if int(text) <= MAX_ID else None
