"""Ids that Podwright mints, as NewTypes so that one cannot pass for another."""

import secrets
from typing import NewType

SandboxId = NewType("SandboxId", str)
ContainerId = NewType("ContainerId", str)
ImageId = NewType("ImageId", str)  # "sha256:<hex of the image config>"


def new_sandbox_id() -> SandboxId:
    """64 random lower-case hex digits."""
    return SandboxId(secrets.token_hex(32))


def new_container_id() -> ContainerId:
    """64 random lower-case hex digits."""
    return ContainerId(secrets.token_hex(32))
