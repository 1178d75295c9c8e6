/* Products of a block of rows, stored by column, with weights (scores), and of its transpose with
   factors of rows (sums).

   Scores are SciPy's product of a sparse matrix in CSC with a dense one, and sums are such a product
   added to what is there, in the same order, so that results are the same, bit for bit. It is faster,
   as columns with no entry are passed over, rows have narrow numbers, what comes soon is prefetched,
   and a column's weights or sums stay in registers. All work is on arrays of the caller; the
   interpreter's lock is released meanwhile. Each number of a row or column is read once, and checked
   before it is used, as arrays may overlap, and another thread may write to them. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
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

/* Read what another thread may write to, so that the compiler does not read it again. */
#define READ_ONCE(type, array, at) (((const volatile type *)(array))[at])

/* Some neighbouring topics of a table with weights, or sums, of columns, and one of rows. */
typedef struct {
    float *of_columns, *of_rows;
    size_t width;
} Strip;

/* Where a column is in its table, and where its entries end. */
typedef struct {
    size_t at, end;
} Column;

/* Read a column whose entries begin at `entry`; 0 if it is outside of the tables. */
INLINE int read_column(const Block *block, size_t named, size_t entry, Column *column)
{
    uint32_t number = (uint32_t)READ_ONCE(int32_t, block->columns, named);
    column->at = number * block->n_topics;
    column->end = (size_t)READ_ONCE(int64_t, block->ends, named);
    return number < block->n_columns && entry <= column->end && column->end <= block->n_entries;
}

/* Read where the row of an entry is in its table; 0 if it is outside. */
INLINE int read_row(const Block *block, size_t entry, size_t *at)
{
    size_t number = READ_ONCE(uint16_t, block->rows, entry);
    *at = number * block->n_topics;
    return number < block->n_rows;
}

/* The functions below return whether all entries are in the tables. */

/* For few topics, or other compilers. */
INLINE int add_scores_plainly(const Block *block, Strip strip, const size_t width)
{
    size_t entry = 0, row;
    Column column;
    for (size_t i = 0; i < block->n_named; i++) {
        if (!read_column(block, i, entry, &column))
            return 0;
        const float *own = strip.of_columns + column.at;
        for (; entry < column.end; entry++) {
            if (!read_row(block, entry, &row))
                return 0;
            float *score = strip.of_rows + row, by = block->values[entry];
            for (size_t n = 0; n < width; n++)
                score[n] += by * own[n];
        }
    }
    return entry == block->n_entries;
}

INLINE int add_sums_plainly(const Block *block, Strip strip, const size_t width)
{
    size_t entry = 0, row;
    Column column;
    for (size_t i = 0; i < block->n_named; i++) {
        if (!read_column(block, i, entry, &column))
            return 0;
        float *sums = strip.of_columns + column.at;
        float own[WIDEST] = {0};
        for (; entry < column.end; entry++) {
            if (!read_row(block, entry, &row))
                return 0;
            const float *slope = strip.of_rows + row;
            float by = block->values[entry];
            for (size_t n = 0; n < width; n++)
                own[n] += by * slope[n];
        }
        for (size_t n = 0; n < width; n++)
            sums[n] += own[n];
    }
    return entry == block->n_entries;
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

INLINE int add_scores_in_lanes(const Block *block, Strip strip, const size_t n_lanes)
{
    size_t entry = 0, row;
    Column column;
    for (size_t i = 0; i < block->n_named; i++) {
        if (!read_column(block, i, entry, &column))
            return 0;
        const float *weights = strip.of_columns + column.at;
        Lane own[MOST_LANES], sums[MOST_LANES];
        prefetch_column(block, strip, i + COLUMNS_AHEAD, n_lanes);
        for (size_t n = 0; n < n_lanes; n++)
            own[n] = *(const Lane *)(weights + begin_of(n, n_lanes, strip));
        for (; entry < column.end; entry++) {
            if (!read_row(block, entry, &row))
                return 0;
            float *score = strip.of_rows + row, by = block->values[entry];
            prefetch_row(block, strip, entry + ENTRIES_AHEAD, n_lanes);
            for (size_t n = 0; n < n_lanes; n++)
                sums[n] = *(Lane *)(score + begin_of(n, n_lanes, strip)) + by * own[n];
            for (size_t n = 0; n < n_lanes; n++) /* after all are read, as two may overlap */
                *(Lane *)(score + begin_of(n, n_lanes, strip)) = sums[n];
        }
    }
    return entry == block->n_entries;
}

INLINE int add_sums_in_lanes(const Block *block, Strip strip, const size_t n_lanes)
{
    size_t entry = 0, row;
    Column column;
    for (size_t i = 0; i < block->n_named; i++) {
        if (!read_column(block, i, entry, &column))
            return 0;
        float *sums = strip.of_columns + column.at;
        Lane own[MOST_LANES];
        prefetch_column(block, strip, i + COLUMNS_AHEAD, n_lanes);
        for (size_t n = 0; n < n_lanes; n++)
            own[n] = (Lane){0};
        for (; entry < column.end; entry++) {
            if (!read_row(block, entry, &row))
                return 0;
            const float *slope = strip.of_rows + row;
            float by = block->values[entry];
            prefetch_row(block, strip, entry + ENTRIES_AHEAD, n_lanes);
            for (size_t n = 0; n < n_lanes; n++)
                own[n] += by * *(const Lane *)(slope + begin_of(n, n_lanes, strip));
        }
        for (size_t n = 0; n < n_lanes; n++)
            own[n] += *(Lane *)(sums + begin_of(n, n_lanes, strip));
        for (size_t n = 0; n < n_lanes; n++)
            *(Lane *)(sums + begin_of(n, n_lanes, strip)) = own[n];
    }
    return entry == block->n_entries;
}

/* The number of lanes is known to the compiler, so that they stay in registers; and that of few
   topics. */
#define LANES(add, n) \
    case n: \
        return add##_in_lanes(block, strip, n);
#define TOPICS(add, n) \
    case n: \
        return add##_plainly(block, strip, n);
#define ADD(add) \
    switch (strip.width) { \
        TOPICS(add, 1) TOPICS(add, 2) TOPICS(add, 3) TOPICS(add, 4) \
        TOPICS(add, 5) TOPICS(add, 6) TOPICS(add, 7) \
    } \
    switch ((strip.width + LANE - 1) / LANE) { \
        LANES(add, 1) LANES(add, 2) LANES(add, 3) LANES(add, 4) LANES(add, 5) LANES(add, 6) \
    } \
    return 0; /* strips are not wider */
#else
#define ADD(add) return add##_plainly(block, strip, strip.width);
#endif

FOR_WIDE_REGISTERS
static int add_scores(const Block *block, Strip strip)
{
    ADD(add_scores)
}

FOR_WIDE_REGISTERS
static int add_sums(const Block *block, Strip strip)
{
    ADD(add_sums)
}

static void reject(void)
{
    PyErr_SetString(PyExc_ValueError, "arrays that do not fit together");
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
    block->rows = lent[1].buf;
    block->columns = lent[2].buf;
    block->ends = lent[3].buf;
    block->n_topics = (size_t)n_topics;
    block->n_entries = (size_t)lent[0].len / sizeof(float);
    block->n_named = (size_t)lent[2].len / sizeof(int32_t);
    block->n_columns = (size_t)lent[4].len / width;
    block->n_rows = (size_t)lent[5].len / width;
    if ((size_t)lent[1].len / sizeof(uint16_t) == block->n_entries
        && (size_t)lent[3].len / sizeof(int64_t) == block->n_named
        && (size_t)lent[4].len % width == 0 && (size_t)lent[5].len % width == 0)
        return 1;
    reject();
    return 0;
}

enum { TABLE_OF_COLUMNS, TABLE_OF_ROWS };

/* Go through a block with two tables of floats, of which `add` changes one, strip by strip. Strips
   begin at whole lanes, so that few of these overlap. If an entry is outside of the tables, those
   before it may have been added. */
static PyObject *pass(PyObject *arguments, int changed, int (*add)(const Block *, Strip))
{
    Py_buffer lent[6];
    Block block;
    PyObject *result = NULL;
    memset(lent, 0, sizeof lent);
    memset(&block, 0, sizeof block);
    if (read_block(arguments, changed, lent, &block)) {
        int is_sound = block.n_named || !block.n_entries;
        PyThreadState *state = PyEval_SaveThread();
        size_t n_topics = block.n_topics, n_strips = (n_topics + WIDEST - 1) / WIDEST;
        size_t n_lanes = (n_topics + LANE - 1) / LANE, first = 0;
        for (size_t i = 1; is_sound && block.n_named && i <= n_strips; i++) {
            size_t end = i < n_strips ? LANE * (n_lanes * i / n_strips) : n_topics;
            Strip strip = {(float *)lent[4].buf + first, (float *)lent[5].buf + first, end - first};
            is_sound = add(&block, strip);
            first = end;
        }
        PyEval_RestoreThread(state);
        if (is_sound)
            result = Py_BuildValue("");
        else
            reject();
    }
    release_arrays(lent, 6);
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
