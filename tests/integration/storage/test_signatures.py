"""Images of a real registry, signed in every form, let in and kept out; and used later without it."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.images import Images
from storage.reference import Reference
from storage.signatures.errors import SignatureValidationFailed
from tests.harness.sigstore import Ask, Leaf, Sigstore, b64, payload, pem
from tests.integration.storage.conftest import OpenStore, contents
from tests.integration.storage.support import (
    OCI_MANIFEST,
    BuiltImage,
    Member,
    Registry,
    build_image,
    descriptor,
    sha256,
    tar_bytes,
)

SIGSTORE = Sigstore()
ATTACHED = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2}
NAME = "registry.test/team/{}:v1"


def pushed(registry: Registry, name: str) -> BuiltImage:
    image = build_image([tar_bytes([Member("f", os.urandom(100))])], label=name)
    registry.push(f"team/{name}", "v1", image)
    return image


def artifact(
    registry: Registry, repository: str, tag: str, kind: str, data: bytes, **annotations: str
) -> bytes:
    layer = {**descriptor(kind, data), "annotations": annotations}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": EMPTY, "layers": [layer]}
    manifest = json.dumps(document).encode()
    registry.push(
        repository, tag, BuiltImage({sha256(b"{}"): b"{}", sha256(data): data}, manifest, b"{}", ())
    )
    return manifest


def attach(registry: Registry, name: str, image: BuiltImage, signed_name: str) -> None:
    """As cosign did before version 3, and skopeo does."""
    body = json.dumps(payload(signed_name, image.manifest)).encode()
    tag = sha256(image.manifest).replace(":", "-") + ".sig"
    artifact(registry, f"team/{name}", tag, ATTACHED, body, **SIGSTORE.attachment(body))


def bundle(registry: Registry, name: str, image: BuiltImage, ask: Ask) -> None:
    """As cosign 3 does at a registry that does not know referrers."""
    data = json.dumps(SIGSTORE.bundle(image.manifest, ask)).encode()
    manifest = artifact(registry, f"team/{name}", "bundle", BUNDLE, data)
    entry = {**descriptor(OCI_MANIFEST, manifest), "artifactType": BUNDLE}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    tag = sha256(image.manifest).replace(":", "-")
    registry.put_manifest(f"team/{name}", tag, json.dumps(index).encode(), INDEX)


def gpg_signed(tmp_path: Path, body: bytes) -> tuple[bytes, bytes]:
    """A new key, armored, and a message that it signed."""
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "a@test", "ed25519", "sign"], check=True, timeout=120)
    key = subprocess.run([*gpg, "--armor", "--export"], check=True, stdout=subprocess.PIPE, timeout=60)
    signed = subprocess.run([*gpg, "--sign"], input=body, check=True, stdout=subprocess.PIPE, timeout=60)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, timeout=60)
    return key.stdout, signed.stdout


def rule(tmp_path: Path, store: Images, *requirements: dict[str, Any]) -> None:
    """Have the store ask for this."""
    path, directory = tmp_path / "signatures.json", tmp_path / "registries.d"
    path.write_text(json.dumps({"default": requirements}))
    directory.mkdir(exist_ok=True)
    (directory / "a.yaml").write_text(
        f"default-docker: {{lookaside: 'file://{tmp_path}/lookaside', use-sigstore-attachments: true}}\n"
    )
    store.reconfigure(replace(store.options, signature_policy=path, registries_d=directory))


BY_KEY = {"type": "sigstoreSigned", "keyData": b64(pem(SIGSTORE.key))}
BUNDLED = {"type": "sigstoreBundle", "keyData": b64(pem(SIGSTORE.key))}


async def test_an_attachment_is_verified_at_the_pull_and_later_without_the_registry(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    image, name = pushed(registry, "attached"), NAME.format("attached")
    async with open_store(registry.host) as store:
        rule(tmp_path, store, BY_KEY)
        before = contents(store)
        with pytest.raises(SignatureValidationFailed, match="the registry has no sha256-"):
            await store.pull(name)
        assert contents(store) == before
        attach(registry, "attached", image, name)
        pulled = await store.pull(name)
        await store.require_signed(pulled, name, "team")
        with pytest.raises(SignatureValidationFailed, match=r"signature for identity .* is not accepted"):
            await store.require_signed(pulled, "registry.test/team/attached:v2", "team")
    async with open_store("127.0.0.1:1") as store:
        rule(tmp_path, store, BY_KEY)
        await store.require_signed(pulled, name)
        rule(tmp_path, store, {**BY_KEY, "keyData": b64(pem(SIGSTORE.rekor.key))})
        with pytest.raises(SignatureValidationFailed, match="by none of the trusted keys"):
            await store.require_signed(pulled, name)
        await store.remove(name)
        assert list((tmp_path / "store/signatures").iterdir()) == []


async def test_an_image_that_is_here_gets_its_signatures_by_a_further_pull(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    image, name = pushed(registry, "later"), NAME.format("later")
    attach(registry, "later", image, name)
    async with open_store(registry.host) as store:
        pulled = await store.pull(name)
        rule(tmp_path, store, BY_KEY)
        with pytest.raises(SignatureValidationFailed, match="pull it again"):
            await store.require_signed(pulled, name)
        assert await store.pull(name) == pulled
        await store.require_signed(pulled, name)


@pytest.mark.parametrize("ask", [Ask(logs=()), Ask(leaf=Leaf(), logs=(1,))], ids=["key", "certificate"])
async def test_a_bundle_is_found_and_verified(
    registry: Registry, open_store: OpenStore, tmp_path: Path, ask: Ask
) -> None:
    short = "bundle-certificate" if ask.leaf else "bundle-key"
    image, name = pushed(registry, short), NAME.format(short)
    bundle(registry, short, image, ask)
    wanted: dict[str, Any] = BUNDLED
    if ask.leaf:
        root = b64(json.dumps(SIGSTORE.trusted_root(clock=False)).encode())
        claim = {"oidcIssuer": ask.leaf.issuer, "subjectEmail": ask.leaf.email}
        wanted = {"type": "sigstoreBundle", "certificate": claim, "trustedRootData": root}
    async with open_store(registry.host) as store:
        rule(tmp_path, store, wanted)
        await store.require_signed(await store.pull(name), name)


async def test_a_simple_signature_beside_the_registry(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    image, name = pushed(registry, "simple"), NAME.format("simple")
    body = json.dumps(payload(name, image.manifest, "atomic container signature")).encode()
    key, signed = gpg_signed(tmp_path, body)
    (tmp_path / "key.asc").write_bytes(key)
    wanted = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(tmp_path / "key.asc")}
    # Look-asides go by where an image is fetched, which registries.conf says.
    place = tmp_path / f"lookaside/team/simple@{sha256(image.manifest).replace(':', '=')}"
    async with open_store(registry.host) as store:
        rule(tmp_path, store, wanted)
        with pytest.raises(SignatureValidationFailed, match="none in the look-aside"):
            await store.pull(name)
        place.mkdir(parents=True)
        (place / "signature-1").write_bytes(signed)
        await store.require_signed(await store.pull(name), name)
        with pytest.raises(SignatureValidationFailed, match="is not accepted"):
            await store.require_signed(await store.pull(name), str(Reference.parse(name)).replace("v1", "v3"))


async def test_a_namespace_has_a_policy_of_its_own(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    pushed(registry, "spaces")
    name = NAME.format("spaces")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/closed.json").write_text('{"default": [{"type": "reject"}]}')
    async with open_store(registry.host, signature_policy_dir=tmp_path / "policies") as store:
        with pytest.raises(SignatureValidationFailed, match=r"closed\.json"):
            await store.pull(name, namespace="closed")
        pulled = await store.pull(name, namespace="open")
        await store.require_signed(pulled, name, "open")
        with pytest.raises(SignatureValidationFailed, match="rejected by policy"):
            await store.require_signed(pulled, name, "closed")
