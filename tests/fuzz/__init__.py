"""Fuzz targets; each runs bounded under pytest and for as long as wanted by hand."""
