"""Caches of weights and plans, bounded by their bytes, those of all functions together."""

import os
from collections.abc import Callable, Iterable
from functools import wraps
from threading import RLock

import torch

KEPT = 3 * 2**24
"""Bytes that all caches hold at most, those of arrays and about those of other objects."""

LARGEST = KEPT // 8
"""Bytes of the largest result that is kept, as it pushes out others."""

_OBJECTS = 1000
"""Bytes that an entry is taken to have beside its arrays."""

_ABSENT = object()
_PLAIN = {bool, int, float, str, type(None), torch.dtype, torch.Size}

_generations: list[tuple[dict, dict]] = []
"""Young and old results of each function, half of the bytes for either generation.

When the young ones have used theirs up, the old ones are dropped, and the young ones become old.
An old one that is asked for becomes young again. So a hit is one of a dictionary, without a list to
reorder; and arguments and parts of a result, which are kept results as well, are of its generation.
"""
_clears: list[Callable[[], None]] = []
_counted: set[int] = set()  # the young arguments and results, by their addresses
_bytes = 0  # of these
_lock = RLock()  # of misses only; reentrant, since a finalizer may resize as well


def kept(function: Callable) -> Callable:
    """Cache the results of a function of hashable arguments.

    Arguments and results count by their ``nbytes``; tuples and lists by those of their parts.
    """
    young, old = {}, {}
    _generations.append((young, old))

    @wraps(function)
    def remembered(*arguments):
        try:
            return young[arguments]
        except KeyError:
            pass
        result = old.get(arguments, _ABSENT)
        if result is _ABSENT:
            result = function(*arguments)
        _keep(young, arguments, result)
        return result

    return remembered


def cleared(cache: Callable) -> Callable:
    """Clear an ``lru_cache`` of what is made of kept results whenever those become old."""
    _clears.append(cache.cache_clear)
    return cache


def _keep(young: dict, arguments: tuple, result: object) -> None:
    global _bytes
    parts = {}
    _collect(arguments, parts)
    _collect((result,), parts)
    if sum(parts.values()) > LARGEST:
        return
    with _lock:
        if arguments in young:  # another thread was faster
            return
        new = sum(parts[part] for part in parts.keys() - _counted)
        if _bytes + new + _OBJECTS > KEPT // 2:
            _forget_old()
            new = sum(parts.values())
        young[arguments] = result
        _counted.update(parts)
        _bytes += new + _OBJECTS


def _collect(values: Iterable[object], parts: dict[int, int]) -> None:
    """Note the ``nbytes`` of what values consist of, by address: what is shared counts once."""
    for value in values:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if kind in (tuple, list):
            _collect(value, parts)
            continue
        value = getattr(value, "band", value)  # of a ``Pass``
        size = getattr(value, "nbytes", 0)
        if size:
            parts[id(value)] = size


def _forget_old() -> None:
    """Drop the old results, and let the young ones become old."""
    global _bytes
    for young, old in _generations:
        old.clear()
        old.update(young)
        young.clear()
    for clear in _clears:
        clear()
    _counted.clear()
    _bytes = 0


def _unlock() -> None:
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    # Another thread of the parent may have held it.
    os.register_at_fork(after_in_child=_unlock)
