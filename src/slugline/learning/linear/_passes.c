/* Products of a block of rows, stored by column, with weights (scores), and of its transpose with
   factors of rows (sums).

   Scores are SciPy's product of a sparse matrix in CSC with a dense one, and sums are such a product
   added to what is there, in the same order, so that results are the same, bit for bit. It is faster,
   as columns with no entry are passed over, rows have narrow numbers, what comes soon is prefetched,
   and a column's weights or sums stay in registers. All work is on arrays of the caller; the
   interpreter's lock is released meanwhile. Rows and columns are copied and checked, as arrays may
   overlap, and another thread may write to them. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_arrays.h"
#include "_compiler.h"

/* How far ahead columns and entries are prefetched, as tables are larger than the processor's
   caches. */
#define COLUMNS_AHEAD 6
#define ENTRIES_AHEAD 16

/* Topics that are gone through together: in so many registers of so many floats. */
#define LANE 8
#define MOST_LANES 6
#define WIDEST (LANE * MOST_LANES)

typedef struct {
    const float *values;
    const uint16_t *rows;   /* of each entry */
    const int32_t *columns; /* that have entries */
    const int64_t *ends;    /* of their entries */
    size_t n_entries, n_named, n_columns, n_rows, n_topics;
} Block;

/* Some neighbouring topics of a table with weights, or sums, of columns, and one of rows. */
typedef struct {
    float *of_columns, *of_rows;
    size_t width;
} Strip;

/* For few topics, or other compilers. */
INLINE void add_scores_plainly(const Block *block, Strip strip, const size_t width)
{
    size_t at = 0;
    for (size_t i = 0; i < block->n_named; i++) {
        const float *restrict own = strip.of_columns + (size_t)block->columns[i] * block->n_topics;
        for (size_t end = (size_t)block->ends[i]; at < end; at++) {
            float *restrict score = strip.of_rows + block->rows[at] * block->n_topics;
            float by = block->values[at];
            for (size_t n = 0; n < width; n++)
                score[n] += by * own[n];
        }
    }
}

INLINE void add_sums_plainly(const Block *block, Strip strip, const size_t width)
{
    size_t at = 0;
    for (size_t i = 0; i < block->n_named; i++) {
        float *restrict sums = strip.of_columns + (size_t)block->columns[i] * block->n_topics;
        float own[WIDEST] = {0};
        for (size_t end = (size_t)block->ends[i]; at < end; at++) {
            const float *restrict slope = strip.of_rows + block->rows[at] * block->n_topics;
            float by = block->values[at];
            for (size_t n = 0; n < width; n++)
                own[n] += by * slope[n];
        }
        for (size_t n = 0; n < width; n++)
            sums[n] += own[n];
    }
}

#ifdef __GNUC__
typedef float Lane __attribute__((vector_size(LANE * sizeof(float)), aligned(4), may_alias));

/* Where a lane begins: the last one ends with the strip. What it shares with the one before is
   found twice, and is the same. */
INLINE size_t begin_of(size_t lane, size_t n_lanes, Strip strip)
{
    return lane + 1 < n_lanes ? lane * LANE : strip.width - LANE;
}

INLINE void prefetch_lanes(const float *at, size_t n_lanes)
{
    for (size_t i = 0; i < n_lanes * sizeof(Lane); i += CACHE_LINE)
        prefetch((const char *)at + i);
}

INLINE void prefetch_column(const Block *block, Strip strip, size_t named, size_t n_lanes)
{
    if (named < block->n_named)
        prefetch_lanes(strip.of_columns + (size_t)block->columns[named] * block->n_topics, n_lanes);
}

INLINE void prefetch_row(const Block *block, Strip strip, size_t entry, size_t n_lanes)
{
    if (entry < block->n_entries)
        prefetch_lanes(strip.of_rows + block->rows[entry] * block->n_topics, n_lanes);
}

INLINE void add_scores_in_lanes(const Block *block, Strip strip, const size_t n_lanes)
{
    size_t at = 0;
    for (size_t i = 0; i < block->n_named; i++) {
        const float *weights = strip.of_columns + (size_t)block->columns[i] * block->n_topics;
        Lane own[MOST_LANES], sums[MOST_LANES];
        prefetch_column(block, strip, i + COLUMNS_AHEAD, n_lanes);
        for (size_t n = 0; n < n_lanes; n++)
            own[n] = *(const Lane *)(weights + begin_of(n, n_lanes, strip));
        for (size_t end = (size_t)block->ends[i]; at < end; at++) {
            float *score = strip.of_rows + block->rows[at] * block->n_topics;
            prefetch_row(block, strip, at + ENTRIES_AHEAD, n_lanes);
            for (size_t n = 0; n < n_lanes; n++)
                sums[n] = *(Lane *)(score + begin_of(n, n_lanes, strip)) + block->values[at] * own[n];
            for (size_t n = 0; n < n_lanes; n++) /* after all are read, as two may overlap */
                *(Lane *)(score + begin_of(n, n_lanes, strip)) = sums[n];
        }
    }
}

INLINE void add_sums_in_lanes(const Block *block, Strip strip, const size_t n_lanes)
{
    size_t at = 0;
    for (size_t i = 0; i < block->n_named; i++) {
        float *sums = strip.of_columns + (size_t)block->columns[i] * block->n_topics;
        Lane own[MOST_LANES];
        prefetch_column(block, strip, i + COLUMNS_AHEAD, n_lanes);
        for (size_t n = 0; n < n_lanes; n++)
            own[n] = (Lane){0};
        for (size_t end = (size_t)block->ends[i]; at < end; at++) {
            const float *slope = strip.of_rows + block->rows[at] * block->n_topics;
            prefetch_row(block, strip, at + ENTRIES_AHEAD, n_lanes);
            for (size_t n = 0; n < n_lanes; n++)
                own[n] += block->values[at] * *(const Lane *)(slope + begin_of(n, n_lanes, strip));
        }
        for (size_t n = 0; n < n_lanes; n++)
            own[n] += *(Lane *)(sums + begin_of(n, n_lanes, strip));
        for (size_t n = 0; n < n_lanes; n++)
            *(Lane *)(sums + begin_of(n, n_lanes, strip)) = own[n];
    }
}

/* The number of lanes is known to the compiler, so that they stay in registers; and that of few
   topics. */
#define LANES(add, n) \
    case n: \
        add##_in_lanes(block, strip, n); \
        return;
#define TOPICS(add, n) \
    case n: \
        add##_plainly(block, strip, n); \
        return;
#define ADD(add) \
    switch (strip.width) { \
        TOPICS(add, 1) TOPICS(add, 2) TOPICS(add, 3) TOPICS(add, 4) \
        TOPICS(add, 5) TOPICS(add, 6) TOPICS(add, 7) \
    } \
    switch ((strip.width + LANE - 1) / LANE) { \
        LANES(add, 1) LANES(add, 2) LANES(add, 3) LANES(add, 4) LANES(add, 5) LANES(add, 6) \
    }
#else
#define ADD(add) add##_plainly(block, strip, strip.width);
#endif

FOR_WIDE_REGISTERS
static void add_scores(const Block *block, Strip strip)
{
    ADD(add_scores)
}

FOR_WIDE_REGISTERS
static void add_sums(const Block *block, Strip strip)
{
    ADD(add_sums)
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

/* Borrow a block and two tables, in this order, of which one is changed; 0 and an exception if they
   do not fit together. */
static int read_block(PyObject *arguments, int changed, Py_buffer *lent, Block *block)
{
    int (*tables[])(PyObject *, void *) = {borrow_floats, borrow_floats};
    Py_ssize_t n_topics;
    tables[changed] = borrow_writable_floats;
    if (!PyArg_ParseTuple(arguments, "O&O&O&O&O&O&n", borrow_floats, lent, borrow_uint16, lent + 1,
                          borrow_int32, lent + 2, borrow_int64, lent + 3, tables[0], lent + 4,
                          tables[1], lent + 5, &n_topics))
        return 0;
    if (n_topics < 1 || n_topics > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "no topics, or too many");
        return 0;
    }
    size_t width = (size_t)n_topics * sizeof(float);
    block->values = lent[0].buf;
    if (!(block->rows = copy_of(lent + 1)) || !(block->columns = copy_of(lent + 2))
        || !(block->ends = copy_of(lent + 3))) {
        PyErr_NoMemory();
        return 0;
    }
    block->n_topics = (size_t)n_topics;
    block->n_entries = (size_t)lent[0].len / sizeof(float);
    block->n_named = (size_t)lent[2].len / sizeof(int32_t);
    block->n_columns = (size_t)lent[4].len / width;
    block->n_rows = (size_t)lent[5].len / width;
    if ((size_t)lent[1].len / sizeof(uint16_t) == block->n_entries
        && (size_t)lent[3].len / sizeof(int64_t) == block->n_named
        && (size_t)lent[4].len % width == 0 && (size_t)lent[5].len % width == 0 && is_sound(block))
        return 1;
    PyErr_SetString(PyExc_ValueError, "arrays that do not fit together");
    return 0;
}

static void release(Py_buffer *lent, Block *block)
{
    free((void *)block->rows);
    free((void *)block->columns);
    free((void *)block->ends);
    release_arrays(lent, 6);
}

enum { TABLE_OF_COLUMNS, TABLE_OF_ROWS };

/* Go through a block with two tables of floats, of which `add` changes one, strip by strip. */
static PyObject *pass(PyObject *arguments, int changed, void (*add)(const Block *, Strip))
{
    Py_buffer lent[6];
    Block block;
    PyObject *result = NULL;
    memset(lent, 0, sizeof lent);
    memset(&block, 0, sizeof block);
    if (read_block(arguments, changed, lent, &block)) {
        PyThreadState *state = PyEval_SaveThread();
        size_t n_topics = block.n_topics, n_strips = (n_topics + WIDEST - 1) / WIDEST;
        for (size_t i = 0; block.n_named && i < n_strips; i++) {
            size_t first = n_topics * i / n_strips, end = n_topics * (i + 1) / n_strips;
            Strip strip = {(float *)lent[4].buf + first, (float *)lent[5].buf + first, end - first};
            add(&block, strip);
        }
        PyEval_RestoreThread(state);
        result = Py_BuildValue("");
    }
    release(lent, &block);
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
    return pass(arguments, TABLE_OF_ROWS, add_scores);
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
    return pass(arguments, TABLE_OF_COLUMNS, add_sums);
}

static PyMethodDef methods[] = {
    {"scores", scores, METH_VARARGS, scores_doc},
    {"sums", sums, METH_VARARGS, sums_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "slugline.learning.linear._passes", "Passes over blocks of rows.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__passes(void)
{
    return PyModuleDef_Init(&definition);
}
