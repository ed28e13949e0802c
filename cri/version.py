"""The version of this Podwright."""

VERSION = "0.1.0"
