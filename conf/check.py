"""What must hold between the values of a configuration, beyond the type of each; pure."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from api.kernel import CAPABILITIES, RLIMITS, capability, rlimit
from conf.schema import Config, ImageTable, RuntimeHandler, RuntimeTable, StatsTable, TracingTable
from conf.values import Seconds, nearest

LEAST_LOG_SIZE_BYTES = 8192
LEAST_CREATE_TIMEOUT_S = 30
LEAST_STOP_TIMEOUT_S = 30
MILLION = 1_000_000
SOCKET_PATH_LIMIT_BYTES = 107
BUILT_IN_HANDLERS = ("crun", "runc", "podwright")  # need no table: looked up in PATH, or beside the daemon
# What included_pod_metrics may name.
POD_METRIC_GROUPS = (
    "cpu",
    "disk",
    "diskIO",
    "hugetlb",
    "memory",
    "network",
    "oom",
    "pressure",
    "process",
    "spec",
)
ALL_POD_METRICS = "all"
RUNROOT_ROOM_BYTES = 40  # for the names of our own sockets below runroot

# What a namespace of a pod has of its own (sysctl(8)); the runtime refuses all others.
_SYSCTL_OF_A_POD = re.compile(r"kernel\.(sem|shm\w+|msg\w+)|fs\.mqueue\..+|net\..+")
_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_PREFIX_OF_CGROUPS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")

# Durations for which zero says "none" or "never"; all others must be above zero.
_MAY_BE_ZERO = frozenset(
    {
        "crio.api.stream_idle_timeout",
        "crio.image.pull_progress_timeout",
        "crio.runtime.slow_operation_seconds",
    }
)


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding about one option; ``name`` is ``crio.table.key``."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found; with errors the configuration cannot be used."""

    errors: tuple[Remark, ...]
    warnings: tuple[Remark, ...]


def raise_to_minimum(config: Config) -> tuple[Config, tuple[Remark, ...]]:
    """Replace times that are too short by the shortest, as CRI-O does, and say so."""
    remarks: list[Remark] = []

    def at_least(name: str, value: Seconds, minimum_s: int) -> Seconds:
        if value >= minimum_s:
            return value
        remarks.append(Remark(name, f"{value:g} s is less than the minimum; {minimum_s} s are used"))
        return Seconds(float(minimum_s))

    def handler(name: str, table: RuntimeHandler) -> RuntimeHandler:
        value, option = (
            table.container_create_timeout,
            f"crio.runtime.runtimes.{name}.container_create_timeout",
        )
        if value == 0.0:  # in CRI-O as if it were not set
            return replace(table, container_create_timeout=RuntimeHandler().container_create_timeout)
        return replace(table, container_create_timeout=at_least(option, value, LEAST_CREATE_TIMEOUT_S))

    runtime = config.runtime
    stop_timeout = at_least("crio.runtime.ctr_stop_timeout", runtime.ctr_stop_timeout, LEAST_STOP_TIMEOUT_S)
    runtimes = MappingProxyType({name: handler(name, table) for name, table in runtime.runtimes.items()})
    runtime = replace(runtime, ctr_stop_timeout=stop_timeout, runtimes=runtimes)
    return replace(config, runtime=runtime), tuple(remarks)


def check(config: Config) -> Verdict:
    """Look for contradictions and impossible values."""
    errors = (
        *_paths(config),
        *_durations(config),
        *_api(config),
        *_runtime(config.runtime),
        *_metrics(config),
        *_tracing(config.tracing),
        *_stats(config.stats),
        *_image(config.image),
    )
    return Verdict(errors, tuple(_warnings(config)))


def _values(table: Any, name: str = "crio") -> Iterator[tuple[str, Any, Any]]:
    """Every option as (dotted name, declared type, value), handlers included."""
    for each in fields(table):
        value = getattr(table, each.name)
        if is_dataclass(value) and each.metadata.get("option") is None:
            yield from _values(value, f"{name}.{each.name}")
        elif each.name == "runtimes":
            for handler, content in value.items():
                yield from _values(content, f"{name}.runtimes.{handler}")
        else:
            yield f"{name}.{each.name}", each.type, value


def _paths(config: Config) -> Iterator[Remark]:
    for name, _, value in _values(config):
        many = value if isinstance(value, tuple) else (value,)
        for each in many:
            if isinstance(each, Path) and not each.is_absolute():
                yield Remark(name, f"{each} is not an absolute path")
    if config.root == config.runroot:
        yield Remark("crio.runroot", f"{config.runroot} is root as well; the two must differ")
    inspection = config.api.inspection_socket
    if inspection == config.api.listen:
        yield Remark("crio.api.inspection_socket", f"{inspection} is the socket of the CRI")
    for name, path, room in (
        ("crio.api.listen", config.api.listen, 0),
        ("crio.api.inspection_socket", inspection or Path("/"), 0),
        ("crio.runroot", config.runroot, RUNROOT_ROOM_BYTES),
    ):
        if len(bytes(path)) > SOCKET_PATH_LIMIT_BYTES - room:
            most = SOCKET_PATH_LIMIT_BYTES - room
            yield Remark(name, f"{path} is too long for a Unix socket's address: {most} bytes at most")


def _durations(config: Config) -> Iterator[Remark]:
    for name, kind, value in _values(config):
        if kind is not Seconds:
            continue
        if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
            yield Remark(name, f"{value:g} s is not a time above zero")


def _api(config: Config) -> Iterator[Remark]:
    api = config.api
    if api.stream_address and not _is_address(api.stream_address):
        yield Remark("crio.api.stream_address", f'"{api.stream_address}" is not an IP address')
    if api.stream_enable_tls and not (api.stream_tls_cert and api.stream_tls_key):
        yield Remark("crio.api.stream_enable_tls", "needs stream_tls_cert and stream_tls_key")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _runtime(runtime: RuntimeTable) -> Iterator[Remark]:
    known = {*runtime.runtimes, *BUILT_IN_HANDLERS}
    if runtime.default_runtime and runtime.default_runtime not in known:
        listed = ", ".join(sorted(known))
        yield Remark(
            "crio.runtime.default_runtime", f'no handler "{runtime.default_runtime}" (known: {listed})'
        )
    for name in runtime.runtimes:
        if not name or "/" in name:
            yield Remark(f"crio.runtime.runtimes.{name}", "a handler's name must be a word without slashes")
        if any(not each.strip() for each in runtime.runtimes[name].allowed_annotations):
            option = f"crio.runtime.runtimes.{name}.allowed_annotations"
            yield Remark(option, "an empty name lets every annotation pass: remove it")
    if 0 <= runtime.log_size_max < LEAST_LOG_SIZE_BYTES:
        yield Remark("crio.runtime.log_size_max", f"must be -1 or at least {LEAST_LOG_SIZE_BYTES} bytes")
    if runtime.pids_limit < -1 or runtime.pids_limit == 0:
        yield Remark("crio.runtime.pids_limit", "must be -1 or above zero")
    if not runtime.monitor_cgroup.endswith(".slice") or "/" in runtime.monitor_cgroup:
        yield Remark("crio.runtime.monitor_cgroup", f'"{runtime.monitor_cgroup}" is not a slice (NAME.slice)')
    if not _PREFIX_OF_CGROUPS.fullmatch(runtime.cgroup_prefix):
        text = f'"{runtime.cgroup_prefix}" is no word of small letters, digits and dashes'
        yield Remark("crio.runtime.cgroup_prefix", text)
    if runtime.monitor_scope == "pod":
        yield Remark("crio.runtime.monitor_scope", 'only "node" is supported yet')
    for name in runtime.default_capabilities:
        if capability(name) is None:
            hint = nearest(name.upper(), [each.removeprefix("CAP_") for each in CAPABILITIES])
            yield Remark("crio.runtime.default_capabilities", f'there is no capability "{name}"{hint}')
    try:
        re.compile(runtime.log_filter)
    except re.error as error:
        text = f'"{runtime.log_filter}" is no regular expression: {error}'
        yield Remark("crio.runtime.log_filter", text)
    for limit in runtime.default_ulimits:
        if rlimit(limit.name) is None:
            hint = nearest(limit.name, [each.lower() for each in RLIMITS])
            yield Remark("crio.runtime.default_ulimits", f'there is no limit "{limit.name}"{hint}')
    for sysctl in runtime.default_sysctls:
        if sysctl.value != sysctl.value.strip() or not sysctl.value:
            yield Remark("crio.runtime.default_sysctls", f'"{sysctl}" has blanks or no value')
        if not _SYSCTL_OF_A_POD.fullmatch(sysctl.name.replace("/", ".")):
            text = f"\"{sysctl.name}\" is the node's, not a pod's: set it in /etc/sysctl.d"
            yield Remark("crio.runtime.default_sysctls", text)


def _metrics(config: Config) -> Iterator[Remark]:
    metrics = config.metrics
    if (metrics.metrics_cert is None) != (metrics.metrics_key is None):
        yield Remark("crio.metrics.metrics_cert", "metrics_cert and metrics_key belong together")
    if metrics.metrics_socket is None:
        return
    if metrics.metrics_socket == config.api.listen:
        yield Remark("crio.metrics.metrics_socket", f"{config.api.listen} is the socket of the CRI")
    if len(bytes(metrics.metrics_socket)) > SOCKET_PATH_LIMIT_BYTES:
        text = f"{metrics.metrics_socket} is too long for a Unix socket's address"
        yield Remark("crio.metrics.metrics_socket", text)


def _tracing(tracing: TracingTable) -> Iterator[Remark]:
    if not _ENDPOINT.fullmatch(tracing.tracing_endpoint):
        text = f'"{tracing.tracing_endpoint}" is not host:port'
        yield Remark("crio.tracing.tracing_endpoint", text)
    if not 0 <= tracing.tracing_sampling_rate_per_million <= MILLION:
        text = f"must be between 0 and {MILLION}"
        yield Remark("crio.tracing.tracing_sampling_rate_per_million", text)


def _stats(stats: StatsTable) -> Iterator[Remark]:
    for each in fields(stats):
        if isinstance(value := getattr(stats, each.name), int) and value < 0:
            yield Remark(f"crio.stats.{each.name}", f"{value} s is no time: 0 collects when asked")
    for group in stats.included_pod_metrics:
        if group not in (*POD_METRIC_GROUPS, ALL_POD_METRICS):
            hint = nearest(group, POD_METRIC_GROUPS)
            yield Remark("crio.stats.included_pod_metrics", f'there is no group "{group}"{hint}')
    if ALL_POD_METRICS in stats.included_pod_metrics and len(stats.included_pod_metrics) > 1:
        yield Remark("crio.stats.included_pod_metrics", '"all" stands alone: remove it, or the others')


def _image(image: ImageTable) -> Iterator[Remark]:
    for pattern in image.pinned_images:
        if "*" in pattern.removeprefix("*").removesuffix("*") or pattern.strip("*") == "":
            text = f'"{pattern}" is no name, beginning (name*) or part (*part*)'
            yield Remark("crio.image.pinned_images", text)
        elif pattern.startswith("*") and not pattern.endswith("*"):
            yield Remark("crio.image.pinned_images", f'"{pattern}" must end with * too')
    for host in image.insecure_registries:
        if not _HOST.fullmatch(host):
            text = f'"{host}" is not host[:port]: no scheme, no path'
            yield Remark("crio.image.insecure_registries", text)


def _warnings(config: Config) -> Iterator[Remark]:
    if config.root == Path("/var/lib/containers/storage"):
        text = "this is the store of CRI-O and podman; Podwright needs a directory of its own"
        yield Remark("crio.root", text)
    if str(config.api.listen).endswith("run/crio/crio.sock"):
        text = "for a socket of this name the kubelet asks cAdvisor for statistics, which then finds none"
        yield Remark("crio.api.listen", text)
    if config.api.stream_tls_ca and not config.api.stream_enable_tls:
        yield Remark("crio.api.stream_tls_ca", "has no effect without stream_enable_tls")
