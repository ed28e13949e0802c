"""Container Device Interface (CDI specification 0.3 to 1.0): devices by name, as their vendors describe them.

spec.py      a file's content, checked and frozen
registry.py  the files of the configured directories, and the edits for some names
apply.py     edits, put into a runtime-spec document
"""
