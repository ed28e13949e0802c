from pathlib import Path
from typing import Any, Literal

import pytest

from conf.options import options_of
from conf.reference import describe, reference
from conf.schema import ApiTable, Config, RuntimeHandler
from conf.tables import schema_tables
from conf.values import Port, Seconds, Ulimit


def test_every_option_of_the_schema_is_described_once() -> None:
    described = [(table.name, option.key) for table in reference() for option in table.options]
    assert (
        len(described)
        == len(set(described))
        == sum(len(options_of(kind)) for kind in schema_tables().values())
    )
    assert ("crio.api", "listen") in described
    assert ("crio.runtime.runtimes.NAME", "runtime_path") in described


def test_an_option_comes_with_its_default_and_unit_as_they_are_written() -> None:
    options = {(table.name, option.key): option for table in reference() for option in table.options}
    timeout = options["crio.api", "stream_idle_timeout"]
    assert (timeout.kind, timeout.default, timeout.unit) == ("duration", '"4h"', "")
    size = options["crio.api", "grpc_max_send_msg_size"]
    assert (size.kind, size.default, size.unit) == ("number", str(ApiTable().grpc_max_send_msg_size), "bytes")
    assert options["crio", "root"].default == f'"{Config().root}"'
    handler = options["crio.runtime.runtimes.NAME", "container_create_timeout"]
    assert handler.default == f'"{RuntimeHandler().container_create_timeout / 60:g}m"'


def test_every_table_and_option_says_what_it_is() -> None:
    for table in reference():
        assert table.text[0].isupper(), table.name
        assert table.text.endswith("."), table.name
        assert all(option.text.endswith(".") for option in table.options), table.name


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (str, "text"),
        (Seconds, "duration"),
        (Port, "port number"),
        (Path | None, "path, or empty"),
        (tuple[str, ...], "list of texts"),
        (tuple[Ulimit, ...], "list of name=soft:hard"),
        (Literal["a", "b"], 'one of "a", "b"'),
    ],
)
def test_types_are_said_in_words(kind: Any, said: str) -> None:
    assert describe(kind) == said
