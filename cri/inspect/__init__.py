"""Looking inside: what the daemon tells of itself, its pods and containers beyond the CRI's own fields.

Nothing here is imported before somebody asks.
"""
