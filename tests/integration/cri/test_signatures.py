"""What must be signed, as the kubelet sees it: pulls and creates, by the policy of the pod's namespace."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import TIMEOUT_S, container_config, pod_config
from tests.harness.daemon import Daemon, Settings
from tests.harness.images import MANIFEST_TYPE, Entry, digest_of
from tests.harness.registry import Registry
from tests.harness.sigstore import Ask, Sigstore, b64, pem
from tests.integration.cri.conftest import CGROUP
from tests.integration.cri.test_options import reload
from tools.demo import busybox_image

pytestmark = pytest.mark.root

SIGSTORE = Sigstore()
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PREFIX = (
    "SignatureValidationFailed: "  # the kubelet's event is named by it (pkg/kubelet/images, image_manager.go)
)
SIGNED, UNSIGNED = "docker.io/team/signed:v1", "docker.io/team/unsigned:v1"
BY_KEY = {"type": "sigstoreBundle", "keyData": b64(pem(SIGSTORE.key))}
BY_ANOTHER = {"type": "sigstoreBundle", "keyData": b64(pem(SIGSTORE.rekor.key))}
FREE = {"type": "insecureAcceptAnything"}


def write(path: Path, requirement: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps({"default": [requirement]}))
    return path


def attach(registry: Registry, name: str, manifest: bytes) -> None:
    """As cosign 3 does at a registry that does not know referrers."""
    repository = name.rpartition(":")[0]
    data = json.dumps(SIGSTORE.bundle(manifest, Ask(logs=()))).encode()
    registry.push_blob(repository, b"{}")
    registry.push_blob(repository, data)
    bundle = image_manifest(data)
    registry.push_manifest(repository, "bundle", bundle)
    entry = {**described(MANIFEST_TYPE, bundle), "artifactType": BUNDLE}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    tag = digest_of(manifest).replace(":", "-")
    registry.push_manifest(repository, tag, json.dumps(index).encode(), INDEX)


def described(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}


def image_manifest(bundle: bytes) -> bytes:
    empty = described("application/vnd.oci.empty.v1+json", b"{}")
    layers = [described(BUNDLE, bundle)]
    head = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE}
    return json.dumps({**head, "config": empty, "layers": layers}).encode()


@dataclass(frozen=True)
class Site:
    """A registry with one signed and one unsigned image, and a daemon that is held to a policy."""

    registry: Registry
    daemon: Daemon
    policy: Path
    namespaces: Path

    def pull(self, name: str, namespace: str = "tests") -> str:
        spec = pb.ImageSpec(image=name, user_specified_image=name)
        request = pb.PullImageRequest(image=spec, sandbox_config=pod(namespace))
        return str(self.daemon.client.image.PullImage(request, timeout=TIMEOUT_S).image_ref)

    def create(self, sandbox: str, name: str, namespace: str = "tests") -> str:
        """As the kubelet asks: by the id, beside the name of the pod's spec."""
        status = self.daemon.client.image.ImageStatus(pb.ImageStatusRequest(image=pb.ImageSpec(image=name)))
        wanted = container_config("main", status.image.id, ["true"])
        wanted.image.user_specified_image = name
        return self.daemon.client.create_container(sandbox, wanted, pod(namespace))


def pod(namespace: str) -> pb.PodSandboxConfig:
    return pod_config(f"signed-{namespace}", namespace=namespace, cgroup_parent=CGROUP)


def refused(call: Callable[[], object]) -> None:
    """By the policy, as the kubelet tells: it strips no code but UNKNOWN, and looks how the rest begins."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error = raised.value
    found = (error.code(), (error.details() or "")[: len(PREFIX)])
    assert found == (grpc.StatusCode.UNKNOWN, PREFIX)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    file, namespaces = write(tmp_path / "policy.json", BY_KEY), tmp_path / "policies"
    namespaces.mkdir()
    with Registry(tmp_path / "registry") as registry:
        for name in (SIGNED, UNSIGNED):
            image = busybox_image([Entry("name", name.encode())])
            registry.push(image, name)
            if name == SIGNED:
                attach(registry, name, image.manifest_bytes())
        options = {"signature_policy": str(file), "signature_policy_dir": str(namespaces)}
        settings = Settings(registries_conf=registry.registries_conf(), tables={"crio.image": options})
        Hierarchy.detect().create(CGROUP)
        try:
            with Daemon(settings) as daemon:
                yield Site(registry, daemon, file, namespaces)
        finally:
            Hierarchy.detect().remove(CGROUP)


def test_the_policy_is_asked_at_the_pull_and_again_at_the_create(site: Site) -> None:
    client = site.daemon.client
    refused(lambda: site.pull(UNSIGNED))
    assert list(client.image.ListImages(pb.ListImagesRequest()).images) == []
    site.pull(SIGNED)
    site.registry.stop()  # creates need none
    sandbox = client.run_pod(pod("tests"))
    client.remove_container(site.create(sandbox, SIGNED))
    write(site.policy, BY_ANOTHER)
    refused(lambda: site.create(sandbox, SIGNED))
    write(site.policy, BY_KEY)
    client.remove_container(site.create(sandbox, SIGNED))
    stricter = write(site.policy.with_name("stricter.json"), BY_ANOTHER)
    told = reload(site.daemon, crio_image=f'signature_policy = "{stricter}"')
    assert "changed=crio.image.signature_policy\n" in told
    refused(lambda: site.create(sandbox, SIGNED))
    assert client.containers() == []
    client.remove_pod(sandbox)


def test_a_namespace_has_its_own_policy(site: Site) -> None:
    client = site.daemon.client
    write(site.namespaces / "free.json", FREE)
    refused(lambda: site.pull(UNSIGNED))
    site.pull(UNSIGNED, "free")
    sandboxes = {name: client.run_pod(pod(name)) for name in ("free", "tests")}
    client.remove_container(site.create(sandboxes["free"], UNSIGNED, "free"))
    refused(lambda: site.create(sandboxes["tests"], UNSIGNED, "tests"))
    # What a request says of the pod is not what counts, but what the pod was made with.
    refused(lambda: site.create(sandboxes["tests"], UNSIGNED, "free"))
    for sandbox in sandboxes.values():
        client.remove_pod(sandbox)
