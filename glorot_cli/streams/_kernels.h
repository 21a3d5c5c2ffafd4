/* What the loops share: dtypes, their rounding, and the moments of what was drawn.
 *
 * Compile without -ffast-math and with -ffp-contract=off: each multiplication and addition is
 * rounded by itself.
 */
#ifndef GLOROT_KERNELS_H
#define GLOROT_KERNELS_H
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define X86 1
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#else
#define X86 0
#endif

/* Values on their way stay in the first cache. */
#define CHUNK 2048
/* Sums are taken in so many lanes, in this order whatever the processor, so that they do not depend
 * on it. */
#define LANES 16

#define INLINE static inline __attribute__((always_inline))

enum { FLOAT32, FLOAT64, FLOAT16, BFLOAT16, FLOAT8 };
static const int item_size[] = {4, 8, 2, 2, 1};

typedef struct {
    double minimum, maximum, total, squares;
} Moments;

INLINE float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

INLINE uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

/* To nearest even; what is too large becomes infinite. Not of NaNs. */
INLINE uint16_t to_bfloat16(float value)
{
    uint32_t bits = bits_of(value);
    return (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

/* Adding a power of two leaves the fraction that float16 keeps in the last bits, rounded. */
INLINE uint16_t to_float16(float value)
{
    uint32_t bits = bits_of(value), exponent = bits & 0x7F800000;
    uint32_t shift = (exponent < 0x38800000 ? 0x38800000 : exponent) + (13u << 23);
    float sum = from_bits(bits & 0x7FFFFFFF) + from_bits(shift);
    uint32_t half = ((shift - (0x38800000 + (13u << 23))) >> 13) + (bits_of(sum) - shift);
    half = (bits & 0x7FFFFFFF) >= 0x477FF000 ? 0x7C00 : half;
    return (uint16_t)(half | ((bits >> 16) & 0x8000));
}

INLINE float from_float16(uint16_t half)
{
    /* The exponent is moved by a multiplication, which also makes subnormals normal. */
    float value = from_bits((uint32_t)(half & 0x7FFF) << 13) * 0x1p112f;
    value = (half & 0x7C00) == 0x7C00 ? INFINITY : value;
    return from_bits(bits_of(value) | (uint32_t)(half & 0x8000) << 16);
}

/* A table of 2**17 entries says how the upper bits round, as float8.py has it; the 256 entries of
 * `back` are the values of each result. */
typedef struct {
    const uint8_t *table;
    const float *back;
} Float8;

/* Round n values into the output, and leave in `values` what was stored. */
INLINE void store(float *values, int n, int dtype, void *out, const Float8 *f8)
{
    if (dtype == FLOAT32) {
        memcpy(out, values, 4 * (size_t)n);
    } else if (dtype == BFLOAT16) {
        uint16_t *to = out;
        for (int i = 0; i < n; i++) {
            to[i] = to_bfloat16(values[i]);
            values[i] = from_bits((uint32_t)to[i] << 16);
        }
    } else if (dtype == FLOAT16) {
        uint16_t *to = out;
        for (int i = 0; i < n; i++) {
            to[i] = to_float16(values[i]);
            values[i] = from_float16(to[i]);
        }
    } else {
        uint8_t *to = out;
        for (int i = 0; i < n; i++) {
            uint32_t bits = bits_of(values[i]);
            to[i] = f8->table[bits >> 15 | ((bits & 0x7FFF) != 0)];
            values[i] = f8->back[to[i]];
        }
    }
}

typedef struct {
    float minimum[LANES], maximum[LANES];
    double total, squares;
} Sums;

INLINE void begin_sums(Sums *sums)
{
    for (int k = 0; k < LANES; k++) {
        sums->minimum[k] = INFINITY;
        sums->maximum[k] = -INFINITY;
    }
    sums->total = sums->squares = 0.0;
}

/* Add at most CHUNK values: in float32 within the chunk, in float64 across chunks. */
INLINE void add_sums(Sums *sums, const float *values, int n, float centre)
{
    float total[LANES] = {0}, squares[LANES] = {0};
    int whole = n - n % LANES;
    for (int i = 0; i < whole; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float value = values[i + k], d = value - centre;
            sums->minimum[k] = value < sums->minimum[k] ? value : sums->minimum[k];
            sums->maximum[k] = value > sums->maximum[k] ? value : sums->maximum[k];
            total[k] += d;
            squares[k] += d * d;
        }
    for (int i = whole; i < n; i++) {
        float value = values[i], d = value - centre;
        sums->minimum[0] = value < sums->minimum[0] ? value : sums->minimum[0];
        sums->maximum[0] = value > sums->maximum[0] ? value : sums->maximum[0];
        total[0] += d;
        squares[0] += d * d;
    }
    for (int k = 0; k < LANES; k++) {
        sums->total += total[k];
        sums->squares += squares[k];
    }
}

INLINE Moments end_sums(const Sums *sums)
{
    Moments m = {sums->minimum[0], sums->maximum[0], sums->total, sums->squares};
    for (int k = 1; k < LANES; k++) {
        m.minimum = sums->minimum[k] < m.minimum ? sums->minimum[k] : m.minimum;
        m.maximum = sums->maximum[k] > m.maximum ? sums->maximum[k] : m.maximum;
    }
    return m;
}

/* Of the module: whether an instruction set is known and this processor has it, or an error. */
int check_set(int set);
PyObject *as_tuple(Moments m);

/* Whether something is so, or an error. */
INLINE int check(int ok, const char *problem)
{
    if (!ok && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, problem);
    return ok;
}

/* Whether a buffer holds whole and aligned items. */
INLINE int holds(const Py_buffer *buffer, Py_ssize_t size)
{
    return check(buffer->len % size == 0 && (uintptr_t)buffer->buf % size == 0,
                 "a buffer is not aligned, or its size is wrong");
}

PyObject *py_moments(PyObject *self, PyObject *args);
PyObject *py_runs(PyObject *self, PyObject *args);
PyObject *py_mersenne(PyObject *self, PyObject *args);
PyObject *py_threefry(PyObject *self, PyObject *args);
PyObject *py_philox(PyObject *self, PyObject *args);
PyObject *py_box_muller(PyObject *self, PyObject *args);
PyObject *py_box_muller_double(PyObject *self, PyObject *args);
PyObject *py_range(PyObject *self, PyObject *args);

#endif
