"""cri/defaults: what each handler's table adds to its containers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from conf.schema import Config, RuntimeHandler, RuntimeTable
from conf.seccomp import BadSeccompProfile
from cri.defaults import UnknownTimezone, handler_defaults, timezone_file, with_localhost_profile
from oci.generate.inputs import Defaults, ProfileType, SecurityContext, SecurityProfile


def configuration(handler: RuntimeHandler) -> Config:
    return replace(Config(), runtime=RuntimeTable(runtimes={"own": handler}, read_only=True))


def test_a_handlers_table_holds_for_its_containers_alone(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_LOG"}))
    handler = RuntimeHandler(
        privileged_without_host_devices=True,
        allowed_annotations=("run.oci.",),
        default_annotations={"run.oci.handler": "krun"},
        seccomp_profile=profile,
    )
    defaults = handler_defaults(configuration(handler), "crun")
    own, other = defaults.of("own"), defaults.of("crun")
    assert own.privileged_without_host_devices
    assert own.allowed_annotations == ("run.oci.",)
    assert own.annotations == {"run.oci.handler": "krun"}
    assert own.seccomp_profile == {"defaultAction": "SCMP_ACT_LOG"}
    assert own.read_only  # of [crio.runtime], as for all
    assert other == defaults.general == defaults.of("")
    assert not other.privileged_without_host_devices
    assert other.seccomp_profile != own.seccomp_profile


def test_pods_that_name_no_handler_get_what_the_default_handler_has() -> None:
    handler = RuntimeHandler(default_annotations={"a": "b"})
    defaults = handler_defaults(configuration(handler), "own")
    assert defaults.of("") == defaults.of("own")
    assert defaults.of("").annotations == {"a": "b"}


def test_a_profile_that_is_missing_is_named(tmp_path: Path) -> None:
    handler = RuntimeHandler(seccomp_profile=tmp_path / "none.json")
    with pytest.raises(BadSeccompProfile, match=r"none\.json"):
        handler_defaults(configuration(handler), "own")


def test_a_localhost_profile_is_read_by_either_field(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_LOG"}))
    new = SecurityContext(seccomp=SecurityProfile(ProfileType.LOCALHOST, str(profile)))
    old = SecurityContext(seccomp_profile_path=f"localhost/{profile}")
    for security in (new, old):
        read = with_localhost_profile(Defaults(), security).localhost_seccomp
        assert read == {str(profile): {"defaultAction": "SCMP_ACT_LOG"}}


def in_zone(name: str) -> Config:
    return replace(Config(), runtime=RuntimeTable(timezone=name))


@pytest.mark.parametrize("name", ["Local", "local", "LOCAL"])
def test_local_time_may_be_asked_for_in_any_case(name: str) -> None:
    assert timezone_file(name) == "/etc/localtime"


@pytest.mark.parametrize("name", ["Nowhere/Atlantis", "../../../etc/passwd", "/etc/passwd", "Europe"])
def test_an_unknown_time_zone_stops_the_start(name: str) -> None:
    with pytest.raises(UnknownTimezone, match=rf'crio.runtime.timezone: there is no time zone "{name}"'):
        handler_defaults(in_zone(name), "crun")


def test_without_a_time_zone_nothing_is_looked_for() -> None:
    assert handler_defaults(in_zone(""), "crun").general.timezone_file == ""
