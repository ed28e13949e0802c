from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conf.check import check, raise_to_minimum
from conf.schema import Config, RuntimeHandler
from conf.values import Assignment, Seconds, Ulimit


def changed(table: str, **values: Any) -> Config:
    """The defaults with values of one table replaced; "" is [crio] itself."""
    config = Config()
    return replace(config, **({table: replace(getattr(config, table), **values)} if table else values))


def handler(**values: Any) -> Config:
    return changed("runtime", runtimes={"own": RuntimeHandler(**values)})


def test_the_defaults_are_without_errors_and_warnings() -> None:
    verdict = check(Config())
    assert verdict.errors == ()
    assert verdict.warnings == ()


@pytest.mark.parametrize(
    ("config", "name", "text"),
    [
        (changed("", root=Path("a")), "crio.root", "absolute"),
        (changed("", root=Path("/x"), runroot=Path("/x")), "crio.runroot", "differ"),
        (changed("", runroot=Path("/" + "x" * 80)), "crio.runroot", "too long"),
        (changed("api", listen=Path("/" + "x" * 110)), "crio.api.listen", "107 bytes"),
        (changed("api", stream_address="localhost"), "crio.api.stream_address", "IP address"),
        (changed("api", stream_enable_tls=True), "crio.api.stream_enable_tls", "stream_tls_key"),
        (changed("api", stream_tls_ca=Path("ca.pem")), "crio.api.stream_tls_ca", "absolute"),
        (changed("network", plugin_dirs=(Path("/a"), Path("b"))), "crio.network.plugin_dirs", "b is not"),
        (changed("network", cni_add_timeout_s=Seconds(0)), "crio.network.cni_add_timeout_s", "above zero"),
        (changed("image", pull_progress_timeout=Seconds(-1)), "crio.image.pull_progress_timeout", "-1 s"),
        (
            changed("runtime", default_runtime="kata"),
            "crio.runtime.default_runtime",
            "known: crun, podwright, runc",
        ),
        (changed("runtime", log_size_max=8191), "crio.runtime.log_size_max", "8192"),
        (changed("runtime", pids_limit=0), "crio.runtime.pids_limit", "above zero"),
        (changed("runtime", monitor_scope="pod"), "crio.runtime.monitor_scope", "node"),
        (changed("runtime", monitor_cgroup="pod"), "crio.runtime.monitor_cgroup", "not a slice"),
        (changed("runtime", monitor_cgroup="/a/b.slice"), "crio.runtime.monitor_cgroup", "not a slice"),
        (
            changed("runtime", default_sysctls=(Assignment("net.a", " 1"),)),
            "crio.runtime.default_sysctls",
            "blanks",
        ),
        (changed("runtime", runtimes={"a/b": RuntimeHandler()}), "crio.runtime.runtimes.a/b", "slashes"),
        (
            changed("runtime", default_capabilities=("CHOWN", "net_admn")),
            "crio.runtime.default_capabilities",
            'no capability "net_admn"; did you mean "NET_ADMIN"?',
        ),
        (
            changed("runtime", default_ulimits=(Ulimit("nofiles", 1, 2),)),
            "crio.runtime.default_ulimits",
            'no limit "nofiles"; did you mean "nofile"?',
        ),
        (handler(runtime_path=Path("crun")), "crio.runtime.runtimes.own.runtime_path", "absolute"),
        (changed("metrics", metrics_cert=Path("/c")), "crio.metrics.metrics_cert", "belong together"),
        (
            changed("metrics", metrics_socket=Config().api.listen),
            "crio.metrics.metrics_socket",
            "socket of the CRI",
        ),
        (changed("metrics", metrics_socket=Path("/" + "x" * 110)), "crio.metrics.metrics_socket", "too long"),
        (changed("image", pinned_images=("a*b",)), "crio.image.pinned_images", '"a*b" is no name'),
        (changed("image", pinned_images=("*",)), "crio.image.pinned_images", '"*" is no name'),
        (changed("image", pinned_images=("*a",)), "crio.image.pinned_images", "must end with * too"),
        (
            changed("image", insecure_registries=("http://a.test",)),
            "crio.image.insecure_registries",
            "no scheme",
        ),
        (changed("image", insecure_registries=("a.test/x",)), "crio.image.insecure_registries", "no path"),
        (
            changed("runtime", default_sysctls=(Assignment("kernel.panic", "1"),)),
            "crio.runtime.default_sysctls",
            "is the node's",
        ),
        (
            changed("runtime", default_sysctls=(Assignment("vm.swappiness", "1"),)),
            "crio.runtime.default_sysctls",
            "/etc/sysctl.d",
        ),
    ],
)
def test_what_cannot_be_used_is_an_error(config: Config, name: str, text: str) -> None:
    (error,) = check(config).errors
    assert error.name == name
    assert text in error.text


@pytest.mark.parametrize(
    "config",
    [
        changed("runtime", log_size_max=8192),
        changed("runtime", default_runtime="own", runtimes={"own": RuntimeHandler()}),
        changed("runtime", default_runtime="runc"),
        changed(
            "runtime", default_capabilities=("chown", "CAP_KILL"), default_ulimits=(Ulimit("locks", 1, 2),)
        ),
        changed("api", stream_address="::1", stream_idle_timeout=Seconds(0)),
        changed("api", stream_address=""),
        changed(
            "image", pinned_images=("a", "a:1", "a*", "*a*"), insecure_registries=("a.b:1", "[::1]:5000")
        ),
        changed(
            "runtime",
            default_sysctls=tuple(
                Assignment(name, "1")
                for name in ("kernel.sem", "kernel.shm_rmid_forced", "net/ipv4/x", "fs.mqueue.a")
            ),
        ),
        changed("image", pull_progress_timeout=Seconds(0)),
    ],
)
def test_what_is_at_the_border_is_allowed(config: Config) -> None:
    assert check(config).errors == ()


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (changed("", root=Path("/var/lib/containers/storage")), "crio.root"),
        (changed("api", listen=Path("/var/run/crio/crio.sock")), "crio.api.listen"),
        (changed("api", stream_tls_ca=Path("/ca.pem")), "crio.api.stream_tls_ca"),
    ],
)
def test_what_has_consequences_is_a_warning(config: Config, name: str) -> None:
    verdict = check(config)
    assert verdict.errors == ()
    assert [warning.name for warning in verdict.warnings] == [name]


STOP, CREATE = "crio.runtime.ctr_stop_timeout", "crio.runtime.runtimes.own.container_create_timeout"


@pytest.mark.parametrize(
    ("given", "used", "named"),
    [
        (changed("runtime", ctr_stop_timeout=Seconds(0)), changed("runtime"), STOP),
        (changed("runtime", ctr_stop_timeout=Seconds(10)), changed("runtime"), STOP),
        (
            changed("runtime", ctr_stop_timeout=Seconds(31)),
            changed("runtime", ctr_stop_timeout=Seconds(31)),
            "",
        ),
        (
            handler(container_create_timeout=Seconds(29)),
            handler(container_create_timeout=Seconds(30)),
            CREATE,
        ),
        (
            handler(container_create_timeout=Seconds(-1)),
            handler(container_create_timeout=Seconds(30)),
            CREATE,
        ),
        (handler(container_create_timeout=Seconds(0)), handler(), ""),
    ],
)
def test_times_that_are_too_short_for_crio_are_raised(given: Config, used: Config, named: str) -> None:
    config, remarks = raise_to_minimum(given)
    assert config == used
    assert [remark.name for remark in remarks] == ([named] if named else [])
    assert check(config).errors == ()


def test_all_errors_are_found_at_once() -> None:
    config = replace(changed("runtime", pids_limit=0, log_size_max=1), root=Path("relative"))
    assert len(check(config).errors) == 3
