"""A sandbox's user namespace in the terms of spec generation."""

from cri import translate
from cri.sandboxes.record import Sandbox
from oci.generate.inputs import IdMapping
from oci.generate.namespaces import user_mappings

Mappings = tuple[IdMapping, ...]


def id_mappings(sandbox: Sandbox) -> tuple[Mappings, Mappings]:
    """Uids and gids; both empty when the pod has the node's user namespace."""
    if not sandbox.has_user_namespace:
        return (), ()
    return user_mappings(translate.namespace_options(sandbox.options))
