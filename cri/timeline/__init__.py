"""Seeing inside: what operations tell, found by name and said in words. Imported with the first question."""
