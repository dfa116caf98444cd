// Everything for one instruction set: compiled once for each, as `FUNCTIONS`.
#include "pixels.h"
#include "resample.h"
#include "weights.h"

extern "C" __attribute__((visibility("hidden"))) const Functions FUNCTIONS = {
    serves,     resample,  gather, normalise,   rgb_of_nv12, by_alpha, footprints,
    distances,  sinc,      exponential, window, extents,     trimmed,
};
