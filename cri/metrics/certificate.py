"""A certificate for the metrics server where the configuration names files that are not there, as in CRI-O.

It is self-signed, for this host's name and its loopback addresses, and stays until it is replaced.
"""

import asyncio
import os
import shutil
import socket
import tempfile
from pathlib import Path

from api.errors import PodwrightError
from conf.schema import MetricsTable
from cri.metrics.endpoint import MetricsNotServed
from host import processes

_TIMEOUT_S = 60.0
_DAYS = 365


def is_missing(table: MetricsTable) -> bool:
    """Whether both files are named and neither is there."""
    named = (table.metrics_cert, table.metrics_key)
    return all(path is not None and not path.exists() for path in named)


async def make_if_missing(table: MetricsTable) -> bool:
    """Make certificate and key; False if there is nothing to make.

    Raises:
        MetricsNotServed: no openssl, or the directory cannot be written.
    """
    if not is_missing(table):
        return False
    assert table.metrics_cert is not None
    assert table.metrics_key is not None
    program = shutil.which("openssl")
    if program is None:
        raise MetricsNotServed(
            f"metrics_cert {table.metrics_cert} is not there, and there is no openssl to make it: "
            "apt install openssl, or put a certificate there"
        )
    try:
        await _make(program, table.metrics_cert, table.metrics_key)
    except (OSError, PodwrightError) as error:
        raise MetricsNotServed(f"metrics_cert {table.metrics_cert} cannot be made: {error}") from error
    return True


async def _make(program: str, certificate: Path, key: Path) -> None:
    name = socket.gethostname()
    with tempfile.TemporaryDirectory(prefix="podwright-metrics-") as made:  # mode 0700
        new_key, new_certificate = Path(made) / "key", Path(made) / "cert"
        argv = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        argv += ["-days", str(_DAYS), "-subj", f"/CN={name[:64]}"]
        argv += ["-addext", f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1,IP:::1"]
        argv += ["-keyout", str(new_key), "-out", str(new_certificate)]
        done = await processes.run(argv, timeout_s=_TIMEOUT_S)
        if done.returncode:
            raise OSError(" ".join(done.stderr.decode(errors="replace").split())[-300:])
        await asyncio.to_thread(_put, new_key, key, 0o600)
        await asyncio.to_thread(_put, new_certificate, certificate, 0o644)


def _put(source: Path, target: Path, mode: int) -> None:
    """Copy whole, or not at all."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    Path(name).rename(target)
