/* Products of few rows with each other, and the minimum of a squared hinge loss in terms of
   them.

   dual.py has the same formulas in NumPy and SciPy; results differ in rounding only.

   All work is on the caller's arrays, without the interpreter's lock. Another thread may write
   to these arrays, but only values are read twice. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_arrays.h"
#include "_compiler.h"

/* If more than one in this many rows has a column, its entries are multiplied by all rows, since
   neighbours in memory are added eight at a time. */
#define DENSE_PART 8
#define MAX_ROWS (1 << 16)

/* Products of rows with one another ------------------------------------------------------------- */

typedef struct {
    const float *values;
    const uint16_t *rows; /* of each entry, in ascending order in each column */
    const int64_t *ends;  /* of the entries of each column */
    size_t n_entries, n_columns, n_rows;
} Columns;

/* Add the products of a column's entries to the lower half of a square table. */
FOR_WIDE_REGISTERS
static void add_products(const Columns *x, float *restrict dense, float *restrict table)
{
    size_t start = 0;
    for (size_t column = 0; column < x->n_columns; column++) {
        size_t end = (size_t)x->ends[column];
        int is_dense = (end - start) * DENSE_PART > x->n_rows;
        for (size_t i = start; is_dense && i < end; i++)
            dense[x->rows[i]] = x->values[i];
        for (size_t i = start; i < end; i++) {
            float value = x->values[i];
            float *restrict sums = table + x->rows[i] * x->n_rows;
            if (is_dense)
                for (size_t row = 0; row <= x->rows[i]; row++)
                    sums[row] += value * dense[row];
            else
                for (size_t j = start; j <= i; j++)
                    sums[x->rows[j]] += value * x->values[j];
        }
        for (size_t i = start; is_dense && i < end; i++)
            dense[x->rows[i]] = 0;
        start = end;
    }
}

static void mirror(float *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            table[j * n + i] = table[i * n + j];
}

/* Return 1 if all entries are inside of the table and rows are in order. */
static int is_sound(const Columns *x)
{
    size_t start = 0;
    for (size_t column = 0; column < x->n_columns; column++) {
        size_t end = (size_t)x->ends[column];
        if (x->ends[column] < 0 || end < start || end > x->n_entries)
            return 0;
        for (size_t i = start; i < end; i++)
            if (x->rows[i] >= x->n_rows || (i > start && x->rows[i] <= x->rows[i - 1]))
                return 0;
        start = end;
    }
    return start == x->n_entries;
}

PyDoc_STRVAR(gram_doc,
"gram(values, rows, ends, table)\n--\n\n"
"Replace a table by the products of rows with one another.\n\n"
"Parameters\n"
"----------\n"
"values : float32 array; rows : uint16 array\n"
"    Entries, column by column.\n"
"ends : int64 array\n"
"    End of each column's entries.\n"
"table : float32 array, shape (n_rows, n_rows)\n"
"    Changed in place.");

/* The square root of a number of items, or 0 if it is not a square. */
static size_t side_of(const Py_buffer *table)
{
    size_t n = n_items(table), side = (size_t)sqrt((double)n);
    return side * side == n && side <= MAX_ROWS ? side : 0;
}

static PyObject *gram(PyObject *module, PyObject *arguments)
{
    Py_buffer lent[4];
    PyObject *result = NULL;
    (void)module;
    memset(lent, 0, sizeof lent);
    if (!PyArg_ParseTuple(arguments, "O&O&O&O&", borrow_floats, lent, borrow_uint16, lent + 1,
                          borrow_int64, lent + 2, borrow_writable_floats, lent + 3)) {
        release_arrays(lent, 4);
        return NULL;
    }
    uint16_t *rows = copy_of(lent + 1);
    int64_t *ends = copy_of(lent + 2);
    Columns x = {lent[0].buf, rows, ends, (size_t)lent[0].len / sizeof(float),
                 (size_t)lent[2].len / sizeof(int64_t), side_of(lent + 3)};
    float *dense = calloc(x.n_rows + 1, sizeof(float));
    if (!rows || !ends || !dense)
        PyErr_NoMemory();
    else if (!x.n_rows || (size_t)lent[1].len / sizeof(uint16_t) != x.n_entries || !is_sound(&x))
        PyErr_SetString(PyExc_ValueError, "arrays that do not fit together");
    else {
        PyThreadState *state = PyEval_SaveThread();
        memset(lent[3].buf, 0, (size_t)lent[3].len);
        add_products(&x, dense, lent[3].buf);
        mirror(lent[3].buf, x.n_rows);
        PyEval_RestoreThread(state);
        result = Py_BuildValue("");
    }
    free(rows);
    free(ends);
    free(dense);
    release_arrays(lent, 4);
    return result;
}

/* The minimum ------------------------------------------------------------------------------------ */

/* Partial sums of a dot product. */
#define LANES 8

/* One topic. */
typedef struct {
    const float *gram, *signs, *costs;
    float *coefficients, bias;
    size_t n_rows;
} Problem;

typedef struct {
    float precision, forcing, slope;
    int n_sweeps, most_steps, most_products, most_cuts;
} Limits;

/* Memory for one value per row. */
typedef struct {
    float *scores, *step, *change, *solution, *residual, *scaled, *direction, *product, *inverse;
    float *square; /* of the active rows */
    int32_t *active;
} Room;

enum { N_VECTORS = 9 };

FOR_WIDE_REGISTERS
static double dot(const float *x, const float *y, size_t n)
{
    double lanes[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += (double)x[i + lane] * (double)y[i + lane];
    for (size_t lane = 0; i + lane < n; lane++)
        lanes[lane] += (double)x[i + lane] * (double)y[i + lane];
    for (size_t lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

/* Sum the rows of a table in order, each times a factor; skip rows with factor 0. Sums of four
   rows at a time stay in registers. */
FOR_WIDE_REGISTERS
static void add_rows(const float *table, const float *factors, size_t n, float *restrict sums)
{
    const float *rows[4];
    float by[4];
    size_t n_rows = 0;
    memset(sums, 0, n * sizeof(float));
    for (size_t row = 0; row < n; row++) {
        if (factors[row] == 0)
            continue;
        rows[n_rows] = table + row * n;
        by[n_rows++] = factors[row];
        if (n_rows < 4)
            continue;
        n_rows = 0;
        const float *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
        for (size_t i = 0; i < n; i++)
            sums[i] = (((sums[i] + r0[i] * by[0]) + r1[i] * by[1]) + r2[i] * by[2]) + r3[i] * by[3];
    }
    for (size_t j = 0; j < n_rows; j++)
        for (size_t i = 0; i < n; i++)
            sums[i] += rows[j][i] * by[j];
}

/* Return the signed error of a row: positive if its score should be higher, 0 if it is right. */
INLINE float error_of(const Problem *problem, size_t row, float score)
{
    float error = (problem->signs[row] - problem->bias) - score;
    return problem->signs[row] * error > 0 ? error : 0;
}

/* List the rows with an error; return the largest difference between a row's coefficient and the
   one for its error, or between the errors if rows cost more than 1. */
static float list_active(const Problem *problem, Room *room, size_t *n_active)
{
    float worst = 0;
    *n_active = 0;
    for (size_t row = 0; row < problem->n_rows; row++) {
        float error = error_of(problem, row, room->scores[row]), cost = problem->costs[row];
        if (cost <= 0)
            continue;
        float difference = fabsf(cost * error - problem->coefficients[row]) / (cost > 1 ? cost : 1);
        worst = difference > worst ? difference : worst;
        if (error != 0)
            room->active[(*n_active)++] = (int32_t)row;
    }
    return worst;
}

/* Copy the active rows and columns of a table. */
FOR_WIDE_REGISTERS
static void take_square(const float *table, size_t n, const int32_t *active, size_t n_active,
                        float *restrict square)
{
    for (size_t i = 0; i < n_active; i++) {
        const float *row = table + (size_t)active[i] * n;
        for (size_t j = 0; j < n_active; j++)
            square[i * n_active + j] = row[active[j]];
    }
}

/* Solve for coefficients that fit the errors of active rows, by conjugate gradients from the
   current ones. */
static void solve(const Problem *problem, Room *room, size_t n, const Limits *limits)
{
    take_square(problem->gram, problem->n_rows, room->active, n, room->square);
    for (size_t i = 0; i < n; i++) {
        int32_t row = room->active[i];
        float *diagonal = room->square + i * n + i;
        *diagonal += 1 / problem->costs[row];
        room->inverse[i] = 1 / *diagonal;
        room->solution[i] = problem->coefficients[row];
    }
    add_rows(room->square, room->solution, n, room->product);
    for (size_t i = 0; i < n; i++) {
        float goal = problem->signs[room->active[i]] - problem->bias;
        room->residual[i] = goal - room->product[i];
        room->direction[i] = room->scaled[i] = room->inverse[i] * room->residual[i];
    }
    double norm = dot(room->residual, room->scaled, n);
    double goal = norm * (double)limits->forcing * (double)limits->forcing;
    for (int i = 0; i < limits->most_products && norm > goal; i++) {
        add_rows(room->square, room->direction, n, room->product);
        float length = (float)(norm / dot(room->direction, room->product, n));
        for (size_t j = 0; j < n; j++) {
            room->solution[j] += length * room->direction[j];
            room->residual[j] -= length * room->product[j];
            room->scaled[j] = room->inverse[j] * room->residual[j];
        }
        double next = dot(room->residual, room->scaled, n);
        float beta = (float)(next / norm);
        norm = next;
        for (size_t j = 0; j < n; j++)
            room->direction[j] = room->scaled[j] + beta * room->direction[j];
    }
}

/* Return the derivative along the step at a fraction of it. */
static double slope_at(const Problem *problem, Room *room, float fraction, double linear, double squared)
{
    for (size_t row = 0; row < problem->n_rows; row++) {
        float error = error_of(problem, row, room->scores[row] + fraction * room->change[row]);
        room->product[row] = problem->costs[row] * error;
    }
    return linear + (double)fraction * squared - dot(room->product, room->change, problem->n_rows);
}

/* Return the fraction of the step at which the function stops falling, or rises only little. */
static float fraction_of(const Problem *problem, Room *room, const Limits *limits)
{
    size_t n = problem->n_rows;
    double linear = dot(problem->coefficients, room->change, n);
    double squared = dot(room->step, room->change, n);
    double start = slope_at(problem, room, 0, linear, squared);
    float fraction = 1;
    for (int i = 0; i < limits->most_cuts; i++) {
        double end = slope_at(problem, room, fraction, linear, squared);
        if (end <= (double)limits->slope * fabs(start))
            break;
        /* The zero of a straight line through both slopes. */
        double ratio = start / (start - end);
        ratio = ratio < 0.1 ? 0.1 : ratio > 0.9 ? 0.9 : ratio;
        fraction *= (float)ratio;
    }
    return fraction;
}

/* Set each row's coefficient in turn to the best one given the others. */
FOR_WIDE_REGISTERS
static void sweep(const Problem *problem, float *restrict scores)
{
    for (size_t row = 0; row < problem->n_rows; row++) {
        const float *products = problem->gram + row * problem->n_rows;
        float cost = problem->costs[row], before = problem->coefficients[row];
        float error = (problem->signs[row] - problem->bias) - (scores[row] - products[row] * before);
        float best = problem->signs[row] * error > 0 ? cost * error / (1 + cost * products[row]) : 0;
        float change = best - before;
        if (change == 0)
            continue;
        problem->coefficients[row] = best;
        for (size_t i = 0; i < problem->n_rows; i++)
            scores[i] += change * products[i];
    }
}

static void descend(const Problem *problem, Room *room, const Limits *limits)
{
    size_t n = problem->n_rows, n_active;
    add_rows(problem->gram, problem->coefficients, n, room->scores);
    for (int i = 0; i < limits->n_sweeps; i++)
        sweep(problem, room->scores);
    for (int step = 0; step < limits->most_steps; step++) {
        if (list_active(problem, room, &n_active) <= limits->precision)
            break;
        solve(problem, room, n_active, limits);
        for (size_t row = 0; row < n; row++)
            room->step[row] = -problem->coefficients[row];
        for (size_t i = 0; i < n_active; i++)
            room->step[room->active[i]] += room->solution[i];
        add_rows(problem->gram, room->step, n, room->change);
        float fraction = fraction_of(problem, room, limits);
        for (size_t row = 0; row < n; row++) {
            problem->coefficients[row] += fraction * room->step[row];
            room->scores[row] += fraction * room->change[row];
        }
    }
}

/* Allocate memory, or return 0. It is freed at `room->scores` and `room->active`. */
static int allocate(Room *room, size_t n)
{
    float **vectors[N_VECTORS] = {&room->scores, &room->step, &room->change, &room->solution,
                                  &room->residual, &room->scaled, &room->direction,
                                  &room->product, &room->inverse};
    float *memory = malloc((N_VECTORS * n + n * n) * sizeof(float));
    room->active = malloc(n * sizeof(int32_t));
    room->scores = memory;
    if (!memory || !room->active)
        return 0;
    for (size_t i = 0; i < N_VECTORS; i++)
        *vectors[i] = memory + i * n;
    room->square = memory + N_VECTORS * n;
    return 1;
}

PyDoc_STRVAR(minimize_doc,
"minimize(gram, signs, costs, coefficients, bias, precision, forcing, slope, n_sweeps, "
"most_steps, most_products, most_cuts)\n--\n\n"
"Minimize over the coefficients of rows, for each topic.\n\n"
"Parameters\n"
"----------\n"
"gram : float32 array, shape (n_rows, n_rows)\n"
"signs, costs : float32 arrays, shape (n_topics, n_rows)\n"
"coefficients : float32 array, shape (n_topics, n_rows)\n"
"    Starting point; changed in place.\n"
"bias, precision, forcing, slope : float\n"
"n_sweeps, most_steps, most_products, most_cuts : int\n"
"    See `dual.py`.");

static PyObject *minimize(PyObject *module, PyObject *arguments)
{
    Py_buffer lent[4];
    PyObject *result = NULL;
    Limits limits;
    Room room = {0};
    float bias;
    (void)module;
    memset(lent, 0, sizeof lent);
    if (!PyArg_ParseTuple(arguments, "O&O&O&O&ffffiiii", borrow_floats, lent, borrow_floats, lent + 1,
                          borrow_floats, lent + 2, borrow_writable_floats, lent + 3, &bias,
                          &limits.precision, &limits.forcing, &limits.slope, &limits.n_sweeps,
                          &limits.most_steps, &limits.most_products, &limits.most_cuts)) {
        release_arrays(lent, 4);
        return NULL;
    }
    size_t n = side_of(lent);
    if (!n || lent[1].len != lent[3].len || lent[2].len != lent[3].len
        || (size_t)lent[3].len % (n * sizeof(float)))
        PyErr_SetString(PyExc_ValueError, "arrays that do not fit together");
    else if (!allocate(&room, n))
        PyErr_NoMemory();
    else {
        PyThreadState *state = PyEval_SaveThread();
        size_t n_topics = (size_t)lent[3].len / (n * sizeof(float));
        for (size_t topic = 0; topic < n_topics; topic++) {
            Problem problem = {lent[0].buf, (const float *)lent[1].buf + topic * n,
                               (const float *)lent[2].buf + topic * n,
                               (float *)lent[3].buf + topic * n, bias, n};
            descend(&problem, &room, &limits);
        }
        PyEval_RestoreThread(state);
        result = Py_BuildValue("");
    }
    free(room.scores);
    free(room.active);
    release_arrays(lent, 4);
    return result;
}

static PyMethodDef methods[] = {
    {"gram", gram, METH_VARARGS, gram_doc},
    {"minimize", minimize, METH_VARARGS, minimize_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "slugline.learning.linear._dual", "Minima for few rows.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__dual(void)
{
    return PyModuleDef_Init(&definition);
}
