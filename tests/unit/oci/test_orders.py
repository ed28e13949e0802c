import json

import pytest

from oci.orders import BadOrder, Create, Exec, Files, Inside, Start, verb_of

FILES = Files("/run/x/1.log", "/run/x/1.pid", "", "/run/x/1.json")
CREATE = Inside(Create("c", "/bundle", no_pivot=True), FILES, "/run/states", systemd=True)


@pytest.mark.parametrize("order", [Create("c", "/bundle"), Start("c"), Exec("c")], ids=verb_of)
def test_an_order_survives_the_wire(order: Create | Start | Exec) -> None:
    inside = Inside(order, FILES, "/run/states", systemd=False)
    assert Inside.parse(json.loads(json.dumps(inside.encode()))) == inside


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "destroy"},
        {"verb": None},
        {"root": 7},
        {"systemd": "yes"},
        {"order": {"id": "c"}},
        {"order": {"id": "c", "bundle": "/b", "no_pivot": 1}},
        {"order": {"id": "c", "bundle": "/b", "no_pivot": True, "more": ""}},
        {"files": []},
        {"files": {"log": "/l"}},
    ],
)
def test_what_is_no_order_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadOrder):
        Inside.parse({**CREATE.encode(), **change})
