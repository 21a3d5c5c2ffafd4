/* The inner loops of the frameworks' streams: their generators, their normal values, their ranges.
 *
 * NumPy code in threefry.py, philox.py, box_muller.py and ranges.py defines every bit, NumPy's own
 * generator those of MT19937; these loops give the same ones.
 */
#include "_kernels.h"

/* A product and a sum rounded once: by the processor's instruction, or by float64, where the product
 * is exact and the sum is rounded to odd, which the second rounding cannot be misled by. */
#ifdef __FP_FAST_FMAF
#define HARDWARE 1
#else
#define HARDWARE 0
#endif

INLINE float fused(float a, float b, float c, int hardware)
{
    if (hardware)
        return __builtin_fmaf(a, b, c);
    double product = (double)a * b, sum = product + c, part = sum - product;
    double error = (product - (sum - part)) + (c - part);
    int64_t bits;
    memcpy(&bits, &sum, 8);
    bits += (error != 0.0 && !(bits & 1)) * ((error > 0.0) == (sum > 0.0) ? 1 : -1);
    memcpy(&sum, &bits, 8);
    return (float)sum;
}

/* ---- MT19937: 624 words, and how many of them are used up ---- */

#define STATE 624
#define MIDDLE 397

INLINE uint32_t twisted(uint32_t a, uint32_t b)
{
    uint32_t y = (a & 0x80000000) | (b & 0x7FFFFFFF);
    return (y >> 1) ^ ((0 - (y & 1)) & 0x9908B0DF);
}

INLINE void twist(uint32_t *s)
{
    for (int k = 0; k < STATE - MIDDLE; k++)
        s[k] = s[k + MIDDLE] ^ twisted(s[k], s[k + 1]);
    for (int k = STATE - MIDDLE; k < STATE - 1; k++)
        s[k] = s[k + MIDDLE - STATE] ^ twisted(s[k], s[k + 1]);
    s[STATE - 1] = s[MIDDLE - 1] ^ twisted(s[STATE - 1], s[0]);
}

INLINE void mersenne(uint32_t *state, uint32_t *words, Py_ssize_t count)
{
    uint32_t used = state[STATE];
    while (count > 0) {
        if (used >= STATE) {
            twist(state);
            used = 0;
        }
        int n = count < (Py_ssize_t)(STATE - used) ? (int)count : (int)(STATE - used);
        for (int i = 0; i < n; i++) {
            uint32_t y = state[used + i];
            y ^= y >> 11;
            y ^= (y << 7) & 0x9D2C5680;
            y ^= (y << 15) & 0xEFC60000;
            words[i] = y ^ (y >> 18);
        }
        used += n;
        words += n;
        count -= n;
    }
    state[STATE] = used;
}

/* ---- Threefry-2x32 with 20 rounds: a counter for each word ---- */

#define ROTATE(x, by) ((x) << (by) | (x) >> (32 - (by)))
#define ROUND(by) (x0 += x1, x1 = ROTATE(x1, by) ^ x0)
#define ROUNDS(a, b, c, d) (ROUND(a), ROUND(b), ROUND(c), ROUND(d))

/* Both halves' exclusive or; or both, the first one high, where `wide`. */
INLINE void threefry(uint32_t key0, uint32_t key1, uint64_t first, int wide, void *words,
                     Py_ssize_t count)
{
    uint32_t key2 = key0 ^ key1 ^ 0x1BD11BDA;
    for (Py_ssize_t at = 0, n; at < count; at += n) {
        /* What stands above the low word is the same in a run. */
        uint32_t low = (uint32_t)(first + at), high = (uint32_t)((first + at) >> 32);
        uint64_t left = ((uint64_t)1 << 32) - low;
        n = count - at < CHUNK ? count - at : CHUNK;
        n = (uint64_t)n < left ? n : (Py_ssize_t)left;
        for (int i = 0; i < (int)n; i++) {
            uint32_t x0 = high + key0, x1 = low + (uint32_t)i + key1;
            ROUNDS(13, 15, 26, 6), x0 += key1, x1 += key2 + 1;
            ROUNDS(17, 29, 16, 24), x0 += key2, x1 += key0 + 2;
            ROUNDS(13, 15, 26, 6), x0 += key0, x1 += key1 + 3;
            ROUNDS(17, 29, 16, 24), x0 += key1, x1 += key2 + 4;
            ROUNDS(13, 15, 26, 6), x0 += key2, x1 += key0 + 5;
            if (wide)
                ((uint64_t *)words)[at + i] = (uint64_t)x0 << 32 | x1;
            else
                ((uint32_t *)words)[at + i] = x0 ^ x1;
        }
    }
}

/* ---- Philox-4x32 with 10 rounds: four words for each counter ---- */

INLINE void philox(const uint32_t key[2], const uint32_t high[2], uint64_t first, uint32_t *words,
                   Py_ssize_t counters)
{
    for (Py_ssize_t i = 0; i < counters; i++) {
        uint64_t counter = first + (uint64_t)i;
        uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32), x2 = high[0], x3 = high[1];
        uint32_t key0 = key[0], key1 = key[1];
        for (int turn = 0; turn < 10; turn++) {
            uint64_t a = (uint64_t)0xD2511F53 * x0, b = (uint64_t)0xCD9E8D57 * x2;
            x0 = (uint32_t)(b >> 32) ^ x1 ^ key0;
            x1 = (uint32_t)b;
            x2 = (uint32_t)(a >> 32) ^ x3 ^ key1;
            x3 = (uint32_t)a;
            key0 += 0x9E3779B9;
            key1 += 0xBB67AE85;
        }
        words[4 * i] = x0;
        words[4 * i + 1] = x1;
        words[4 * i + 2] = x2;
        words[4 * i + 3] = x3;
    }
}

/* ---- Box and Muller's method as torch has it: of 16 words eight make radii, eight angles ---- */

#define STEP 16

INLINE float logarithm(float x, int hardware)
{
    int32_t bits = (int32_t)bits_of(x);
    float exponent = (float)((bits >> 23) - 126);
    x = from_bits(((uint32_t)bits & 0x7FFFFF) | 0x3F000000);
    int small = x < 0.70710678118654752f;
    x = (x - 1.0f) + (small ? x : 0.0f);
    exponent -= small ? 1.0f : 0.0f;
    float square = x * x, y = fused(7.0376836292e-2f, x, -1.1514610310e-1f, hardware);
    y = fused(y, x, 1.1676998740e-1f, hardware);
    y = fused(y, x, -1.2420140846e-1f, hardware);
    y = fused(y, x, 1.4249322787e-1f, hardware);
    y = fused(y, x, -1.6668057665e-1f, hardware);
    y = fused(y, x, 2.0000714765e-1f, hardware);
    y = fused(y, x, -2.4999993993e-1f, hardware);
    y = fused(y, x, 3.3333331174e-1f, hardware);
    y = fused(y * x, square, exponent * -2.12194440e-4f, hardware);
    y = fused(square, -0.5f, y, hardware);
    return fused(exponent, 0.693359375f, x + y, hardware);
}

INLINE void sine_and_cosine(float x, float *sine, float *cosine, int hardware)
{
    int32_t octant = ((int32_t)(x * 1.27323954473516268615f) + 1) & ~1;
    float count = (float)octant;
    x = fused(count, -0.78515625f, x, hardware);
    x = fused(count, -2.4187564849853515625e-4f, x, hardware);
    x = fused(count, -3.77489497744594108e-8f, x, hardware);
    float square = x * x;
    float c = fused(2.443315711809948e-5f, square, -1.388731625493765e-3f, hardware);
    c = fused(c, square, 4.166664568298827e-2f, hardware) * square;
    c = fused(c, square, square * -0.5f, hardware) + 1.0f;
    float s = fused(-1.9515295891e-4f, square, 8.3321608736e-3f, hardware);
    s = fused(s, square, -1.6666654611e-1f, hardware) * square;
    s = fused(s, x, x, hardware);
    uint32_t swapped = 0 - (uint32_t)((octant >> 1) & 1), a = bits_of(s), b = bits_of(c);
    uint32_t odd = (a ^ b) & swapped, eight = (uint32_t)octant;
    *sine = from_bits(a ^ odd ^ (eight & 4) << 29);
    *cosine = from_bits(b ^ odd ^ (~(eight - 2) & 4) << 29);
}

INLINE Moments box_muller(const uint32_t *words, Py_ssize_t count, float mean, float stddev,
                          int dtype, char *out, float about, int hardware)
{
    float radius[CHUNK / 2], angle[CHUNK / 2], values[CHUNK];
    Sums sums;
    begin_sums(&sums);
    for (Py_ssize_t at = 0; at < count; at += CHUNK) {
        int n = count - at < CHUNK ? (int)(count - at) : CHUNK;
        for (int i = 0; i < n / STEP; i++)
            for (int k = 0; k < STEP / 2; k++) {
                const uint32_t *w = words + at + STEP * i + k;
                radius[STEP / 2 * i + k] = (float)(int32_t)(w[0] & 0xFFFFFF) * 0x1p-24f;
                angle[STEP / 2 * i + k] = (float)(int32_t)(w[STEP / 2] & 0xFFFFFF) * 0x1p-24f;
            }
        for (int i = 0; i < n / 2; i++) {
            float r = sqrtf(-2.0f * logarithm(1.0f - radius[i], hardware)), s, c;
            sine_and_cosine(6.283185307179586f * angle[i], &s, &c, hardware);
            radius[i] = fused(r * c, stddev, mean, hardware);
            angle[i] = fused(r * s, stddev, mean, hardware);
        }
        for (int i = 0; i < n / STEP; i++)
            for (int k = 0; k < STEP / 2; k++) {
                values[STEP * i + k] = radius[STEP / 2 * i + k];
                values[STEP * i + STEP / 2 + k] = angle[STEP / 2 * i + k];
            }
        store(values, n, dtype, out + at * item_size[dtype], NULL);
        add_sums(&sums, values, n, about);
    }
    return end_sums(&sums);
}

/* In float64 two words make a fraction of 53 bits; logarithm, sine and cosine are the system's, as
 * they are torch's. Words may lie where the values go. */
INLINE void box_muller_double(const uint32_t *words, Py_ssize_t count, double mean, double stddev,
                              double *out)
{
    double unit[STEP];
    for (Py_ssize_t at = 0; at < count; at += STEP) {
        for (int k = 0; k < STEP; k++) {
            const uint32_t *w = words + 2 * (at + k);
            uint64_t fraction = ((uint64_t)w[0] << 32 | w[1]) & (((uint64_t)1 << 53) - 1);
            unit[k] = (double)(int64_t)fraction * 0x1p-53;
        }
        for (int k = 0; k < STEP / 2; k++) {
            double radius = sqrt(-2.0 * log(1.0 - unit[k]));
            double angle = 6.283185307179586 * unit[k + STEP / 2];
            out[at + k] = fma(radius * cos(angle), stddev, mean);
            out[at + k + STEP / 2] = fma(radius * sin(angle), stddev, mean);
        }
    }
}

/* ---- Ranges: a word's bits, as an integer, times a step, times a span, plus the least value ---- */

typedef struct {
    int shift, fuses, steps, wraps;
    uint32_t mask;
    int32_t offset;
    float scale, span, least, floor, last, first;
} Range;

INLINE float rounded(float value, int dtype)
{
    if (dtype == BFLOAT16)
        return from_bits((uint32_t)to_bfloat16(value) << 16);
    return dtype == FLOAT16 ? from_float16(to_float16(value)) : value;
}

/* Lower precisions are computed in float32, and each step is rounded where `steps` says so. */
INLINE Moments range(const uint32_t *words, Py_ssize_t count, const Range *law, int dtype,
                     char *out, float about, int hardware)
{
    float values[CHUNK];
    Sums sums;
    begin_sums(&sums);
    for (Py_ssize_t at = 0; at < count; at += CHUNK) {
        int n = count - at < CHUNK ? (int)(count - at) : CHUNK;
        for (int i = 0; i < n; i++) {
            int32_t integer = (int32_t)((words[at + i] >> law->shift) & law->mask) - law->offset;
            values[i] = (float)integer * law->scale;
        }
        if (law->fuses) {
            for (int i = 0; i < n; i++)
                values[i] = fused(values[i], law->span, law->least, hardware);
        } else if (law->steps) {
            for (int i = 0; i < n; i++) {
                float value = rounded(values[i], dtype);
                value = law->wraps && value == 1.0f ? 0.0f : value;
                values[i] = rounded(value * law->span, dtype) + law->least;
            }
        } else {
            for (int i = 0; i < n; i++)
                values[i] = values[i] * law->span + law->least;
        }
        for (int i = 0; i < n; i++) {
            float value = values[i] < law->floor ? law->floor : values[i];
            value = rounded(value, dtype);
            values[i] = value == law->last ? law->first : value;
        }
        store(values, n, dtype, out + at * item_size[dtype], NULL);
        add_sums(&sums, values, n, about);
    }
    return end_sums(&sums);
}

/* One body for each instruction set. */
#define BY_DTYPE(CALL)                                                                             \
    switch (dtype) {                                                                               \
    case FLOAT32: return CALL(FLOAT32);                                                            \
    case FLOAT16: return CALL(FLOAT16);                                                            \
    default: return CALL(BFLOAT16);                                                                \
    }
#define FOR_EACH(SET, ATTRIBUTE, FMA)                                                              \
    ATTRIBUTE static void mersenne_##SET(uint32_t *state, uint32_t *words, Py_ssize_t count)       \
    {                                                                                              \
        mersenne(state, words, count);                                                             \
    }                                                                                              \
    ATTRIBUTE static void threefry_##SET(const uint32_t *key, uint64_t first, int wide,            \
                                         void *words, Py_ssize_t count)                            \
    {                                                                                              \
        if (wide)                                                                                  \
            threefry(key[0], key[1], first, 1, words, count);                                      \
        else                                                                                       \
            threefry(key[0], key[1], first, 0, words, count);                                      \
    }                                                                                              \
    ATTRIBUTE static void philox_##SET(const uint32_t *key, const uint32_t *high, uint64_t first,  \
                                       uint32_t *words, Py_ssize_t counters)                       \
    {                                                                                              \
        philox(key, high, first, words, counters);                                                 \
    }                                                                                              \
    ATTRIBUTE static Moments box_muller_##SET(const uint32_t *words, Py_ssize_t count, float mean, \
                                              float stddev, int dtype, char *out, float about)     \
    {                                                                                              \
        BY_DTYPE(BOX_MULLER_##FMA)                                                                 \
    }                                                                                              \
    ATTRIBUTE static void box_muller_double_##SET(const uint32_t *words, Py_ssize_t count,         \
                                                  double mean, double stddev, double *out)         \
    {                                                                                              \
        box_muller_double(words, count, mean, stddev, out);                                        \
    }                                                                                              \
    ATTRIBUTE static Moments range_##SET(const uint32_t *words, Py_ssize_t count,                  \
                                         const Range *law, int dtype, char *out, float about)      \
    {                                                                                              \
        BY_DTYPE(RANGE_##FMA)                                                                      \
    }
#define BOX_MULLER_0(DTYPE) box_muller(words, count, mean, stddev, DTYPE, out, about, HARDWARE)
#define BOX_MULLER_1(DTYPE) box_muller(words, count, mean, stddev, DTYPE, out, about, 1)
#define RANGE_0(DTYPE) range(words, count, law, DTYPE, out, about, HARDWARE)
#define RANGE_1(DTYPE) range(words, count, law, DTYPE, out, about, 1)

FOR_EACH(portable, , 0)
#if X86
FOR_EACH(avx2, AVX2, 1)
FOR_EACH(avx512, AVX512, 1)
#endif

/* In the order of _kernels.c. */
static const struct {
    void (*mersenne)(uint32_t *, uint32_t *, Py_ssize_t);
    void (*threefry)(const uint32_t *, uint64_t, int, void *, Py_ssize_t);
    void (*philox)(const uint32_t *, const uint32_t *, uint64_t, uint32_t *, Py_ssize_t);
    Moments (*box_muller)(const uint32_t *, Py_ssize_t, float, float, int, char *, float);
    void (*box_muller_double)(const uint32_t *, Py_ssize_t, double, double, double *);
    Moments (*range)(const uint32_t *, Py_ssize_t, const Range *, int, char *, float);
} sets[] = {
#if X86
    {mersenne_avx512, threefry_avx512, philox_avx512, box_muller_avx512,
     box_muller_double_avx512, range_avx512},
    {mersenne_avx2, threefry_avx2, philox_avx2, box_muller_avx2,
     box_muller_double_avx2, range_avx2},
#endif
    {mersenne_portable, threefry_portable, philox_portable, box_muller_portable,
     box_muller_double_portable, range_portable},
};

/* Words may lie where the values go only if both take as many bytes. */
static int check_values(int set, const Py_buffer *words, const Py_buffer *out, int dtype)
{
    return check_set(set) &&
           check(dtype == FLOAT32 || dtype == FLOAT16 || dtype == BFLOAT16, "no such dtype") &&
           holds(words, 4) && holds(out, item_size[dtype]) &&
           check(words->len / 4 == out->len / item_size[dtype], "the buffers' sizes differ");
}

PyObject *py_mersenne(PyObject *self, PyObject *args)
{
    Py_buffer state, words;
    int set, ok;
    if (!PyArg_ParseTuple(args, "iw*w*", &set, &state, &words))
        return NULL;
    ok = check_set(set) && holds(&state, 4) && holds(&words, 4) &&
         check(state.len == 4 * (STATE + 1) && ((uint32_t *)state.buf)[STATE] <= STATE,
               "the state is of 624 words and how many of them are used");
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        sets[set].mersenne(state.buf, words.buf, words.len / 4);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&state);
    PyBuffer_Release(&words);
    return ok ? Py_NewRef(Py_None) : NULL;
}

PyObject *py_threefry(PyObject *self, PyObject *args)
{
    Py_buffer words;
    unsigned int key[2];
    unsigned long long first;
    int set, itemsize, ok;
    if (!PyArg_ParseTuple(args, "iIIKiw*", &set, &key[0], &key[1], &first, &itemsize, &words))
        return NULL;
    ok = check_set(set) && check(itemsize == 4 || itemsize == 8, "words take 4 or 8 bytes") &&
         holds(&words, itemsize);
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        sets[set].threefry(key, first, itemsize == 8, words.buf, words.len / itemsize);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&words);
    return ok ? Py_NewRef(Py_None) : NULL;
}

PyObject *py_philox(PyObject *self, PyObject *args)
{
    Py_buffer words;
    unsigned int key[2], high[2];
    unsigned long long first;
    int set, ok;
    if (!PyArg_ParseTuple(args, "iIIIIKw*", &set, &key[0], &key[1], &high[0], &high[1], &first,
                          &words))
        return NULL;
    ok = check_set(set) && holds(&words, 4) && check(words.len % 16 == 0, "words come by fours");
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        sets[set].philox(key, high, first, words.buf, words.len / 16);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&words);
    return ok ? Py_NewRef(Py_None) : NULL;
}

PyObject *py_box_muller(PyObject *self, PyObject *args)
{
    Py_buffer words, out;
    int set, dtype;
    double mean, stddev, about;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "iy*w*iddd", &set, &words, &out, &dtype, &mean, &stddev, &about))
        return NULL;
    if (check_values(set, &words, &out, dtype) &&
        check(words.len % (4 * STEP) == 0, "normal values come by sixteens")) {
        Moments m;
        Py_BEGIN_ALLOW_THREADS
        m = sets[set].box_muller(words.buf, words.len / 4, (float)mean, (float)stddev, dtype,
                                 out.buf, (float)about);
        Py_END_ALLOW_THREADS
        result = as_tuple(m);
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&out);
    return result;
}

PyObject *py_box_muller_double(PyObject *self, PyObject *args)
{
    Py_buffer words, out;
    double mean, stddev;
    int set, ok;
    if (!PyArg_ParseTuple(args, "iy*w*dd", &set, &words, &out, &mean, &stddev))
        return NULL;
    ok = check_set(set) && holds(&words, 4) && holds(&out, 8) &&
         check(words.len == out.len, "the buffers' sizes differ") &&
         check(out.len % (8 * STEP) == 0, "normal values come by sixteens");
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        sets[set].box_muller_double(words.buf, out.len / 8, mean, stddev, out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&out);
    return ok ? Py_NewRef(Py_None) : NULL;
}

PyObject *py_range(PyObject *self, PyObject *args)
{
    Py_buffer words, out;
    Range law;
    unsigned int mask;
    int set, dtype, offset;
    double scale, span, least, floor, last, first, about;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "iy*w*iiIidddppdddpd", &set, &words, &out, &dtype, &law.shift, &mask,
                          &offset, &scale, &span, &least, &law.fuses, &law.steps, &floor, &last,
                          &first, &law.wraps, &about))
        return NULL;
    law.mask = mask, law.offset = offset;
    law.scale = (float)scale, law.span = (float)span, law.least = (float)least;
    law.floor = (float)floor, law.last = (float)last, law.first = (float)first;
    if (check_values(set, &words, &out, dtype) &&
        check(law.shift >= 0 && law.shift < 32 && mask < 1u << 31 && offset >= 0,
              "no such bits of a word")) {
        Moments m;
        Py_BEGIN_ALLOW_THREADS
        m = sets[set].range(words.buf, words.len / 4, &law, dtype, out.buf, (float)about);
        Py_END_ALLOW_THREADS
        result = as_tuple(m);
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&out);
    return result;
}
