"""What the daemon holds in memory: records by id, by unique id prefix and by name."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from api.errors import InvalidArgument, NotFound


class Record(Protocol):
    """What a store needs of its items."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


R = TypeVar("R", bound=Record)


class RecordNotFound(NotFound):
    """No record has this id."""


class AmbiguousId(InvalidArgument):
    """An id prefix fits more than one record."""


class Store(Generic[R]):
    """Records of one kind; iteration is in order of creation."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._by_id: dict[str, R] = {}
        self._by_name: dict[str, R] = {}

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, record: R) -> None:
        self._by_id[record.id] = record
        self._by_name[record.name] = record

    def discard(self, record: R) -> None:
        """Forget the record; its name is free again."""
        self._by_id.pop(record.id, None)
        if self._by_name.get(record.name) is record:
            del self._by_name[record.name]

    def holds(self, record: R) -> bool:
        """Whether this very record is here: it was not discarded."""
        return self._by_id.get(record.id) is record

    def require(self, record: R) -> None:
        """Refuse a record that was discarded while a verb waited for its turn.

        Raises:
            RecordNotFound: it is gone.
        """
        if not self.holds(record):
            raise RecordNotFound(f"{self._kind} {record.id} was removed meanwhile")

    def named(self, name: str) -> R | None:
        return self._by_name.get(name)

    def find(self, text: str) -> R | None:
        """The record with this id or unique prefix of an id, or None.

        Raises:
            AmbiguousId: several ids begin with ``text``.
        """
        exact = self._by_id.get(text)
        if exact is not None or not text:
            return exact
        found = [record for identifier, record in self._by_id.items() if identifier.startswith(text)]
        if len(found) > 1:
            raise AmbiguousId(f"{self._kind} id {text!r} fits {len(found)} {self._kind}s: give more of it")
        return found[0] if found else None

    def get(self, text: str) -> R:
        """Like ``find``, but a missing record is an error.

        Raises:
            RecordNotFound: nothing has this id.
        """
        record = self.find(text)
        if record is None:
            raise RecordNotFound(
                f"no {self._kind} has the id {text!r}" if text else f"the {self._kind} id is empty"
            )
        return record
