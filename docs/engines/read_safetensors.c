/* Read safetensors files: print each tensor's name, dtype, shape and first value.
 *
 *     cc -std=c99 -O2 -o read_safetensors read_safetensors.c
 *     ./read_safetensors weights.safetensors
 *
 * A file is the length of its header (8 bytes, little-endian), the header (JSON), and the bytes of
 * the tensors (little-endian, in C order). Only the header and the first values are read here; an
 * engine reads `size` bytes at `place` where this program reads one element. A file that is not as
 * it should be ends the program with exit code 1, before anything is read past its end. Names are
 * printed as they are, but for control characters.
 */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100000000, MAX_AXES = 32, MAX_DEPTH = 64 };

static const char *path;
static const unsigned char *at, *end; /* what is left of the header */

static void fail(const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    exit(1);
}

/* JSON, as much of it as a header has */

static int peek(void)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at < end ? *at : -1;
}

static int accept(int wanted)
{
    if (peek() != wanted)
        return 0;
    at++;
    return 1;
}

static void expect(int wanted)
{
    if (!accept(wanted))
        fail("the header is not the JSON that it should be");
}

static unsigned hex4(void)
{
    unsigned code = 0;
    for (int i = 0; i < 4; i++, at++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = at < end && *at ? strchr(digits, *at) : NULL;
        if (digit == NULL)
            fail("the header has a bad \\u escape");
        code = code * 16 + (unsigned)(digit - digits) % 16;
    }
    return code;
}

static char *put_utf8(char *out, unsigned long code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

static char *escape(char *out)
{
    const char *names = "\"\\/bfnrt", *codes = "\"\\/\b\f\n\r\t";
    int letter = at < end ? *at++ : 0;
    const char *name = letter ? strchr(names, letter) : NULL;
    if (name != NULL) {
        *out++ = codes[name - names];
        return out;
    }
    if (letter != 'u')
        fail("the header has a bad escape");
    unsigned long code = hex4();
    if (code >= 0xd800 && code < 0xdc00) {
        if (end - at < 2 || at[0] != '\\' || at[1] != 'u')
            fail("the header has half a surrogate pair");
        at += 2;
        unsigned long low = hex4();
        if (low < 0xdc00 || low > 0xdfff)
            fail("the header has half a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code == 0 || (code >= 0xdc00 && code < 0xe000)) {
        fail("the header has a string that no name can be");
    }
    return put_utf8(out, code);
}

/* The caller frees it. No string is longer than its source. */
static char *string(void)
{
    expect('"');
    const unsigned char *stop = at;
    while (stop < end && *stop != '"')
        stop += *stop == '\\' && end - stop > 1 ? 2 : 1;
    char *text = malloc((size_t)(stop - at) + 1), *out = text;
    if (text == NULL)
        fail("the memory does not suffice");
    while (at < end && *at != '"') {
        if (*at < 0x20)
            fail("the header has a string with a control character");
        if (*at == '\\') {
            at++;
            out = escape(out);
        } else {
            *out++ = (char)*at++;
        }
    }
    *out = '\0';
    expect('"');
    return text;
}

static uint64_t integer(void)
{
    int digit = peek();
    uint64_t value = 0;
    if (digit < '0' || digit > '9')
        fail("the header has no whole number where one should be");
    while (at < end && *at >= '0' && *at <= '9') {
        unsigned next = *at++ - '0';
        if (value > (UINT64_MAX - next) / 10)
            fail("the header has a number that is too large");
        value = value * 10 + next;
    }
    if (at < end && (*at == '.' || *at == 'e' || *at == 'E'))
        fail("the header has no whole number where one should be");
    return value;
}

static int integers(uint64_t *values, int most)
{
    int count = 0;
    expect('[');
    if (accept(']'))
        return 0;
    do {
        if (count == most)
            fail("the header has a list that is too long");
        values[count++] = integer();
    } while (accept(','));
    expect(']');
    return count;
}

static void skip(int depth)
{
    int first = peek();
    if (depth > MAX_DEPTH)
        fail("the header is nested too deeply");
    if (first == '"') {
        free(string());
    } else if (first == '{' || first == '[') {
        int close = first == '{' ? '}' : ']';
        at++;
        if (accept(close))
            return;
        do {
            if (first == '{') {
                free(string());
                expect(':');
            }
            skip(depth + 1);
        } while (accept(','));
        expect(close);
    } else {
        const unsigned char *start = at; /* a number, true, false or null */
        while (at < end && *at && strchr("+-.0123456789Eaeflnrstu", *at))
            at++;
        if (at == start)
            fail("the header is not the JSON that it should be");
    }
}

/* Elements */

static const struct dtype {
    const char *name;
    int size;
    int exponent, fraction; /* bits of a float; 0 for whole numbers */
} dtypes[] = {
    {"F64", 8, 11, 52}, {"F32", 4, 8, 23}, {"F16", 2, 5, 10}, {"BF16", 2, 8, 7},
    {"F8_E4M3", 1, 4, 3}, {"F8_E5M2", 1, 5, 2},
    {"I64", 8, 0, 0}, {"I32", 4, 0, 0}, {"I16", 2, 0, 0}, {"I8", 1, 0, 0},
    {"U64", 8, 0, 0}, {"U32", 4, 0, 0}, {"U16", 2, 0, 0}, {"U8", 1, 0, 0}, {"BOOL", 1, 0, 0},
};

static void print_element(const struct dtype *dtype, const unsigned char *bytes)
{
    int bits = 8 * dtype->size;
    uint64_t word = 0;
    for (int i = dtype->size; i-- > 0;)
        word = word << 8 | bytes[i];
    uint64_t sign = word >> (bits - 1);
    if (dtype->exponent == 0) {
        if (dtype->name[0] == 'I' && sign)
            printf("-%" PRIu64, (~word & (UINT64_MAX >> (64 - bits))) + 1);
        else
            printf("%" PRIu64, word);
        return;
    }
    /* Every float becomes a float64, which holds the values of all the others. */
    int most = (1 << dtype->exponent) - 1, bias = most / 2;
    int power = (int)(word >> dtype->fraction) & most;
    uint64_t fraction = word & ((UINT64_C(1) << dtype->fraction) - 1);
    int finite_top = strcmp(dtype->name, "F8_E4M3") == 0; /* it has no infinities, and one NaN */
    if (power == most && (finite_top ? fraction == 7 : fraction != 0)) {
        printf("nan");
        return;
    }
    if (power == most && !finite_top) {
        printf(sign ? "-inf" : "inf");
        return;
    }
    double value = (double)fraction;
    if (power > 0)
        value += (double)(UINT64_C(1) << dtype->fraction);
    for (int scale = (power > 0 ? power : 1) - bias - dtype->fraction; scale != 0;) {
        value = scale > 0 ? value * 2 : value / 2;
        scale += scale > 0 ? -1 : 1;
    }
    printf("%.17g", sign ? -value : value);
}

/* Print one tensor, whose entry is next in the header, and return how many bytes it has. */
static uint64_t tensor(FILE *file, uint64_t start, uint64_t length, const char *name)
{
    const struct dtype *dtype = NULL;
    uint64_t shape[MAX_AXES], offsets[2], size = 1;
    int axes = -1, ends = 0;
    expect('{');
    if (!accept('}')) {
        do {
            char *key = string();
            expect(':');
            if (strcmp(key, "dtype") == 0) {
                char *text = string();
                for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
                    if (strcmp(text, dtypes[i].name) == 0)
                        dtype = &dtypes[i];
                free(text);
            } else if (strcmp(key, "shape") == 0) {
                axes = integers(shape, MAX_AXES);
            } else if (strcmp(key, "data_offsets") == 0) {
                ends = integers(offsets, 2);
            } else {
                skip(0);
            }
            free(key);
        } while (accept(','));
        expect('}');
    }
    if (dtype == NULL || axes < 0 || ends != 2)
        fail("a tensor has no shape, no two offsets, or no dtype that is known");
    for (int i = 0; i < axes; i++) {
        if (shape[i] != 0 && size > UINT64_MAX / 8 / shape[i])
            fail("a tensor is too large");
        size *= shape[i];
    }
    size *= (uint64_t)dtype->size;
    if (offsets[0] > offsets[1] || offsets[1] > length || offsets[1] - offsets[0] != size)
        fail("a tensor's offsets do not fit its shape or the file");

    for (const char *c = name; *c; c++)
        putchar((unsigned char)*c < 0x20 ? '?' : *c);
    printf("\t%s\t[", dtype->name);
    for (int i = 0; i < axes; i++)
        printf("%s%" PRIu64, i ? ", " : "", shape[i]);
    printf("]\t");
    if (size > 0) {
        unsigned char bytes[8];
        long place = (long)(start + offsets[0]);
        if (fseek(file, place, SEEK_SET) || fread(bytes, (size_t)dtype->size, 1, file) != 1)
            fail("cannot be read");
        print_element(dtype, bytes);
    }
    putchar('\n');
    return size;
}

static void read_file(void)
{
    unsigned char raw[8];
    uint64_t header = 0, total = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END))
        fail("cannot be opened");
    long length = ftell(file);
    rewind(file);
    if (length < 8 || fread(raw, 8, 1, file) != 1)
        fail("is too short for a safetensors file");
    for (int i = 8; i-- > 0;)
        header = header << 8 | raw[i];
    if (header > (uint64_t)length - 8 || header > MAX_HEADER)
        fail("says that its header is longer than it can be");
    unsigned char *text = malloc((size_t)header + 1);
    if (text == NULL || fread(text, 1, (size_t)header, file) != header)
        fail("cannot be read");
    at = text;
    end = text + header;

    expect('{');
    if (!accept('}')) {
        do {
            char *name = string();
            expect(':');
            if (strcmp(name, "__metadata__") == 0)
                skip(0);
            else
                total += tensor(file, 8 + header, (uint64_t)length - 8 - header, name);
            free(name);
        } while (accept(','));
        expect('}');
    }
    if (peek() != -1)
        fail("the header goes on after its end");
    if (total != (uint64_t)length - 8 - header)
        fail("the tensors do not fill the file, or overlap");
    free(text);
    fclose(file);
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "usage: read_safetensors FILE...\n");
        return 2;
    }
    for (int i = 1; i < count; i++) {
        path = arguments[i];
        read_file();
    }
    return fflush(stdout) || ferror(stdout) ? 1 : 0;
}
