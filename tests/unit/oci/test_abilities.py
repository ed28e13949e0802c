import pytest

from oci.abilities import Abilities, judge
from oci.cli import Kind

NOTHING = Abilities()
# The relevant part of what runc 1.1.5 and 1.2 print.
OLD = {"mountOptions": ["ro", "rro"], "linux": {"namespaces": ["user", "net"]}}
NEW = {**OLD, "linux": {**OLD["linux"], "mountExtensions": {"idmap": {"enabled": True}}}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("kind", "document", "version", "expected"),
    [
        (Kind.RUNC, OLD, "", Abilities(recursive_readonly=True, user_namespaces=True)),
        (Kind.RUNC, NEW, "", Abilities(True, True, True)),
        (Kind.CRUN, NEW, "", Abilities(True, True, True)),
        (Kind.CRUN, None, "crun version 1.8.1", Abilities(recursive_readonly=True, user_namespaces=True)),
        (Kind.CRUN, None, "crun version 1.3", NOTHING),
        (Kind.CRUN, None, "", NOTHING),
        (Kind.RUNC, None, "runc version 1.0.0", NOTHING),
        (Kind.RUNSC, NEW, "", NOTHING),
        (Kind.RUNC, {}, "", NOTHING),
        (Kind.RUNC, {"mountOptions": "rro", "linux": [1]}, "", NOTHING),
        (Kind.RUNC, {"linux": {"mountExtensions": {"idmap": {"enabled": "yes"}}}}, "", NOTHING),
    ],
)
def test_what_a_runtime_can_do(
    kind: Kind, document: dict[str, object] | None, version: str, expected: Abilities
) -> None:
    assert judge(kind, document, version) == expected
