// What is done to single pixels: gathers, normalisation, NV12 to RGB, alpha.
//
// `begin` and `end` count the rows of all images together, so that threads share both alike.
#pragma once

#include "api.h"
#include "block.h"

namespace {

// ---- gather --------------------------------------------------------------------------------

template <class T, int CHANNELS>
INLINE void gather_row(const T* source, const i64* columns, i64 n, i64 channels, T* target) {
    const i64 c = CHANNELS ? CHANNELS : channels;
    ONE_BY_ONE for (i64 j = 0; j < n; j++) {
        const T* const pixel = source + c * columns[j];
        ONE_BY_ONE for (i64 i = 0; i < c; i++) target[c * j + i] = pixel[i];
    }
}

// Rows of `out`: pixel `columns[j]` of row `rows[i]` of `x`; null: all, in order.
template <class T>
void gather_of(const i64* rows, const i64* columns, const Image& x, const Image& out, i64 begin,
               i64 end) {
    const i64 h = out.height, w = out.width, channels = out.channels, bytes = w * channels * sizeof(T);
    for (i64 r = begin; r < end; r++) {
        const i64 p = r / h, o = r % h;
        const T* source = (const T*)(x.at(p) + (rows ? rows[o] : o) * x.row);
        char* const to = out.at(p) + o * out.row;
        if (!columns) {
            memcpy(to, source, bytes);
        } else if (r > begin && o > 0 && rows && rows[o - 1] == rows[o]) {
            memcpy(to, to - out.row, bytes);
        } else if (channels == 1) {
            gather_row<T, 1>(source, columns, w, 1, (T*)to);
        } else if (channels == 3) {
            gather_row<T, 3>(source, columns, w, 3, (T*)to);
        } else {
            gather_row<T, 0>(source, columns, w, channels, (T*)to);
        }
    }
}

void gather(const i64* rows, const i64* columns, i64 size, const Image& x, const Image& out, i64 begin,
            i64 end) {
    const auto function = size == 1   ? gather_of<uint8_t>
                          : size == 2 ? gather_of<uint16_t>
                          : size == 4 ? gather_of<uint32_t>
                                      : gather_of<uint64_t>;
    function(rows, columns, x, out, begin, end);
}

// ---- normalisation -------------------------------------------------------------------------

template <int STEP>
INLINE void normalise_row(const uint8_t* source, i64 step, float mean, float std, i64 n, float* target) {
    const i64 s = STEP ? STEP : step;
    for (i64 j = 0; j < n; j++) target[j] = (float(source[s * j]) / 255.0f - mean) / std;
}

// `out = (x / 255 - mean) / std`, float32 `[B, channels, h, w]` of bytes, mirrored where `flip`.
void normalise(const Image& x, const float* mean, const float* std, bool flip, i64 channels,
               float* out, i64 begin, i64 end) {
    const i64 h = x.height, w = x.width;
    const bool planar = x.step == 1;
    for (i64 r = begin; r < end; r++) {
        const i64 b = r / h, i = r % h;
        for (i64 c = 0; c < channels; c++) {
            const char* row = planar ? x.at(b * channels + c) : x.at(b) + c;
            const uint8_t* source = (const uint8_t*)row + i * x.row;
            float* const target = out + ((b * channels + c) * h + i) * w;
            // Known steps become vectors.
            if (x.step == 1) {
                normalise_row<1>(source, 1, mean[c], std[c], w, target);
            } else if (x.step == 3) {
                normalise_row<3>(source, 3, mean[c], std[c], w, target);
            } else if (x.step == 4) {
                normalise_row<4>(source, 4, mean[c], std[c], w, target);
            } else {
                normalise_row<0>(source, x.step, mean[c], std[c], w, target);
            }
            if (flip) std::reverse(target, target + w);
        }
    }
}

// ---- NV12 ----------------------------------------------------------------------------------

// Four times what lies between two samples.
INLINE int32_t mixed(int32_t a, int32_t b, int32_t fourths) { return a * (4 - fourths) + b * fourths; }

// Chroma between two rows, each half of the pairs as a line of its own that repeats its ends.
INLINE void between_rows(const uint8_t* __restrict near, const uint8_t* __restrict far, i64 n, int32_t fourths,
                         int32_t* __restrict u, int32_t* __restrict v) {
    for (i64 k = 0; k < n; k++) {
        u[k + 1] = mixed(near[2 * k], far[2 * k], fourths);
        v[k + 1] = mixed(near[2 * k + 1], far[2 * k + 1], fourths);
    }
    u[0] = u[1], u[n + 1] = u[n];
    v[0] = v[1], v[n + 1] = v[n];
}

// Such a line between its columns: twice as many numbers.
INLINE void between_columns(const int32_t* __restrict line, i64 n, const int32_t* across, int32_t* __restrict out) {
    const int32_t *even = line + 1 + across[0], *odd = line + 1 + across[2];
    const int32_t even_fourths = across[1], odd_fourths = across[3];
    for (i64 k = 0; k < n; k++) {
        out[2 * k] = mixed(line[k + 1], even[k], even_fourths);
        out[2 * k + 1] = mixed(line[k + 1], odd[k], odd_fourths);
    }
}

// `weights`: of luma and both chroma values, and what is added.
INLINE void as_channel(const uint8_t* __restrict luma, const int32_t* __restrict u, const int32_t* __restrict v,
                       i64 w, const int32_t* weights, uint8_t* __restrict out) {
    const int32_t of_luma = weights[0], of_u = weights[1], of_v = weights[2], added = weights[3];
    for (i64 j = 0; j < w; j++) {
        const int32_t sum = luma[j] * of_luma + u[j] * of_u + v[j] * of_v + added;
        const int32_t value = sum >> 21;
        out[j] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

// Rows `begin` to `end` of the rows `first` to `last` of all images: uint8 `[B, 3, h, w]` of luma
// `[B, h, w]` and chroma `[B, ceil(h / 2), ceil(w / 2), 2]`, contiguous; see nv12.py.
// `weights`: for red, green and blue. `down` and `across`: for even places, then for odd ones, the
// step to another sample and its fourths. `scratch`: `6 * (w + 4)` numbers.
void rgb_of_nv12(const int32_t* weights, const int32_t* down, const int32_t* across, i64 first, i64 last,
                 i64 h, i64 w, const uint8_t* luma, const uint8_t* chroma, int32_t* scratch, uint8_t* out,
                 i64 begin, i64 end) {
    const i64 n_rows = (h + 1) / 2, n = (w + 1) / 2;
    int32_t *const u = scratch, *const v = u + w + 4, *const wide_u = v + w + 4, *const wide_v = wide_u + 2 * (w + 4);
    for (i64 r = begin; r < end; r++) {
        const i64 b = r / (last - first), i = first + r % (last - first);
        const i64 other = std::clamp<i64>(i / 2 + down[2 * (i % 2)], 0, n_rows - 1);
        const uint8_t* const of_image = chroma + b * n_rows * n * 2;
        between_rows(of_image + i / 2 * n * 2, of_image + other * n * 2, n, down[2 * (i % 2) + 1], u, v);
        between_columns(u, n, across, wide_u);
        between_columns(v, n, across, wide_v);
        for (int c = 0; c < 3; c++)
            as_channel(luma + (b * h + i) * w, wide_u, wide_v, w, weights + 4 * c, out + ((b * 3 + c) * h + i) * w);
    }
}

// ---- alpha ---------------------------------------------------------------------------------

// As Pillow rounds: `Convert.c`, `rgba2rgbA` and `rgbA2rgba`.
template <bool DIVIDE>
INLINE uint8_t changed(int32_t colour, int32_t alpha) {
    if constexpr (DIVIDE) {
        // A quotient of such numbers is off by less than what would make it the next whole number.
        const float divisor = alpha != 0 ? (float)alpha : 255.0f;
        return (uint8_t)std::min((int32_t)((float)(colour * 255) / divisor), 255);
    } else {
        const int32_t product = colour * alpha + 128;
        return (uint8_t)((product + (product >> 8)) >> 8);
    }
}

template <bool DIVIDE, int CHANNELS>
INLINE void change_row(const uint8_t* x, i64 channels, i64 w, uint8_t* out) {
    const i64 n = CHANNELS ? CHANNELS : channels;
    for (i64 j = 0; j < w; j++) {
        for (i64 c = 0; c < n - 1; c++) out[n * j + c] = changed<DIVIDE>(x[n * j + c], x[n * j + n - 1]);
        out[n * j + n - 1] = x[n * j + n - 1];
    }
}

template <bool DIVIDE>
void by_alpha_of(bool inner, i64 channels, i64 h, i64 w, const uint8_t* x, uint8_t* out, i64 begin,
                 i64 end) {
    for (i64 r = begin; r < end; r++) {
        if (inner && channels == 4) {
            change_row<DIVIDE, 4>(x + r * w * 4, 4, w, out + r * w * 4);
        } else if (inner) {
            change_row<DIVIDE, 0>(x + r * w * channels, channels, w, out + r * w * channels);
        } else {
            const i64 b = r / h, i = r % h;
            const auto at = [&](i64 c) { return ((b * channels + c) * h + i) * w; };
            const uint8_t* const alpha = x + at(channels - 1);
            for (i64 c = 0; c < channels - 1; c++)
                for (i64 j = 0; j < w; j++) out[at(c) + j] = changed<DIVIDE>(x[at(c) + j], alpha[j]);
            memcpy(out + at(channels - 1), alpha, w);
        }
    }
}

// Bytes `[B, h, w, channels]` or, not `inner`, `[B, channels, h, w]`, contiguous: the other channels
// multiplied or divided by the last.
void by_alpha(bool divide, bool inner, i64 channels, i64 h, i64 w, const uint8_t* x,
                     uint8_t* out, i64 begin, i64 end) {
    (divide ? by_alpha_of<true> : by_alpha_of<false>)(inner, channels, h, w, x, out, begin, end);
}

}  // namespace
