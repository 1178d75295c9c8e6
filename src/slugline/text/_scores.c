/* Score documents in one pass over their bytes: count and weigh their terms, and add up the scores
   of terms and of word vectors for each topic.

   Replaces counting by _kernel.c, then weighing and products in NumPy and SciPy; results differ in
   rounding only. A scorer caches words between calls, in bounded memory.

   Each call uses a separate workspace, so several threads can share a scorer. The interpreter's
   lock guards the list of idle workspaces. After a fork, the child loses workspaces that other
   threads were using. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_products.h"
#include "_terms.h"

/* Weighting of a feature group's counts. */
typedef struct {
    size_t width;            /* columns */
    const float *idf;        /* of each column, or NULL */
    float factor;
    const float *of_counts;  /* the weight of each count from 0 on */
    size_t n_counts;
    Py_buffer lent_idf, lent_counts;
} GroupWeights;

/* Memory for a call. */
typedef struct {
    Finder finder;
    GrowingBuffer columns, values; /* int32_t and float: entries of a document */
    GrowingBuffer ends;            /* size_t: end of its entries in each group */
} Workspace;

#define MAX_IDLE 4                      /* maximum number of idle workspaces */
#define MAX_KEPT_BYTES ((size_t)1 << 20) /* maximum size of a buffer kept between calls */

typedef struct {
    PyObject_HEAD
    FeatureGroup *groups;
    GroupWeights *weights;
    size_t n_groups, n_columns, n_topics;
    Py_ssize_t words_group; /* group that determines known words, or -1 */
    const float *biases;
    Sparse sparse;
    Vectors vectors;
    VectorScores vector_scores;
    int has_vectors;
    Py_buffer lent_table[3], lent_biases, lent_vector_weights, lent_vector_biases;
    Workspace *idle[MAX_IDLE];
    size_t n_idle;
} Scorer;

/* A call's arguments. */
typedef struct {
    const unsigned char *text;
    const int64_t *lengths;
    size_t n_documents;
    float *scores;
    int64_t *n_known, *n_words;
    unsigned char *has_vectors;
    PyObject *weigh_count; /* returns the weight of an unlisted count in a group */
    const char *error;
} Call;

/* ------------------------------------------------------------------------------------------------
   One document
   --------------------------------------------------------------------------------------------- */

/* Get the weight of a count from Python; negative on failure. */
static float weigh_rare_count(Workspace *workspace, const Call *call, float count, size_t group)
{
    Reader *reader = &workspace->finder.reader;
    if (reader->state)
        PyEval_RestoreThread(reader->state);
    PyObject *weight = PyObject_CallFunction(call->weigh_count, "dn", (double)count, (Py_ssize_t)group);
    double value = weight ? PyFloat_AsDouble(weight) : -1;
    Py_XDECREF(weight);
    if (value < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a weight below 0");
    if (reader->state)
        reader->state = PyEval_SaveThread();
    return (float)value;
}

/* Turn counts, some of them unlisted, into weights before idf; 0 on failure. */
static int weigh_rare_counts(const GroupWeights *group, Workspace *workspace, const Call *call, size_t number,
                             float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        values[i] = values[i] < (float)group->n_counts ? group->of_counts[(size_t)values[i]]
                                                       : weigh_rare_count(workspace, call, values[i], number);
        if (values[i] < 0)
            return 0;
    }
    return 1;
}

FOR_WIDE_REGISTERS static float largest_of(const float *values, size_t n)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = values[i] > largest ? values[i] : largest;
    return largest;
}

/* Turn listed counts into weights, or weights before idf if `of_counts` is NULL, add `first` to
   columns, and return the sum of squares. */
FOR_WIDE_REGISTERS static double weigh_counts(const GroupWeights *group, const float *of_counts, int32_t first,
                                              int32_t *columns, float *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float value = of_counts ? of_counts[(int32_t)values[i]] : values[i];
        if (group->idf)
            value *= group->idf[columns[i]];
        value *= group->factor;
        values[i] = value;
        sum += (double)value * value;
        columns[i] += first;
    }
    return sum;
}

/* Count the columns found in a group, and weigh the counts; set `sum` to the sum of squares. Return
   the number of distinct columns, or -1 on failure. */
static int64_t weigh_columns(const Scorer *scorer, size_t number, Workspace *workspace, Call *call,
                             int32_t first, int32_t *columns, float *values, double *sum)
{
    const GroupWeights *group = scorer->weights + number;
    Finder *finder = &workspace->finder;
    int64_t n_put = count_columns(finder, columns, values);
    if (n_put < 0)
        return -1;
    size_t n = (size_t)n_put;
    if (n && (size_t)columns[n - 1] >= group->width) {
        call->error = "a column that there is not";
        return -1;
    }
    int is_listed = !finder->has_large_counts && group->n_counts > MOST;
    if (!is_listed)
        is_listed = largest_of(values, n) < (float)group->n_counts;
    if (!is_listed && !weigh_rare_counts(group, workspace, call, number, values, n))
        return -1;
    *sum = weigh_counts(group, is_listed ? group->of_counts : NULL, first, columns, values, n);
    return n_put;
}

/* Put the weighted, still unscaled entries of a document's terms into the workspace; return the sum
   of squares in groups with idf, negative on failure. */
static double put_entries(const Scorer *scorer, Workspace *workspace, Call *call, int64_t *n_known)
{
    Finder *finder = &workspace->finder;
    double total = 0;
    workspace->columns.size = workspace->values.size = workspace->ends.size = 0;
    int32_t first = 0;
    for (size_t i = 0; i < scorer->n_groups; i++) {
        const GroupWeights *group = scorer->weights + i;
        if (!find_columns(finder, i))
            return -1;
        size_t n = finder->columns.size / sizeof(uint32_t), end;
        if ((Py_ssize_t)i == scorer->words_group)
            *n_known = (int64_t)n;
        if (!make_room(&workspace->columns, (n + 1) * sizeof(int32_t))
            || !make_room(&workspace->values, (n + 1) * sizeof(float)))
            return -1;
        int32_t *columns = (int32_t *)(workspace->columns.bytes + workspace->columns.size);
        float *values = (float *)(workspace->values.bytes + workspace->values.size);
        double sum = 0;
        int64_t n_put = weigh_columns(scorer, i, workspace, call, first, columns, values, &sum);
        if (n_put < 0)
            return -1;
        if (group->idf)
            total += sum;
        first += (int32_t)group->width;
        workspace->columns.size += (size_t)n_put * sizeof(int32_t);
        workspace->values.size += (size_t)n_put * sizeof(float);
        end = workspace->values.size / sizeof(float);
        if (!push(&workspace->ends, &end, sizeof end))
            return -1;
    }
    return total;
}

/* Add the scores of a document's sum of vectors; return 1 if there are any. */
FOR_WIDE_REGISTERS static unsigned char score_vectors(const VectorScores *vectors, const float *sum,
                                                      float known, float *scores)
{
    float length = length_of(sum, vectors->n_columns);
    if (!(length > 0 && known >= vectors->min_known_fraction))
        return 0;
    add_vector(vectors, sum, length, scores);
    return 1;
}

/* Score a document whose words have been found; 0 on failure. */
static int score_document(const Scorer *scorer, Workspace *workspace, Call *call, size_t document)
{
    Finder *finder = &workspace->finder;
    float *scores = call->scores + document * scorer->n_topics, known = 0, sum[MAX_COLUMNS];
    call->n_words[document] = call->n_known[document] = (int64_t)(finder->reader.words.size / sizeof(Word));
    if (!find_records(finder) || (finder->vectors && !find_rows(finder, &known)))
        return 0;
    double total = put_entries(scorer, workspace, call, call->n_known + document);
    if (total < 0)
        return 0;
    double length = total > 0 ? sqrt(total) : 1;
    Products products = {.values = (const float *)workspace->values.bytes,
                         .columns = (const int32_t *)workspace->columns.bytes,
                         .n_topics = scorer->n_topics};
    const size_t *ends = (const size_t *)workspace->ends.bytes;
    memset(scores, 0, scorer->n_topics * sizeof *scores);
    for (size_t i = 0, at = 0; i < scorer->n_groups; at = ends[i++]) {
        float scale = (float)(1 / (scorer->weights[i].idf ? length : 1));
        if (!add_products_of_row(&products, &scorer->sparse, at, ends[i], scale, scores)) {
            call->error = "a weight that there is not";
            return 0;
        }
    }
    for (size_t i = 0; i < scorer->n_topics; i++)
        scores[i] += scorer->biases[i];
    if (finder->vectors) {
        sum_rows(finder->vectors, (const uint32_t *)finder->rows.bytes,
                 finder->rows.size / sizeof(uint32_t), sum);
        call->has_vectors[document] = score_vectors(&scorer->vector_scores, sum, known, scores);
    }
    return 1;
}

static int score_all(const Scorer *scorer, Workspace *workspace, Call *call)
{
    const unsigned char *at = call->text;
    for (size_t document = 0; document < call->n_documents; document++) {
        size_t length = (size_t)call->lengths[document];
        if (!read_document(&workspace->finder.reader, at, length, document)
            || !score_document(scorer, workspace, call, document))
            return 0;
        at += length + 1; /* a space follows */
    }
    return 1;
}

/* ------------------------------------------------------------------------------------------------
   Workspaces
   --------------------------------------------------------------------------------------------- */

static void free_workspace(Workspace *workspace)
{
    close_finder(&workspace->finder);
    free(workspace->columns.bytes);
    free(workspace->values.bytes);
    free(workspace->ends.bytes);
    free(workspace);
}

/* Return a workspace that no other call uses; NULL with an exception. */
static Workspace *take_workspace(Scorer *scorer)
{
    if (scorer->n_idle)
        return scorer->idle[--scorer->n_idle];
    Workspace *workspace = calloc(1, sizeof *workspace);
    if (!workspace) {
        PyErr_NoMemory();
        return NULL;
    }
    workspace->finder.groups = scorer->groups;
    workspace->finder.n_groups = scorer->n_groups;
    workspace->finder.vectors = scorer->has_vectors ? &scorer->vectors : NULL;
    return workspace;
}

/* Keep a workspace for other calls, unless there are enough or a long document has enlarged it. */
static void return_workspace(Scorer *scorer, Workspace *workspace)
{
    const Finder *finder = &workspace->finder;
    const GrowingBuffer *buffers[] = {
        &finder->reader.text, &finder->reader.words, &finder->hashes, &finder->columns, &finder->spare,
        &finder->bounds, &finder->rows, &finder->places, &workspace->columns,
        &workspace->values};
    int is_large = finder->cache.records.capacity > 2 * MAX_CACHED_BYTES;
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        is_large |= buffers[i]->capacity > MAX_KEPT_BYTES;
    if (is_large || scorer->n_idle == MAX_IDLE)
        free_workspace(workspace);
    else
        scorer->idle[scorer->n_idle++] = workspace;
}

/* ------------------------------------------------------------------------------------------------
   Python's class
   --------------------------------------------------------------------------------------------- */

/* Read a group and its weighting; 0 with an exception. */
static int read_weighted_group(PyObject *item, FeatureGroup *group, GroupWeights *weights)
{
    PyObject *table, *idf;
    Py_ssize_t width;
    if (!PyTuple_Check(item))
        return fail("a group is not a tuple");
    if (!PyArg_ParseTuple(item, "OnOfO&", &table, &width, &idf, &weights->factor, borrow_floats,
                          &weights->lent_counts))
        return 0;
    if (!read_group(table, group))
        return 0;
    if (group->learns || width < 0 || width > INT32_MAX)
        return fail("a group that learns, or of too many columns");
    weights->width = (size_t)width;
    weights->of_counts = weights->lent_counts.buf;
    weights->n_counts = (size_t)weights->lent_counts.len / sizeof(float);
    if (weights->n_counts > MAX_MARKED)
        return fail("a group with too many weights of counts");
    if (idf == Py_None)
        return 1;
    if (!borrow_floats(idf, &weights->lent_idf))
        return 0;
    weights->idf = weights->lent_idf.buf;
    return (size_t)weights->lent_idf.len / sizeof(float) == weights->width
        ? 1 : fail("arrays that do not fit together");
}

/* Read the three arrays of a CSR array of the weights of terms; 0 with an exception. */
static int read_weights(Scorer *scorer, PyObject *item)
{
    Py_buffer *lent = scorer->lent_table;
    if (!PyTuple_Check(item))
        return fail("weights are not a tuple");
    if (!PyArg_ParseTuple(item, "O&O&O&", borrow_floats, lent, borrow_int32, lent + 1, borrow_int32, lent + 2))
        return 0;
    scorer->sparse = (Sparse){.weights = lent[0].buf, .topics = lent[1].buf, .starts = lent[2].buf,
                              .n_weights = (size_t)lent[0].len / sizeof(float)};
    return lent[0].len == lent[1].len && (size_t)lent[2].len / sizeof(int32_t) == scorer->n_columns + 1
        ? 1 : fail("arrays that do not fit together");
}

/* Read a table of vectors and its weights; 0 with an exception. */
static int read_vectors(Scorer *scorer, PyObject *item)
{
    PyObject *table;
    VectorScores *vectors = &scorer->vector_scores;
    if (item == Py_None)
        return 1;
    if (!PyTuple_Check(item))
        return fail("vectors are not a tuple");
    if (!PyArg_ParseTuple(item, "OO&O&ff", &table, borrow_floats, &scorer->lent_vector_weights,
                          borrow_floats, &scorer->lent_vector_biases, &vectors->factor,
                          &vectors->min_known_fraction))
        return 0;
    if (!open_vectors(table, &scorer->vectors))
        return 0;
    scorer->has_vectors = 1;
    vectors->weights = scorer->lent_vector_weights.buf;
    vectors->biases = scorer->lent_vector_biases.buf;
    vectors->n_columns = scorer->vectors.n_columns;
    vectors->n_topics = (size_t)scorer->lent_vector_biases.len / sizeof(float);
    size_t n_padded = (vectors->n_topics + TOPICS_AT_ONCE - 1) / TOPICS_AT_ONCE * TOPICS_AT_ONCE;
    return vectors->n_topics == scorer->n_topics && vectors->n_columns % TOPICS_AT_ONCE == 0
            && (size_t)scorer->lent_vector_weights.len / sizeof(float) == n_padded * vectors->n_columns
        ? 1 : fail("arrays that do not fit together");
}

static void free_scorer(PyObject *self)
{
    Scorer *scorer = (Scorer *)self;
    PyTypeObject *type = Py_TYPE(self);
    freefunc free_memory = (freefunc)PyType_GetSlot(type, Py_tp_free);
    while (scorer->n_idle)
        free_workspace(scorer->idle[--scorer->n_idle]);
    for (size_t i = 0; scorer->groups && scorer->weights && i < scorer->n_groups; i++) {
        free_group(scorer->groups + i);
        release_arrays(&scorer->weights[i].lent_idf, 1);
        release_arrays(&scorer->weights[i].lent_counts, 1);
    }
    free(scorer->groups);
    free(scorer->weights);
    close_vectors(&scorer->vectors);
    release_arrays(scorer->lent_table, 3);
    release_arrays(&scorer->lent_biases, 1);
    release_arrays(&scorer->lent_vector_weights, 1);
    release_arrays(&scorer->lent_vector_biases, 1);
    free_memory(self);
    Py_DECREF(type);
}

/* Fill a zeroed scorer; 0 with an exception. */
static int fill_scorer(Scorer *scorer, PyObject *arguments)
{
    PyObject *groups, *table, *vectors;
    if (!PyArg_ParseTuple(arguments, "O!nOO&O", &PyTuple_Type, &groups, &scorer->words_group, &table,
                          borrow_floats, &scorer->lent_biases, &vectors))
        return 0;
    scorer->n_groups = (size_t)PyTuple_Size(groups);
    scorer->groups = calloc(scorer->n_groups + 1, sizeof *scorer->groups);
    scorer->weights = calloc(scorer->n_groups + 1, sizeof *scorer->weights);
    if (!scorer->groups || !scorer->weights) {
        PyErr_NoMemory();
        return 0;
    }
    for (size_t i = 0; i < scorer->n_groups; i++) {
        PyObject *item = PyTuple_GetItem(groups, (Py_ssize_t)i);
        if (!read_weighted_group(item, scorer->groups + i, scorer->weights + i))
            return 0;
        scorer->n_columns += scorer->weights[i].width;
    }
    if (scorer->n_columns > INT32_MAX)
        return fail("more columns than 32 bits can count");
    scorer->biases = scorer->lent_biases.buf;
    scorer->n_topics = (size_t)scorer->lent_biases.len / sizeof(float);
    return read_weights(scorer, table) && read_vectors(scorer, vectors);
}

static PyObject *new_scorer(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    (void)names;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = allocate(type, 0);
    if (self && !fill_scorer((Scorer *)self, arguments)) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

PyDoc_STRVAR(score_doc,
"score(text, lengths, ascii, characters, normalize, weigh_count, scores, n_known, n_words,\n"
"      has_vectors)\n--\n\n"
"Score documents; all arrays from `scores` on are changed in place.\n\n"
"Parameters\n"
"----------\n"
"text, lengths, ascii, characters, normalize\n"
"    See `slugline.text._kernel.count`.\n"
"weigh_count : callable\n"
"    Returns the weight before idf of an unlisted count, given the count and the group's index.\n"
"scores : float32 array, shape (n_documents, n_topics)\n"
"n_known, n_words : int64 array, shape (n_documents,)\n"
"    Number of words with a column in the words' group, and number of words, of each document.\n"
"has_vectors : bool array, shape (n_documents,)\n"
"    True if scores of word vectors were added.");

static PyObject *score(PyObject *self, PyObject *arguments)
{
    Scorer *scorer = (Scorer *)self;
    Py_buffer text, ascii, lent[6]; /* lengths, characters, and outputs */
    PyObject *result = NULL, *normalize;
    Workspace *workspace = NULL;
    int64_t *lengths = NULL;
    Call call = {0};
    memset(lent, 0, sizeof lent);
    text.obj = ascii.obj = NULL;
    if (!PyArg_ParseTuple(arguments, "y*O&y*O&OOO&O&O&O&", &text, borrow_int64, lent, &ascii,
                          borrow_optional_uint32, lent + 1, &normalize, &call.weigh_count,
                          borrow_writable_floats, lent + 2, borrow_writable_int64, lent + 3,
                          borrow_writable_int64, lent + 4, borrow_writable_bools, lent + 5))
        goto done;
    lengths = copy_lengths(&text, lent);
    if (!lengths)
        goto done;
    call.text = text.buf;
    call.lengths = lengths;
    call.n_documents = (size_t)lent[0].len / sizeof(int64_t);
    call.scores = lent[2].buf;
    call.n_known = lent[3].buf;
    call.n_words = lent[4].buf;
    call.has_vectors = lent[5].buf;
    if (!has_length(lent + 2, call.n_documents * scorer->n_topics) || !has_length(lent + 3, call.n_documents)
        || !has_length(lent + 4, call.n_documents) || !has_length(lent + 5, call.n_documents))
        goto done;
    workspace = take_workspace(scorer);
    if (!workspace)
        goto done;
    Reader *reader = &workspace->finder.reader;
    reader->normalize = normalize;
    if (!set_tables(reader, &ascii, lent + 1)) {
        return_workspace(scorer, workspace);
        goto done;
    }
    reader->state = text.len < LONG ? NULL : PyEval_SaveThread();
    int ok = score_all(scorer, workspace, &call);
    if (reader->state)
        PyEval_RestoreThread(reader->state);
    if (ok) {
        return_workspace(scorer, workspace);
        result = Py_BuildValue("");
        goto done;
    }
    free_workspace(workspace);
    if (call.error)
        fail(call.error);
    else if (!PyErr_Occurred())
        PyErr_NoMemory();
done:
    free(lengths);
    release_arrays(&text, 1);
    release_arrays(&ascii, 1);
    release_arrays(lent, 6);
    return result;
}

PyDoc_STRVAR(scorer_doc,
"Scorer(feature_groups, words_group, weights, biases, vectors)\n--\n\n"
"Scores documents by the weights of their terms, and by word vectors.\n\n"
"Parameters\n"
"----------\n"
"feature_groups : tuple of (table, width, idf, factor, weights_of_counts)\n"
"    `table` is as for `slugline.text._kernel.count`, and may not learn. The group has `width`\n"
"    columns; idf is a float32 array, shape (width,), or None. Groups with idf get length\n"
"    1 together. Weights of counts, starting with the count 0, are a float32 array.\n"
"words_group : int\n"
"    The group whose terms are known words; -1 if all words count as known.\n"
"weights : tuple of float32, int32 and int32 arrays\n"
"    The data, indices and indptr of a canonical CSR array, shape (n_columns, n_topics).\n"
"biases : float32 array, shape (n_topics,)\n"
"vectors : (table, weights, biases, factor, min_known_fraction), or None\n"
"    The table is as for `slugline.text._kernel.count`. Weights are a float32 array, shape\n"
"    (n_groups, n_columns, 8), for 8 topics at a time, padded with zeros. Biases are a float32\n"
"    array, shape (n_topics,). Scores of terms are multiplied by the factor, and vectors are\n"
"    ignored in documents with a smaller known fraction.");

static PyMethodDef scorer_methods[] = {
    {"score", score, METH_VARARGS, score_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scorer_slots[] = {
    {Py_tp_doc, (void *)scorer_doc},
    {Py_tp_new, (void *)new_scorer},
    {Py_tp_dealloc, (void *)free_scorer},
    {Py_tp_methods, scorer_methods},
    {0, NULL},
};

static PyType_Spec scorer_spec = {
    "slugline.text._scores.Scorer", sizeof(Scorer), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    scorer_slots,
};

static int add_types(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &scorer_spec, NULL);
    int status = type ? PyModule_AddObjectRef(module, "Scorer", type) : -1;
    Py_XDECREF(type);
    return status;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)add_types},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "slugline.text._scores", "Scores documents.", 0, NULL, module_slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__scores(void)
{
    return PyModuleDef_Init(&definition);
}
