/* Takes the steps of a linear learner, minibatch by minibatch.

   `AdaGradDescent` of slugline/learning/linear/steps.py does the same in array operations, in the
   same order, so that results are the same, bit for bit, where the compiler rounds each product (by
   its options) and so does SciPy, as on x86-64.

   All work is on arrays of the caller and on memory of this call, so that the interpreter's lock is
   released meanwhile. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_arrays.h"
#include "_compiler.h"

/* Sums are made in the order in which NumPy makes them, and it makes longer ones in halves. */
#define MOST_SUMMED 128

/* Weights are read at random, so that they are prefetched this many entries ahead. */
#define AHEAD 12
#define AT_ONCE 4 /* terms of a row */

typedef struct {
    /* Rows: values, their columns, and where each row starts. */
    const float *values;
    const int32_t *columns;
    const int64_t *starts;
    size_t n_rows, n_columns;
    /* The topics of rows, row after row, and where those of each row start. */
    const int64_t *y, *y_starts;
    /* What errors cost: of each row, and of each of its topics. */
    const float *negative, *positive;
    /* What is learned. */
    float *weights, *biases, *sums;
    const float *rates;
    float *highest, *right; /* or NULL: not asked for */
    int64_t first_topic;
    size_t n_topics;
    /* Of the minibatch: a row of scores, then of slopes, for each of its rows. */
    float *slopes, *common;
    float *scores; /* of one row */
    /* Of each column, its number among those that the minibatch names, if it is one of these. As it
       may be any number if not, nothing has to be written before or after a minibatch. */
    int32_t *numbers;
    /* Of the minibatch: which columns it names, and gradients. */
    int32_t *named;
    size_t n_named, room;
    /* Columns of one row, and rows of the minibatch, as they were checked. */
    int32_t *row;
    size_t row_room;
    int32_t rows[MOST_SUMMED];
    float *gradients;
} Workspace;

/* Return the sum of so many values, at most MOST_SUMMED. */
static float sum_of(const float *values, size_t n)
{
    float sum = 0, part[8];
    size_t i = 0;
    if (n >= 8) {
        memcpy(part, values, sizeof part);
        for (i = 8; i < n - n % 8; i += 8)
            for (size_t k = 0; k < 8; k++)
                part[k] += values[i + k];
        sum = ((part[0] + part[1]) + (part[2] + part[3])) +
              ((part[4] + part[5]) + (part[6] + part[7]));
    }
    for (; i < n; i++)
        sum += values[i];
    return sum;
}

static inline void add(float *restrict to, const float *restrict from, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += factor * from[i];
}

static inline void prefetch_weights(const float *weights, size_t n)
{
    const char *place = (const char *)weights;
    for (size_t i = 0; i < n * sizeof(float); i += CACHE_LINE)
        prefetch(place + i);
}

/* Return the learning rate that a gradient leaves, which counts from now on. */
static float rate_after(const float *gradient, size_t n, float *sum, float rate)
{
    float squares[MOST_SUMMED];
    for (size_t i = 0; i < n; i++)
        squares[i] = gradient[i] * gradient[i];
    *sum += sum_of(squares, n) / (float)n;
    return rate / sqrtf(*sum);
}

enum { DONE, NO_MEMORY, NO_SUCH_ROW, NO_SUCH_COLUMN };

/* Make room for the columns of a row. */
static int make_row(Workspace *work, size_t n)
{
    if (n <= work->row_room)
        return 1;
    if (n > SIZE_MAX / 2 / sizeof(int32_t))
        return 0;
    int32_t *row = realloc(work->row, n * sizeof *row);
    if (!row)
        return 0;
    work->row = row;
    work->row_room = n;
    return 1;
}

/* Write the scores of a row. */
static int score(Workspace *work, int64_t row, float *restrict scores)
{
    size_t n = work->n_topics;
    int64_t start = work->starts[row], end = work->starts[row + 1];
    /* Another thread may write to the caller's array, so that each column is read once. */
    if (!make_row(work, (size_t)(end - start)))
        return NO_MEMORY;
    for (int64_t i = start; i < end; i++) {
        int32_t column = work->columns[i];
        if (column < 0 || (size_t)column >= work->n_columns)
            return NO_SUCH_COLUMN;
        work->row[i - start] = column;
    }
    memset(scores, 0, n * sizeof *scores);
    int64_t i = start;
    for (; i + AT_ONCE <= end; i += AT_ONCE) { /* scores are loaded and stored as often less */
        const float *const weights = work->weights, *const values = work->values + i;
        const int32_t *columns = work->row + (i - start);
        const float *restrict a = weights + (size_t)columns[0] * n;
        const float *restrict b = weights + (size_t)columns[1] * n;
        const float *restrict c = weights + (size_t)columns[2] * n;
        const float *restrict d = weights + (size_t)columns[3] * n;
        float by_a = values[0], by_b = values[1], by_c = values[2], by_d = values[3];
        for (int64_t later = i + AHEAD; later < i + AHEAD + AT_ONCE && later < end; later++)
            prefetch_weights(weights + (size_t)work->row[later - start] * n, n);
        for (size_t k = 0; k < n; k++)
            scores[k] = scores[k] + by_a * a[k] + by_b * b[k] + by_c * c[k] + by_d * d[k];
    }
    for (; i < end; i++)
        add(scores, work->weights + (size_t)work->row[i - start] * n, work->values[i], n);
    for (size_t i = 0; i < n; i++)
        scores[i] += work->biases[i];
    return DONE;
}

/* Turn a row's scores into the derivative of the loss with respect to each. */
static void make_slope(const Workspace *work, int64_t row, float *scores)
{
    size_t n = work->n_topics;
    int64_t start = work->y_starts[row], end = work->y_starts[row + 1];
    float cost = work->negative[row];
    if (work->highest) {
        float highest = scores[0];
        for (size_t i = 1; i < n; i++)
            highest = scores[i] > highest ? scores[i] : highest;
        work->highest[row] = highest;
    }
    if (start < end)
        memcpy(work->scores, scores, n * sizeof *scores);
    for (size_t i = 0; i < n; i++) {
        float error = 1 + scores[i];
        scores[i] = (error > 0 ? error : 0) * cost * 2;
    }
    for (int64_t i = start; i < end; i++) {
        int64_t named = work->y[i];
        if (named < work->first_topic || (uint64_t)named - (uint64_t)work->first_topic >= n)
            continue;
        size_t topic = (size_t)(named - work->first_topic);
        float own = work->scores[topic];
        if (work->right)
            work->right[row] = own;
        scores[topic] = -(1 - own > 0 ? 1 - own : 0) * work->positive[i] * 2;
    }
}

/* Make room for the gradients of the columns that a row may name besides those before. */
static int make_room(Workspace *work, size_t more)
{
    size_t most = SIZE_MAX / 2 / sizeof(float) / work->n_topics;
    if (more > most || work->n_named > most - more)
        return 0;
    size_t needed = work->n_named + more;
    if (needed <= work->room)
        return 1;
    size_t room = needed + work->room;
    if (room > most)
        return 0;
    int32_t *named = realloc(work->named, room * sizeof *named);
    if (named)
        work->named = named;
    float *gradients = realloc(work->gradients, room * work->n_topics * sizeof *gradients);
    if (gradients)
        work->gradients = gradients;
    if (!named || !gradients)
        return 0;
    work->room = room;
    return 1;
}

/* Add what a row says to the gradients of its columns. */
static int add_gradient(Workspace *work, int64_t row, const float *slope)
{
    size_t n = work->n_topics;
    int64_t start = work->starts[row], end = work->starts[row + 1];
    size_t n_right = 0; /* topics from which there is nothing to learn */
    while (n_right < n && slope[n_right] == 0)
        n_right++;
    if (n_right == n)
        return DONE;
    if (!make_room(work, (size_t)(end - start)))
        return NO_MEMORY;
    for (int64_t i = start; i < end; i++) {
        int32_t column = work->columns[i];
        if (column < 0 || (size_t)column >= work->n_columns)
            return NO_SUCH_COLUMN;
        if (i + AHEAD < end)
            prefetch((const char *)work->numbers + (size_t)(uint32_t)work->columns[i + AHEAD] * sizeof(int32_t));
        uint32_t number = (uint32_t)work->numbers[column];
        if (number >= work->n_named || work->named[number] != column) {
            memset(work->gradients + work->n_named * n, 0, n * sizeof(float));
            number = (uint32_t)work->n_named;
            work->numbers[column] = (int32_t)number;
            work->named[work->n_named++] = column;
        }
        add(work->gradients + (size_t)number * n, slope, work->values[i], n);
    }
    return DONE;
}

/* Move the weights of the columns that were named, and the biases. */
static void move(Workspace *work, size_t n_rows)
{
    size_t n = work->n_topics;
    for (size_t k = 0; k < work->n_named; k++) {
        int32_t column = work->named[k];
        const float *gradient = work->gradients + k * n;
        float *weights = work->weights + (size_t)column * n;
        if (k + AHEAD < work->n_named) {
            int32_t later = work->named[k + AHEAD];
            prefetch_weights(work->weights + (size_t)later * n, n);
            prefetch(work->sums + later);
            prefetch(work->rates + later);
        }
        float rate = rate_after(gradient, n, work->sums + column, work->rates[column]);
        for (size_t i = 0; i < n; i++)
            weights[i] -= gradient[i] * rate;
    }
    work->n_named = 0;
    /* The biases are the weights of a term that every document has. */
    if (n == 1)
        work->common[0] = sum_of(work->slopes, n_rows);
    else {
        memset(work->common, 0, n * sizeof(float));
        for (size_t row = 0; row < n_rows; row++)
            add(work->common, work->slopes + row * n, 1, n);
    }
    float rate = rate_after(work->common, n, work->sums + work->n_columns,
                            work->rates[work->n_columns]);
    for (size_t i = 0; i < n; i++)
        work->biases[i] -= rate * work->common[i];
}

/* Take one step downhill. */
static int step(Workspace *work, const int32_t *rows, size_t n_rows)
{
    int done = DONE;
    for (size_t i = 0; i < n_rows; i++) {
        float *slope = work->slopes + i * work->n_topics;
        int32_t row = work->rows[i] = rows[i];
        if (row < 0 || (size_t)row >= work->n_rows)
            return NO_SUCH_ROW;
        if ((done = score(work, row, slope)) != DONE)
            return done;
        make_slope(work, row, slope);
    }
    for (size_t i = 0; i < n_rows; i++)
        if ((done = add_gradient(work, work->rows[i], work->slopes + i * work->n_topics)) != DONE)
            return done;
    move(work, n_rows);
    return DONE;
}

static int run(Workspace *work, const int32_t *rows, const int64_t *sizes, size_t n_steps)
{
    size_t n = work->n_topics;
    work->slopes = malloc(MOST_SUMMED * n * sizeof(float));
    work->common = malloc(n * sizeof(float));
    work->scores = malloc(n * sizeof(float));
    int done = work->slopes && work->common && work->scores ? DONE : NO_MEMORY;
    for (size_t i = 0; done == DONE && i < n_steps; rows += sizes[i++])
        done = step(work, rows, (size_t)sizes[i]);
    void *memory[] = {work->slopes, work->common, work->scores, work->named, work->gradients,
                      work->row};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        free(memory[i]);
    return done;
}

/* ------------------------------------------------------------------------------------------------
   Python
   --------------------------------------------------------------------------------------------- */

enum { VALUES, COLUMNS, STARTS, Y, Y_STARTS, NEGATIVE, POSITIVE, ROWS, SIZES, RATES, WEIGHTS, BIASES, SUMS,
       NUMBERS, HIGHEST, RIGHT, N_ARRAYS };

static const size_t item_sizes[N_ARRAYS] = {4, 4, 8, 8, 8, 4, 4, 4, 8, 4, 4, 4, 4, 4, 4, 4};

/* Whether starts ascend from 0 or more to at most the number of items. */
static int ascend(const int64_t *starts, size_t n, size_t n_items)
{
    if (starts[0] < 0 || starts[n] > (int64_t)n_items)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (starts[i] > starts[i + 1])
            return 0;
    return 1;
}

/* What bounds all that is read: copies, as another thread may write to the caller's arrays. */
typedef struct {
    int64_t *starts, *y_starts, *sizes;
} Bounds;

static void free_bounds(Bounds *bounds)
{
    free(bounds->starts);
    free(bounds->y_starts);
    free(bounds->sizes);
}

/* Whether the arrays are as long as each other says. */
static int fit_together(const Py_buffer *arrays, const Bounds *bounds, int64_t first_topic)
{
    size_t n[N_ARRAYS];
    for (size_t i = 0; i < N_ARRAYS; i++) {
        n[i] = (size_t)arrays[i].len / item_sizes[i];
        if ((size_t)arrays[i].len % item_sizes[i])
            return 0;
    }
    size_t n_rows = n[NEGATIVE], n_topics = n[BIASES], n_listed = 0;
    if (n[STARTS] != n_rows + 1 || n[COLUMNS] != n[VALUES] || n[Y_STARTS] != n_rows + 1 ||
        n[POSITIVE] != n[Y] || n[RATES] != n[SUMS] || !n[SUMS] || !n_topics ||
        n_topics > MOST_SUMMED || n[WEIGHTS] != (n[SUMS] - 1) * n_topics ||
        n[NUMBERS] != n[SUMS] - 1 || n[SUMS] > INT32_MAX || first_topic < 0)
        return 0;
    for (size_t i = HIGHEST; i <= RIGHT; i++)
        if (arrays[i].obj && (arrays[i].readonly || n[i] != n_rows))
            return 0;
    if (!arrays[HIGHEST].obj != !arrays[RIGHT].obj)
        return 0;
    if (!ascend(bounds->starts, n_rows, n[VALUES]) || !ascend(bounds->y_starts, n_rows, n[Y]))
        return 0;
    const int64_t *sizes = bounds->sizes;
    for (size_t i = 0; i < n[SIZES]; i++) {
        if (sizes[i] < 1 || sizes[i] > MOST_SUMMED)
            return 0;
        n_listed += (size_t)sizes[i];
    }
    return n_listed == n[ROWS];
}

PyDoc_STRVAR(descend_doc,
"descend(values, columns, starts, y, y_starts, negative, positive, rows, sizes, rates, weights, biases, sums,"
" numbers, highest, right, first_topic)\n--\n\n"
"Take a step for each minibatch.\n\n"
"Parameters\n"
"----------\n"
"values : float32 array; columns : int32 array; starts : int64 array, shape (n_rows + 1,)\n"
"    All rows, as in CSR.\n"
"y : int64 array, shape (n_labels,); y_starts : int64 array, shape (n_rows + 1,)\n"
"    The topics of rows, row after row, and where those of each row start.\n"
"negative : float32 array, shape (n_rows,); positive : float32 array, shape (n_labels,)\n"
"    Costs of errors on topics that the row does not have, and on each that it has.\n"
"rows : int32 array; sizes : int64 array\n"
"    The rows of one minibatch after the other, and how many each has: at most 128.\n"
"rates : float32 array, shape (n_columns + 1,)\n"
"weights : float32 array, shape (n_columns, n_topics), of at most 128 topics\n"
"    Changed in place, as all that follow.\n"
"biases : float32 array, shape (n_topics,)\n"
"sums : float32 array, shape (n_columns + 1,)\n"
"numbers : int32 array, shape (n_columns,)\n"
"    Memory to work in: its values don't matter.\n"
"highest, right : float32 arrays, shape (n_rows,), or None\n"
"first_topic : int\n"
"    Which of all topics the first column is.");

static PyObject *descend(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer arrays[N_ARRAYS];
    long long first_topic;
    memset(arrays, 0, sizeof arrays);
    PyObject *result = NULL;
    Bounds bounds = {NULL, NULL, NULL};
    if (!PyArg_ParseTuple(
            arguments, "O&O&O&O&O&O&O&O&O&O&O&O&O&O&O&O&L",
            borrow_floats, arrays + VALUES, borrow_int32, arrays + COLUMNS,
            borrow_int64, arrays + STARTS, borrow_int64, arrays + Y, borrow_int64, arrays + Y_STARTS,
            borrow_floats, arrays + NEGATIVE, borrow_floats, arrays + POSITIVE,
            borrow_int32, arrays + ROWS, borrow_int64, arrays + SIZES, borrow_floats, arrays + RATES,
            borrow_writable_floats, arrays + WEIGHTS, borrow_writable_floats, arrays + BIASES,
            borrow_writable_floats, arrays + SUMS, borrow_writable_int32, arrays + NUMBERS,
            borrow_optional_writable_floats, arrays + HIGHEST,
            borrow_optional_writable_floats, arrays + RIGHT, &first_topic))
        goto release;
    bounds = (Bounds){copy_of(arrays + STARTS), copy_of(arrays + Y_STARTS), copy_of(arrays + SIZES)};
    if (!bounds.starts || !bounds.y_starts || !bounds.sizes) {
        PyErr_NoMemory();
        goto release;
    }
    if (!fit_together(arrays, &bounds, first_topic)) {
        PyErr_SetString(PyExc_ValueError, "arrays that do not fit together");
        goto release;
    }
    Workspace work = {
        .values = arrays[VALUES].buf, .columns = arrays[COLUMNS].buf, .starts = bounds.starts,
        .n_rows = (size_t)arrays[NEGATIVE].len / sizeof(float),
        .n_columns = (size_t)arrays[SUMS].len / sizeof(float) - 1,
        .y = arrays[Y].buf, .y_starts = bounds.y_starts,
        .negative = arrays[NEGATIVE].buf, .positive = arrays[POSITIVE].buf,
        .weights = arrays[WEIGHTS].buf, .biases = arrays[BIASES].buf, .sums = arrays[SUMS].buf,
        .numbers = arrays[NUMBERS].buf, .rates = arrays[RATES].buf, .highest = arrays[HIGHEST].buf, .right = arrays[RIGHT].buf,
        .first_topic = first_topic, .n_topics = (size_t)arrays[BIASES].len / sizeof(float),
    };
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = run(&work, arrays[ROWS].buf, bounds.sizes,
               (size_t)arrays[SIZES].len / sizeof(int64_t));
    Py_END_ALLOW_THREADS
    if (done == DONE)
        result = Py_BuildValue("");
    else if (done == NO_MEMORY)
        PyErr_NoMemory();
    else
        PyErr_SetString(PyExc_ValueError,
                        done == NO_SUCH_ROW ? "a row that there is not" : "a column that there is not");
release:
    free_bounds(&bounds);
    release_arrays(arrays, N_ARRAYS);
    return result;
}

static PyMethodDef methods[] = {
    {"descend", descend, METH_VARARGS, descend_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "slugline.learning.linear._descent", "Takes steps downhill.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__descent(void)
{
    return PyModuleDef_Init(&definition);
}
