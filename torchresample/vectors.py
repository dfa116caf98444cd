"""Blocks of a pass, written as LLVM's vectors, which become the instructions of any CPU.

The compiler left alone transposes value by value, stores the sums after every few taps, and does
not find the instructions that add products of 16-bit numbers in pairs.
"""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

LANES = 64
"""Sums of a block: enough to hide the time of a product, few enough for the registers."""

LIMB = 15
"""Bits of the lower part of a weight that is too large for 16 bits."""

GROUP = 16
"""Bytes among which the instructions of most CPUs interleave two vectors."""

GROUPS = 4
"""Groups beside each other in a tall block."""

_PLACE = types.intp
_INDEX = ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()


@register_jitable
def side(size: int) -> int:
    """How many values of ``size`` bytes a group has."""
    return GROUP // size


def _transposition(groups: int) -> Callable:
    """The intrinsic that transposes blocks of ``groups * side`` rows and ``side`` columns."""

    @intrinsic
    def transpose(typing, x, lines, row, column, out, out_row, out_column):
        """``out[out_row + i, out_column + j] = x[row + j, column + i]``, ``i < side``.

        Where ``lines`` is an array, row ``lines[row + j]`` stands for ``row + j``.
        """
        signature = types.void(x, lines, _PLACE, _PLACE, out, _PLACE, _PLACE)
        n = side(x.dtype.bitwidth // 8)

        def generate(context, builder, signature, args):
            _, _, row, column, _, out_row, out_column = args
            source = _pointers(context, builder, x, args[0])
            target = _pointers(context, builder, out, args[4])
            places = [_plus(builder, row, j) for j in range(groups * n)]
            if isinstance(lines, types.Array):
                line = _pointers(context, builder, lines, args[1])
                places = [builder.load(line(place)) for place in places]
            rows = [_load(builder, source(place, column), n) for place in places]
            # Rows ``side`` apart are neighbouring groups of the columns.
            rows = [_joined(builder, rows[j::n]) for j in range(n)]
            for _ in range(n.bit_length() - 1):
                # Rows half the block apart are interleaved; after log2(n) times they are columns.
                rows = [
                    builder.shuffle_vector(rows[j], rows[j + n // 2], _interleaved(n, groups, half))
                    for j in range(n // 2)
                    for half in (0, n // 2)
                ]
            for i in range(n):
                _store(builder, rows[i], target(_plus(builder, out_row, i), out_column))
            return context.get_dummy_value()

        return signature, generate

    return transpose


transpose_block, transpose_tall = _transposition(1), _transposition(GROUPS)


@intrinsic
def prefetch(typing, x, row, column):
    """Ask for the cache line of ``x[row, column]``, which is soon to be read once."""
    signature = types.void(x, _PLACE, _PLACE)

    def generate(context, builder, signature, args):
        place = builder.bitcast(_pointers(context, builder, x, args[0])(*args[1:]), _BYTES)
        function = ir.FunctionType(ir.VoidType(), [_BYTES, _INDEX, _INDEX, _INDEX])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [_BYTES], function)
        read, second_level, data = _INDEX(0), _INDEX(2), _INDEX(1)
        builder.call(ask, [place, read, second_level, data])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def weigh_block(
    typing, x, first, column, index, weight, o, taps, begin, scale, cut, out, out_row, out_column
):
    """``out[out_row, out_column + i] = begin + sum_k weight[o, k] * x[first + k, column + i]``.

    For ``i < LANES``. With an array ``index``, row ``index[first + k]`` stands for ``first + k``.

    Bytes with weights in int16 have int32 sums, and an even number of weights, to which a last
    one of zero may be added; ``weight[o, 1, k]``, where there is one, counts ``2**LIMB`` times
    ``weight[o, 0, k]``. Other sums have the type of ``weight``. With ``cut``, each product is
    shifted down by it. Floating products and sums round apart, unless all is of one floating type.

    Sums of integers are stored shifted down by ``scale`` or, where that is floating, times it in
    its type; floating values are stored as integers rounded half to even. Bytes are clamped.
    """
    scale_kind = scale
    signature = types.void(
        x, _PLACE, _PLACE, index, weight, _PLACE, _PLACE, begin, scale, cut, out, _PLACE, _PLACE
    )

    def generate(context, builder, signature, args):
        _, first, column, _, _, o, taps, begin, scale, cut, _, out_row, out_column = args
        source = _pointers(context, builder, x, args[0])
        weights = _pointers(context, builder, weight, args[4])
        target = _pointers(context, builder, out, args[10])

        def pixels(k):
            row = builder.add(first, k)
            if isinstance(index, types.Array):
                row = builder.load(_pointers(context, builder, index, args[3])(row))
            return _load(builder, source(row, column), LANES)

        if weight.dtype == types.int16:
            limbs = weight.ndim - 1
            sums = _sums_of_bytes(builder, pixels, weights, limbs, o, taps, begin)
            kind = types.int32
        else:
            flags = ("contract",) if x.dtype == weight.dtype == out.dtype else ()
            kind = weight.dtype
            sums = [_sums(builder, pixels, x.dtype, weights, kind, o, taps, begin, cut, flags)]
        values = [_stored(builder, part, kind, scale_kind, scale, out.dtype) for part in sums]
        _store(builder, _in_order(builder, values), target(out_row, out_column))
        return context.get_dummy_value()

    return signature, generate


def _sums(builder, pixels, pixel, weights, kind, o, taps, begin, cut, flags):
    """Sums of type ``kind`` over values of type ``pixel``."""
    sums = cgutils.alloca_once_value(builder, _splat(builder, begin, LANES))
    with cgutils.for_range(builder, taps) as loop:
        values = _converted(builder, pixels(loop.index), pixel, kind)
        factor = _splat(builder, builder.load(weights(o, loop.index)), LANES)
        if isinstance(kind, types.Float):
            product = builder.fmul(values, factor, flags=flags)
            total = builder.fadd(builder.load(sums), product, flags=flags)
        else:
            product = builder.mul(values, factor)
            if isinstance(cut.type, ir.IntType):
                product = builder.ashr(product, _splat(builder, cut, LANES))
            total = builder.add(builder.load(sums), product)
        builder.store(total, sums)
    return builder.load(sums)


def _sums_of_bytes(builder, pixels, weights, limbs, o, taps, begin):
    """Four int32 vectors of sums, in the order that ``_in_order`` undoes."""
    n = LANES // 4
    zero = begin.type(0)
    sums = [
        [cgutils.alloca_once_value(builder, _splat(builder, start, n)) for _ in range(4)]
        for start in (begin, zero)[:limbs]
    ]
    pairs = builder.sdiv(builder.add(taps, taps.type(1)), taps.type(2))
    with cgutils.for_range(builder, pairs) as loop:
        k = builder.mul(loop.index, taps.type(2))
        after = _plus(builder, k, 1)
        # The added weight has no pixel: any will do.
        after = builder.select(builder.icmp_signed("<", after, taps), after, k)
        paired = _paired(builder, pixels(k), pixels(after))
        for limb, totals in enumerate(sums):
            places = (o, k) if limbs == 1 else (o, k.type(limb), k)
            both = builder.bitcast(weights(*places), _INDEX.as_pointer())
            factor = _splat(builder, builder.load(both, align=2), n)
            factor = builder.bitcast(factor, ir.VectorType(ir.IntType(16), 2 * n))
            for total, values in zip(totals, paired, strict=True):
                builder.store(_plus_products(builder, total, values, factor), total)
    lower = [builder.load(total) for total in sums[0]]
    if limbs == 1:
        return lower
    bits = ir.Constant(lower[0].type, [LIMB] * n)
    upper = [builder.shl(builder.load(total), bits) for total in sums[1]]
    return [builder.add(a, b) for a, b in zip(lower, upper, strict=True)]


def _paired(builder, a, b):
    """``a[i], b[i]`` as 16-bit values, in four vectors.

    Within 16 bytes each, as the instructions of most CPUs interleave.
    """
    zero = ir.Constant(a.type, [0] * LANES)
    vectors = []
    groups = LANES // GROUP
    for half in (0, 8):
        bytes_ = builder.shuffle_vector(a, b, _interleaved(GROUP, groups, half))
        for quarter in (0, 8):
            words = builder.shuffle_vector(bytes_, zero, _interleaved(GROUP, groups, quarter))
            vectors.append(builder.bitcast(words, ir.VectorType(ir.IntType(16), LANES // 2)))
    return vectors


def _interleaved(n: int, groups: int, begin: int):
    """Indices of values ``begin`` to ``begin + n // 2`` of each ``n``, in turns with a vector's."""
    lanes = [n * group + begin + i for group in range(groups) for i in range(n // 2)]
    return _indices([place for lane in lanes for place in (lane, n * groups + lane)])


def _joined(builder, vectors):
    """One vector of all, a power of two of them."""
    while len(vectors) > 1:
        every = _indices(list(range(2 * vectors[0].type.count)))
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [builder.shuffle_vector(a, b, every) for a, b in pairs]
    return vectors[0]


def _in_order(builder, values):
    """The ``LANES`` values of one vector, or of the four that follow from ``_paired``."""
    if len(values) == 1:
        return values[0]
    n = LANES // 4
    halves = [
        builder.shuffle_vector(*values[i : i + 2], _indices(list(range(2 * n)))) for i in (0, 2)
    ]
    order = [
        part * n + 4 * group + i for group in range(n // 4) for part in range(4) for i in range(4)
    ]
    return builder.shuffle_vector(*halves, _indices(order))


def _plus_products(builder, total, values, factors):
    """``total`` plus products of 16-bit values, those of two neighbours together."""
    wide = ir.VectorType(_INDEX, values.type.count)
    products = builder.mul(builder.sext(values, wide), builder.sext(factors, wide))
    even, odd = (
        builder.shuffle_vector(products, products, _indices(list(range(i, wide.count, 2))))
        for i in (0, 1)
    )
    return builder.add(builder.load(total), builder.add(even, odd))


def _stored(builder, values, kind, scale_kind, scale, out):
    """Sums of type ``kind`` as they are stored; see ``weigh_block``."""
    n = values.type.count
    if isinstance(kind, types.Integer) and isinstance(scale_kind, types.Float):
        values = _converted(builder, values, kind, scale_kind)
        values = builder.fmul(values, _splat(builder, scale, n))
        kind = scale_kind
    elif isinstance(kind, types.Integer):
        values = builder.ashr(values, _splat(builder, scale, n))
    if kind == out:
        return values
    real = isinstance(kind, types.Float)
    if isinstance(out, types.Integer):
        values = _bounded(builder, values, real, 2**out.bitwidth - 1)
    if real and isinstance(out, types.Integer):
        # Where the last bit of a sum with this number stands for 1, the sum is rounded to it.
        unit = ir.Constant(values.type, [1.5 * 2.0 ** (23 if kind.bitwidth == 32 else 52)] * n)
        values = builder.fsub(builder.fadd(values, unit), unit)
    return _converted(builder, values, kind, out)


def _bounded(builder, values, real, highest):
    """Values from 0 to ``highest``."""
    compare = builder.fcmp_ordered if real else builder.icmp_signed
    for sign, bound in (("<", 0), (">", highest)):
        limit = float(bound) if real else bound
        limits = ir.Constant(values.type, [limit] * values.type.count)
        values = builder.select(compare(sign, values, limits), limits, values)
    return values


def _converted(builder, values, kind, to):
    """Values of a numba type as another; bytes are unsigned, all other integers signed."""
    if kind == to:
        return values
    bits, real = to.bitwidth, isinstance(to, types.Float)
    element = {32: ir.FloatType(), 64: ir.DoubleType()}[bits] if real else ir.IntType(bits)
    vector = ir.VectorType(element, values.type.count)
    if isinstance(kind, types.Float):
        if not real:  # by way of int32, as a byte has no sign
            whole = builder.fptosi(values, ir.VectorType(_INDEX, values.type.count))
            return builder.trunc(whole, vector) if bits < 32 else whole
        return (builder.fptrunc if kind.bitwidth > bits else builder.fpext)(values, vector)
    if real:
        return (builder.sitofp if kind.signed else builder.uitofp)(values, vector)
    if kind.bitwidth > bits:
        return builder.trunc(values, vector)
    return (builder.sext if kind.signed else builder.zext)(values, vector)


def _pointers(context, builder, kind: types.Array, value) -> Callable:
    """Where the element at given places of an array is."""
    array = context.make_array(kind)(context, builder, value)

    def pointer(*places):
        return cgutils.get_item_pointer(context, builder, kind, array, places)

    return pointer


def _plus(builder, place, n: int):
    return builder.add(place, place.type(n))


def _vector_at(builder, pointer, n: int):
    return builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, n).as_pointer())


def _load(builder, pointer, n: int):
    return builder.load(_vector_at(builder, pointer, n), align=1)


def _store(builder, values, pointer) -> None:
    builder.store(values, _vector_at(builder, pointer, values.type.count), align=1)


def _splat(builder, value, n: int):
    """A vector of ``n`` times ``value``."""
    empty = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    one = builder.insert_element(empty, value, _INDEX(0))
    return builder.shuffle_vector(one, one, _indices([0] * n))


def _indices(values: list[int]):
    return ir.Constant(ir.VectorType(_INDEX, len(values)), values)
