/* Weighs the rows of documents, and sums the weights of their terms for each topic, and those of
   sums of word vectors.

   slugline/text/feature_groups.py, slugline/text/sparse.py and slugline/learning/encoder/head.py have
   the same formulas in NumPy and SciPy; results differ in rounding only.
   All work is on the caller's arrays. Columns are checked, and numbers that say how much is read are
   copied before they are checked, as arrays may overlap, and another thread may write to them. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_arrays.h"
#include "_products.h"

static PyObject *fail(const char *message)
{
    PyErr_SetString(PyExc_ValueError, message);
    return NULL;
}

/* Let other threads go on beside long products. Few entries take less time than it may take to get the
   interpreter's lock back. */
#define MANY 8192
static PyThreadState *begin(size_t n_entries)
{
    return n_entries < MANY ? NULL : PyEval_SaveThread();
}

static void end(PyThreadState *state)
{
    if (state)
        PyEval_RestoreThread(state);
}

/* ------------------------------------------------------------------------------------------------
   Weights
   --------------------------------------------------------------------------------------------- */

/* A feature group, and how its part of a row is weighed. */
typedef struct {
    int64_t first;    /* its first column */
    const float *idf; /* of each of its columns, or NULL */
    size_t width;     /* how many these are */
    float factor;
    double sum; /* of squares, in this document */
    Py_buffer lent_idf;
} Group;

/* Multiply weights by idf and factor, and sum their squares; 0 if there is no such column. */
static int weigh_part(Group *group, float *values, const int32_t *columns, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        float value = values[i];
        if (group->idf) {
            uint64_t column = (uint64_t)columns[i] - (uint64_t)group->first;
            if (column >= group->width)
                return 0;
            value *= group->idf[column];
        }
        value *= group->factor;
        values[i] = value;
        sum += (double)value * value;
    }
    group->sum = sum;
    return 1;
}

/* Weigh rows; 0 if there is no such column. */
static int weigh_all(float *values, const int32_t *columns, const int64_t *lengths,
                     size_t n_documents, Group *groups, size_t n_groups)
{
    for (; n_documents; n_documents--, lengths += n_groups) {
        double total = 0;
        float *part = values;
        for (size_t b = 0; b < n_groups; b++) {
            if (!weigh_part(groups + b, part, columns, lengths[b]))
                return 0;
            part += lengths[b];
            columns += lengths[b];
            if (groups[b].idf)
                total += groups[b].sum;
        }
        double length = total > 0 ? sqrt(total) : 1;
        for (size_t b = 0; b < n_groups; b++) {
            float scale = (float)(1 / (groups[b].idf ? length : 1));
            for (int64_t i = 0; i < lengths[b]; i++)
                *values++ *= scale;
        }
    }
    return 1;
}

/* Borrow a group's idf; 0 and an exception if it isn't what it has to be. */
static int read_group(PyObject *item, Group *group)
{
    PyObject *idf;
    long long first;
    if (!PyTuple_Check(item)) {
        fail("a group is not a tuple");
        return 0;
    }
    if (!PyArg_ParseTuple(item, "LOf", &first, &idf, &group->factor))
        return 0;
    group->first = first;
    if (idf == Py_None)
        return 1;
    if (!borrow_floats(idf, &group->lent_idf))
        return 0;
    group->idf = group->lent_idf.buf;
    group->width = (size_t)group->lent_idf.len / sizeof(float);
    return 1;
}

/* Release what groups have borrowed, and the groups. */
static void free_groups(Group *groups, size_t n_groups)
{
    for (size_t i = 0; groups && i < n_groups; i++)
        release_arrays(&groups[i].lent_idf, 1);
    free(groups);
}

/* Return the groups in a tuple; NULL and an exception if there is no memory, or one is not what it has
   to be. */
static Group *read_groups(PyObject *items)
{
    size_t n_groups = (size_t)PyTuple_Size(items);
    Group *groups = calloc(n_groups + 1, sizeof(Group));
    if (!groups)
        PyErr_NoMemory();
    for (size_t i = 0; groups && i < n_groups; i++)
        if (!read_group(PyTuple_GetItem(items, (Py_ssize_t)i), groups + i)) {
            free_groups(groups, n_groups);
            return NULL;
        }
    return groups;
}

/* Whether numbers of 0 or more add up to `total`. */
static int add_up(const int64_t *lengths, size_t n, int64_t total)
{
    for (size_t i = 0; i < n; i++) {
        if (lengths[i] < 0 || lengths[i] > total)
            return 0;
        total -= lengths[i];
    }
    return total == 0;
}

PyDoc_STRVAR(weigh_doc,
"weigh(values, columns, lengths, groups)\n--\n\n"
"Turn weights of counts into rows, in place.\n\n"
"Parameters\n"
"----------\n"
"values : float32 array; columns : int32 array\n"
"    Those of each group of the first document, then of the second.\n"
"lengths : int64 array\n"
"    How many each group of each document has.\n"
"groups : tuple of (first, idf, factor)\n"
"    The group's first column, a float32 array or None, and a factor. All groups that have idf\n"
"    get length 1 together.");

static PyObject *weigh(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer lent[3];
    PyObject *items, *result = NULL;
    Group *groups = NULL;
    int64_t *lengths = NULL;
    size_t n_groups = 0;
    memset(lent, 0, sizeof lent);
    if (!PyArg_ParseTuple(arguments, "O&O&O&O!", borrow_writable_floats, lent, borrow_int32, lent + 1,
                          borrow_int64, lent + 2, &PyTuple_Type, &items))
        goto done;
    n_groups = (size_t)PyTuple_Size(items);
    size_t n_lengths = (size_t)lent[2].len / sizeof(int64_t);
    lengths = copy_of(lent + 2);
    if (!lengths) {
        PyErr_NoMemory();
        goto done;
    }
    groups = read_groups(items);
    if (!groups)
        goto done;
    if (!n_groups || n_lengths % n_groups || lent[0].len != lent[1].len
        || !add_up(lengths, n_lengths, lent[0].len / (Py_ssize_t)sizeof(float))) {
        fail("arrays that do not fit together");
        goto done;
    }
    PyThreadState *state = begin((size_t)lent[0].len / sizeof(float));
    int ok = weigh_all(lent[0].buf, lent[1].buf, lengths, n_lengths / n_groups, groups, n_groups);
    end(state);
    result = ok ? Py_BuildValue("") : fail("a column that there is not");
done:
    free_groups(groups, n_groups);
    free(lengths);
    release_arrays(lent, 3);
    return result;
}

/* ------------------------------------------------------------------------------------------------
   Scores
   --------------------------------------------------------------------------------------------- */

#define AT_A_TIME 2048 /* columns that are copied, and checked */

/* Copy the columns of the next entries, and check them; 0 if there is no such column. */
FOR_WIDE_REGISTERS static int take_columns(const Products *all, size_t at, int32_t *columns, Products *part)
{
    size_t n = all->n_entries - at < AT_A_TIME ? all->n_entries - at : AT_A_TIME;
    uint32_t last = 0;
    memcpy(columns, all->columns + at, n * sizeof *columns);
    for (size_t i = 0; i < n; i++)
        last = (uint32_t)columns[i] > last ? (uint32_t)columns[i] : last;
    *part = *all;
    part->values = all->values + at;
    part->columns = columns;
    part->n_entries = n;
    return last < all->n_columns;
}

/* Sum up the weights of the terms of rows, of a sparse table if there is one; 0 if there is no such
   column or weight. Rows that are cut where columns were copied give the same sums. */
static int add_rows(const Products *products, const Sparse *sparse, const int64_t *lengths, size_t n_rows,
                    size_t n_each, float *scores)
{
    int32_t columns[AT_A_TIME];
    Products part = {0};
    size_t first = 0, end = 0, at = 0; /* the part's entries, and the next one */
    for (size_t row = 0; row < n_rows; row++, scores += products->n_topics) {
        size_t stop = at;
        for (size_t n = 0; n < n_each; n++) {
            uint64_t length = (uint64_t)*lengths++;
            if (length > products->n_entries - stop) /* may have changed after it was checked */
                return 0;
            stop += (size_t)length;
        }
        while (at < stop) {
            if (at == end) {
                if (!take_columns(products, at, columns, &part))
                    return 0;
                first = at;
                end = at + part.n_entries;
            }
            size_t until = stop < end ? stop : end;
            if (!sparse)
                add_products_of_row(&part, at - first, until - first, 1, scores);
            else if (!add_sparse_products_of_row(&part, sparse, at - first, until - first, 1, scores))
                return 0;
            at = until;
        }
    }
    return 1;
}

PyDoc_STRVAR(add_products_doc,
"add_products(values, columns, lengths, n_each, table, scores)\n--\n\n"
"Add to scores the weights of each row's terms.\n\n"
"Parameters\n"
"----------\n"
"values : float32 array; columns : int32 array\n"
"    Row after row.\n"
"lengths : int64 array, shape (n_rows * n_each,)\n"
"    How many each of the parts of each row has.\n"
"n_each : int\n"
"table : float32 array, shape (n_columns, n_topics)\n"
"scores : float32 array, shape (n_rows, n_topics)\n"
"    Changed in place.");

static PyObject *add_products(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer lent[5];
    PyObject *result = NULL;
    Py_ssize_t n_each;
    memset(lent, 0, sizeof lent);
    if (!PyArg_ParseTuple(arguments, "O&O&O&nO&O&", borrow_floats, lent, borrow_int32, lent + 1,
                          borrow_int64, lent + 2, &n_each, borrow_floats, lent + 3,
                          borrow_writable_floats, lent + 4))
        goto done;
    const int64_t *lengths = lent[2].buf;
    size_t n_lengths = (size_t)lent[2].len / sizeof *lengths;
    size_t n_rows = n_each > 0 ? n_lengths / (size_t)n_each : 0;
    size_t n_scores = (size_t)lent[4].len / sizeof(float);
    Products products = {.values = lent[0].buf, .columns = lent[1].buf, .table = lent[3].buf,
                 .n_entries = (size_t)lent[0].len / sizeof(float),
                 .n_topics = n_rows ? n_scores / n_rows : 0};
    if (products.n_topics)
        products.n_columns = (size_t)lent[3].len / sizeof(float) / products.n_topics;
    if (lent[0].len != lent[1].len || n_scores != n_rows * products.n_topics
        || n_lengths != n_rows * (size_t)(n_each > 0 ? n_each : 1)
        || !add_up(lengths, n_lengths, (int64_t)products.n_entries)) {
        fail("arrays that do not fit together");
        goto done;
    }
    PyThreadState *state = begin(products.n_entries);
    int ok = add_rows(&products, NULL, lengths, n_rows, (size_t)n_each, lent[4].buf);
    end(state);
    result = ok ? Py_BuildValue("") : fail("a column that there is not");
done:
    release_arrays(lent, 5);
    return result;
}

PyDoc_STRVAR(add_sparse_products_doc,
"add_sparse_products(values, columns, lengths, weights, topics, starts, scores)\n--\n\n"
"Do the same with a table of which few weights are stored, as in CSR; each row has one part.\n\n"
"Parameters\n"
"----------\n"
"values, columns, lengths\n"
"    As for `add_products`.\n"
"weights : float32 array; topics : int32 array; starts : int32 array, shape (n_columns + 1,)\n"
"    The weights that are stored, column after column, and where those of each start. A column\n"
"    with as many weights as there are topics has them in the order of topics.\n"
"scores : float32 array, shape (n_rows, n_topics)\n"
"    Changed in place.");

static PyObject *add_sparse_products(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer lent[7];
    PyObject *result = NULL;
    memset(lent, 0, sizeof lent);
    if (!PyArg_ParseTuple(arguments, "O&O&O&O&O&O&O&", borrow_floats, lent, borrow_int32, lent + 1,
                          borrow_int64, lent + 2, borrow_floats, lent + 3, borrow_int32, lent + 4,
                          borrow_int32, lent + 5, borrow_writable_floats, lent + 6))
        goto done;
    const int64_t *lengths = lent[2].buf;
    size_t n_rows = (size_t)lent[2].len / sizeof *lengths;
    size_t n_scores = (size_t)lent[6].len / sizeof(float), n_starts = (size_t)lent[5].len / sizeof(int32_t);
    Products products = {.values = lent[0].buf, .columns = lent[1].buf,
                 .n_entries = (size_t)lent[0].len / sizeof(float),
                 .n_columns = n_starts ? n_starts - 1 : 0,
                 .n_topics = n_rows ? n_scores / n_rows : 0};
    Sparse sparse = {.weights = lent[3].buf, .topics = lent[4].buf, .starts = lent[5].buf,
                     .n_weights = (size_t)lent[3].len / sizeof(float)};
    if (lent[0].len != lent[1].len || lent[3].len != lent[4].len
        || n_scores != n_rows * products.n_topics
        || !add_up(lengths, n_rows, (int64_t)products.n_entries)) {
        fail("arrays that do not fit together");
        goto done;
    }
    PyThreadState *state = begin(products.n_entries);
    int ok = add_rows(&products, &sparse, lengths, n_rows, 1, lent[6].buf);
    end(state);
    result = ok ? Py_BuildValue("") : fail("a column or weight that there is not");
done:
    release_arrays(lent, 7);
    return result;
}

/* ------------------------------------------------------------------------------------------------
   Scores of sums of word vectors
   --------------------------------------------------------------------------------------------- */

FOR_WIDE_REGISTERS static void add_vectors(const VectorScores *vectors, size_t n_rows, float *scores,
                                           unsigned char *is_known)
{
    for (size_t row = 0; row < n_rows; row++, scores += vectors->n_topics) {
        const float *vector = vectors->sums + row * vectors->n_columns;
        float length = length_of(vector, vectors->n_columns);
        is_known[row] = length > 0 && vectors->known[row] >= vectors->min_known_fraction;
        if (is_known[row])
            add_vector(vectors, vector, length, scores);
    }
}

PyDoc_STRVAR(add_vector_scores_doc,
"add_vector_scores(sums, known, min_known_fraction, weights, biases, factor, scores, is_known)\n--\n\n"
"Add to scores, times a factor, those of sums of vectors, scaled to length 1.\n\n"
"Parameters\n"
"----------\n"
"sums : float32 array, shape (n_rows, n_columns)\n"
"    The number of columns is a multiple of 8.\n"
"known : float32 array, shape (n_rows,)\n"
"min_known_fraction : float\n"
"    Scores of rows of which less is known stay as they are, and those of sums of length 0.\n"
"weights : float32 array, shape (n_groups, n_columns, 8)\n"
"    Those of 8 topics each; in the last group, of the topics that are left, and zeros.\n"
"biases : float32 array, shape (n_topics,)\n"
"factor : float\n"
"scores : float32 array, shape (n_rows, n_topics)\n"
"    Changed in place.\n"
"is_known : bool array, shape (n_rows,)\n"
"    Changed in place: whether scores were added.");

static PyObject *add_vector_scores(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer lent[6];
    PyObject *result = NULL;
    VectorScores vectors;
    memset(lent, 0, sizeof lent);
    if (!PyArg_ParseTuple(arguments, "O&O&fO&O&fO&O&", borrow_floats, lent, borrow_floats, lent + 1,
                          &vectors.min_known_fraction, borrow_floats, lent + 2, borrow_floats, lent + 3,
                          &vectors.factor, borrow_writable_floats, lent + 4, borrow_writable_bools,
                          lent + 5))
        goto done;
    vectors.sums = lent[0].buf;
    vectors.known = lent[1].buf;
    vectors.weights = lent[2].buf;
    vectors.biases = lent[3].buf;
    size_t n_rows = (size_t)lent[5].len, n_sums = (size_t)lent[0].len / sizeof(float);
    size_t n_weights = (size_t)lent[2].len / sizeof(float);
    vectors.n_topics = (size_t)lent[3].len / sizeof(float);
    size_t n_padded = (vectors.n_topics + TOPICS_AT_ONCE - 1) / TOPICS_AT_ONCE * TOPICS_AT_ONCE;
    vectors.n_columns = n_padded ? n_weights / n_padded : 0;
    if (vectors.n_columns % TOPICS_AT_ONCE || n_weights != vectors.n_columns * n_padded
        || n_sums != n_rows * vectors.n_columns
        || (size_t)lent[1].len / sizeof(float) != n_rows
        || (size_t)lent[4].len / sizeof(float) != n_rows * vectors.n_topics) {
        fail("arrays that do not fit together");
        goto done;
    }
    PyThreadState *state = begin(n_sums);
    add_vectors(&vectors, n_rows, lent[4].buf, lent[5].buf);
    end(state);
    result = Py_BuildValue("");
done:
    release_arrays(lent, 6);
    return result;
}

static PyMethodDef methods[] = {
    {"add_vector_scores", add_vector_scores, METH_VARARGS, add_vector_scores_doc},
    {"add_sparse_products", add_sparse_products, METH_VARARGS, add_sparse_products_doc},
    {"weigh", weigh, METH_VARARGS, weigh_doc},
    {"add_products", add_products, METH_VARARGS, add_products_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "slugline.text._rows", "Weighs and scores rows.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__rows(void)
{
    return PyModuleDef_Init(&definition);
}
