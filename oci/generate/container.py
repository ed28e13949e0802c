"""The runtime-spec document of a container (runtime-spec v1.1, config.md and config-linux.md)."""

from typing import Any

from oci.generate.inputs import ContainerInput, HostView, Observed, RuntimeView


def generate(
    container: ContainerInput,
    host: HostView,
    runtime: RuntimeView | None = None,
    observed: Observed | None = None,
) -> dict[str, Any]:
    """The config.json document for ``container``.

    Raises:
        BadContainer: a field of the request cannot be honoured; the message names field and value.
    """
    raise NotImplementedError
