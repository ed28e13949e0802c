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
from oci.generate.labels import apparmor_profile, mount_label, process_label
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
