"""Making an installation of this checkout: ``make install``, ``make uninstall`` and ``make deb``.

Runs on the interpreter that the installation will use, with pip and otherwise the standard library alone.
"""
