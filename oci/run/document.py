"""Reading a JSON document by types: ``Any`` ends here. An error names the key by its path in the document."""

from collections.abc import Iterator, Mapping

from oci.run.errors import BadConfig

_INT64 = 1 << 63


class Table:
    """A JSON object; a key that is null counts as missing, one of a wrong type raises BadConfig."""

    __slots__ = ("_name", "_values")

    def __init__(self, value: object, name: str = "") -> None:
        if not isinstance(value, Mapping):
            raise BadConfig(f"{name or 'the document'} is not an object")
        self._values: Mapping[str, object] = value
        self._name = name

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def __bool__(self) -> bool:
        return bool(self._values)

    @property
    def raw(self) -> Mapping[str, object]:
        """The object itself."""
        return self._values

    def name_of(self, key: str) -> str:
        """``linux.resources`` and so on, for errors."""
        return f"{self._name}.{key}" if self._name else key

    def text(self, key: str, default: str = "") -> str:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise BadConfig(f"{self.name_of(key)} is not a string")
        return value

    def flag(self, key: str) -> bool:
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            raise BadConfig(f"{self.name_of(key)} is not a boolean")
        return bool(value)

    def number(self, key: str, default: int = 0) -> int:
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not -_INT64 <= value < 2 * _INT64:
            raise BadConfig(f"{self.name_of(key)} is not an integer")
        return value

    def optional_number(self, key: str) -> int | None:
        return self.number(key) if key in self else None

    def table(self, key: str) -> "Table":
        """The object at ``key``; an empty one if it is missing."""
        return Table(self._values[key] if key in self else {}, self.name_of(key))

    def _list(self, key: str) -> list[object]:
        value = self._values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise BadConfig(f"{self.name_of(key)} is not an array")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self._strings(key))

    def _strings(self, key: str) -> Iterator[str]:
        for item in self._list(key):
            if not isinstance(item, str):
                raise BadConfig(f"{self.name_of(key)} has something that is not a string")
            yield item

    def numbers(self, key: str) -> tuple[int, ...]:
        items = self._list(key)
        return tuple(Table({"item": item}, self.name_of(key)).number("item") for item in items)

    def tables(self, key: str) -> "list[Table]":
        return [Table(item, f"{self.name_of(key)}[{at}]") for at, item in enumerate(self._list(key))]

    def text_map(self, key: str) -> dict[str, str]:
        table = self.table(key)
        return {name: table.text(name) for name in table.raw}
