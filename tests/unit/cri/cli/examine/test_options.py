import grp
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from conf.schema import ApiTable, Config, MetricsTable, RuntimeHandler, RuntimeTable
from cri.cli.examine.findings import Finding, Level
from cri.cli.examine.options import options, streaming_process
from tests.unit.cri.streaming.certificates import self_signed

NO_RULES = {"defaultAction": "SCMP_ACT_ERRNO"}
BAD_RULE = {**NO_RULES, "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}


def examined(config: Config) -> list[tuple[Level, str]]:
    return [(each.level, each.subject) for each in findings(config)]


def findings(config: Config) -> Iterable[Finding]:
    return [finding for found in options(config, "x86_64").values() for finding in found]


def profile(directory: Path, content: object) -> Path:
    path = directory / "profile.json"
    path.write_text(json.dumps(content))
    return path


def test_the_defaults_name_nothing() -> None:
    assert examined(Config()) == []


@pytest.mark.parametrize(
    ("content", "level"), [(NO_RULES, Level.OK), ({}, Level.FAILS), (BAD_RULE, Level.FAILS)]
)
def test_a_seccomp_profile_must_load_whole(tmp_path: Path, content: object, level: Level) -> None:
    runtime = RuntimeTable(seccomp_profile=profile(tmp_path, content))
    assert examined(Config(runtime=runtime)) == [(level, "seccomp_profile")]


def test_a_seccomp_profile_of_a_handler_is_found_missing_too(tmp_path: Path) -> None:
    own = RuntimeHandler(seccomp_profile=tmp_path / "none.json")
    (finding,) = findings(Config(runtime=RuntimeTable(runtimes={"own": own})))
    assert (finding.level, finding.subject) == (Level.FAILS, "runtimes.own.seccomp_profile")
    assert f"{tmp_path}/none.json: No such file" in finding.text


def test_certificates_must_load_where_tls_is_on(tmp_path: Path) -> None:
    pair, other = self_signed(tmp_path, "server"), self_signed(tmp_path, "other")

    def level(key: Path, *, on: bool) -> list[tuple[Level, str]]:
        table = ApiTable(stream_enable_tls=on, stream_tls_cert=pair.certificate, stream_tls_key=key)
        return examined(Config(api=table))

    assert level(pair.key, on=True) == [(Level.OK, "stream_tls_cert")]
    assert level(other.key, on=True) == [(Level.FAILS, "stream_tls_key")]
    assert level(other.key, on=False) == []


@pytest.mark.parametrize(("enabled", "expected"), [(True, [(Level.FAILS, "metrics_cert")]), (False, [])])
def test_the_certificate_of_metrics_must_load_where_they_are_served(
    tmp_path: Path, enabled: bool, expected: list[tuple[Level, str]]
) -> None:
    (tmp_path / "cert").write_text("no certificate")
    metrics = MetricsTable(
        enable_metrics=enabled, metrics_cert=tmp_path / "cert", metrics_key=tmp_path / "none"
    )
    assert examined(Config(metrics=metrics)) == expected


def test_a_certificate_of_metrics_that_is_missing_will_be_made(tmp_path: Path) -> None:
    metrics = MetricsTable(enable_metrics=True, metrics_cert=tmp_path / "c", metrics_key=tmp_path / "k")
    assert examined(Config(metrics=metrics)) == [(Level.OK, "metrics_cert")]


@pytest.mark.parametrize(
    ("group", "level"), [(grp.getgrgid(0).gr_name, Level.OK), ("no such group", Level.FAILS)]
)
def test_the_group_of_the_socket_must_exist(group: str, level: Level) -> None:
    (finding,) = findings(Config(api=ApiTable(socket_group=group)))
    assert (finding.level, finding.subject) == (level, "socket_group")
    assert level is Level.OK or finding.way_out == f"groupadd --system {group}"


@pytest.mark.parametrize("name", ["Nowhere/Land", "."])
def test_the_timezone_must_be_a_file(name: str) -> None:
    (finding,) = findings(Config(runtime=RuntimeTable(timezone=name)))
    assert (finding.level, finding.subject) == (Level.FAILS, "timezone")


def test_it_is_said_what_the_streaming_process_is_kept_from() -> None:
    (finding,) = streaming_process()
    assert (finding.level, finding.subject) == (Level.OK, "podwright-streaming")
