"""Names in ``allowed_annotations`` that CRI-O would act on and that have no effect here yet.

What a name lets pass reaches the OCI runtime; these are for the daemon itself, which does not know them.
"""

_OF_CRIO = (
    "cgroup2-mount-hierarchy-rw",
    "cpu-c-states",
    "cpu-freq-governor",
    "cpu-load-balancing",
    "cpu-quota",
    "cpu-shared",
    "disable-fips",
    "irq-load-balancing",
    "link-logs",
    "platform-runtime-path",
    "pod-linux-overhead",
    "pod-linux-resources",
    "seccomp-notifier-action",
    "seccomp-profile",
    "shm-size",
    "skip-gomaxprocs",
    "spoofed",
    "try-skip-volume-selinux-label",
    "umask",
    "unified-cgroup",
    "userns-mode",
)
_EARLIER = (
    "cgroup2-mount-hierarchy-rw",
    "disablefips",
    "linklogs",
    "platformruntimepath",
    "podlinuxoverhead",
    "podlinuxresources",
    "seccompnotifieraction",
    "shmsize",
    "spoofed",
    "tryskipvolumeselinuxlabel",
    "umask",
    "unifiedcgroup",
    "userns-mode",
)
WITHOUT_EFFECT = frozenset(
    {
        *(f"{name}.crio.io" for name in _OF_CRIO),
        *(f"io.kubernetes.cri-o.{name}" for name in _EARLIER),
        "io.containers.trace-syscall",
        "io.kubernetes.cri.rdt-class",
        "seccomp-profile.kubernetes.cri-o.io",
    }
)


def has_effect(name: str) -> bool:
    """Whether an entry of ``allowed_annotations`` may let something pass that does anything.

    An entry may end with what the annotation is for: ``/CONTAINER`` or, in earlier names, ``.CONTAINER``.
    """
    plain = name.strip().lower()
    return not any(plain == each or plain.startswith((f"{each}/", f"{each}.")) for each in WITHOUT_EFFECT)
