from dataclasses import replace

import pytest

from api.kernel import CAPABILITIES
from oci.generate.capabilities import capability_name, capability_sets
from oci.generate.inputs import (
    DEFAULT_CAPABILITIES,
    BadContainer,
    Capabilities,
    Defaults,
    HostView,
    SecurityContext,
)
from tests.unit.oci.generate.builders import V1

NINE = {f"CAP_{name}" for name in DEFAULT_CAPABILITIES}
ALL = set(CAPABILITIES)


def bounding(capabilities: Capabilities, host: HostView = V1) -> set[str]:
    sets = capability_sets(SecurityContext(capabilities=capabilities), Defaults(), host)
    assert sets["bounding"] == sets["effective"] == sets["permitted"]
    assert sets["inheritable"] == sets["ambient"]
    return set(sets["bounding"])


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        (Capabilities(), NINE),
        (Capabilities(add=("net_admin", "CAP_SYS_TIME")), NINE | {"CAP_NET_ADMIN", "CAP_SYS_TIME"}),
        (Capabilities(drop=("CHOWN",)), NINE - {"CAP_CHOWN"}),
        (Capabilities(drop=("ALL",)), set()),
        (Capabilities(add=("ALL",)), ALL),
        (Capabilities(add=("NET_RAW",), drop=("all",)), {"CAP_NET_RAW"}),
        (Capabilities(add=("ALL",), drop=("SYS_ADMIN",)), ALL - {"CAP_SYS_ADMIN"}),
        (Capabilities(add=("CHOWN",), drop=("CHOWN",)), NINE - {"CAP_CHOWN"}),
    ],
)
def test_add_drop_and_all(capabilities: Capabilities, expected: set[str]) -> None:
    assert bounding(capabilities) == expected


def test_nothing_beyond_what_the_daemon_holds() -> None:
    host = replace(V1, capabilities=V1.capabilities - {"CAP_SYS_RESOURCE", "CAP_KILL"})
    assert bounding(Capabilities(add=("ALL",)), host) == ALL - {"CAP_SYS_RESOURCE", "CAP_KILL"}
    assert bounding(Capabilities(), host) == NINE - {"CAP_KILL"}
    privileged = capability_sets(SecurityContext(privileged=True), Defaults(), host)
    assert set(privileged["effective"]) == host.capabilities


def test_ambient_ones_are_in_every_set() -> None:
    sets = capability_sets(
        SecurityContext(capabilities=Capabilities(drop=("ALL",), add_ambient=("NET_RAW",))), Defaults(), V1
    )
    assert all(names == ["CAP_NET_RAW"] for names in sets.values())


def test_inheritable_only_when_configured() -> None:
    sets = capability_sets(SecurityContext(), Defaults(add_inheritable_capabilities=True), V1)
    assert set(sets["inheritable"]) == NINE
    assert sets["ambient"] == []


@pytest.mark.parametrize("field", ["add", "drop", "add_ambient"])
@pytest.mark.parametrize("privileged", [False, True])
def test_unknown_names_are_refused_with_field_and_value(field: str, privileged: bool) -> None:
    changes = {field: ("NET_ADMINISTRATOR",)}
    security = SecurityContext(capabilities=Capabilities(**changes), privileged=privileged)
    with pytest.raises(BadContainer, match=rf"{field}.*NET_ADMINISTRATOR"):
        capability_sets(security, Defaults(), V1)


def test_names_in_any_form() -> None:
    assert {capability_name(name) for name in ("chown", "CHOWN", "CAP_CHOWN", "cap_chown")} == {"CAP_CHOWN"}
