/* The inner loops of the native stream: random words to values, with their moments, in one pass.
 *
 * NumPy code in aes_ctr.py, quantile.py and float8.py defines every bit; these loops give the same
 * ones. There is no key, no file and no policy here.
 */
#include "_kernels.h"

#define TAIL_TERMS 6
#define TAIL_ROWS 432
#define SEGMENTS 65536

/* What turns words into values. `lines` has a constant and a slope for each segment, NaN where the
 * tail begins; `tail` has TAIL_TERMS coefficients for each sixteenth of an octave. */
typedef struct {
    const double *lines, *tail;
    double stddev, centre;
    float low, high;
    int clips;
} Law;

INLINE double tail_value(double x, const double *tail)
{
    double t = 2147483648.0 - fabs(x), s, z;
    int64_t bits, row;
    memcpy(&bits, &t, 8);
    row = (bits >> 48) - (1022 << 4);
    bits = (bits & (((int64_t)1 << 48) - 1)) | ((int64_t)1023 << 52);
    memcpy(&s, &bits, 8);
    s = (s - 1.0) * 16.0;
    const double *c = tail + row * TAIL_TERMS;
    z = c[TAIL_TERMS - 1] * s;
    for (int power = TAIL_TERMS - 2; power > 0; power--)
        z = (z + c[power]) * s;
    return copysign(z + c[0], x);
}

/* Quantiles of `n` words, a multiple of 8, by the line of each word's segment; NaN in the tail. */
typedef void Centre(const int32_t *words, int n, const double *lines, double *z);

static void centre_portable(const int32_t *words, int n, const double *lines, double *z)
{
    for (int i = 0; i < n; i++) {
        const double *row = lines + 2 * ((uint32_t)words[i] >> 16);
        z[i] = row[1] * ((double)words[i] + 0.5) + row[0];
    }
}

#if X86
__attribute__((target("avx2"))) static void centre_avx2(const int32_t *words, int n,
                                                        const double *lines, double *z)
{
    const __m256d half = _mm256_set1_pd(0.5);
    for (int i = 0; i < n; i += 4) {
        const uint32_t *w = (const uint32_t *)words + i;
        /* Rows of 16 bytes: elements 0 and 2, then 1 and 3, so that unpacking restores the order. */
        __m256d even = _mm256_insertf128_pd(
            _mm256_castpd128_pd256(_mm_loadu_pd(lines + 2 * (w[0] >> 16))),
            _mm_loadu_pd(lines + 2 * (w[2] >> 16)), 1);
        __m256d odd = _mm256_insertf128_pd(
            _mm256_castpd128_pd256(_mm_loadu_pd(lines + 2 * (w[1] >> 16))),
            _mm_loadu_pd(lines + 2 * (w[3] >> 16)), 1);
        __m256d x = _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)w));
        x = _mm256_mul_pd(_mm256_unpackhi_pd(even, odd), _mm256_add_pd(x, half));
        _mm256_storeu_pd(z + i, _mm256_add_pd(x, _mm256_unpacklo_pd(even, odd)));
    }
}

#define ROW(k) _mm_loadu_pd(lines + 2 * (w[k] >> 16))
#define FOUR(a, b, c, d)                                                                           \
    _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_insertf128_pd(_mm256_castpd128_pd256(ROW(a)), \
                                                                  ROW(b), 1)),                     \
                       _mm256_insertf128_pd(_mm256_castpd128_pd256(ROW(c)), ROW(d), 1), 1)

__attribute__((target("avx512f"))) static void centre_avx512(const int32_t *words, int n,
                                                             const double *lines, double *z)
{
    const __m512d half = _mm512_set1_pd(0.5);
    for (int i = 0; i < n; i += 8) {
        const uint32_t *w = (const uint32_t *)words + i;
        __m512d even = FOUR(0, 2, 4, 6), odd = FOUR(1, 3, 5, 7);
        __m512d x = _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)w));
        x = _mm512_mul_pd(_mm512_unpackhi_pd(even, odd), _mm512_add_pd(x, half));
        _mm512_storeu_pd(z + i, _mm512_add_pd(x, _mm512_unpacklo_pd(even, odd)));
    }
}
#endif

INLINE void clip(float *values, int n, float low, float high)
{
    for (int i = 0; i < n; i++) {
        float value = values[i];
        value = value > low ? value : low;
        values[i] = value < high ? value : high;
    }
}

INLINE Moments uniform(const int32_t *words, Py_ssize_t count, float scale, const Law *law,
                       int dtype, char *out, const Float8 *f8, float about)
{
    float values[CHUNK];
    Sums sums;
    begin_sums(&sums);
    for (Py_ssize_t at = 0; at < count; at += CHUNK) {
        int n = count - at < CHUNK ? (int)(count - at) : CHUNK;
        if (scale > 0.0f) {
            for (int i = 0; i < n; i++)
                values[i] = (float)words[at + i] * scale;
        } else {
            for (int i = 0; i < n; i++)
                values[i] = (float)((double)words[at + i] * law->stddev + law->centre);
        }
        if (law->clips)
            clip(values, n, law->low, law->high);
        store(values, n, dtype, out + at * item_size[dtype], f8);
        add_sums(&sums, values, n, about);
    }
    return end_sums(&sums);
}

INLINE Moments normal(const int32_t *words, Py_ssize_t count, const Law *law, int dtype, char *out,
                      const Float8 *f8, float about, Centre *centre)
{
    double z[CHUNK];
    float values[CHUNK];
    int tail[CHUNK + 1];
    int32_t padded[8];
    Sums sums;
    begin_sums(&sums);
    for (Py_ssize_t at = 0; at < count; at += CHUNK) {
        int n = count - at < CHUNK ? (int)(count - at) : CHUNK;
        int whole = n - n % 8, found = 0;
        const int32_t *w = words + at;
        centre(w, whole, law->lines, z);
        if (whole < n) {
            memset(padded, 0, sizeof padded);
            memcpy(padded, w + whole, 4 * (size_t)(n - whole));
            centre(padded, 8, law->lines, z + whole);
        }
        for (int i = 0; i < n; i++) {
            tail[found] = i;
            found += z[i] != z[i];
        }
        for (int i = 0; i < found; i++)
            z[tail[i]] = tail_value((double)w[tail[i]] + 0.5, law->tail);
        if (law->centre != 0.0) {
            for (int i = 0; i < n; i++)
                values[i] = (float)(z[i] * law->stddev + law->centre);
        } else {
            for (int i = 0; i < n; i++)
                values[i] = (float)(z[i] * law->stddev);
        }
        if (law->clips)
            clip(values, n, law->low, law->high);
        store(values, n, dtype, out + at * item_size[dtype], f8);
        add_sums(&sums, values, n, about);
    }
    return end_sums(&sums);
}

/* One body for each instruction set, chosen once at run time. */
#define FOR_EACH(SET, ATTRIBUTE, CENTRE)                                                           \
    ATTRIBUTE static Moments uniform_##SET(const int32_t *words, Py_ssize_t count, float scale,    \
                                           const Law *law, int dtype, char *out,                   \
                                           const Float8 *f8, float about)                          \
    {                                                                                              \
        switch (dtype) {                                                                           \
        case FLOAT32: return uniform(words, count, scale, law, FLOAT32, out, f8, about);           \
        case FLOAT16: return uniform(words, count, scale, law, FLOAT16, out, f8, about);           \
        case BFLOAT16: return uniform(words, count, scale, law, BFLOAT16, out, f8, about);         \
        default: return uniform(words, count, scale, law, FLOAT8, out, f8, about);                 \
        }                                                                                          \
    }                                                                                              \
    ATTRIBUTE static Moments normal_##SET(const int32_t *words, Py_ssize_t count, const Law *law,  \
                                          int dtype, char *out, const Float8 *f8, float about)     \
    {                                                                                              \
        switch (dtype) {                                                                           \
        case FLOAT32: return normal(words, count, law, FLOAT32, out, f8, about, CENTRE);           \
        case FLOAT16: return normal(words, count, law, FLOAT16, out, f8, about, CENTRE);           \
        case BFLOAT16: return normal(words, count, law, BFLOAT16, out, f8, about, CENTRE);         \
        default: return normal(words, count, law, FLOAT8, out, f8, about, CENTRE);                 \
        }                                                                                          \
    }

FOR_EACH(portable, , centre_portable)
#if X86
FOR_EACH(avx2, AVX2, centre_avx2)
FOR_EACH(avx512, AVX512, centre_avx512)
#endif

typedef struct {
    const char *name;
    Moments (*uniform)(const int32_t *, Py_ssize_t, float, const Law *, int, char *, const Float8 *,
                       float);
    Moments (*normal)(const int32_t *, Py_ssize_t, const Law *, int, char *, const Float8 *, float);
} Set;

static const Set sets[] = {
#if X86
    {"avx512", uniform_avx512, normal_avx512},
    {"avx2", uniform_avx2, normal_avx2},
#endif
    {"portable", uniform_portable, normal_portable},
};
#define SETS ((int)(sizeof sets / sizeof sets[0]))

static int supported(int set)
{
#if X86
    __builtin_cpu_init();
    if (set == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("fma");
    if (set == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return set == SETS - 1;
}

PyObject *as_tuple(Moments m)
{
    return Py_BuildValue("(dddd)", m.minimum, m.maximum, m.total, m.squares);
}

int check_set(int set)
{
    if (set >= 0 && set < SETS && supported(set))
        return 1;
    PyErr_SetString(PyExc_ValueError, "no such instruction set here");
    return 0;
}

/* Words may lie where the values go only if both take as many bytes: each chunk is read whole
 * before it is written. */
static int check_buffers(const Py_buffer *words, const Py_buffer *out, int dtype,
                         const Py_buffer *table, const Py_buffer *back)
{
    const char *problem = NULL;
    if (dtype < 0 || dtype > FLOAT8 || dtype == FLOAT64)
        problem = "no such dtype";
    else if (words->len % 4 || out->len / item_size[dtype] != words->len / 4 ||
             out->len % item_size[dtype])
        problem = "the buffers' sizes differ";
    else if ((uintptr_t)words->buf % 4 || (uintptr_t)out->buf % item_size[dtype])
        problem = "a buffer is not aligned";
    else if (dtype == FLOAT8 && (table->len != 1 << 17 || back->len != 256 * 4))
        problem = "float8 needs its tables";
    if (problem)
        PyErr_SetString(PyExc_ValueError, problem);
    return problem == NULL;
}

static PyObject *py_uniform(PyObject *self, PyObject *args)
{
    Py_buffer words, out, table, back;
    int set, dtype, clips;
    double scale, half, centre, low, high, about;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "iy*w*idddpdddy*y*", &set, &words, &out, &dtype, &scale, &half,
                          &centre, &clips, &low, &high, &about, &table, &back))
        return NULL;
    if (check_set(set) && check_buffers(&words, &out, dtype, &table, &back)) {
        Law law = {NULL, NULL, half, centre, (float)low, (float)high, clips};
        Float8 f8 = {table.buf, back.buf};
        Moments m;
        Py_BEGIN_ALLOW_THREADS
        m = sets[set].uniform(words.buf, words.len / 4, (float)scale, &law, dtype, out.buf, &f8,
                              (float)about);
        Py_END_ALLOW_THREADS
        result = as_tuple(m);
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&out);
    PyBuffer_Release(&table);
    PyBuffer_Release(&back);
    return result;
}

static PyObject *py_normal(PyObject *self, PyObject *args)
{
    Py_buffer words, out, lines, tail, table, back;
    int set, dtype, clips;
    double stddev, centre, low, high, about;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "iy*w*iy*y*ddpdddy*y*", &set, &words, &out, &dtype, &lines, &tail,
                          &stddev, &centre, &clips, &low, &high, &about, &table, &back))
        return NULL;
    if (lines.len != SEGMENTS * 16 || tail.len < TAIL_ROWS * TAIL_TERMS * 8 ||
        tail.len % (TAIL_TERMS * 8))
        PyErr_SetString(PyExc_ValueError, "the tables' sizes differ");
    else if (check_set(set) && check_buffers(&words, &out, dtype, &table, &back)) {
        Law law = {lines.buf, tail.buf, stddev, centre, (float)low, (float)high, clips};
        Float8 f8 = {table.buf, back.buf};
        Moments m;
        Py_BEGIN_ALLOW_THREADS
        m = sets[set].normal(words.buf, words.len / 4, &law, dtype, out.buf, &f8, (float)about);
        Py_END_ALLOW_THREADS
        result = as_tuple(m);
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&out);
    PyBuffer_Release(&lines);
    PyBuffer_Release(&tail);
    PyBuffer_Release(&table);
    PyBuffer_Release(&back);
    return result;
}

static PyObject *py_sets(PyObject *self, PyObject *nothing)
{
    PyObject *found = PyList_New(0);
    for (int set = 0; found && set < SETS; set++) {
        if (!supported(set))
            continue;
        PyObject *pair = Py_BuildValue("(is)", set, sets[set].name);
        if (!pair || PyList_Append(found, pair))
            Py_CLEAR(found);
        Py_XDECREF(pair);
    }
    return found;
}

static PyMethodDef methods[] = {
    {"uniform", py_uniform, METH_VARARGS,
     "uniform(set, words, out, dtype, scale, half, centre, clips, low, high, about, table, back)"},
    {"normal", py_normal, METH_VARARGS,
     "normal(set, words, out, dtype, lines, tail, stddev, centre, clips, low, high, about, table, "
     "back)"},
    {"moments", py_moments, METH_VARARGS, "moments(set, values, dtype, back, about)"},
    {"runs", py_runs, METH_VARARGS, "runs(set, values, starts, scales, moments)"},
    {"mersenne", py_mersenne, METH_VARARGS, "mersenne(set, state, words)"},
    {"threefry", py_threefry, METH_VARARGS, "threefry(set, key0, key1, first, itemsize, words)"},
    {"philox", py_philox, METH_VARARGS, "philox(set, key0, key1, high0, high1, first, words)"},
    {"box_muller", py_box_muller, METH_VARARGS,
     "box_muller(set, words, out, dtype, mean, stddev, about)"},
    {"box_muller_double", py_box_muller_double, METH_VARARGS,
     "box_muller_double(set, words, out, mean, stddev)"},
    {"range", py_range, METH_VARARGS,
     "range(set, words, out, dtype, shift, mask, offset, scale, span, least, fuses, steps, floor, "
     "last, first, wraps, about)"},
    {"sets", py_sets, METH_NOARGS, "The instruction sets of this processor, the fastest first."},
    {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_kernels", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void)
{
    return PyModuleDef_Init(&module);
}
