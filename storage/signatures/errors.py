"""What can go wrong with a policy and the signatures that it wants."""

from api.errors import FailedPrecondition, InvalidArgument, PermissionDenied


class BadPolicy(InvalidArgument):
    """A policy file, or one of registries.d, cannot be read as such."""


class SignatureValidationFailed(PermissionDenied):
    """The policy does not let the image in; the text begins as the kubelet expects it."""

    def __init__(self, text: str) -> None:
        super().__init__(f"SignatureValidationFailed: {text}")


class TrustUnavailable(FailedPrecondition):
    """What a policy trusts cannot be read: a key file, a program, a library. Nothing is accepted then."""


class NotAccepted(Exception):
    """One signature does not satisfy one requirement, and why; never leaves this package."""
