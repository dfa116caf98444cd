"""The compiled library: its structures, and its functions for NumPy arrays and tensors.

``pip install`` compiles it from the C++ files beside this one, once for each instruction set; see
``build.py``. Nothing is compiled later, and any Python version takes the same file.
"""

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int32, c_int64, c_void_p
from pathlib import Path

import numpy as np

LIBRARY = Path(__file__).with_name("libtorchresample.so")

LIMB_BITS = 15
"""Bits of the lower part of a weight that does not fit int16."""

TYPES = {
    np.dtype(name): number
    for number, name in enumerate(("uint8", "int16", "uint16", "int32", "float32", "float64"))
}
"""``Type`` in ``api.h``."""


class Rounding(Structure):
    """``Rounding`` in ``api.h``."""

    _fields_ = [("half", c_int32), ("shift", c_int32), ("cut", c_int32), ("mean", c_float)]


class Pass(Structure):
    """``Pass`` in ``api.h``. It keeps the arrays that it points to in ``arrays``."""

    _fields_ = [
        *((name, c_int64) for name in ("n_in", "n_out", "taps")),
        *((name, c_void_p) for name in ("start", "count", "weight", "index")),
        *((name, c_int32) for name in ("pixel", "sum", "stored", "limbs")),
        ("rounding", Rounding),
        *((name, c_void_p) for name in ("decoded", "encoded")),
    ]


class Program(Structure):
    """``Program`` in ``api.h``."""

    _fields_ = [
        *((name, POINTER(Pass)) for name in ("first", "second")),
        ("across_first", c_int32),
        ("lines", c_void_p),
    ]


class Image(Structure):
    """``Image`` in ``api.h``."""

    _fields_ = [
        ("data", c_void_p),
        *((name, c_int64) for name in ("batch", "plane", "row", "planes", "height", "width")),
        *((name, c_int64) for name in ("step", "channels")),
    ]


_SIGNATURES = {
    "instructions": (c_char_p, ()),
    "use": (c_int32, (c_char_p,)),
    "serves": (c_int32, (c_int32,) * 3),
    "resample": (c_int32, (POINTER(Program), POINTER(Image), POINTER(Image), c_int64, c_int64)),
    "gather": (c_int32, (*(c_void_p,) * 2, c_int64, *(POINTER(Image),) * 2, *(c_int64,) * 2)),
    "normalise": (
        c_int32,
        (POINTER(Image), *(c_void_p,) * 2, c_int32, c_int64, c_void_p, *(c_int64,) * 2),
    ),
    "rgb_of_nv12": (
        c_int32,
        (*(c_void_p,) * 3, *(c_int64,) * 4, *(c_void_p,) * 3, *(c_int64,) * 2),
    ),
    "by_alpha": (c_int32, (*(c_int32,) * 2, *(c_int64,) * 3, *(c_void_p,) * 2, *(c_int64,) * 2)),
    "footprints": (None, (c_void_p, c_int64, c_double, *(c_void_p,) * 2)),
    "distances": (None, (*(c_void_p,) * 3, *(c_int64,) * 2, *(c_double,) * 2, c_void_p)),
    "sinc": (None, (c_void_p, c_int64, c_void_p)),
    "exponential": (None, (c_void_p, c_int64, c_void_p)),
    "window": (None, (*(c_void_p,) * 2, *(c_int64,) * 3, *(c_void_p,) * 2, c_int64)),
    "extents": (None, (c_void_p, *(c_int64,) * 2, *(c_void_p,) * 3)),
    "trimmed": (
        None,
        (c_void_p, *(c_int64,) * 2, *(c_void_p,) * 2, c_int32, c_int64, c_void_p, c_int64),
    ),
}


def _loaded() -> dict[str, ctypes._CFuncPtr]:
    """Open the library; its functions by name."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise ImportError(
            f"torchresample's compiled library could not be loaded: {error}. "
            "'pip install .' in the checkout compiles it."
        ) from error
    functions = {}
    for name, (result, arguments) in _SIGNATURES.items():
        function = library[f"torchresample_{name}"]
        function.restype, function.argtypes = result, arguments
        functions[name] = function
    return functions


_functions = _loaded()


def address(array: np.ndarray | None) -> int | None:
    """Where the values of a contiguous array begin; ``None`` for ``None``."""
    return None if array is None else array.__array_interface__["data"][0]


def call(name: str, *arguments) -> None:
    """Call a function that shares rows among threads.

    Raises:
        MemoryError: there was none left for its scratch memory.
    """
    if _functions[name](*arguments):
        raise MemoryError(f"torchresample: no memory left for the scratch buffers of {name!r}")


def instructions() -> str:
    """Return the instruction set in use: ``"avx512"``, ``"avx2"``, ``"sse2"`` or ``"generic"``."""
    return _functions["instructions"]().decode()


def use(name: str) -> None:
    """Use another instruction set, for tests. The values of integers are the same under each.

    Raises:
        ValueError: this CPU does not have it.
    """
    if _functions["use"](name.encode()):
        raise ValueError(f"name must be an instruction set of this CPU, got {name!r}")


def serves(pixel: np.dtype, sums: np.dtype, stored: np.dtype) -> bool:
    """Whether the library has a pass of these types; int16 ``sums`` are int16 weights."""
    return bool(_functions["serves"](TYPES[pixel], TYPES[sums], TYPES[stored]))


def footprints(centre: np.ndarray, support: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the pixels whose centres lie within ``support`` of each ``centre``, float64 ``[n_out]``.

    Returns:
        int64 ``[n_out]`` each: the first pixel, which may lie before the image, and how many.
    """
    first, width = np.empty(len(centre), np.int64), np.empty(len(centre), np.int64)
    _functions["footprints"](*_addresses(centre), len(centre), support, *_addresses(first, width))
    return first, width


def distances(
    centre: np.ndarray, first: np.ndarray, width: np.ndarray, inverse: float, outside: float
) -> np.ndarray:
    """Measure how far each output's pixels lie from its centre, times ``inverse``.

    Returns:
        float64 ``[n_out, width.max()]``; past an output's ``width`` it is ``outside``.
    """
    out = np.empty((len(centre), width.max()))
    places = _addresses(centre, first, width)
    _functions["distances"](*places, *out.shape, inverse, outside, address(out))
    return out


def sinc(x: np.ndarray) -> np.ndarray:
    """Compute ``sin(pi * x) / (pi * x)`` of float64, within four units in the last place."""
    return _elementwise("sinc", x)


def exponential(x: np.ndarray) -> np.ndarray:
    """Compute ``exp(x)`` of float64 from -43 to 0, within two units in the last place."""
    return _elementwise("exponential", x)


def _elementwise(name: str, x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64, order="C")
    out = np.empty(x.shape)
    _functions[name](address(x), x.size, address(out))
    return out


def window(
    first: np.ndarray, weight: np.ndarray, n_in: int, start: np.ndarray, taps: int
) -> np.ndarray:
    """Cut rows of weights to the pixels of an axis, and divide each row by its sum.

    Args:
        first: int64 ``[n_out]``, the pixel of each row's first weight; may be negative.
        weight: float64 ``[n_out, width]``.
        n_in: length of the axis.
        start: int64 ``[n_out]``, the pixel of each result row's first weight.
        taps: length of a result row.

    Returns:
        float64 ``[n_out, taps]``, zero where ``weight`` has nothing.
    """
    weight, out = np.ascontiguousarray(weight), np.zeros((len(start), taps))
    first, start = np.ascontiguousarray(first), np.ascontiguousarray(start)
    places = _addresses(first, weight)
    _functions["window"](*places, *weight.shape, n_in, *_addresses(start, out), taps)
    return out


def extents(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float, float]:
    """Find where the weights of each row, float64 ``[n_out, taps]``, begin and end.

    Returns:
        The zeros before each row's first weight, and how many weights there are from there to its
        last, int64 ``[n_out]``; the least sum of a row's negative weights, the largest sum of a
        row's positive ones, and the largest size of a weight.
    """
    lead, count = np.empty(len(weight), np.int64), np.empty(len(weight), np.int64)
    bounds = np.empty(3)
    _functions["extents"](address(weight), *weight.shape, *_addresses(lead, count, bounds))
    return lead, count, *bounds.tolist()


def trimmed(
    weight: np.ndarray, lead: np.ndarray, count: np.ndarray, dtype: type, limbs: int | None = None
) -> np.ndarray:
    """Return rows of weights without the zeros around them; see ``extents``.

    Args:
        weight: float64 ``[n_out, taps]``, contiguous.
        lead, count: what ``extents`` returns.
        dtype: of the result: float64, float32, int32, or int16 with ``limbs``.
        limbs: 1 or 2: how many int16 numbers make a weight, the second of which counts
            ``2**LIMB_BITS`` times the first. Their rows have an even length.

    Returns:
        ``[n_out, count.max()]`` or, with ``limbs``, ``[n_out, limbs, even count.max()]``.
    """
    taps = max(int(count.max()), 1)
    shape = (taps,) if limbs is None else (limbs, taps + taps % 2)
    out = np.zeros((len(weight), *shape), dtype)
    kind = TYPES[out.dtype], limbs or 1
    places = _addresses(lead, count)
    _functions["trimmed"](address(weight), *weight.shape, *places, *kind, address(out), shape[-1])
    return out


def _addresses(*arrays: np.ndarray) -> tuple[int, ...]:
    return tuple(map(address, arrays))
