// Blocks of 64 pixels as vectors, and the weighted sums over them.
//
// The vectors are the compiler's own, not those of one instruction set: the same source becomes
// SSE2, AVX2, AVX-512 or NEON instructions, and the same bytes.
#pragma once

#include <string.h>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

#include "api.h"

#define INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
// For loops that look values up: instructions that gather are slower than loads on many CPUs.
#define ONE_BY_ONE _Pragma("clang loop vectorize(disable)")

// Each instruction set has functions of its own, which the linker must not take for the same.
namespace {

// Sums per block: enough to hide the latency of a product, few enough for the registers.
constexpr int LANES = 64;

// Bits of the lower part of a weight that does not fit int16.
constexpr int LIMB_BITS = 15;

// Bytes within which most CPUs interleave two vectors.
constexpr int GROUP = 16;

// Groups that a tall transposition moves at a time.
constexpr int GROUPS = 4;

template <class T, int N>
using Vec = T __attribute__((vector_size(N * sizeof(T))));

template <class T, int N>
INLINE Vec<T, N> load(const void* from) {
    Vec<T, N> values;
    memcpy(&values, from, sizeof values);
    return values;
}

template <class V>
INLINE void store(V values, void* to) {
    memcpy(to, &values, sizeof values);
}

template <class T, int N>
INLINE Vec<T, N> splat(T value) {
    return value - Vec<T, N>{};
}

template <class To, class From, int N>
INLINE auto converted(Vec<From, N> values) {
    if constexpr (std::is_same_v<To, From>) {
        return values;
    } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
        // By way of int32: CPUs have no conversion to narrower integers.
        return __builtin_convertvector(__builtin_convertvector(values, Vec<int32_t, N>), Vec<To, N>);
    } else {
        return __builtin_convertvector(values, Vec<To, N>);
    }
}

// The indices that interleave two vectors of `groups` groups of `n` values each: from every group,
// the `n / 2` values that begin at `begin`, in turns from the one vector and the other.
constexpr int interleaved(int n, int groups, int begin, int i) {
    int pair = i / 2, group = pair / (n / 2);
    return n * group + begin + pair % (n / 2) + (i % 2) * n * groups;
}

template <int N, int GROUPS_, int BEGIN, class V, int... I>
INLINE auto interleave(V a, V b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, interleaved(N, GROUPS_, BEGIN, I)...);
}

template <int N, int GROUPS_, int BEGIN, class V>
INLINE auto interleave(V a, V b) {
    return interleave<N, GROUPS_, BEGIN>(a, b, std::make_integer_sequence<int, N * GROUPS_>());
}

template <class V, int... I>
INLINE auto joined(V a, V b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, I...);
}

// One vector of the values of `a`, then those of `b`.
template <class T, int N>
INLINE Vec<T, 2 * N> joined(Vec<T, N> a, Vec<T, N> b) {
    return joined(a, b, std::make_integer_sequence<int, 2 * N>());
}

// ---- transposition -------------------------------------------------------------------------

// Values of one group.
template <class T>
constexpr int SIDE = GROUP / sizeof(T);

// Transposes a block of `G * SIDE` rows and `SIDE` columns: `out[i][j] = row(j)[i]`.
// `row(j)` is the address of the first value of row `j`; `out_stride` counts values.
template <class T, int G, class Row>
INLINE void transpose_block(Row row, T* out, i64 out_stride) {
    constexpr int N = SIDE<T>;
    Vec<T, N * G> rows[N];
    UNROLL for (int j = 0; j < N; j++) {
        // Rows that lie N apart become neighbouring groups of one vector.
        if constexpr (G == 1) {
            rows[j] = load<T, N>(row(j));
        } else {
            static_assert(G == 4);
            rows[j] = joined<T, 2 * N>(joined<T, N>(load<T, N>(row(j)), load<T, N>(row(j + N))),
                                       joined<T, N>(load<T, N>(row(j + 2 * N)), load<T, N>(row(j + 3 * N))));
        }
    }
    // Interleaving the rows that lie half the block apart, log2(N) times, makes them columns.
    UNROLL for (int round = 1; round < N; round *= 2) {
        Vec<T, N * G> next[N];
        UNROLL for (int j = 0; j < N / 2; j++) {
            next[2 * j] = interleave<N, G, 0>(rows[j], rows[j + N / 2]);
            next[2 * j + 1] = interleave<N, G, N / 2>(rows[j], rows[j + N / 2]);
        }
        UNROLL for (int j = 0; j < N; j++) rows[j] = next[j];
    }
    UNROLL for (int i = 0; i < N; i++) store(rows[i], out + i * out_stride);
}

// `out[i][j] = row(j)[i]` for `i < n_columns` and `j < n_rows`.
template <class T, class Row>
INLINE void transpose(Row row, i64 n_rows, i64 n_columns, T* out, i64 out_stride) {
    constexpr i64 N = SIDE<T>, TALL = GROUPS * N;
    if (n_rows < N || n_columns < N) {
        for (i64 j = 0; j < n_rows; j++) {
            const T* source = row(j);
            for (i64 i = 0; i < n_columns; i++) out[i * out_stride + j] = source[i];
        }
        return;
    }
    auto blocks = [&](auto groups) __attribute__((always_inline)) {
        constexpr i64 G = decltype(groups)::value;
        for (i64 b = 0; b < n_rows; b += G * N) {
            const i64 j = std::min(b, n_rows - G * N);  // the last block overlaps the one before
            for (i64 a = 0; a < n_columns; a += N) {
                const i64 i = std::min(a, n_columns - N);
                transpose_block<T, G>([&](int k) { return row(j + k) + i; }, out + i * out_stride + j,
                                      out_stride);
            }
        }
    };
    if (n_rows >= TALL) {
        blocks(std::integral_constant<i64, GROUPS>());
    } else {
        blocks(std::integral_constant<i64, 1>());
    }
}

// ---- weighted sums -------------------------------------------------------------------------

// Clamps to the range of the unsigned type `O`. NaN stays NaN.
template <class O, class W, int N>
INLINE Vec<W, N> clamped(Vec<W, N> values) {
    const Vec<W, N> low{}, high = splat<W, N>(std::numeric_limits<O>::max());
    values = values < low ? low : values;
    return values > high ? high : values;
}

template <class O, class W, int N>
INLINE Vec<O, N> rounded(Vec<W, N> sums, const Rounding& rounding) {
    if constexpr (std::is_integral_v<W>) {
        if constexpr (std::is_same_v<O, W>) {
            return sums >> splat<W, N>(rounding.shift);
        } else if (rounding.mean != 0.0f) {
            const Vec<float, N> scaled = converted<float, W, N>(sums) * splat<float, N>(rounding.mean);
            return rounded<O, float, N>(scaled, rounding);
        } else {
            return converted<O, W, N>(clamped<O, W, N>(sums >> splat<W, N>(rounding.shift)));
        }
    } else if constexpr (std::is_integral_v<O>) {
        sums = clamped<O, W, N>(sums);
        // Adding this number leaves no fraction bits, and so rounds half to even.
        const auto unit = splat<W, N>(sizeof(W) == 4 ? 1.5 * (1 << 23) : 1.5 * (1ll << 52));
        return converted<O, W, N>((sums + unit) - unit);
    } else {
        return converted<O, W, N>(sums);
    }
}

// Rows of pixels that lie `stride` bytes apart.
struct Direct {
    const char* base;
    i64 stride;
    INLINE const void* operator()(i64 k) const { return base + k * stride; }
};

// Rows of pixels whose numbers stand in `index`.
struct Gathered {
    const char* base;
    i64 stride;
    const i64* index;
    INLINE const void* operator()(i64 k) const { return base + index[k] * stride; }
};

// `sum_k weight[k] * row(k)[i]` for 64 values, each sum in the type of the weights.
template <class W, class X, bool CONTRACT, class Rows>
INLINE Vec<W, LANES> weighted_sum(const Rows& row, const W* weight, i64 taps, const Rounding& rounding) {
    Vec<W, LANES> sums{};
    if constexpr (std::is_integral_v<W>) sums = splat<W, LANES>(rounding.half);
    for (i64 k = 0; k < taps; k++) {
        const auto values = converted<W, X, LANES>(load<X, LANES>(row(k)));
        const auto factor = splat<W, LANES>(weight[k]);
        if constexpr (std::is_integral_v<W>) {
            sums += (values * factor) >> splat<W, LANES>(rounding.cut);
        } else if constexpr (CONTRACT) {
#pragma clang fp contract(fast)
            sums += values * factor;
        } else {
            sums += values * factor;
        }
    }
    return sums;
}

// Bytes `a[i], b[i]` as neighbouring int16 values, in four vectors of 16 pairs.
// They are interleaved within 16 bytes each, as most CPUs do it: `in_order` undoes that.
INLINE void paired(Vec<uint8_t, LANES> a, Vec<uint8_t, LANES> b, Vec<int16_t, LANES / 2>* pairs) {
    constexpr int groups = LANES / GROUP;
    const Vec<uint8_t, LANES> zero{};
    const auto low = interleave<GROUP, groups, 0>(a, b), high = interleave<GROUP, groups, 8>(a, b);
    pairs[0] = (Vec<int16_t, LANES / 2>)interleave<GROUP, groups, 0>(low, zero);
    pairs[1] = (Vec<int16_t, LANES / 2>)interleave<GROUP, groups, 8>(low, zero);
    pairs[2] = (Vec<int16_t, LANES / 2>)interleave<GROUP, groups, 0>(high, zero);
    pairs[3] = (Vec<int16_t, LANES / 2>)interleave<GROUP, groups, 8>(high, zero);
}

template <class V, int... I>
INLINE auto even_and_odd(V values, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(values, values, 2 * I...) +
           __builtin_shufflevector(values, values, 2 * I + 1 ...);
}

// Products of int16 values, those of two neighbours added: one instruction of most CPUs.
INLINE Vec<int32_t, LANES / 4> pair_products(Vec<int16_t, LANES / 2> a, Vec<int16_t, LANES / 2> b) {
    using Wide = Vec<int32_t, LANES / 2>;
    const Wide products = __builtin_convertvector(a, Wide) * __builtin_convertvector(b, Wide);
    return even_and_odd(products, std::make_integer_sequence<int, LANES / 4>());
}

// The place of value `i` among four vectors of 16 that `paired` gives.
constexpr int place_in_order(int i) { return (i / 4) % 4 * (LANES / 4) + 4 * (i / 16) + i % 4; }

template <class V, int... I>
INLINE auto in_order(V a, V b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, place_in_order(I)...);
}

// Sums of bytes with int16 weights `[LIMBS, taps]`; `taps` is even, and a last weight of zero may
// stand for a pixel that is not there. The second limb counts `2**LIMB_BITS` times the first.
template <class O, int LIMBS, class Rows>
INLINE Vec<O, LANES> weighted_bytes(const Rows& row, const int16_t* weight, i64 padded, i64 taps,
                                    const Rounding& rounding) {
    using Sums = Vec<int32_t, LANES / 4>;
    Sums sums[LIMBS][4];
    UNROLL for (int limb = 0; limb < LIMBS; limb++)
        UNROLL for (int part = 0; part < 4; part++)
            sums[limb][part] = splat<int32_t, LANES / 4>(limb == 0 ? rounding.half : 0);
    for (i64 k = 0; k < taps; k += 2) {
        Vec<int16_t, LANES / 2> pairs[4];
        const i64 after = k + 1 < taps ? k + 1 : k;
        paired(load<uint8_t, LANES>(row(k)), load<uint8_t, LANES>(row(after)), pairs);
        UNROLL for (int limb = 0; limb < LIMBS; limb++) {
            int32_t two;
            memcpy(&two, weight + limb * padded + k, sizeof two);
            const auto factor = (Vec<int16_t, LANES / 2>)splat<int32_t, LANES / 4>(two);
            UNROLL for (int part = 0; part < 4; part++)
                sums[limb][part] += pair_products(pairs[part], factor);
        }
    }
    Vec<O, LANES / 4> values[4];
    UNROLL for (int part = 0; part < 4; part++) {
        Sums total = sums[0][part];
        if constexpr (LIMBS == 2) total += sums[1][part] << splat<int32_t, LANES / 4>(LIMB_BITS);
        values[part] = rounded<O, int32_t, LANES / 4>(total, rounding);
    }
    return in_order(joined<O, LANES / 4>(values[0], values[1]),
                    joined<O, LANES / 4>(values[2], values[3]),
                    std::make_integer_sequence<int, LANES>());
}

}  // namespace
