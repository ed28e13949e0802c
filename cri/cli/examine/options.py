"""Options that name something of this host: files that must load, a group, a timezone."""

import grp
from collections.abc import Iterator, Mapping
from pathlib import Path

from api.errors import PodwrightError
from conf.schema import Config, RuntimeTable
from conf.seccomp import BadSeccompProfile, load_profile
from cri.cli.examine.findings import Finding, fails, ok, warning
from cri.defaults import timezone_file
from cri.metrics.certificate import is_missing
from cri.metrics.endpoint import MetricsNotServed, server_tls
from cri.streaming.process.confine import call_filter, identity
from cri.streaming.tls import BadTls, TlsFiles, load
from oci.generate.inputs import BadContainer
from oci.generate.seccomp import convert


def options(config: Config, machine: str) -> Mapping[str, Iterator[Finding]]:
    """Whether what they name can be used, by the option; ``machine`` as in uname(2)."""
    return {
        "seccomp_profile": seccomp_profiles(config.runtime, machine),
        "stream_tls_cert": streaming_tls(config),
        "metrics_cert": metrics_tls(config),
        "socket_group": socket_group(config.api.socket_group),
        "timezone": timezone(config.runtime.timezone),
    }


def seccomp_profiles(table: RuntimeTable, machine: str) -> Iterator[Finding]:
    """The one for all handlers, and those that handlers have of their own."""
    named = {"seccomp_profile": table.seccomp_profile}
    named |= {
        f"runtimes.{name}.seccomp_profile": each.seccomp_profile for name, each in table.runtimes.items()
    }
    for option, path in named.items():
        if path is None:
            continue
        try:
            convert(load_profile(path), (), machine, str(path))
        except (BadSeccompProfile, BadContainer) as error:
            yield fails(option, str(error), f"mend the file, or set {option} to another")
        else:
            yield ok(option, str(path))


def streaming_process() -> Iterator[Finding]:
    """What the process for exec, attach and port-forward can be kept from."""
    uid, _ = identity()
    try:
        call_filter()
    except PodwrightError as error:
        yield warning("podwright-streaming", f"has no filter of system calls: {error}", "install libseccomp2")
    else:
        yield ok("podwright-streaming", f"uid {uid}, no capabilities, few system calls")


def streaming_tls(config: Config) -> Iterator[Finding]:
    """The files of the server for exec, attach and port-forward."""
    try:
        files = TlsFiles.of(config.api)
        if files is None:
            return
        load(files)
    except BadTls as error:
        option, _, text = str(error).partition(": ")
        yield fails(option, text, f"set {option} to a usable file, or stream_enable_tls to false")
    else:
        yield ok("stream_tls_cert", str(files.certificate))


def metrics_tls(config: Config) -> Iterator[Finding]:
    """The files of the metrics server, if it is to be started."""
    if not config.metrics.enable_metrics:
        return
    if is_missing(config.metrics):
        yield ok(
            "metrics_cert", f"{config.metrics.metrics_cert} is not there: a self-signed one will be made"
        )
        return
    try:
        server_tls(config.metrics, config.api.tls_min_version)
    except MetricsNotServed as error:
        yield fails("metrics_cert", str(error), "set metrics_cert and metrics_key to usable files")


def socket_group(name: str) -> Iterator[Finding]:
    """The group that the CRI socket shall belong to."""
    if not name:
        return
    try:
        grp.getgrnam(name)
    except KeyError:
        yield fails("socket_group", f'there is no group "{name}"', f"groupadd --system {name}")
    else:
        yield ok("socket_group", name)


def timezone(name: str) -> Iterator[Finding]:
    """The file that containers see as /etc/localtime."""
    file = timezone_file(name)
    if not file:
        return
    if Path(file).is_file():
        yield ok("timezone", name)
    else:
        yield fails("timezone", f"there is no file {file}", "set timezone to a name that there is")
