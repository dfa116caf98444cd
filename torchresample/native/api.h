// What native.py passes to the library: plain structures, filled by ctypes.
#pragma once

#include <stdint.h>

using i64 = int64_t;

// Types of pixels, weights and stored values; `TYPES` in native.py.
enum Type : int32_t { U8, I16, U16, I32, F32, F64, TYPES };

// How the sums of a pass become stored values. Integers are clamped to the range of their type, and
// floating sums that are stored as integers are rounded half to even.
struct Rounding {
    int32_t half;   // what a sum of integers starts from
    int32_t shift;  // a sum of integers is divided by 2**shift and floored
    int32_t cut;    // each product of integers is divided by 2**cut and floored before it is added
    float mean;     // where not 0: a sum of integers is multiplied by this in float32 instead
};

// A band along one axis: output `o` is the sum of `count[o]` weighted pixels from `start[o]` on.
struct Pass {
    i64 n_in, n_out;
    i64 taps;           // length of a row of `weight`
    const i64* start;   // [n_out]
    const i64* count;   // [n_out]
    const void* weight; // [n_out, taps], or int16 [n_out, limbs, taps] with an even `taps`
    const i64* index;   // the row that stands at each position, ascending; null: that row itself
    int32_t pixel, sum, stored;  // of `Type`; I16 sums are int16 weights with sums in int32
    int32_t limbs;
    Rounding rounding;
    const float* decoded;    // the number that stands for each byte that is read; null: the byte
    const uint8_t* encoded;  // the byte that stands for each 16-bit sum; null: the sum
};

// Planes of rows. Strides are in bytes; a column has `step` values, of which `channels` count.
struct Image {
    char* data;
    i64 batch, plane, row;  // strides
    i64 planes;             // planes of one batch entry
    i64 height, width;      // rows and columns of a plane
    i64 step, channels;

    char* at(i64 p) const { return data + p / planes * batch + p % planes * plane; }
};

// A resize: one pass, or two. `lines` are the rows of the image that the passes read, in order;
// null: all.
struct Program {
    const Pass* first;
    const Pass* second;     // null where there is one pass
    int32_t across_first;   // whether the first pass is the horizontal one
    const i64* lines;
};

// What one instruction set's functions are; library.cpp picks a set.
struct Functions {
    bool (*serves)(int32_t pixel, int32_t sum, int32_t stored);
    bool (*resample)(const Program&, const Image& x, const Image& out, i64 begin, i64 end);
    void (*gather)(const i64* rows, const i64* columns, i64 size, const Image& x, const Image& out,
                   i64 begin, i64 end);
    void (*normalise)(const Image& x, const float* mean, const float* std, bool flip, i64 channels,
                      float* out, i64 begin, i64 end);
    void (*rgb_of_nv12)(const int32_t* weights, const int32_t* down, const int32_t* across,
                        i64 first, i64 last, i64 h, i64 w, const uint8_t* luma,
                        const uint8_t* chroma, int32_t* scratch, uint8_t* out, i64 begin, i64 end);
    void (*by_alpha)(bool divide, bool inner, i64 channels, i64 h, i64 w, const uint8_t* x,
                     uint8_t* out, i64 begin, i64 end);
    void (*footprints)(const double* centre, i64 n, double support, i64* first, i64* width);
    void (*distances)(const double* centre, const i64* first, const i64* width, i64 n, i64 taps,
                      double inverse, double outside, double* out);
    void (*sinc)(const double* x, i64 n, double* out);
    void (*exponential)(const double* x, i64 n, double* out);
    void (*window)(const i64* first, const double* weight, i64 n, i64 width, i64 n_in,
                   const i64* start, double* out, i64 taps);
    void (*extents)(const double* weight, i64 n, i64 taps, i64* lead, i64* count, double* bounds);
    void (*trimmed)(const double* weight, i64 n, i64 taps, const i64* lead, const i64* count,
                    int32_t type, i64 limbs, void* out, i64 padded);
};
