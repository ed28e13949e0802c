"""The plugins that every pod needs, in-process: the same keys, results and files as the reference ones."""
