"""The executing half: each operation of operations.py, done in the process that is set up."""
