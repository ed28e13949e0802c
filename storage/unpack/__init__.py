"""One layer: compressed bytes in, a directory tree and two digests out, in a process of its own.

The package imports the standard library, host.files, isal and zstandard only: the process starts in a
few milliseconds and shares nothing with the daemon but two pipes. ``__main__`` has the protocol.
"""
