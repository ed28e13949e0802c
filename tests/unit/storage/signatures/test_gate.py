"""storage/signatures/gate, fetch and kept: from a registry's answers to a verdict, now and later."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from api.ids import ImageId
from storage.digest import Digest
from storage.manifest import Descriptor
from storage.options import Options
from storage.reference import Reference
from storage.registry.client import Document, Served
from storage.registry.errors import Answer, ManifestUnknown
from storage.registry.registries_conf import PullSource
from storage.signatures.errors import SignatureValidationFailed, TrustUnavailable
from storage.signatures.evidence import KEPT_BYTES, Attachment, Bundle, Evidence, Simple
from storage.signatures.gate import Gate, Place
from storage.signatures.kept import Kept, Record
from storage.signatures.policy import Policy
from tests.harness.sigstore import Ask, Sigstore, b64, payload, pem

SIGSTORE = Sigstore()
CONFIG = b"{}"
IMAGE = ImageId(str(Digest.of(CONFIG)))
NAME = "registry.example.test/team/app:v1"
ASKED = Reference.parse(NAME)
OCI = "application/vnd.oci.image.manifest.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MANIFEST = json.dumps(
    {"schemaVersion": 2, "mediaType": OCI,
     "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": IMAGE, "size": 2}, "layers": []}
).encode()  # fmt: skip
HEX = hashlib.sha256(MANIFEST).hexdigest()
BODY = json.dumps(payload(NAME, MANIFEST)).encode()


class FakeRegistry:
    """What a client answers: manifests by tag or digest, blobs, documents by path."""

    def __init__(self) -> None:
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.documents: dict[str, Document] = {"/v2/": Document(b"{}", CIMultiDict())}
        self.asked: list[str] = []

    async def manifest(self, reference: Reference | Digest) -> Served:
        name = str(reference) if isinstance(reference, Digest) else str(reference.tag)
        self.asked.append(name)
        if name not in self.manifests:
            raise ManifestUnknown("not found", Answer("r", "a", 404))
        return Served(self.manifests[name], Digest.of(self.manifests[name]))

    async def small_blob(self, descriptor: Descriptor, limit: int) -> bytes:
        return self.blobs[str(descriptor.digest)]

    async def document(self, path: str, accept: str, limit: int) -> Document:
        self.asked.append(path)
        if path not in self.documents:
            raise ManifestUnknown("not found", Answer("r", "a", 404))
        return self.documents[path]

    def layer(self, kind: str, data: bytes, annotations: dict[str, str] | None = None) -> dict[str, Any]:
        self.blobs[str(Digest.of(data))] = data
        return {
            "mediaType": kind,
            "digest": str(Digest.of(data)),
            "size": len(data),
            "annotations": annotations or {},
        }

    def attach(self, *signed: tuple[bytes, dict[str, str]]) -> None:
        layers = [self.layer("application/vnd.dev.cosign.simplesigning.v1+json", *each) for each in signed]
        self.manifests[f"sha256-{HEX}.sig"] = json.dumps({"mediaType": OCI, "layers": layers}).encode()

    def bundle(self, document: Any) -> dict[str, Any]:
        data = json.dumps(
            {"mediaType": OCI, "layers": [self.layer(BUNDLE, json.dumps(document).encode())]}
        ).encode()
        self.manifests[str(Digest.of(data))] = data
        return {"mediaType": OCI, "digest": str(Digest.of(data)), "size": len(data), "artifactType": BUNDLE}


def place(registry: FakeRegistry, tmp_path: Path, *, attachments: bool = True) -> Place:
    directory = tmp_path / "registries.d"
    directory.mkdir(exist_ok=True)
    (directory / "default.yaml").write_text(
        f"default-docker:\n  lookaside: file://{tmp_path}/lookaside\n  use-sigstore-attachments: {str(attachments).lower()}\n"
    )
    source = PullSource("registry.example.test", "team/app", insecure=False, is_mirror=False)
    return Place(registry, source, replace(Options(), registries_d=directory))


def policy(*requirements: dict[str, Any]) -> Policy:
    return Policy.parse(json.dumps({"default": requirements}).encode(), "policy.json")


ATTACHED = policy({"type": "sigstoreSigned", "keyData": b64(pem(SIGSTORE.key))})
BUNDLED = policy({"type": "sigstoreBundle", "keyData": b64(pem(SIGSTORE.key))})
ACCEPT = policy({"type": "insecureAcceptAnything"})


async def test_without_a_wanted_signature_nobody_is_asked(tmp_path: Path) -> None:
    registry = FakeRegistry()
    assert await Gate(tmp_path).admit(ACCEPT, ASKED, MANIFEST, place(registry, tmp_path)) == Evidence()
    assert registry.asked == []


async def test_an_attachment_at_its_tag_lets_an_image_in_and_is_kept(tmp_path: Path) -> None:
    registry, gate = FakeRegistry(), Gate(tmp_path)
    registry.attach((b"x", SIGSTORE.attachment(b"y")), (BODY, SIGSTORE.attachment(BODY)))
    evidence = await gate.admit(ATTACHED, ASKED, MANIFEST, place(registry, tmp_path))
    assert [type(each) for each in evidence.signatures] == [Attachment, Attachment]
    first = evidence.signatures[0]
    assert isinstance(first, Attachment)
    assert first.payload == BODY  # what was accepted comes first
    await gate.keep(IMAGE, MANIFEST, evidence)
    await gate.require(ATTACHED, ASKED, IMAGE)


@pytest.mark.parametrize("by_tag", [False, True])
async def test_a_bundle_is_found_by_referrers_and_by_the_tag_that_stands_in(
    tmp_path: Path, by_tag: bool
) -> None:
    registry, gate = FakeRegistry(), Gate(tmp_path)
    index = json.dumps(
        {"manifests": [{"digest": "no digest"}, registry.bundle(SIGSTORE.bundle(MANIFEST, Ask(logs=())))]}
    )
    if by_tag:
        registry.manifests[f"sha256-{HEX}"] = index.encode()
    else:
        pages = f"/v2/team/app/referrers/sha256:{HEX}"
        following = CIMultiDict({"Link": f'<{pages}?n=2>; rel="next"'})
        registry.documents[pages] = Document(b'{"manifests": []}', following)
        registry.documents[f"{pages}?n=2"] = Document(index.encode(), CIMultiDict())
    evidence = await gate.admit(BUNDLED, ASKED, MANIFEST, place(registry, tmp_path))
    assert len(evidence.of(Bundle)) == 1


async def test_a_page_elsewhere_is_not_asked_for(tmp_path: Path) -> None:
    registry = FakeRegistry()
    following = CIMultiDict({"Link": '</v2/another/referrers/x>; rel="next"'})
    registry.documents[f"/v2/team/app/referrers/sha256:{HEX}"] = Document(b'{"manifests": []}', following)
    with pytest.raises(SignatureValidationFailed, match="no sigstore bundle refers to it"):
        await Gate(tmp_path).admit(BUNDLED, ASKED, MANIFEST, place(registry, tmp_path))
    assert not any("another" in each for each in registry.asked)


@pytest.mark.parametrize(
    ("wanted", "remark"),
    [(ATTACHED, f"the registry has no sha256-{HEX}.sig"), (BUNDLED, "no sigstore bundle refers to it")],
)
async def test_what_is_missing_is_refused_with_what_was_looked_for(
    tmp_path: Path, wanted: Policy, remark: str
) -> None:
    with pytest.raises(SignatureValidationFailed) as caught:
        await Gate(tmp_path).admit(wanted, ASKED, MANIFEST, place(FakeRegistry(), tmp_path))
    text = str(caught.value)
    assert text.startswith(f"SignatureValidationFailed: {NAME}: policy.json, default: sigstore")
    assert "a signature is required, and there is none" in text
    assert remark in text


async def test_attachments_are_asked_for_where_registries_d_says_so(tmp_path: Path) -> None:
    registry = FakeRegistry()
    registry.attach((BODY, SIGSTORE.attachment(BODY)))
    with pytest.raises(SignatureValidationFailed, match="does not say use-sigstore-attachments: true"):
        await Gate(tmp_path).admit(ATTACHED, ASKED, MANIFEST, place(registry, tmp_path, attachments=False))


async def test_all_requirements_must_be_satisfied(tmp_path: Path) -> None:
    registry = FakeRegistry()
    registry.attach((BODY, SIGSTORE.attachment(BODY)))
    both = policy(
        {"type": "sigstoreSigned", "keyData": b64(pem(SIGSTORE.key))},
        {"type": "sigstoreSigned", "keyData": b64(pem(SIGSTORE.rekor.key))},
    )
    with pytest.raises(SignatureValidationFailed, match="by none of the trusted keys"):
        await Gate(tmp_path).admit(both, ASKED, MANIFEST, place(registry, tmp_path))


async def test_a_key_file_that_is_missing_is_no_verdict(tmp_path: Path) -> None:
    wanted = policy({"type": "sigstoreSigned", "keyPath": "/no/such/key"})
    with pytest.raises(TrustUnavailable, match="/no/such/key: No such file"):
        await Gate(tmp_path).admit(wanted, ASKED, MANIFEST, place(FakeRegistry(), tmp_path))


async def test_more_signatures_than_are_looked_at_are_refused_without_them(tmp_path: Path) -> None:
    registry = FakeRegistry()
    registry.attach(
        *[(b"%d" % n, SIGSTORE.attachment(b"x")) for n in range(130)], (BODY, SIGSTORE.attachment(BODY))
    )
    with pytest.raises(SignatureValidationFailed, match="none of 128 signatures is accepted"):
        await Gate(tmp_path).admit(ATTACHED, ASKED, MANIFEST, place(registry, tmp_path))


async def test_the_extension_stands_in_for_the_lookaside(tmp_path: Path) -> None:
    registry = FakeRegistry()
    headers = CIMultiDict({"x-registry-supports-signatures": "1"})
    registry.documents["/v2/"] = Document(b"{}", headers)
    entry = {"schemaVersion": 2, "name": "a", "type": "atomic", "content": b64(b"\xa3x")}
    path = f"/extensions/v2/team/app/signatures/sha256:{HEX}"
    registry.documents[path] = Document(
        json.dumps({"signatures": [entry, {"schemaVersion": 1}]}).encode(), CIMultiDict()
    )
    key = b64(b"\x98\x00")
    wanted = policy({"type": "signedBy", "keyType": "GPGKeys", "keyData": key})
    with pytest.raises(SignatureValidationFailed, match="invalid signature"):
        await Gate(tmp_path).admit(wanted, ASKED, MANIFEST, place(registry, tmp_path))
    assert path in registry.asked


async def test_a_policy_that_became_stricter_holds_for_images_that_are_here(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with pytest.raises(SignatureValidationFailed, match="none was kept with the image: pull it again"):
        await gate.require(ATTACHED, ASKED, IMAGE)
    await gate.require(ACCEPT, ASKED, IMAGE)
    await gate.keep(IMAGE, MANIFEST, Evidence((Attachment(BODY, SIGSTORE.attachment(BODY)),)))
    await gate.require(ATTACHED, ASKED, IMAGE)
    with pytest.raises(SignatureValidationFailed, match="is not accepted"):
        await gate.require(ATTACHED, Reference.parse(NAME + "2"), IMAGE)
    with pytest.raises(SignatureValidationFailed, match="there is none"):
        await gate.require(BUNDLED, ASKED, IMAGE)


async def test_what_was_kept_for_one_image_says_nothing_of_another(tmp_path: Path) -> None:
    gate, other = Gate(tmp_path), ImageId(str(Digest.of(b"other")))
    await gate.keep(IMAGE, MANIFEST, Evidence((Attachment(BODY, SIGSTORE.attachment(BODY)),)))
    [path] = (tmp_path / "signatures").iterdir()
    path.rename(path.with_name(f"{other.removeprefix('sha256:')}-{HEX}"))
    with pytest.raises(SignatureValidationFailed, match="there is none"):
        await gate.require(ATTACHED, ASKED, other)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\n[]", b'{"manifest": "AA=="}\n[{"simple": 5}]', b"\xff"])
async def test_what_is_damaged_is_no_evidence(tmp_path: Path, damage: bytes) -> None:
    gate = Gate(tmp_path)
    await gate.keep(IMAGE, MANIFEST, Evidence((Attachment(BODY, SIGSTORE.attachment(BODY)),)))
    [path] = (tmp_path / "signatures").iterdir()
    path.write_bytes(damage)
    with pytest.raises(SignatureValidationFailed, match="there is none"):
        await gate.require(ATTACHED, ASKED, IMAGE)


def test_what_is_kept_adds_up_is_bounded_and_goes_with_the_image(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    first, second = Simple(b"\xa3" * 100), Bundle(b"{}")
    kept.keep(IMAGE, Record(MANIFEST, Evidence((first,))))
    kept.keep(IMAGE, Record(MANIFEST, Evidence((second,))))
    assert kept.records(IMAGE)[0].evidence.signatures == (second, first)
    kept.keep(IMAGE, Record(MANIFEST, Evidence((Simple(b"x" * KEPT_BYTES), first))))
    assert (
        sum(len(path.read_bytes()) for path in (tmp_path / "signatures").iterdir())
        < KEPT_BYTES + len(MANIFEST) * 2
    )
    for number in range(9):
        kept.keep(IMAGE, Record(MANIFEST + b" " * number, Evidence((second,))))
    assert len(kept.records(IMAGE)) == 4
    kept.sweep({IMAGE})
    assert len(kept.records(IMAGE)) == 4
    kept.sweep(set())
    assert kept.records(IMAGE) == []


async def test_a_signature_that_trips_its_reader_stands_before_none_that_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write into a repository may put signatures beside those of others."""
    from storage.signatures import attachments
    from storage.signatures.payload import parse_payload

    def trip(data: bytes, kind: str) -> Any:
        if data == b"trip":
            raise RuntimeError("a reader's fault")
        return parse_payload(data, kind)

    monkeypatch.setattr(attachments, "parse_payload", trip)
    registry, gate = FakeRegistry(), Gate(tmp_path)
    tripping = (b"trip", SIGSTORE.attachment(b"trip"))
    registry.attach(tripping)
    with pytest.raises(SignatureValidationFailed, match="cannot be looked into: RuntimeError"):
        await gate.admit(ATTACHED, ASKED, MANIFEST, place(registry, tmp_path))
    registry.attach(tripping, (BODY, SIGSTORE.attachment(BODY)))
    evidence = await gate.admit(ATTACHED, ASKED, MANIFEST, place(registry, tmp_path))
    first = evidence.signatures[0]
    assert isinstance(first, Attachment)
    assert first.payload == BODY
