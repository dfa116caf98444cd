// What native.py calls: picks the instruction set, and shares rows among threads.
#include <stdlib.h>
#include <string.h>

#include "threads.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
extern "C" const Functions functions_avx512, functions_avx2, functions_sse2;
#else
extern "C" const Functions functions_generic;
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

struct Variant {
    const char* name;
    const Functions* functions;
    bool (*runs)();
};

#if defined(__x86_64__)
// Which registers the system saves: bits 1 and 2 for AVX, 5 to 7 for AVX-512.
static uint64_t saved() {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

static bool avx2() {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    // FMA, MOVBE, OSXSAVE, AVX, F16C: with those below, the level x86-64-v3.
    if (!has(c, 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29) || (saved() & 0x6) != 0x6) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(b, 1u << 3 | 1u << 5 | 1u << 8)) return false;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && has(c, 1u << 5);  // LZCNT
}

static bool avx512() {
    uint32_t a, b, c, d;
    // AVX-512 F, DQ, CD, BW, VL: the level x86-64-v4; and VNNI.
    return avx2() && (saved() & 0xe6) == 0xe6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           has(b, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31) && has(c, 1u << 11);
}

static bool always() { return true; }

static const Variant VARIANTS[] = {
    {"avx512", &functions_avx512, avx512}, {"avx2", &functions_avx2, avx2}, {"sse2", &functions_sse2, always}};
#else
static bool always() { return true; }

static const Variant VARIANTS[] = {{"generic", &functions_generic, always}};
#endif

static const Variant* active;

__attribute__((constructor)) static void pick() {
    for (const Variant& variant : VARIANTS) {
        if (!variant.runs()) continue;
        active = &variant;
        return;
    }
}

// The instruction set in use.
EXPORT const char* torchresample_instructions() { return active->name; }

// Uses another one, for tests: 0 where this CPU has it.
EXPORT int32_t torchresample_use(const char* name) {
    for (const Variant& variant : VARIANTS) {
        if (strcmp(variant.name, name) || !variant.runs()) continue;
        active = &variant;
        return 0;
    }
    return 1;
}

EXPORT int32_t torchresample_serves(int32_t pixel, int32_t sum, int32_t stored) {
    return active->functions->serves(pixel, sum, stored);
}

// Calls `body(begin, end)` for parts of all rows; 0 where there was memory for it.
template <class Body>
static int32_t share(i64 rows, i64 parts, const Body& body) {
    const auto run = [](const void* b, i64 begin, i64 end) { return (bool)(*(const Body*)b)(begin, end); };
    return threads::share({run, &body, rows, parts}) ? 0 : 1;
}

// Asks for large pages where a result begins to be written, as NumPy does for its arrays: new memory
// of 4 KiB pages takes as long to appear as a resize to fill it.
static void prefer_large_pages(char* data, i64 bytes) {
#if defined(__linux__)
    constexpr i64 page = 4096, large = 1 << 22;
    if (bytes < large) return;
    char* const begin = (char*)(((uintptr_t)data + page - 1) / page * page);
    madvise(begin, (data + bytes - begin) / page * page, MADV_HUGEPAGE);
#else
    (void)data, (void)bytes;
#endif
}

EXPORT int32_t torchresample_resample(const Program* program, const Image* x, const Image* out,
                                      i64 rows, i64 parts) {
    prefer_large_pages(out->data, rows * out->row);
    return share(rows, parts, [=](i64 begin, i64 end) {
        return active->functions->resample(*program, *x, *out, begin, end);
    });
}

EXPORT int32_t torchresample_gather(const i64* rows, const i64* columns, i64 size, const Image* x,
                                    const Image* out, i64 n, i64 parts) {
    prefer_large_pages(out->data, n * out->row);
    return share(n, parts, [=](i64 begin, i64 end) {
        active->functions->gather(rows, columns, size, *x, *out, begin, end);
        return true;
    });
}

EXPORT int32_t torchresample_normalise(const Image* x, const float* mean, const float* std, int32_t flip,
                                       i64 channels, float* out, i64 n, i64 parts) {
    prefer_large_pages((char*)out, n * x->width * channels * (i64)sizeof(float));
    return share(n, parts, [=](i64 begin, i64 end) {
        active->functions->normalise(*x, mean, std, flip, channels, out, begin, end);
        return true;
    });
}

EXPORT int32_t torchresample_rgb_of_nv12(const int32_t* weights, const int32_t* down, const int32_t* across,
                                         i64 first, i64 last, i64 h, i64 w, const uint8_t* luma,
                                         const uint8_t* chroma, uint8_t* out, i64 n, i64 parts) {
    prefer_large_pages((char*)out, 3 * n * w);
    return share(n, parts, [=](i64 begin, i64 end) {
        int32_t* const scratch = (int32_t*)malloc(6 * (w + 4) * sizeof(int32_t));
        if (!scratch) return false;
        active->functions->rgb_of_nv12(weights, down, across, first, last, h, w, luma, chroma, scratch, out,
                                       begin, end);
        free(scratch);
        return true;
    });
}

EXPORT int32_t torchresample_by_alpha(int32_t divide, int32_t inner, i64 channels, i64 h, i64 w,
                                      const uint8_t* x, uint8_t* out, i64 n, i64 parts) {
    prefer_large_pages((char*)out, n * w * channels);
    return share(n, parts, [=](i64 begin, i64 end) {
        active->functions->by_alpha(divide, inner, channels, h, w, x, out, begin, end);
        return true;
    });
}

EXPORT void torchresample_footprints(const double* centre, i64 n, double support, i64* first, i64* width) {
    active->functions->footprints(centre, n, support, first, width);
}

EXPORT void torchresample_distances(const double* centre, const i64* first, const i64* width, i64 n,
                                    i64 taps, double inverse, double outside, double* out) {
    active->functions->distances(centre, first, width, n, taps, inverse, outside, out);
}

EXPORT void torchresample_sinc(const double* x, i64 n, double* out) { active->functions->sinc(x, n, out); }

EXPORT void torchresample_exponential(const double* x, i64 n, double* out) {
    active->functions->exponential(x, n, out);
}

EXPORT void torchresample_window(const i64* first, const double* weight, i64 n, i64 width, i64 n_in,
                                 const i64* start, double* out, i64 taps) {
    active->functions->window(first, weight, n, width, n_in, start, out, taps);
}

EXPORT void torchresample_extents(const double* weight, i64 n, i64 taps, i64* lead, i64* count, double* bounds) {
    active->functions->extents(weight, n, taps, lead, count, bounds);
}

EXPORT void torchresample_trimmed(const double* weight, i64 n, i64 taps, const i64* lead, const i64* count,
                                  int32_t type, i64 limbs, void* out, i64 padded) {
    active->functions->trimmed(weight, n, taps, lead, count, type, limbs, out, padded);
}
