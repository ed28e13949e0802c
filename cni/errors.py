"""What can go wrong with a pod's network, by who has to act on it."""

from api.errors import DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument, Unavailable


class NetworkConfigInvalid(InvalidArgument):
    """A CNI configuration is wrong; the text names the file or network, the key and what it may be."""


class NetworkNotReady(Unavailable):
    """There is no usable CNI configuration yet."""


class PluginFailed(Internal):
    """A plugin refused or failed; the text carries its own message, details and standard error.

    ``code`` is the number of the CNI specification (1 to 99) or the plugin's own (from 100).
    """

    def __init__(self, text: str, code: int = 999) -> None:
        super().__init__(text)
        self.code = code


class PluginMissing(Unavailable):
    """The configuration names a plugin that is in none of the plugin directories."""


class PluginTimedOut(DeadlineExceeded):
    """A plugin did not end in time and was killed."""


class HostPortTaken(FailedPrecondition):
    """Another pod has this host port."""
