/* The moments of elements as files hold them, and of many small tensors that are drawn at once.
 *
 * NumPy code in moments.py and slab.py says what they are. Sums are of float64.
 */
#include "_kernels.h"

enum { INT8 = FLOAT8 + 1, UINT8, INT16, INT32, INT64, DTYPES };
static const int stored_size[DTYPES] = {4, 8, 2, 2, 1, 1, 1, 2, 4, 8};

typedef struct {
    double minimum[LANES], maximum[LANES], total[LANES], squares[LANES];
} Wide;

INLINE void begin_wide(Wide *sums)
{
    for (int k = 0; k < LANES; k++) {
        sums->minimum[k] = INFINITY;
        sums->maximum[k] = -INFINITY;
        sums->total[k] = sums->squares[k] = 0.0;
    }
}

INLINE void add_wide(Wide *sums, const double *values, int n, double centre)
{
    int whole = n - n % LANES;
    for (int i = 0; i < n; i += LANES) {
        int lanes = i < whole ? LANES : n - whole;
        for (int k = 0; k < lanes; k++) {
            double value = values[i + k], d = value - centre;
            sums->minimum[k] = value < sums->minimum[k] ? value : sums->minimum[k];
            sums->maximum[k] = value > sums->maximum[k] ? value : sums->maximum[k];
            sums->total[k] += d;
            sums->squares[k] += d * d;
        }
    }
}

INLINE Moments end_wide(const Wide *sums)
{
    Moments m = {INFINITY, -INFINITY, 0.0, 0.0};
    for (int k = 0; k < LANES; k++) {
        m.minimum = sums->minimum[k] < m.minimum ? sums->minimum[k] : m.minimum;
        m.maximum = sums->maximum[k] > m.maximum ? sums->maximum[k] : m.maximum;
        m.total += sums->total[k];
        m.squares += sums->squares[k];
    }
    return m;
}

#define EACH(TYPE, VALUE)                                                                          \
    for (int i = 0; i < n; i++) {                                                                  \
        TYPE x = ((const TYPE *)from)[i];                                                          \
        to[i] = VALUE;                                                                             \
    }

/* Of dtypes that float32 holds; infinities and NaNs stay none of the finite numbers. */
INLINE void to_float32(const void *from, int n, int dtype, const float *back, float *to)
{
    switch (dtype) {
    case FLOAT32: memcpy(to, from, 4 * (size_t)n); break;
    case FLOAT16: EACH(uint16_t, from_float16(x)) break;
    case BFLOAT16: EACH(uint16_t, from_bits((uint32_t)x << 16)) break;
    case FLOAT8: EACH(uint8_t, back[x]) break;
    case INT8: EACH(int8_t, (float)x) break;
    case UINT8: EACH(uint8_t, (float)x) break;
    default: EACH(int16_t, (float)x)
    }
}

INLINE void to_float64(const void *from, int n, int dtype, double *to)
{
    switch (dtype) {
    case FLOAT64: memcpy(to, from, 8 * (size_t)n); break;
    case INT32: EACH(int32_t, (double)x) break;
    default: EACH(int64_t, (double)x)
    }
}

INLINE Moments narrow(const char *values, Py_ssize_t count, int dtype, const float *back,
                      float about)
{
    float chunk[CHUNK];
    Sums sums;
    begin_sums(&sums);
    for (Py_ssize_t at = 0; at < count; at += CHUNK) {
        int n = count - at < CHUNK ? (int)(count - at) : CHUNK;
        to_float32(values + at * stored_size[dtype], n, dtype, back, chunk);
        add_sums(&sums, chunk, n, about);
    }
    return end_sums(&sums);
}

INLINE Moments wide(const char *values, Py_ssize_t count, int dtype, double about)
{
    double chunk[CHUNK];
    Wide sums;
    begin_wide(&sums);
    for (Py_ssize_t at = 0; at < count; at += CHUNK) {
        int n = count - at < CHUNK ? (int)(count - at) : CHUNK;
        to_float64(values + at * stored_size[dtype], n, dtype, chunk);
        add_wide(&sums, chunk, n, about);
    }
    return end_wide(&sums);
}

/* Words, as integers, are scaled where they lie; of each run the moments about 0 are kept. */
INLINE void runs(float *values, Py_ssize_t count, const int64_t *starts, const float *scales,
                 Py_ssize_t number, Moments *found)
{
    double chunk[CHUNK];
    for (Py_ssize_t run = 0; run < number; run++) {
        Py_ssize_t stop = run + 1 < number ? (Py_ssize_t)starts[run + 1] : count;
        Wide sums;
        begin_wide(&sums);
        for (Py_ssize_t at = (Py_ssize_t)starts[run]; at < stop; at += CHUNK) {
            int n = stop - at < CHUNK ? (int)(stop - at) : CHUNK;
            for (int i = 0; i < n; i++) {
                values[at + i] = (float)(int32_t)bits_of(values[at + i]) * scales[run];
                chunk[i] = values[at + i];
            }
            add_wide(&sums, chunk, n, 0.0);
        }
        found[run] = end_wide(&sums);
    }
}

#define NARROW(DTYPE)                                                                              \
    case DTYPE: return narrow(values, count, DTYPE, back, (float)about);
#define WIDE(DTYPE)                                                                                \
    case DTYPE: return wide(values, count, DTYPE, about);
#define FOR_EACH(SET, ATTRIBUTE)                                                                   \
    ATTRIBUTE static Moments moments_##SET(const char *values, Py_ssize_t count, int dtype,        \
                                           const float *back, double about)                        \
    {                                                                                              \
        switch (dtype) {                                                                           \
            NARROW(FLOAT32)                                                                        \
            NARROW(FLOAT16)                                                                        \
            NARROW(BFLOAT16)                                                                       \
            NARROW(FLOAT8)                                                                         \
            NARROW(INT8)                                                                           \
            NARROW(UINT8)                                                                          \
            NARROW(INT16)                                                                          \
            WIDE(FLOAT64)                                                                          \
            WIDE(INT32)                                                                            \
        default: return wide(values, count, INT64, about);                                         \
        }                                                                                          \
    }                                                                                              \
    ATTRIBUTE static void runs_##SET(float *values, Py_ssize_t count, const int64_t *starts,       \
                                     const float *scales, Py_ssize_t number, Moments *found)       \
    {                                                                                              \
        runs(values, count, starts, scales, number, found);                                        \
    }

FOR_EACH(portable, )
#if X86
FOR_EACH(avx2, AVX2)
FOR_EACH(avx512, AVX512)
#endif

/* In the order of _kernels.c. */
static const struct {
    Moments (*moments)(const char *, Py_ssize_t, int, const float *, double);
    void (*runs)(float *, Py_ssize_t, const int64_t *, const float *, Py_ssize_t, Moments *);
} sets[] = {
#if X86
    {moments_avx512, runs_avx512},
    {moments_avx2, runs_avx2},
#endif
    {moments_portable, runs_portable},
};

PyObject *py_moments(PyObject *self, PyObject *args)
{
    Py_buffer values, back;
    int set, dtype;
    double about;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "iy*iy*d", &set, &values, &dtype, &back, &about))
        return NULL;
    if (check_set(set) && check(dtype >= 0 && dtype < DTYPES, "no such dtype") &&
        holds(&values, stored_size[dtype]) &&
        check(dtype != FLOAT8 || back.len == 256 * 4, "float8 needs its values") &&
        (dtype != FLOAT8 || holds(&back, 4))) {
        Moments m;
        Py_BEGIN_ALLOW_THREADS
        m = sets[set].moments(values.buf, values.len / stored_size[dtype], dtype, back.buf, about);
        Py_END_ALLOW_THREADS
        result = as_tuple(m);
    }
    PyBuffer_Release(&values);
    PyBuffer_Release(&back);
    return result;
}

PyObject *py_runs(PyObject *self, PyObject *args)
{
    Py_buffer values, starts, scales, found;
    int set, ok;
    if (!PyArg_ParseTuple(args, "iw*y*y*w*", &set, &values, &starts, &scales, &found))
        return NULL;
    Py_ssize_t number = starts.len / 8, count = values.len / 4;
    ok = check_set(set) && holds(&values, 4) && holds(&starts, 8) && holds(&scales, 4) &&
         holds(&found, 8) &&
         check(scales.len == 4 * number && found.len == (Py_ssize_t)sizeof(Moments) * number,
               "the buffers' sizes differ");
    for (Py_ssize_t run = 0; ok && run < number; run++) {
        int64_t start = ((const int64_t *)starts.buf)[run];
        int64_t stop = run + 1 < number ? ((const int64_t *)starts.buf)[run + 1] : count;
        ok = check(start >= 0 && start <= stop && stop <= count, "the runs are not in order");
    }
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        sets[set].runs(values.buf, count, starts.buf, scales.buf, number, found.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&values);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&scales);
    PyBuffer_Release(&found);
    return ok ? Py_NewRef(Py_None) : NULL;
}
