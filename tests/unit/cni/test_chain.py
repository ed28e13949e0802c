"""Order, previous results, capabilities and undo along a list, with plugins that only take notes."""

from dataclasses import dataclass, field

import pytest

from cni.call import Call
from cni.chain import Chain
from cni.conflist import NetworkList
from cni.errors import PluginFailed
from cni.fields import Json

CALL = Call("abc", "/ns", "eth0", capabilities={"portMappings": [{"hostPort": 1}], "dns": {"servers": ["x"]}})


@dataclass
class Notes:
    """A plugin that writes down its calls; ``type`` "bad-add" or "bad-del" fails."""

    calls: list[tuple[str, Json]] = field(default_factory=list)

    async def add(self, call: Call, conf: Json) -> Json:
        self.calls.append(("ADD", conf))
        if conf["type"] == "bad-add":
            raise PluginFailed("no ADD")
        return {"dns": {"domain": conf["type"]}}

    async def check(self, call: Call, conf: Json) -> None:
        self.calls.append(("CHECK", conf))

    async def delete(self, call: Call, conf: Json) -> None:
        self.calls.append(("DEL", conf))
        if str(conf["type"]).startswith("bad-del"):
            raise PluginFailed(f"no DEL of {conf['type']}")

    async def status(self, conf: Json) -> None:
        self.calls.append(("STATUS", conf))

    async def collect(self, conf: Json) -> None:
        self.calls.append(("GC", conf))

    def order(self) -> list[str]:
        return [f"{verb} {conf['type']}" for verb, conf in self.calls]


def chain(notes: Notes, *plugins: Json, version: str = "1.0.0", **fields: bool) -> Chain:
    flags = {"disable_check": False, "disable_gc": False, **fields}
    network = NetworkList("pods", version, plugins, raw=b"", source="x", **flags)
    return Chain(network, lambda conf: notes)


def plugin(kind: str, **keys: object) -> Json:
    return {"type": kind, **keys}


async def test_each_result_goes_to_the_next_plugin() -> None:
    notes = Notes()
    result = await chain(notes, plugin("a"), plugin("b")).add(CALL)
    assert result == {"cniVersion": "1.0.0", "dns": {"domain": "b"}}
    assert notes.order() == ["ADD a", "ADD b"]
    assert "prevResult" not in notes.calls[0][1]
    assert notes.calls[1][1]["prevResult"] == {"cniVersion": "1.0.0", "dns": {"domain": "a"}}
    assert (notes.calls[0][1]["name"], notes.calls[0][1]["cniVersion"]) == ("pods", "1.0.0")


async def test_a_plugin_gets_the_capabilities_it_declares() -> None:
    notes = Notes()
    declared = {"portMappings": True, "dns": False, "mac": True}
    await chain(notes, plugin("a", capabilities=declared), plugin("b")).add(CALL)
    assert notes.calls[0][1]["runtimeConfig"] == {"portMappings": [{"hostPort": 1}]}
    assert "runtimeConfig" not in notes.calls[1][1]


async def test_a_failed_add_deletes_itself_and_what_came_before() -> None:
    notes = Notes()
    with pytest.raises(PluginFailed, match="no ADD"):
        await chain(notes, plugin("a"), plugin("bad-add"), plugin("c")).add(CALL)
    assert notes.order() == ["ADD a", "ADD bad-add", "DEL bad-add", "DEL a"]


async def test_the_first_failure_is_told_even_if_undo_fails() -> None:
    notes = Notes()
    with pytest.raises(PluginFailed, match="no ADD"):
        await chain(notes, plugin("bad-del"), plugin("bad-add")).add(CALL)


async def test_delete_goes_on_after_a_failure() -> None:
    notes = Notes()
    with pytest.raises(PluginFailed, match="no DEL of bad-del-2; no DEL of bad-del-1"):
        await chain(notes, plugin("a"), plugin("bad-del-1"), plugin("bad-del-2")).delete(CALL, {"x": 1})
    assert notes.order() == ["DEL bad-del-2", "DEL bad-del-1", "DEL a"]
    assert all(conf["prevResult"] == {"x": 1} for _, conf in notes.calls)


async def test_old_versions_delete_and_check_without_a_result() -> None:
    notes = Notes()
    old = chain(notes, plugin("a"), version="0.3.1")
    await old.delete(CALL, {"x": 1})
    await old.check(CALL, {"x": 1})
    assert notes.order() == ["DEL a"]
    assert "prevResult" not in notes.calls[0][1]


async def test_check_may_be_disabled() -> None:
    notes = Notes()
    await chain(notes, plugin("a"), disable_check=True).check(CALL, {})
    await chain(notes, plugin("b")).check(CALL, {})
    assert notes.order() == ["CHECK b"]


async def test_status_and_gc_begin_with_1_1() -> None:
    notes = Notes()
    for version in ("1.0.0", "1.1.0"):
        one = chain(notes, plugin(version), version=version)
        await one.status()
        await one.collect([("abc", "eth0")])
    await chain(notes, plugin("off"), version="1.1.0", disable_gc=True).collect([])
    assert notes.order() == ["STATUS 1.1.0", "GC 1.1.0"]
    assert notes.calls[1][1]["cni.dev/valid-attachments"] == [{"containerID": "abc", "ifname": "eth0"}]
