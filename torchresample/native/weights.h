// Weights of bands, in float64. Random crops ask for new ones in every call.
#pragma once

#include <math.h>

#include "api.h"
#include "block.h"

namespace {

// The pixels whose centres lie within `support` of each output's `centre`: the first one, which may
// lie before the image, and how many.
void footprints(const double* centre, i64 n, double support, i64* first, i64* width) {
    for (i64 o = 0; o < n; o++) {
        first[o] = (i64)floor(centre[o] - support + 0.5);
        width[o] = (i64)floor(centre[o] + support + 0.5) - first[o];
    }
}

// `out[o, k]`: the distance of pixel `first[o] + k` from `centre[o]`, times `inverse`; from
// `width[o]` on it is `outside`.
void distances(const double* centre, const i64* first, const i64* width, i64 n, i64 taps,
                      double inverse, double outside, double* out) {
    for (i64 o = 0; o < n; o++, out += taps) {
        for (i64 k = 0; k < taps; k++) {
            const double distance = ((double)(first[o] + k) - centre[o] + 0.5) * inverse;
            out[k] = k < width[o] ? distance : outside;
        }
    }
}

// `sin(pi * x) / (pi * x)` within four units in the last place.
//
// Four roundings reach the result: two of the reduced angle, the sine's last sum, the quotient. In
// vectors, as the C library's sine would take most of the time of a Lanczos band. The angle is
// reduced by pi in three parts (Cody & Waite 1980), then Taylor's series is cut where it falls below
// the rounding of a double.
void sinc(const double* x, i64 n, double* out) {
    for (i64 i = 0; i < n; i++) {
        const double angle = x[i] * M_PI, turns = rint(angle / M_PI);
        // The first two parts of pi have 30 bits: their products with few turns are exact.
        double r = angle - turns * 3.141592651605606 - turns * 1.9841871583270443e-09;
        r -= turns * 1.034036596358821e-18;
        const double s = r * r;
        double series = s / 51090942171709440000.0 - 1 / 121645100408832000.0;  // 21!, 19!
        series = (series * s + 1 / 355687428096000.0) * s - 1 / 1307674368000.0;  // 17!, 15!
        series = (series * s + 1 / 6227020800.0) * s - 1 / 39916800.0;  // 13!, 11!
        series = (series * s + 1 / 362880.0) * s - 1 / 5040.0;  // 9!, 7!
        series = (series * s + 1 / 120.0) * s - 1 / 6.0;  // 5!, 3!
        const double sine = (r + r * s * series) * (1 - 2 * (turns - 2 * floor(turns / 2)));
        out[i] = angle != 0 ? sine / angle : 1.0;
    }
}

// `exp(x)` of numbers from -43 to 0, within two units in the last place: as the GPU has it, where
// each C library rounds in its own way; otherwise as `sinc`.
void exponential(const double* x, i64 n, double* out) {
    for (i64 i = 0; i < n; i++) {
        const double turns = rint(x[i] / 0.6931471805599453);
        const double r = x[i] - turns * 0.6931471803691238 - turns * 1.9082149292705877e-10;
        double series = r / 6227020800.0 + 1 / 479001600.0;  // 13!, 12!
        series = (series * r + 1 / 39916800.0) * r + 1 / 3628800.0;  // 11!, 10!
        series = (series * r + 1 / 362880.0) * r + 1 / 40320.0;  // 9!, 8!
        series = (series * r + 1 / 5040.0) * r + 1 / 720.0;  // 7!, 6!
        series = (series * r + 1 / 120.0) * r + 1 / 24.0;  // 5!, 4!
        series = (series * r + 1 / 6.0) * r + 0.5;  // 3!, 2!
        out[i] = ((series * r * r + r) + 1) / (double)(1ll << (i64)-turns);
    }
}

// Rows of weights from `first` on, cut to `n_in` pixels, each divided by its sum. The rows of `out`
// begin at `start`, and hold zeros where nothing is known.
void window(const i64* first, const double* weight, i64 n, i64 width, i64 n_in, const i64* start,
                   double* out, i64 taps) {
    for (i64 o = 0; o < n; o++, weight += width, out += taps) {
        const i64 low = std::max<i64>(-first[o], 0), high = std::min(n_in - first[o], width);
        double total = 0;
        for (i64 k = low; k < high; k++) total += weight[k];
        if (total == 0) total = 1;
        for (i64 k = 0; k < taps; k++) {
            const i64 source = k + start[o] - first[o];
            if (low <= source && source < high) out[k] = weight[source] / total;
        }
    }
}

// Of weights `[n, taps]`: zeros before each row's first weight, and weights to its last. `bounds`:
// the least sum of a row's negative weights, the largest one of its positive weights, and the largest
// size of a single one.
void extents(const double* weight, i64 n, i64 taps, i64* lead, i64* count, double* bounds) {
    double least = 0, largest = 0, size = 0;
    for (i64 o = 0; o < n; o++, weight += taps) {
        i64 first = taps, last = -1;
        double negative = 0, positive = 0;
        for (i64 k = 0; k < taps; k++) {
            const double w = weight[k];
            if (w == 0) continue;
            first = std::min(first, k), last = k;
            negative += std::min(w, 0.0), positive += std::max(w, 0.0);
            size = std::max(size, fabs(w));
        }
        lead[o] = last >= 0 ? first : 0, count[o] = last >= 0 ? last + 1 - first : 0;
        least = std::min(least, negative), largest = std::max(largest, positive);
    }
    bounds[0] = least, bounds[1] = largest, bounds[2] = size;
}

// The rows of `weight` without the zeros around them, as `type`, in rows of `padded` weights. Those
// zeros take time, and would spread an infinity. int16 has one limb, or two: see `weighted_bytes`.
void trimmed(const double* weight, i64 n, i64 taps, const i64* lead, const i64* count,
                    int32_t type, i64 limbs, void* out, i64 padded) {
    for (i64 o = 0; o < n; o++) {
        const double* source = weight + o * taps + lead[o];
        for (i64 k = 0; k < count[o]; k++) {
            if (type == F64) {
                ((double*)out)[o * padded + k] = source[k];
            } else if (type == F32) {
                ((float*)out)[o * padded + k] = (float)source[k];
            } else if (type == I32) {
                ((int32_t*)out)[o * padded + k] = (int32_t)source[k];
            } else if (limbs == 1) {
                ((int16_t*)out)[o * padded + k] = (int16_t)source[k];
            } else {
                const i64 w = (i64)source[k];
                int16_t* const low = (int16_t*)out + o * 2 * padded + k;
                low[0] = (int16_t)(w & ((1 << LIMB_BITS) - 1)), low[padded] = (int16_t)(w >> LIMB_BITS);
            }
        }
    }
}

}  // namespace
