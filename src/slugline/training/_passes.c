/* Goes through the entries of a block of rows, column by column: what weights make of the rows, and
   what the rows make of the weights.

   This is SciPy's product of a sparse matrix in CSC with a dense one, in the same order, so that
   results are the same, bit for bit. It is faster, as columns with no entry are passed over, rows
   have narrow numbers, and weights that come soon are called for. All work is on memory that the
   caller lends; the interpreter's lock is released meanwhile. Rows and columns are checked. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD 6 /* columns: the table is larger than the processor's cache */

/* The same code for wider registers, where the system chooses as it loads. Sums stay the same, as
   products are rounded before they are added. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define FOR_WIDE_REGISTERS __attribute__((target_clones("avx2", "default")))
#else
#define FOR_WIDE_REGISTERS
#endif

typedef struct {
    const float *values;
    const uint16_t *rows;   /* of each entry */
    const int32_t *columns; /* that have entries */
    const int64_t *ends;    /* of their entries */
    size_t n_entries, n_named, n_columns, n_rows, n_topics;
} Block;

static inline void expect(const Block *block, const float *table, size_t named)
{
#ifdef __GNUC__
    if (named < block->n_named) {
        const char *at = (const char *)(table + (size_t)block->columns[named] * block->n_topics);
        for (size_t i = 0; i < block->n_topics * sizeof(float); i += 64)
            __builtin_prefetch(at + i);
    }
#else
    (void)block, (void)table, (void)named;
#endif
}

FOR_WIDE_REGISTERS
static void add_scores(const Block *block, float *table, float *scores)
{
    size_t n_topics = block->n_topics, at = 0;
    for (size_t i = 0; i < block->n_named; i++) {
        const float *restrict own = table + (size_t)block->columns[i] * n_topics;
        expect(block, table, i + AHEAD);
        for (size_t end = (size_t)block->ends[i]; at < end; at++) {
            float *restrict score = scores + block->rows[at] * n_topics, by = block->values[at];
            for (size_t n = 0; n < n_topics; n++)
                score[n] += by * own[n];
        }
    }
}

FOR_WIDE_REGISTERS
static void add_sums(const Block *block, float *table, float *slopes)
{
    size_t n_topics = block->n_topics, at = 0;
    const float *values = block->values;
    const uint16_t *rows = block->rows;
    for (size_t i = 0; i < block->n_named; i++) {
        float *restrict own = table + (size_t)block->columns[i] * n_topics;
        size_t end = (size_t)block->ends[i];
        expect(block, table, i + AHEAD);
        for (; at + 2 <= end; at += 2) { /* sums are then loaded and stored half as often */
            const float *restrict a = slopes + rows[at] * n_topics;
            const float *restrict b = slopes + rows[at + 1] * n_topics;
            float by_a = values[at], by_b = values[at + 1];
            for (size_t n = 0; n < n_topics; n++)
                own[n] = own[n] + by_a * a[n] + by_b * b[n];
        }
        for (; at < end; at++) {
            const float *restrict a = slopes + rows[at] * n_topics;
            float by = values[at];
            for (size_t n = 0; n < n_topics; n++)
                own[n] += by * a[n];
        }
    }
}

/* Whether no entry is outside of the tables. */
FOR_WIDE_REGISTERS
static int is_sound(const Block *block)
{
    int64_t before = 0;
    for (size_t i = 0; i < block->n_named; i++) {
        if ((size_t)(uint32_t)block->columns[i] >= block->n_columns || block->ends[i] < before)
            return 0;
        before = block->ends[i];
    }
    if ((size_t)before != block->n_entries)
        return 0;
    uint16_t most = 0;
    for (size_t i = 0; i < block->n_entries; i++)
        most = block->rows[i] > most ? block->rows[i] : most;
    return !block->n_entries || most < block->n_rows;
}

/* Borrow a block and two tables, in this order; 0 and an exception if they do not fit together. */
static int read_block(PyObject *arguments, const char *format, Py_buffer *lent, Block *block)
{
    Py_ssize_t n_topics;
    if (!PyArg_ParseTuple(arguments, format, lent, lent + 1, lent + 2, lent + 3, lent + 4,
                          lent + 5, &n_topics))
        return 0;
    if (n_topics < 1) {
        PyErr_SetString(PyExc_ValueError, "no topics");
        return 0;
    }
    size_t width = (size_t)n_topics * sizeof(float);
    block->values = lent[0].buf;
    block->rows = lent[1].buf;
    block->columns = lent[2].buf;
    block->ends = lent[3].buf;
    block->n_topics = (size_t)n_topics;
    block->n_entries = (size_t)lent[0].len / sizeof(float);
    block->n_named = (size_t)lent[2].len / sizeof(int32_t);
    block->n_columns = (size_t)lent[4].len / width;
    block->n_rows = (size_t)lent[5].len / width;
    if ((size_t)lent[1].len / sizeof(uint16_t) == block->n_entries
        && (size_t)lent[3].len / sizeof(int64_t) == block->n_named && is_sound(block))
        return 1;
    PyErr_SetString(PyExc_ValueError, "arrays that do not fit together");
    return 0;
}

static void release(Py_buffer *lent)
{
    for (size_t i = 0; i < 6; i++)
        if (lent[i].obj)
            PyBuffer_Release(lent + i);
}

/* Go through a block with two tables of floats, of which `change` changes one. */
static PyObject *pass(PyObject *arguments, const char *format,
                      void (*change)(const Block *, float *, float *))
{
    Py_buffer lent[6];
    Block block;
    PyObject *result = NULL;
    memset(lent, 0, sizeof lent);
    if (read_block(arguments, format, lent, &block)) {
        PyThreadState *state = PyEval_SaveThread();
        change(&block, lent[4].buf, lent[5].buf);
        PyEval_RestoreThread(state);
        result = Py_BuildValue("");
    }
    release(lent);
    return result;
}

PyDoc_STRVAR(scores_doc,
"scores(values, rows, columns, ends, table, scores, n_topics)\n--\n\n"
"Add to the scores of rows the weights of their columns.\n\n"
"Parameters\n"
"----------\n"
"values : float32 array; rows : uint16 array\n"
"    Entries, column after column.\n"
"columns : int32 array; ends : int64 array\n"
"    The columns that have entries, and where these end.\n"
"table : float32 array, shape (n_columns, n_topics)\n"
"scores : float32 array, shape (n_rows, n_topics)\n"
"    Changed in place.\n"
"n_topics : int");

static PyObject *scores(PyObject *module, PyObject *arguments)
{
    (void)module;
    return pass(arguments, "y*y*y*y*y*w*n", add_scores);
}

PyDoc_STRVAR(sums_doc,
"sums(values, rows, columns, ends, table, slopes, n_topics)\n--\n\n"
"Add to the sums of columns the slopes of the rows that have them.\n\n"
"Parameters\n"
"----------\n"
"values, rows, columns, ends\n"
"    As for `scores`.\n"
"table : float32 array, shape (n_columns, n_topics)\n"
"    Changed in place.\n"
"slopes : float32 array, shape (n_rows, n_topics)\n"
"n_topics : int");

static PyObject *sums(PyObject *module, PyObject *arguments)
{
    (void)module;
    return pass(arguments, "y*y*y*y*w*y*n", add_sums);
}

static PyMethodDef methods[] = {
    {"scores", scores, METH_VARARGS, scores_doc},
    {"sums", sums, METH_VARARGS, sums_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "slugline.training._passes", "Passes over blocks of rows.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__passes(void)
{
    return PyModuleDef_Init(&definition);
}
