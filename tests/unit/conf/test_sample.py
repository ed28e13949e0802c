import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from conf.load import load
from conf.options import options_of
from conf.sample import differences, render, sample
from conf.schema import Config, RuntimeHandler
from conf.tables import schema_tables
from conf.values import Assignment, DeviceRule, Seconds, Ulimit


def test_the_sample_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text(sample())
    assert load(tmp_path / "a.conf").config == Config()


def test_the_sample_shows_every_option_with_its_true_default(tmp_path: Path) -> None:
    """Un-commented it still reads as the defaults, and as one handler called NAME."""
    text = re.sub(r"^# (\[|\w+ = )", r"\1", sample(), flags=re.MULTILINE)
    (tmp_path / "a.conf").write_text(text)
    loaded = load(tmp_path / "a.conf")
    assert loaded.warnings == ()
    expected = replace(Config().runtime, runtimes={"NAME": RuntimeHandler()})
    assert loaded.config == replace(Config(), runtime=expected)
    assert len(loaded.sources) == sum(len(options_of(kind)) for kind in schema_tables().values())


def test_defaults_differ_in_nothing() -> None:
    assert differences(Config()) == ""


def test_differences_read_back_as_the_same_configuration(tmp_path: Path) -> None:
    config = Config(root=Path('/odd "path"\\with'))
    handler = RuntimeHandler(
        runtime_path=Path("/x"),
        default_annotations={"a.b/c": "ä\n"},
        container_create_timeout=Seconds(90),
    )
    runtime = replace(
        config.runtime,
        runtimes={"my.own": handler, "plain": RuntimeHandler()},
        log_level="debug",
        drop_infra_ctr=False,
        default_ulimits=(Ulimit("nofile", 1, -1),),
        default_env=(Assignment("A", "b\x7f"),),
        additional_devices=(DeviceRule.parse("/dev/a:/dev/b:r"),),
        ctr_stop_timeout=Seconds(32.5),
    )
    config = replace(config, runtime=runtime, network=replace(config.network, plugin_dirs=()))
    (tmp_path / "a.conf").write_text(differences(config))
    assert load(tmp_path / "a.conf").config == config


def test_only_what_differs_is_shown() -> None:
    config = replace(Config(), api=replace(Config().api, stream_enable_tls=True))
    assert differences(config) == "[crio.api]\nstream_enable_tls = true\n"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, None, '""'),
        (True, bool, "true"),
        (5, int, "5"),
        (Seconds(300.0), Seconds, '"5m"'),
        (Seconds(7200.0), Seconds, '"2h"'),
        (Seconds(0.0), Seconds, '"0s"'),
        (Seconds(0.25), Seconds, '"0.25s"'),
        (("a", "b"), None, '["a", "b"]'),
        ({}, None, "{}"),
        ({"a.b": "c"}, None, '{ "a.b" = "c" }'),
    ],
)
def test_values_are_rendered_as_toml(value: Any, kind: Any, text: str) -> None:
    assert render(value, kind) == text


def test_the_sample_says_what_a_reload_changes() -> None:
    above = {line.split()[1]: before for before, line in pairwise(sample().splitlines()) if " = " in line}
    assert above["ctr_stop_timeout"].endswith("SIGHUP.")
    assert "SIGHUP" not in above["no_pivot"]
