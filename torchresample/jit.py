"""How numba compiles this package's loops."""

from numba import njit


def compiled(function):
    """Compiled at its first call, and kept on disk for later processes where there is a place."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        return njit(**options)(function)
