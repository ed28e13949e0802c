"""storage/signatures/policy: what is a policy, which scope decides, and what is refused before a network."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from storage.reference import Reference
from storage.signatures.errors import BadPolicy, SignatureValidationFailed
from storage.signatures.identities import parse_identity
from storage.signatures.policies import Policies
from storage.signatures.policy import Policy
from storage.signatures.requirements import SIGN_PREDICATE, BundleSigned, SignedBy, SigstoreSigned
from storage.signatures.scopes import of_image, of_path, of_stored
from storage.signatures.strict import Malformed, Table

ACCEPT, REJECT = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
GPG = {"type": "signedBy", "keyType": "GPGKeys"}
SIG = {"type": "sigstoreSigned"}
FULCIO = {"caPath": "/ca", "oidcIssuer": "i", "subjectEmail": "e"}
PKI = {"caRootsPath": "/ca", "subjectEmail": "e"}
OWN = {"type": "sigstoreBundle"}
CLAIM = {"oidcIssuer": "i", "subjectEmail": "e"}
EXACT = {"type": "matchExact"}
D = "sha256:" + "a" * 64


def parse(default: Any, **more: Any) -> Policy:
    return Policy.parse(json.dumps({"default": default, **more}).encode(), "here.json")


POLICY = parse(
    REJECT,
    transports={
        "docker": {
            "quay.io": ACCEPT,
            "quay.io/bad": REJECT,
            "quay.io/bad/good:v1": ACCEPT,
            f"quay.io/bad/by@{D}": ACCEPT,
            "*.example.com": ACCEPT,
            "*.bad.example.com": REJECT,
            "port.test:5000": ACCEPT,
        }
    },
)


@pytest.mark.parametrize(
    "text",
    ["quay.io/a/b:v1", "quay.io/bad/good:v1", "r.example.com/x:1", "a.b.example.com:5000/x:1", f"quay.io/bad/by@{D}",
     f"quay.io/bad/by:tag@{D}", "port.test:5000/x:1"],
)  # fmt: skip
def test_accepted(text: str) -> None:
    POLICY.check(Reference.parse(text))


@pytest.mark.parametrize(
    "text",
    ["quay.io/bad/x:1", "quay.io/bad/good:v2", "example.com/x:1", "docker.io/x:1", "a.bad.example.com/x:1",
     "quay.io:443/x:1", "port.test/x:1"],
)  # fmt: skip
def test_rejected_in_the_words_that_the_kubelet_knows(text: str) -> None:
    with pytest.raises(SignatureValidationFailed, match=r"^SignatureValidationFailed: .*here\.json"):
        POLICY.check(Reference.parse(text))


def test_scopes_go_from_the_image_to_the_wildcards_of_its_registry() -> None:
    assert list(of_image(Reference.parse("a.b.c:5000/x/y:1"))) == [
        "a.b.c:5000/x/y:1", "a.b.c:5000/x/y", "a.b.c:5000/x", "a.b.c:5000", "*.b.c", "*.c",
    ]  # fmt: skip
    assert list(of_path("/var/lib/../images/a.tar")) == ["/var/images/a.tar", "/var/images", "/var"]
    stored = list(of_stored("/graph", "overlay", Reference.parse("q.io/a/b:1"), D))
    assert stored[0] == f"[overlay@/graph]q.io/a/b:1@{D}"
    assert stored[-3:] == ["[overlay@/graph]q.io", "[overlay@/graph]", "[/graph]"]


def test_the_most_specific_scope_decides_alone_in_every_transport() -> None:
    policy = parse(REJECT, transports={"oci": {"/a/b": ACCEPT, "": REJECT}, "unknown": {"what ever": ACCEPT}})
    assert policy.ruling_for("oci", of_path("/a/b/c")).requirements == parse(ACCEPT).default
    assert policy.ruling_for("oci", of_path("/a")).where.endswith("oci, scope ''")
    assert policy.ruling_for("dir", of_path("/a/b")).where.endswith("default")


GOOD: list[dict[str, Any]] = [
    {**GPG, "keyPath": "/k"},
    {**GPG, "keyPaths": ["/k", "/l"]},
    {**GPG, "keyData": "AA==", "signedIdentity": EXACT},
    {"type": "signedBaseLayer", "baseLayerIdentity": EXACT},
    *({"type": "signedBy", "keyType": kind, "keyData": "AA=="}
      for kind in ("signedByGPGKeys", "X509Certificates", "signedByX509CAs")),
    *({**SIG, key: value}
      for key, value in (("keyPath", "/k"), ("keyPaths", ["/k"]), ("keyData", "AA=="), ("keyDatas", ["AA=="]))),
    *({**SIG, "keyPath": "/k", f"rekorPublicKey{form}": value}
      for form, value in (("Path", "/r"), ("Paths", ["/r"]), ("Data", "AA=="), ("Datas", ["AA=="]))),
    {**SIG, "fulcio": FULCIO, "rekorPublicKeyPath": "/r"},
    {**SIG, "fulcio": {"caData": "AA==", "oidcIssuer": "i", "subjectEmail": "e"}, "rekorPublicKeyData": "AA=="},
    {**SIG, "pki": PKI},
    {**SIG, "pki": {"caRootsData": "AA==", "caIntermediatesPath": "/i", "subjectHostname": "h"}},
    {**OWN, "keyPath": "/k"},
    {**OWN, "keyPath": "/k", "trustedRootPath": "/t"},
    {**OWN, "certificate": CLAIM, "trustedRootData": "AA==", "certificateLog": False, "transparencyLog": False},
    {**OWN, "certificate": {"oidcIssuer": "i", "subjectURIPrefix": "https://a/"}, "trustedRootPath": "/t"},
]  # fmt: skip


@pytest.mark.parametrize("requirement", GOOD)
def test_every_requirement_is_read(requirement: dict[str, Any]) -> None:
    assert len(parse([requirement]).default) == 1


@pytest.mark.parametrize("requirement", GOOD)
def test_one_unknown_key_refuses_the_file(requirement: dict[str, Any]) -> None:
    with pytest.raises(BadPolicy, match="unknown key 'keyPth'"):
        parse([{**requirement, "keyPth": "/k"}])


BAD: list[Any] = [
    5, {}, [], [5], [{}], [{"type": "accept"}], [{"type": 5}],
    [GPG], [{**GPG, "keyPath": "/k", "keyData": "AA=="}], [{**GPG, "keyPaths": []}], [{**GPG, "keyPath": ""}],
    [{**GPG, "keyData": "no base64"}], [{**GPG, "keyDatas": ["AA=="]}], [{"type": "signedBy", "keyPath": "/k"}],
    [{**GPG, "keyType": "OtherKeys", "keyPath": "/k"}],
    [SIG], [{**SIG, "keyPath": "/k", "fulcio": FULCIO}], [{**SIG, "fulcio": FULCIO}], [{**SIG, "keyDatas": []}],
    [{**SIG, "keyPath": "/k", "rekorPublicKeyPath": "/r", "rekorPublicKeyData": "AA=="}],
    [{**SIG, "fulcio": {"caPath": "/c", "oidcIssuer": "i"}, "rekorPublicKeyPath": "/r"}],
    [{**SIG, "fulcio": {**FULCIO, "caData": "AA=="}, "rekorPublicKeyPath": "/r"}],
    [{**SIG, "fulcio": {**FULCIO, "more": 1}, "rekorPublicKeyPath": "/r"}],
    [{**SIG, "pki": PKI, "rekorPublicKeyPath": "/r"}], [{**SIG, "pki": {"caRootsPath": "/c"}}],
    [{**SIG, "pki": {**PKI, "subjectEmail": ""}}],
    [{**SIG, "keyPath": "/k", "signedIdentity": {"type": "matchAll"}}],
    [{**SIG, "keyPath": "/k", "signedIdentity": {"type": "matchExact", "prefix": "a"}}],
    [{**SIG, "keyPath": "/k", "signedIdentity": {"type": "exactReference", "dockerReference": "q.io/a"}}],
    [{**SIG, "keyPath": "/k", "signedIdentity": {"type": "exactRepository", "dockerRepository": "A B"}}],
    [{**SIG, "keyPath": "/k", "signedIdentity": {"type": "remapIdentity", "prefix": "q.io/a:1", "signedPrefix": "b"}}],
    [{**SIG, "keyPath": "/k", "signedIdentity": {"type": "remapIdentity", "prefix": "busybox/x", "signedPrefix": "b"}}],
    [{"type": "signedBaseLayer"}],
    [OWN], [{**OWN, "certificate": CLAIM}], [{**OWN, "keyPath": "/k", "transparencyLog": True}],
    [{**OWN, "keyPath": "/k", "certificateLog": True}],
    [{**OWN, "certificate": {**CLAIM, "subjectURI": "u"}, "trustedRootPath": "/t"}],
    [{**OWN, "certificate": {"oidcIssuer": "i", "subjectURIPrefix": "https://a/team"}, "trustedRootPath": "/t"}],
    [{**OWN, "keyPath": "/k", "trustedRootPath": "/t", "transparencyLog": "no"}],
]  # fmt: skip


@pytest.mark.parametrize("default", BAD)
def test_a_malformed_policy_is_refused_whole(default: Any) -> None:
    with pytest.raises(BadPolicy, match=r"^invalid policy in here\.json"):
        parse(default)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"default": [{"type": "reject"}], "default": [{"type": "insecureAcceptAnything"}]}',
     b'{"default": [{"type": "reject", "type": "insecureAcceptAnything"}]}', b'{"default": [{"type":"reject"}]} x',
     b'{"default": [{"type": "reject"}], "transport": {}}', b'{"default": [{"type": "reject"}], "transports": []}',
     b'{"default": [{"type": "reject"}], "transports": {"docker": {"a": []}}}',
     b'{"default": [{"type": "reject"}], "transports": {"dir": {"relative": [{"type": "reject"}]}}}',
     b'{"default": [{"type": "reject"}], "transports": {"oci": {"/": [{"type": "reject"}]}}}',
     b'{"default": [{"type": "reject"}], "transports": {"docker-archive": {"/a": [{"type": "reject"}]}}}',
     b'{"default": [{"type": "reject"}], "transports": {"containers-storage": {"a": [{"type": "reject"}]}}}',
     b"\xff", b"[" * 10_000],
)  # fmt: skip
def test_files_are_read_strictly(data: bytes) -> None:
    with pytest.raises(BadPolicy, match=r"here\.json"):
        Policy.parse(data, "here.json")


@pytest.mark.parametrize("requirement", GOOD[3:7])
def test_what_nobody_can_do_refuses_before_the_network(requirement: dict[str, Any]) -> None:
    policy = parse([requirement])
    with pytest.raises(SignatureValidationFailed, match="cannot be satisfied"):
        policy.check(Reference.parse("q.io/a:1"))
    assert list(policy.unsatisfiable()) == [""]


def test_what_is_wanted_has_its_defaults() -> None:
    [gpg, sig, own] = parse(
        [{**GPG, "keyPath": "/k"}, {**SIG, "keyPath": "/k"}, {**OWN, "keyPath": "/k"}]
    ).default
    assert isinstance(gpg, SignedBy)
    assert isinstance(sig, SigstoreSigned)
    assert str(gpg.identity) == str(sig.identity) == "matchRepoDigestOrExact"
    assert isinstance(own, BundleSigned)
    assert (own.log, own.certificate_log, own.predicate) == (False, False, SIGN_PREDICATE)


MATCH = {"type": "matchRepoDigestOrExact"}
REPO = {"type": "matchRepository"}
MOVED = {"type": "remapIdentity", "prefix": "mirror.test", "signedPrefix": "q.io/ns"}


@pytest.mark.parametrize(
    ("rule", "signed", "asked", "accepted"),
    [
        (EXACT, "q.io/a:1", "q.io/a:1", True),
        (EXACT, "q.io/a:1", "q.io/a:2", False),
        (EXACT, "q.io/a:1", f"q.io/a@{D}", False),
        (EXACT, f"q.io/a@{D}", f"q.io/a@{D}", True),
        (EXACT, "q.io/a", "q.io/a:latest", False),
        (EXACT, "busybox:latest", "docker.io/library/busybox:latest", True),
        (MATCH, "q.io/a:1", "q.io/a:1", True),
        (MATCH, "q.io/a:1", "q.io/a:2", False),
        (MATCH, "q.io/a:1", f"q.io/a@{D}", True),
        (MATCH, "q.io/b:1", f"q.io/a@{D}", False),
        (MATCH, "q.io/a", f"q.io/a@{D}", False),
        (MATCH, "no name at all!", "q.io/a:1", False),
        (REPO, "q.io/a", "q.io/a:1", True),
        (REPO, "q.io/a:2", "q.io/a:1", True),
        (REPO, "q.io/a/b", "q.io/a:1", False),
        ({"type": "exactReference", "dockerReference": "q.io/b:1"}, "q.io/b:1", "q.io/a:1", True),
        ({"type": "exactReference", "dockerReference": "q.io/b:1"}, "q.io/b:2", "q.io/b:2", False),
        ({"type": "exactRepository", "dockerRepository": "q.io/b"}, "q.io/b", "q.io/a:1", True),
        ({"type": "exactRepository", "dockerRepository": "q.io/b"}, "q.io/a:1", "q.io/a:1", False),
        (MOVED, "q.io/ns/a:1", "mirror.test/a:1", True),
        (MOVED, "mirror.test/a:1", "mirror.test/a:1", False),
        (MOVED, "mirror.test.evil/a:1", "mirror.test.evil/a:1", True),
        (MOVED, "q.io/ns/a:1", f"mirror.test/a@{D}", True),
    ],
)
def test_identities(rule: dict[str, str], signed: str, asked: str, accepted: bool) -> None:
    identity = parse_identity(Table(rule, "signedIdentity"))
    assert identity.accepts(signed, Reference.parse(asked)) is accepted


def test_an_identity_has_a_type() -> None:
    with pytest.raises(Malformed, match="no 'type'"):
        parse_identity(Table({}, "signedIdentity"))


def test_which_file_holds(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.json" for name in ("machine", "configured", "team")}
    for path in files.values():
        path.write_text(json.dumps({"default": REJECT}))
    policies = Policies(files["machine"], files["configured"], tmp_path)
    assert policies.load("team").source == str(files["team"])
    assert policies.load("other").source == policies.load().source == str(files["configured"])
    alone = Policies(files["machine"], None, tmp_path)
    assert alone.load("other").source == str(files["machine"])
    assert alone.explicit("other") is None


def test_a_file_that_is_named_and_missing_refuses_and_the_machines_own_accepts(tmp_path: Path) -> None:
    assert Policies(tmp_path / "none").load().digest is None
    with pytest.raises(BadPolicy, match="none cannot be read: No such file"):
        Policies(tmp_path / "none", tmp_path / "none").load()
    (tmp_path / "team.json").symlink_to(tmp_path / "gone")
    with pytest.raises(BadPolicy, match="cannot be read"):
        Policies(tmp_path / "none", None, tmp_path).load("team")


@pytest.mark.parametrize("namespace", ["../etc", "a/b", ".", "..", "A", "a\0"])
def test_a_namespace_names_no_file_elsewhere(tmp_path: Path, namespace: str) -> None:
    with pytest.raises(BadPolicy, match="no name that a file could have"):
        Policies(tmp_path / "none", None, tmp_path).load(namespace)


def test_policies_differ_when_their_files_do() -> None:
    found = [parse(each) for each in (ACCEPT, REJECT, [{**GPG, "keyPath": "/k"}], [{**GPG, "keyPath": "/l"}])]
    assert all(one != other for one, other in pairwise(found))
