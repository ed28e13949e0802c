"""The pure half: what is to be done, in which order, as operations (operations.py)."""
