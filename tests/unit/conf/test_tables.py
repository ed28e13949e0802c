import tomllib

from conf.tables import Locator, Walker, dotted, pattern_of

TEXT = """
root = "/a"
[crio.runtime]
  log_level = "info" # log_dir = "x"
pids_limit=5
[crio.runtime.runtimes."my.own"]
runtime_path = "/x"
"""


def test_options_are_named_from_crio_down() -> None:
    assert dotted((), "root") == "crio.root"
    assert dotted(("runtime", "runtimes", "crun")) == "crio.runtime.runtimes.crun"


def test_a_handler_stands_for_every_name() -> None:
    assert pattern_of(("runtime", "runtimes", "crun")) == pattern_of(("runtime", "runtimes", "runc"))
    assert pattern_of(("runtime",)) == ("runtime",)


def test_lines_are_found_by_table_and_key() -> None:
    locator = Locator("f", TEXT)
    assert locator.find((), "root", True) == "f:2"
    assert locator.find(("runtime",), "log_level", False) == "f:4"
    assert locator.find(("runtime",), "pids_limit", False) == "f:5"
    assert locator.find(("runtime", "runtimes", "my.own"), "runtime_path", False) == "f:7"
    assert locator.find(("runtime",), "log_level", True) == "f"


def test_a_document_is_walked_into_settings() -> None:
    reading = Walker().read(tomllib.loads(TEXT), "f", TEXT)
    assert reading.problems == []
    assert {(dotted(each.table, each.key), each.source) for each in reading.settings} == {
        ("crio.root", "f:2"),
        ("crio.runtime.log_level", "f:4"),
        ("crio.runtime.pids_limit", "f:5"),
        ("crio.runtime.runtimes.my.own.runtime_path", "f:7"),
    }
    assert ("runtime", "runtimes", "my.own") in reading.tables


def test_a_walker_keeps_nothing_between_documents() -> None:
    walker = Walker()
    walker.read({"crio": {"wrong": 1}}, "f")
    assert walker.read({}, "g").problems == []
