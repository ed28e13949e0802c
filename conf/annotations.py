"""Which names in ``allowed_annotations`` have an effect; the others of CRI-O load with a warning each."""

# A name is the beginning of what it lets pass; these steer the OCI runtime or ask for devices.
HONOURED = (
    "run.oci.",
    "org.systemd.property.",
    "org.criu.",
    "module.wasm.",
    "dev.gvisor.",
    "io.crun.",
    "krun.",
    "io.katacontainers.",
    "devices.crio.io",
    "io.kubernetes.cri-o.devices",
)


def has_effect(name: str) -> bool:
    """Whether an entry of ``allowed_annotations`` lets any annotation pass that does something."""
    plain = name.strip().lower()
    return bool(plain) and any(plain.startswith(each) or each.startswith(plain) for each in HONOURED)
