"""The files that other tools need to use this node's runtime, for ``podwright node-config``.

A module for each tool turns Facts into files, purely. What is fixed text lies beside them as a template.
"""
