/* The first layer of a net on a batch of sparse rows: its outputs, and a step of RMSprop.

   `RowBatch` in first_layer.py and `RMSprop` in optimizers.py do the same in array operations.
   Results differ from theirs in rounding only, and are bit-identical for any number of threads.

   Each call does one part of the work on the caller's arrays without the interpreter's lock.
   Another thread may write to these arrays, so rows, offsets and columns are read once and then
   checked. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_arrays.h"
#include "_compiler.h"

/* Rows of weights are prefetched this many entries ahead, since they don't fit into the caches. */
#define ENTRIES_AHEAD 8

/* Units are computed together in up to this many registers of this many floats. */
#define LANE 8
#define MOST_LANES 8

/* Rows in CSR format, and the row numbers of the batch. */
typedef struct {
    const float *values;
    const int32_t *columns;
    const int64_t *starts;
    const int32_t *rows;
    size_t n_entries, n_all_rows, n_columns, n_rows;
} Batch;

typedef struct {
    size_t start, end;
} Range;

enum { DONE, NO_MEMORY, NO_SUCH_ROW, NO_SUCH_COLUMN, NO_SUCH_STEP };

/* Find the entries of a row of the batch; return 0 if there is no such row. */
INLINE int find_entries(const Batch *batch, size_t row, Range *entries)
{
    int32_t number = batch->rows[row];
    if (number < 0 || (size_t)number >= batch->n_all_rows)
        return 0;
    int64_t start = batch->starts[number], end = batch->starts[number + 1];
    *entries = (Range){(size_t)start, (size_t)end};
    return start >= 0 && start <= end && (size_t)end <= batch->n_entries;
}

INLINE void prefetch_units(const float *place, size_t n)
{
    for (size_t i = 0; i < n * sizeof(float); i += CACHE_LINE)
        prefetch((const char *)place + i);
}

/* Sums of units ----------------------------------------------------------------------------------- */

/* An entry: its value, and the row of the other factor to multiply it by. */
typedef struct {
    float value;
    uint32_t row;
} Entry;

/* How gradients change the weights. */
typedef struct {
    float decay, rate, complement; /* complement: 1 - rho */
    float epsilon;
} Rule;

/* Target of the sums: `sums` or, with a rule, gradients of weights and mean squares. */
typedef struct {
    float *sums, *weights, *mean_squares;
} Target;

INLINE float decayed(float mean_square, float gradient, const Rule *rule)
{
    return mean_square * rule->decay + gradient * gradient * rule->complement;
}

INLINE void add_unit(const Entry *entries, size_t n, const float *factor, size_t n_units,
                     Target target, size_t unit, const Rule *rule)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += entries[i].value * factor[entries[i].row * n_units + unit];
    if (!rule) {
        target.sums[unit] = sum;
        return;
    }
    float mean_square = decayed(target.mean_squares[unit], sum, rule);
    target.mean_squares[unit] = mean_square;
    target.weights[unit] -= sum * rule->rate / sqrtf(mean_square + rule->epsilon);
}

#ifdef __GNUC__
typedef float Lane __attribute__((vector_size(LANE * sizeof(float)), aligned(4), may_alias));

/* The compiler knows the number of lanes, so sums stay in registers. */
INLINE void add_lanes(const Entry *entries, size_t n, const float *factor, size_t n_units,
                      Target target, size_t unit, const Rule *rule, const size_t n_lanes)
{
    Lane sums[MOST_LANES];
    for (size_t k = 0; k < n_lanes; k++)
        sums[k] = (Lane){0};
    for (size_t i = 0; i < n; i++) {
        const float *own = factor + entries[i].row * n_units + unit;
        if (i + ENTRIES_AHEAD < n)
            prefetch_units(factor + entries[i + ENTRIES_AHEAD].row * n_units + unit,
                           n_lanes * LANE);
        for (size_t k = 0; k < n_lanes; k++)
            sums[k] += entries[i].value * *(const Lane *)(own + k * LANE);
    }
    for (size_t k = 0; k < n_lanes; k++) {
        size_t at = unit + k * LANE;
        if (!rule) {
            *(Lane *)(target.sums + at) = sums[k];
            continue;
        }
        Lane *squares = (Lane *)(target.mean_squares + at), *weights = (Lane *)(target.weights + at);
        Lane mean_square = *squares * rule->decay + sums[k] * sums[k] * rule->complement;
        Lane divisor = mean_square + rule->epsilon;
        *squares = mean_square;
        for (size_t i = 0; i < LANE; i++)
            divisor[i] = sqrtf(divisor[i]);
        *weights -= sums[k] * rule->rate / divisor;
    }
}

#define ADD_LANES(n_lanes) \
    for (; unit + (n_lanes) * LANE <= n_units; unit += (n_lanes) * LANE) \
        add_lanes(entries, n, factor, n_units, target, unit, rule, n_lanes);
#else
#define ADD_LANES(n_lanes)
#endif

/* Sum the rows of a factor named by entries, each times the entry's value. */
INLINE void add(const Entry *entries, size_t n, const float *factor, size_t n_units, Target target,
                const Rule *rule)
{
    size_t unit = 0;
    ADD_LANES(8) ADD_LANES(4) ADD_LANES(2) ADD_LANES(1)
    for (; unit < n_units; unit++)
        add_unit(entries, n, factor, n_units, target, unit, rule);
}

/* Outputs ----------------------------------------------------------------------------------------- */

FOR_WIDE_REGISTERS
static int multiply(const Batch *batch, const float *weights, float *product, size_t n_units)
{
    Entry *entries = NULL;
    size_t room = 0;
    int done = DONE;
    for (size_t row = 0; row < batch->n_rows && done == DONE; row++) {
        Range range;
        if (!find_entries(batch, row, &range)) {
            done = NO_SUCH_ROW;
            break;
        }
        size_t n = range.end - range.start;
        if (n > room) {
            free(entries);
            room = n;
            if (!(entries = room > SIZE_MAX / sizeof *entries ? NULL : malloc(room * sizeof *entries))) {
                done = NO_MEMORY;
                break;
            }
        }
        for (size_t i = 0; i < n; i++) {
            uint32_t column = (uint32_t)batch->columns[range.start + i];
            if (column >= batch->n_columns)
                done = NO_SUCH_COLUMN;
            entries[i] = (Entry){batch->values[range.start + i], column};
        }
        if (done == DONE)
            add(entries, n, weights, n_units, (Target){product + row * n_units, NULL, NULL}, NULL);
    }
    free(entries);
    return done;
}

/* Steps ------------------------------------------------------------------------------------------- */

/* An entry with its column, as read. */
typedef struct {
    uint32_t column;
    Entry entry;
} Cell;

/* A batch's entries in a range of columns, by row and by column. */
typedef struct {
    Range columns;
    Cell *cells;
    size_t n_cells;
    uint32_t *ends; /* end of each column in `entries` */
    Entry *entries;
} Transpose;

static void free_transpose(Transpose *by_column)
{
    free(by_column->cells);
    free(by_column->ends);
    free(by_column->entries);
}

/* Return the first of the ascending entries whose column is at least `column`. */
static size_t find_column(const int32_t *columns, Range entries, size_t column)
{
    while (entries.start < entries.end) {
        size_t middle = entries.start + (entries.end - entries.start) / 2;
        if ((uint32_t)columns[middle] < column)
            entries.start = middle + 1;
        else
            entries.end = middle;
    }
    return entries.start;
}

/* Find the entries of a row that may be in a range of columns, including entries beyond the last
   column; all entries if they are unsorted. Return 0 if there is no such row. */
static int find_cells(const Batch *batch, size_t row, int is_sorted, Range columns, Range *entries)
{
    if (!find_entries(batch, row, entries))
        return 0;
    if (is_sorted && columns.end < batch->n_columns)
        entries->end = find_column(batch->columns, *entries, columns.end);
    if (is_sorted && columns.start)
        entries->start = find_column(batch->columns, *entries, columns.start);
    return 1;
}

/* Read a batch's entries in a range of columns, and count those of its column c in `ends[c]`. */
static int read_cells(const Batch *batch, int is_sorted, Transpose *by_column)
{
    Range columns = by_column->columns, entries;
    size_t n = 0;
    by_column->ends = calloc(columns.end - columns.start + 1, sizeof(uint32_t));
    if (!by_column->ends)
        return NO_MEMORY;
    for (size_t row = 0; row < batch->n_rows; row++) {
        if (!find_entries(batch, row, &entries))
            return NO_SUCH_ROW;
        n += entries.end - entries.start;
    }
    if (n > UINT32_MAX || !(by_column->cells = malloc(n * sizeof(Cell) + 1)))
        return NO_MEMORY;
    for (size_t row = 0, room = n; row < batch->n_rows; row++) {
        /* Rows and starts may have changed. */
        if (!find_cells(batch, row, is_sorted, columns, &entries) || entries.end - entries.start > room)
            return NO_SUCH_ROW;
        room -= entries.end - entries.start;
        for (size_t i = entries.start; i < entries.end; i++) {
            uint32_t column = (uint32_t)batch->columns[i];
            if (column >= batch->n_columns)
                return NO_SUCH_COLUMN;
            if (column - columns.start >= columns.end - columns.start)
                continue;
            by_column->cells[by_column->n_cells++] = (Cell){column, {batch->values[i], (uint32_t)row}};
            by_column->ends[column - columns.start]++;
        }
    }
    return DONE;
}

/* Sort the entries by column, then by row. */
static int transpose(Transpose *by_column)
{
    uint32_t n = 0, *ends = by_column->ends;
    size_t first = by_column->columns.start;
    if (!(by_column->entries = malloc(by_column->n_cells * sizeof(Entry) + 1)))
        return NO_MEMORY;
    for (size_t c = first; c < by_column->columns.end; c++) { /* count, then start, then end */
        uint32_t count = ends[c - first];
        ends[c - first] = n;
        n += count;
    }
    for (const Cell *cell = by_column->cells, *last = cell + by_column->n_cells; cell < last; cell++)
        by_column->entries[ends[cell->column - first]++] = cell->entry;
    return DONE;
}

typedef struct {
    const float *delta;
    float *weights, *mean_squares;
    int32_t *last_steps;
    const float *decays;
    size_t n_decays, n_units;
    int32_t step;
    Rule rule;
} Descent;

/* Update the weights of columns with entries. */
FOR_WIDE_REGISTERS
static int move(const Descent *descent, const Transpose *by_column)
{
    size_t n_units = descent->n_units, start = 0, first = by_column->columns.start;
    for (size_t c = first; c < by_column->columns.end; start = by_column->ends[c++ - first]) {
        size_t end = by_column->ends[c - first];
        if (start == end)
            continue;
        int64_t n_missed = (int64_t)descent->step - descent->last_steps[c];
        if (n_missed < 0 || (uint64_t)n_missed >= descent->n_decays)
            return NO_SUCH_STEP;
        Rule rule = descent->rule;
        rule.decay = descent->decays[n_missed];
        Target target = {NULL, descent->weights + c * n_units, descent->mean_squares + c * n_units};
        add(by_column->entries + start, end - start, descent->delta, n_units, target, &rule);
        descent->last_steps[c] = descent->step;
    }
    return DONE;
}

static int descend(const Batch *batch, int is_sorted, const Descent *descent, Range columns)
{
    Transpose by_column = {columns, NULL, 0, NULL, NULL};
    int done = read_cells(batch, is_sorted, &by_column);
    if (done == DONE)
        done = transpose(&by_column);
    if (done == DONE)
        done = move(descent, &by_column);
    free_transpose(&by_column);
    return done;
}

/* Called from Python ------------------------------------------------------------------------------ */

static PyObject *outcome(int done)
{
    static const char *const messages[] = {
        [NO_SUCH_ROW] = "a row that there is not", [NO_SUCH_COLUMN] = "a column that there is not",
        [NO_SUCH_STEP] = "a step that there is not",
    };
    if (done == DONE)
        return Py_BuildValue("");
    if (done == NO_MEMORY)
        return PyErr_NoMemory();
    PyErr_SetString(PyExc_ValueError, messages[done]);
    return NULL;
}

enum { VALUES, COLUMNS, STARTS, ROWS, N_OF_BATCH };

/* Make a batch from arrays for the weights of a layer; return 0 with an exception if they don't
   match. */
static int make_batch(const Py_buffer *lent, const Py_buffer *weights, Py_ssize_t n_units, Batch *batch)
{
    if (n_units > 0 && n_units <= INT32_MAX && n_items(lent + VALUES) == n_items(lent + COLUMNS)
        && n_items(lent + STARTS) && n_items(weights) % (size_t)n_units == 0
        && n_items(weights) / (size_t)n_units <= INT32_MAX) {
        *batch = (Batch){
            .values = lent[VALUES].buf, .columns = lent[COLUMNS].buf, .starts = lent[STARTS].buf,
            .rows = lent[ROWS].buf, .n_entries = n_items(lent + VALUES),
            .n_all_rows = n_items(lent + STARTS) - 1,
            .n_columns = n_items(weights) / (size_t)n_units, .n_rows = n_items(lent + ROWS),
        };
        return 1;
    }
    PyErr_SetString(PyExc_ValueError, "arrays that do not fit together");
    return 0;
}

PyDoc_STRVAR(multiply_doc,
"multiply(values, columns, starts, rows, weights, product, n_units)\n--\n\n"
"Write the product of some rows with weights.\n\n"
"Parameters\n"
"----------\n"
"values : float32 array; columns : int32 array; starts : int64 array\n"
"    All rows, as in CSR.\n"
"rows : int32 array, shape (n_rows,)\n"
"weights : float32 array, shape (n_columns, n_units)\n"
"product : float32 array, shape (n_rows, n_units)\n"
"    Changed in place.\n"
"n_units : int");

static PyObject *multiply_rows(PyObject *module, PyObject *arguments)
{
    (void)module;
    enum { WEIGHTS = N_OF_BATCH, PRODUCT, N };
    Py_buffer lent[N];
    Py_ssize_t n_units;
    Batch batch;
    PyObject *result = NULL;
    memset(lent, 0, sizeof lent);
    if (!PyArg_ParseTuple(arguments, "O&O&O&O&O&O&n", borrow_floats, lent + VALUES, borrow_int32,
                          lent + COLUMNS, borrow_int64, lent + STARTS, borrow_int32, lent + ROWS,
                          borrow_floats, lent + WEIGHTS, borrow_writable_floats, lent + PRODUCT,
                          &n_units)
        || !make_batch(lent, lent + WEIGHTS, n_units, &batch))
        goto release;
    if (n_items(lent + PRODUCT) % (size_t)n_units
        || n_items(lent + PRODUCT) / (size_t)n_units != batch.n_rows) {
        PyErr_SetString(PyExc_ValueError, "arrays that do not fit together");
        goto release;
    }
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = multiply(&batch, lent[WEIGHTS].buf, lent[PRODUCT].buf, (size_t)n_units);
    Py_END_ALLOW_THREADS
    result = outcome(done);
release:
    release_arrays(lent, N);
    return result;
}

PyDoc_STRVAR(descend_doc,
"descend(values, columns, starts, rows, delta, weights, mean_squares, last_steps, decays, n_units,"
" step, rate, complement, epsilon, is_sorted, first, stop)\n--\n\n"
"Take a step of RMSprop with the weights of the columns from `first` up to `stop - 1`.\n\n"
"Parameters\n"
"----------\n"
"values, columns, starts, rows\n"
"    See `multiply`.\n"
"delta : float32 array, shape (n_rows, n_units)\n"
"    Derivative of the loss with respect to the outputs of the layer.\n"
"weights, mean_squares : float32 array, shape (n_columns, n_units)\n"
"    Changed in place.\n"
"last_steps : int32 array, shape (n_columns,)\n"
"    The last step in which each column had entries; changed in place.\n"
"decays : float32 array\n"
"    Decay of a mean square after 0, 1, 2, ... steps.\n"
"n_units, step : int\n"
"rate, complement, epsilon : float\n"
"    Learning rate, 1 - rho, and the constant added to the mean squares.\n"
"is_sorted : bool\n"
"    True if columns ascend in each row, which speeds up finding a range of them.\n"
"first, stop : int");

static PyObject *descend_part(PyObject *module, PyObject *arguments)
{
    (void)module;
    enum { DELTA = N_OF_BATCH, WEIGHTS, MEAN_SQUARES, LAST_STEPS, DECAYS, N };
    Py_buffer lent[N];
    Py_ssize_t n_units, first, stop;
    int step, is_sorted;
    Rule rule = {0};
    Batch batch;
    PyObject *result = NULL;
    memset(lent, 0, sizeof lent);
    if (!PyArg_ParseTuple(arguments, "O&O&O&O&O&O&O&O&O&nifffpnn", borrow_floats, lent + VALUES,
                          borrow_int32, lent + COLUMNS, borrow_int64, lent + STARTS, borrow_int32,
                          lent + ROWS, borrow_floats, lent + DELTA, borrow_writable_floats,
                          lent + WEIGHTS, borrow_writable_floats, lent + MEAN_SQUARES,
                          borrow_writable_int32, lent + LAST_STEPS, borrow_floats, lent + DECAYS,
                          &n_units, &step, &rule.rate, &rule.complement, &rule.epsilon,
                          &is_sorted, &first, &stop)
        || !make_batch(lent, lent + WEIGHTS, n_units, &batch))
        goto release;
    if (n_items(lent + DELTA) % (size_t)n_units
        || n_items(lent + DELTA) / (size_t)n_units != batch.n_rows
        || n_items(lent + MEAN_SQUARES) != n_items(lent + WEIGHTS)
        || n_items(lent + LAST_STEPS) != batch.n_columns || first < 0 || first > stop
        || (size_t)stop > batch.n_columns) {
        PyErr_SetString(PyExc_ValueError, "arrays that do not fit together");
        goto release;
    }
    Descent descent = {
        .delta = lent[DELTA].buf, .weights = lent[WEIGHTS].buf,
        .mean_squares = lent[MEAN_SQUARES].buf, .last_steps = lent[LAST_STEPS].buf,
        .decays = lent[DECAYS].buf, .n_decays = n_items(lent + DECAYS),
        .n_units = (size_t)n_units, .step = step, .rule = rule,
    };
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = descend(&batch, is_sorted, &descent, (Range){(size_t)first, (size_t)stop});
    Py_END_ALLOW_THREADS
    result = outcome(done);
release:
    release_arrays(lent, N);
    return result;
}

static PyMethodDef methods[] = {
    {"multiply", multiply_rows, METH_VARARGS, multiply_doc},
    {"descend", descend_part, METH_VARARGS, descend_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "slugline.learning.net._first_layer",
    "The first layer of a net, for batches of sparse rows.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__first_layer(void)
{
    return PyModuleDef_Init(&definition);
}
