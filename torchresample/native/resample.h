// The two passes of a resize: along the columns of a row, and along the rows.
//
// Both add weighted rows of contiguous memory, 64 values at a time. The horizontal pass transposes
// a tile of the image first, so that its columns are such rows. Where there are two passes, they
// alternate strip by strip, so that what lies between them stays in the cache.
#pragma once

#include <stdlib.h>

#include "block.h"

namespace {

// Bytes that a tile takes of each row: long runs of memory, and tiles that overlap little.
constexpr i64 SPAN = 2048;

// Values of a row that are weighed before the next row's: those that neighbours read again stay in
// the cache.
constexpr i64 STRIPE = 2048;

// Bytes of a cache line.
constexpr i64 LINE = 64;

// Bytes that lie between two passes at a time: half of a second-level cache.
constexpr i64 STRIP = 1 << 19;

// Memory that is freed at the end of the block; `data` is null where there was none.
struct Scratch {
    char* data;
    explicit Scratch(i64 bytes) : data((char*)aligned_alloc(LINE, (bytes + LINE) / LINE * LINE)) {}
    ~Scratch() { free(data); }
    Scratch(const Scratch&) = delete;
};

// Stores output `o` of a pass for 64 values. `row(k)` is where its pixel `k` begins.
template <class X, class W, class O, class Rows>
INLINE void weigh_block(const Pass& pass, i64 o, const Rows& row, O* out) {
    const i64 taps = pass.count[o];
    if constexpr (std::is_same_v<W, int16_t>) {
        const int16_t* weight = (const int16_t*)pass.weight + o * pass.limbs * pass.taps;
        if (pass.limbs == 1) {
            store(weighted_bytes<O, 1>(row, weight, pass.taps, taps, pass.rounding), out);
        } else {
            store(weighted_bytes<O, 2>(row, weight, pass.taps, taps, pass.rounding), out);
        }
    } else {
        constexpr bool contract = std::is_same_v<X, W> && std::is_same_v<W, O>;
        const W* weight = (const W*)pass.weight + o * pass.taps;
        const auto sums = weighted_sum<W, X, contract>(row, weight, taps, pass.rounding);
        store(rounded<O, W, LANES>(sums, pass.rounding), out);
    }
}

// ---- vertical ------------------------------------------------------------------------------

// Outputs `begin` to `end` of a vertical pass, each a row of `n` values. `x` begins with row
// `first` of the image.
template <class X, class W, class O, bool INDEXED>
bool rows_of(const Pass& pass, const char* x, i64 stride, i64 first, char* out, i64 out_stride, i64 n,
             i64 begin, i64 end) {
    const auto source = [&](i64 o, i64 i) __attribute__((always_inline)) {
        const char* base = x + i * sizeof(X);
        if constexpr (INDEXED) {
            return Gathered{base - first * stride, stride, pass.index + pass.start[o]};
        } else {
            return Direct{base + (pass.start[o] - first) * stride, stride};
        }
    };
    if (n >= LANES) {
        for (i64 stripe = 0; stripe < n; stripe += STRIPE) {
            const i64 stop = std::min(stripe + STRIPE, n);
            for (i64 o = begin; o < end; o++) {
                for (i64 i = stripe; i < stop; i += LANES) {
                    const i64 c = std::min(i, n - LANES);  // the last block overlaps the one before
                    weigh_block<X, W, O>(pass, o, source(o, c), (O*)(out + (o - begin) * out_stride) + c);
                }
            }
        }
        return true;
    }
    // Rows shorter than a block are copied into rows of one.
    i64 taps = 1;
    for (i64 o = begin; o < end; o++) taps = std::max(taps, pass.count[o]);
    Scratch wide(taps * LANES * sizeof(X));
    if (!wide.data) return false;
    memset(wide.data, 0, taps * LANES * sizeof(X));
    O sums[LANES];
    for (i64 o = begin; o < end; o++) {
        const auto row = source(o, 0);
        for (i64 k = 0; k < pass.count[o]; k++)
            memcpy(wide.data + k * LANES * sizeof(X), row(k), n * sizeof(X));
        weigh_block<X, W, O>(pass, o, Direct{wide.data, LANES * (i64)sizeof(X)}, sums);
        memcpy(out + (o - begin) * out_stride, sums, n * sizeof(O));
    }
    return true;
}

template <class X, class W, class O>
bool rows(const Pass& pass, const char* x, i64 stride, i64 first, char* out, i64 out_stride, i64 n,
          i64 begin, i64 end) {
    const auto function = pass.index ? rows_of<X, W, O, true> : rows_of<X, W, O, false>;
    return function(pass, x, stride, first, out, out_stride, n, begin, end);
}

// ---- horizontal ----------------------------------------------------------------------------

// Outputs `begin` to `end` and the columns `low` to `high` that they read.
struct Tile {
    i64 begin, end, low, high;
};

// The tiles of a horizontal pass.
struct Tiles {
    Scratch memory;
    Tile* tile;
    i64 n, read, written;  // how many; the most columns and outputs of one

    // `size`: bytes of a column.
    Tiles(const Pass& pass, i64 size)
        : memory(pass.n_out * sizeof(Tile)), tile((Tile*)memory.data), n(0), read(0), written(0) {
        const i64 span = SPAN / size;
        for (i64 o = 0; tile && o < pass.n_out;) {
            // As many outputs as read a window that fits, and not many more than it holds.
            i64 low = pass.start[o], high = low + pass.count[o], stop = o + 1;
            for (; stop < pass.n_out && stop - o < std::max<i64>(2 * span, 1); stop++) {
                const i64 first = std::min(low, pass.start[stop]);
                const i64 last = std::max(high, pass.start[stop] + pass.count[stop]);
                if (last - first > std::max(span, 2 * pass.count[stop])) break;
                low = first, high = last;
            }
            tile[n++] = {o, stop, low, high};
            read = std::max(read, high - low), written = std::max(written, stop - o);
            o = stop;
        }
    }
};

// Rows `begin` to `end` of `x`, or of its `lines`, through a horizontal pass to the rows of `out`.
// `V`: the type of what is weighed, which differs from `X` where bytes are decoded.
template <class X, class V, class W, class O>
bool columns(const Pass& pass, const char* x, i64 stride, const i64* lines, i64 step, i64 channels,
             const Tiles& tiles, char* out, i64 out_stride, i64 begin, i64 end) {
    constexpr bool decodes = !std::is_same_v<X, V>;
    const i64 read = tiles.read * step * LANES, written = tiles.written * channels * LANES;
    Scratch pixels(read * sizeof(X)), numbers(decodes ? read * sizeof(V) : 0), sums(written * sizeof(O));
    if (!tiles.tile || !pixels.data || !numbers.data || !sums.data) return false;
    X* const window = (X*)pixels.data;
    V* const values = decodes ? (V*)numbers.data : (V*)pixels.data;
    O* const weighed = (O*)sums.data;
    memset(window, 0, read * sizeof(X));  // lanes without a row hold numbers, too
    const auto line = [&](i64 r) { return (const X*)(x + (lines ? lines[r] : r) * stride); };
    for (i64 at = begin; at < end; at += LANES) {
        // The last rows again where that makes them enough for a tall block.
        const i64 r = std::max(std::min(at, end - GROUPS * SIDE<X>), begin);
        const i64 m = std::min<i64>(LANES, end - r);
        for (i64 t = 0; t < tiles.n; t++) {
            const Tile tile = tiles.tile[t];
            transpose<X>([&](i64 j) __attribute__((always_inline)) { return line(r + j) + tile.low * step; },
                         m, (tile.high - tile.low) * step, window, LANES);
            if constexpr (decodes) {
                ONE_BY_ONE for (i64 i = 0; i < (tile.high - tile.low) * step * LANES; i++)
                    values[i] = pass.decoded[window[i]];
            }
            // Until the next tile, of the same rows or the next ones, its memory is prefetched: a
            // tile's rows are too short for the CPU to foresee them, and weighing leaves memory idle.
            const bool last = t + 1 == tiles.n;
            const Tile next = last ? tiles.tile[0] : tiles.tile[t + 1];
            i64 asked = last ? r + m : r, due = 0;
            const i64 ahead = std::min<i64>(LANES, end - asked), outputs = tile.end - tile.begin;
            for (i64 o = tile.begin; o < tile.end; o++) {
                for (due += ahead; due >= outputs; due -= outputs, asked++) {
                    const X* row = line(asked);
                    for (i64 c = next.low * step; c < next.high * step; c += LINE / sizeof(X))
                        __builtin_prefetch(row + c, 0, 2);
                }
                // A column's channels are weighed together.
                const i64 from = (pass.start[o] - tile.low) * step * LANES;
                for (i64 i = 0; i < channels * LANES; i += LANES) {
                    const Direct row{(const char*)(values + from + i), step * LANES * (i64)sizeof(V)};
                    weigh_block<V, W, O>(pass, o, row, weighed + (o - tile.begin) * channels * LANES + i);
                }
            }
            transpose<O>([&](i64 i) __attribute__((always_inline)) { return weighed + i * LANES; },
                         outputs * channels, m,
                         (O*)(out + (r - begin) * out_stride) + tile.begin * channels,
                         out_stride / (i64)sizeof(O));
        }
    }
    return true;
}

// ---- which types there are -----------------------------------------------------------------

struct Kernel {
    int32_t pixel, sum, stored;
    decltype(&rows<float, float, float>) rows;
    decltype(&columns<float, float, float, float>) columns;
};

template <class X, class W, class O>
constexpr Kernel kernel(Type pixel, Type sum, Type stored) {
    return {pixel, sum, stored, rows<X, W, O>, columns<X, X, W, O>};
}

const Kernel KERNELS[] = {
    kernel<uint8_t, int16_t, uint8_t>(U8, I16, U8),
    kernel<uint8_t, int16_t, int32_t>(U8, I16, I32),
    kernel<uint8_t, float, uint8_t>(U8, F32, U8),
    kernel<uint8_t, float, float>(U8, F32, F32),
    kernel<uint8_t, double, uint8_t>(U8, F64, U8),
    kernel<uint8_t, double, double>(U8, F64, F64),
    kernel<int32_t, int32_t, uint8_t>(I32, I32, U8),
    kernel<int32_t, int32_t, int32_t>(I32, I32, I32),
    kernel<float, float, uint8_t>(F32, F32, U8),
    kernel<float, float, float>(F32, F32, F32),
    kernel<float, double, float>(F32, F64, F32),
    kernel<double, double, uint8_t>(F64, F64, U8),
    kernel<double, double, uint16_t>(F64, F64, U16),
    kernel<double, double, double>(F64, F64, F64),
};

const Kernel* kernel_of(int32_t pixel, int32_t sum, int32_t stored) {
    for (const Kernel& k : KERNELS)
        if (k.pixel == pixel && k.sum == sum && k.stored == stored) return &k;
    return nullptr;
}

bool serves(int32_t pixel, int32_t sum, int32_t stored) {
    return kernel_of(pixel, sum, stored) != nullptr;
}

constexpr i64 SIZES[TYPES] = {1, 2, 2, 4, 4, 8};

auto columns_of(const Pass& pass) {
    if (pass.decoded) return &columns<uint8_t, float, double, double>;
    return kernel_of(pass.pixel, pass.sum, pass.stored)->columns;
}

// A vertical pass, whose 16-bit sums are looked up in `encoded` where there is one.
bool rows_from(const Pass& pass, const char* x, i64 stride, i64 first, char* out,
                      i64 out_stride, i64 n, i64 begin, i64 end) {
    const auto run = kernel_of(pass.pixel, pass.sum, pass.encoded ? U16 : pass.stored)->rows;
    if (!pass.encoded) return run(pass, x, stride, first, out, out_stride, n, begin, end);
    Scratch line(n * sizeof(uint16_t));
    if (!line.data) return false;
    const uint16_t* sums = (const uint16_t*)line.data;
    for (i64 o = begin; o < end; o++, out += out_stride) {
        if (!run(pass, x, stride, first, line.data, 0, n, o, o + 1)) return false;
        ONE_BY_ONE for (i64 i = 0; i < n; i++) out[i] = (char)pass.encoded[sums[i]];
    }
    return true;
}

// ---- both ----------------------------------------------------------------------------------

// The most rows between the first and the last one, both included, that an output reads.
i64 span(const Pass& pass) {
    i64 most = pass.taps;
    for (i64 o = 0; pass.index && o < pass.n_out; o++) {
        const i64 near = pass.start[o], far = near + pass.count[o];
        if (near < far) most = std::max(most, pass.index[far - 1] + 1 - pass.index[near]);
    }
    return most;
}

// From output `o` on, outputs that read few rows: at most `most` beside those from `low` to
// `known`, which are there already. Stores the first and the last + 1 of the rows that they read.
i64 strip(const Pass& pass, i64 o, i64 end, i64 low, i64 known, i64 most, i64& first, i64& last) {
    i64 stop = o;
    for (; stop < end; stop++) {
        i64 near = pass.start[stop], far = near + pass.count[stop];
        if (pass.index && near < far) near = pass.index[near], far = pass.index[far - 1] + 1;
        if (stop > o) {
            near = std::min(near, first), far = std::max(far, last);
            const i64 fresh = low <= near && near <= known ? far - known : far - near;
            if (fresh > most || far - near > most + pass.taps) break;
        }
        first = near, last = far;
    }
    return stop;
}

// How many rows of `width` bytes lie between two passes.
i64 rows_between(i64 width) { return std::max<i64>(STRIP / width / LANES, 1) * LANES; }

bool columns_and_rows(const Program& program, const Image& x, const Image& out, i64 begin, i64 end) {
    const Pass &across = *program.first, &down = *program.second;
    const i64 n = across.n_out * out.channels, width = n * SIZES[across.stored];
    const i64 most = rows_between(width);
    const Tiles tiles(across, x.step * SIZES[across.pixel]);
    Scratch rows((most + span(down)) * width);
    if (!rows.data) return false;
    const auto run = columns_of(across);
    i64 low = 0, known = 0, first = 0, last = 0;
    for (i64 at = begin; at < end;) {
        const i64 p = at / down.n_out, o = at % down.n_out;
        if (o == 0) low = known = 0;
        const i64 stop = strip(down, o, std::min(end - p * down.n_out, down.n_out), low, known, most, first, last);
        if (low <= first && first < known) {
            memmove(rows.data, rows.data + (first - low) * width, (known - first) * width);
        } else {
            known = first;
        }
        if (last > known && !run(across, x.at(p), x.row, program.lines, x.step, x.channels, tiles,
                                 rows.data + (known - first) * width, width, known, last))
            return false;
        low = first, known = std::max(last, known);
        if (!rows_from(down, rows.data, width, first, out.at(p) + o * out.row, out.row, n, o, stop)) return false;
        at += stop - o;
    }
    return true;
}

bool rows_and_columns(const Program& program, const Image& x, const Image& out, i64 begin, i64 end) {
    const Pass &down = *program.first, &across = *program.second;
    const i64 n = across.n_in * x.step, width = n * SIZES[down.stored], most = rows_between(width);
    const Tiles tiles(across, x.step * SIZES[across.pixel]);
    Scratch rows(most * width);
    if (!rows.data) return false;
    const auto run = columns_of(across);
    for (i64 at = begin; at < end;) {
        const i64 p = at / down.n_out, o = at % down.n_out;
        const i64 stop = std::min({o + most, end - p * down.n_out, down.n_out});
        if (!rows_from(down, x.at(p), x.row, 0, rows.data, width, n, o, stop)) return false;
        if (!run(across, rows.data, width, nullptr, x.step, x.channels, tiles, out.at(p) + o * out.row,
                 out.row, 0, stop - o))
            return false;
        at += stop - o;
    }
    return true;
}

// Rows `begin` to `end` of all planes of `out`, counted together.
bool resample(const Program& program, const Image& x, const Image& out, i64 begin, i64 end) {
    if (program.second)
        return (program.across_first ? columns_and_rows : rows_and_columns)(program, x, out, begin, end);
    const Pass& pass = *program.first;
    const i64 height = out.height;
    const Tiles tiles(pass, x.step * SIZES[pass.pixel]);
    for (i64 at = begin; at < end;) {
        const i64 p = at / height, o = at % height, stop = std::min(end - p * height, height);
        char* const to = out.at(p) + o * out.row;
        const bool done = program.across_first
            ? columns_of(pass)(pass, x.at(p), x.row, nullptr, x.step, x.channels, tiles, to, out.row, o, stop)
            : rows_from(pass, x.at(p), x.row, 0, to, out.row, x.width * x.channels, o, stop);
        if (!done) return false;
        at += stop - o;
    }
    return true;
}

}  // namespace
