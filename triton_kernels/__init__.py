"""Bands applied on a GPU by Triton kernels; see ``launch``.

Knows nothing of the package that builds the bands.
"""
