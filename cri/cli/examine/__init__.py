"""Examinations of the host for ``podwright check``.

Each function looks at one matter and yields findings. Whatever it looks at comes in by argument: texts of
files under /proc, directories, or a probe to call.
"""
