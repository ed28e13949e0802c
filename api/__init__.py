"""The vocabulary every layer shares: error categories, ids, and the CRI messages (api.runtime)."""
