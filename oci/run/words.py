"""How an error of the kernel is said."""

import os


def explain(error: OSError) -> str:
    """``path: call: reason``, the reason in small letters, as callers of runtimes look for it."""
    reason = (error.strerror or str(error)).strip()
    usual = os.strerror(error.errno or 0)
    reason = reason.replace(usual, usual.lower())
    return f"{error.filename}: {reason}" if error.filename else reason
