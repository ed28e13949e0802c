from dataclasses import replace

import pytest

from oci.generate.inputs import (
    BadContainer,
    Defaults,
    ProfileType,
    SecurityContext,
    SecurityProfile,
    SelinuxOptions,
)
from oci.generate.labels import apparmor_profile, mount_label, process_label, process_label_of
from tests.unit.oci.generate.builders import SANDBOX, V1, a_container

ARMED = replace(V1, apparmor=True)
DEFAULTS = Defaults(apparmor_profile="podwright-default")
LOCAL = SecurityProfile(ProfileType.LOCALHOST, "mine")


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        (SecurityContext(), "podwright-default"),
        (SecurityContext(apparmor_profile="runtime/default"), "podwright-default"),
        (SecurityContext(apparmor_profile="unconfined"), ""),
        (SecurityContext(apparmor_profile="localhost/old"), "old"),
        (SecurityContext(apparmor=LOCAL, apparmor_profile="unconfined"), "mine"),
        (SecurityContext(apparmor=SecurityProfile(ProfileType.UNCONFINED)), ""),
        (SecurityContext(apparmor=LOCAL, privileged=True), ""),
        (SecurityContext(privileged=True), ""),
    ],
)
def test_profile_on_a_host_with_apparmor(security: SecurityContext, expected: str) -> None:
    assert apparmor_profile(security, DEFAULTS, ARMED) == expected


def test_without_apparmor_only_a_named_profile_is_refused() -> None:
    assert apparmor_profile(SecurityContext(), DEFAULTS, V1) == ""
    with pytest.raises(BadContainer, match="mine"):
        apparmor_profile(SecurityContext(apparmor=LOCAL), DEFAULTS, V1)


@pytest.mark.parametrize(
    "security",
    [
        SecurityContext(apparmor_profile="else"),
        SecurityContext(apparmor=SecurityProfile(ProfileType.LOCALHOST)),
    ],
)
def test_texts_that_name_no_profile_are_refused(security: SecurityContext) -> None:
    with pytest.raises(BadContainer, match="apparmor"):
        apparmor_profile(security, DEFAULTS, ARMED)


def test_selinux_labels_are_the_pods_with_the_containers_changes() -> None:
    sandbox = replace(
        SANDBOX, selinux_process_label="system_u:system_r:container_t:s0:c1,c2", selinux_mount_label="m"
    )
    host = replace(V1, selinux=True)
    plain = a_container(sandbox=sandbox)
    changed = replace(plain, security=SecurityContext(selinux=SelinuxOptions(level="s0:c3,c4")))
    assert process_label(plain, host) == "system_u:system_r:container_t:s0:c1,c2"
    assert process_label(changed, host) == "system_u:system_r:container_t:s0:c3,c4"
    assert mount_label(plain, host) == "m"
    assert (process_label(plain, V1), mount_label(plain, V1)) == ("", "")


def test_options_alone_make_a_label_and_that_of_its_files() -> None:
    host = replace(V1, selinux=True)
    asked = a_container(security=SecurityContext(selinux=SelinuxOptions(type="mine_t", level="s0:c5")))
    assert process_label(asked, host) == "system_u:system_r:mine_t:s0:c5"
    assert mount_label(asked, host) == "system_u:object_r:container_file_t:s0:c5"
    empty = a_container(security=SecurityContext(selinux=SelinuxOptions()))
    assert (process_label(empty, host), mount_label(empty, host)) == ("", "")


@pytest.mark.parametrize("field", ["user", "role", "type"])
def test_a_part_of_a_label_has_no_colon(field: str) -> None:
    with pytest.raises(BadContainer, match=rf"selinux_options\.{field}: 'a:b'"):
        process_label_of(SelinuxOptions(**{field: "a:b"}))
