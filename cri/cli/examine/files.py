"""The files that pulls and devices are decided by: each is parsed as it will be when it is needed."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from api.errors import PodwrightError
from conf.schema import Config
from cri.cli.examine.findings import Finding, fails, ok, warning
from cri.cli.examine.programs import Which
from oci.cdi.registry import broken_files
from storage.reference import Reference
from storage.registry import certificates as certs
from storage.registry.auth import default_paths, examine
from storage.registry.options import CERTS_DIRS
from storage.registry.registries_conf import Registries
from storage.signatures.lookaside import Lookasides
from storage.signatures.openpgp import missing_programs
from storage.signatures.policy import Policy
from storage.signatures.requirements import SignedBy

POLICY_FILE = Path("/etc/containers/policy.json")
REGISTRIES_D = Path("/etc/containers/registries.d")


def registries_conf(config: Config) -> Iterator[Finding]:
    """registries.conf and its drop-ins."""
    image = config.image
    try:
        registries = Registries.load(image.registries_conf, image.registries_conf_dir)
    except PodwrightError as error:
        yield fails("registries_conf", f"no image can be pulled: {error}", "mend the file")
        return
    yield from (warning("registries_conf", remark) for remark in registries.remarks)
    if image.registries_conf.exists():
        yield ok("registries_conf", str(image.registries_conf))


def auth_files(config: Config, paths: Callable[[], Sequence[Path]] = default_paths) -> Iterator[Finding]:
    """Files with credentials: the configured one, or those of the usual places that are there."""
    named = config.image.global_auth_file
    if named is not None and not named.exists():
        text = f"{named} is not there: pulls that the kubelet has no credentials for are anonymous"
        yield warning("global_auth_file", text, "make the file, or remove the option")
        return
    for path in (named,) if named else paths():
        if not path.exists():
            continue
        troubles = examine(path)
        yield from (warning("auth", trouble, "mend it, or log in anew") for trouble in troubles)
        if not troubles:
            yield ok("auth", str(path))


def certificates(places: Sequence[Path] = CERTS_DIRS) -> Iterator[Finding]:
    """Authorities and client certificates of registries."""
    hosts, troubles = certs.examine(places)
    for trouble in troubles:
        yield warning("certs.d", trouble, "mend it: pulls from that registry fail, or are made without it")
    if hosts and not troubles:
        yield ok("certs.d", ", ".join(map(str, hosts)))


def policy(config: Config, machine: Path = POLICY_FILE, which: Which = shutil.which) -> Iterator[Finding]:
    """What must be signed: the machine's policy.json, the configured one, and those of namespaces, with the
    files and programs that they need. One that cannot be read refuses the images that it is about."""
    image = config.image
    yield from _policy("policy", machine, which, needed=False)
    if image.signature_policy is not None:
        yield from _policy("signature_policy", image.signature_policy, which)
    if image.signature_policy_dir is not None and image.signature_policy_dir.is_dir():
        for path in sorted(image.signature_policy_dir.glob("*.json")):
            yield from _policy("signature_policy_dir", path, which)
    try:
        Lookasides.load(REGISTRIES_D)
    except PodwrightError as error:
        yield fails("registries.d", f"no signature is found: {error}", "mend the file")


def _policy(subject: str, path: Path, which: Which, *, needed: bool = True) -> Iterator[Finding]:
    try:
        found = Policy.load(path, needed=needed)
    except PodwrightError as error:
        yield fails(subject, f"no image can be pulled: {error}", "mend the file")
        return
    troubles = list(_troubles(found, path))
    yield from (warning(subject, trouble, "mend the policy") for trouble in troubles)
    missing = missing_programs(which) if found.wants(SignedBy) else {}
    for program, package in missing.items():
        text = f"{path} wants simple signatures, and {program} is not found: those images are refused"
        yield warning(subject, text, f"apt install {package}")
    if path.exists() and not troubles and not missing:
        yield ok(subject, str(path))


def _troubles(policy: Policy, path: Path) -> Iterator[str]:
    for scope in policy.unsatisfiable():
        yield f"{path} wants what nobody can do of {scope or 'all images'}: their pulls are refused"
    for material in policy.materials():
        try:
            material.read()
        except PodwrightError as error:
            yield f"{path}: what it trusts cannot be read: {error}"


def image_names(config: Config) -> Iterator[Finding]:
    """Names of images and registries in the configuration."""
    image = config.image
    named = [("pause_image", image.pause_image)] if image.pause_image else []
    named += [("pinned_images", name) for name in image.pinned_images if "*" not in name]
    named += [("insecure_registries", f"{host}/x") for host in image.insecure_registries]
    for option, name in named:
        try:
            Reference.parse(name)
        except PodwrightError as error:
            yield warning(option, str(error), f"mend {option}")


def cdi_files(config: Config) -> Iterator[Finding]:
    """Files that describe devices."""
    for trouble in broken_files(config.runtime.cdi_spec_dirs):
        yield warning("cdi_spec_dirs", trouble, "mend the file: its devices cannot be given to containers")


def devices(config: Config) -> Iterator[Finding]:
    """Devices that every container is to get."""
    for rule in config.runtime.additional_devices:
        if not rule.host_path.exists():
            text = f"{rule.host_path} is not there: no container can be created"
            yield fails("additional_devices", text, "load its driver, or remove it")


def collectors(config: Config) -> Iterator[Finding]:
    """Names of metrics, if they are to be served."""
    if not config.metrics.enable_metrics:
        return
    from cri.metrics.collectors import unknown  # prometheus_client costs megabytes

    for name in unknown(config.metrics.metrics_collectors):
        yield warning("metrics_collectors", f"there is no metric {name}", "remove it")


def files(config: Config) -> Mapping[str, Iterator[Finding]]:
    """All of them, by what they are for."""
    return {
        "registries_conf": registries_conf(config),
        "auth": auth_files(config),
        "certs.d": certificates(),
        "policy": policy(config),
        "image names": image_names(config),
        "cdi_spec_dirs": cdi_files(config),
        "additional_devices": devices(config),
        "metrics_collectors": collectors(config),
    }
