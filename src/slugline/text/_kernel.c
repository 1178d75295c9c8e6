/* Count the terms of documents in one pass over their bytes.

   Results are bit-identical to `count_in_arrays` in counting.py; terms are defined in terms.py.
   With a table of word vectors, the vectors of words are summed in the same pass.

   Works on memory of this call and on borrowed tables, so the interpreter's lock is released,
   unless texts are short. Memory grows with the longest document and with the results. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_terms.h"

/* Results of a call. */
typedef struct {
    int is_over; /* 1 if a column exceeds 32 bits */
    GrowingBuffer columns, values, lengths; /* of int32_t, float and int64_t */
    GrowingBuffer n_terms, n_words;         /* of int64_t */
    PyObject *sums, *known;                 /* bytearrays, or NULL without a table of vectors */
} Counts;

/* Add the counts of a document's columns in a group, in ascending column order. */
static int put_counts(Finder *finder, int32_t first_column, Counts *counts)
{
    size_t n = finder->columns.size / sizeof(uint32_t);
    int64_t n_terms = (int64_t)n, n_put;
    /* One more, because a second column is always written. */
    if (!make_room(&counts->columns, (n + 1) * sizeof(int32_t))
        || !make_room(&counts->values, (n + 1) * sizeof(float)))
        return 0;
    int32_t *columns = (int32_t *)(counts->columns.bytes + counts->columns.size);
    float *values = (float *)(counts->values.bytes + counts->values.size);
    n_put = count_columns(finder, columns, values);
    if (n_put < 0)
        return 0;
    /* A negative column from a borrowed table comes last, as an unsigned number. */
    if (n_put && (uint32_t)columns[n_put - 1] > (uint32_t)(INT32_MAX - first_column)) {
        counts->is_over = 1;
        return 0;
    }
    for (int64_t i = 0; i < n_put; i++)
        columns[i] += first_column;
    counts->columns.size += (size_t)n_put * sizeof(int32_t);
    counts->values.size += (size_t)n_put * sizeof(float);
    return push(&counts->lengths, &n_put, sizeof n_put)
        && push(&counts->n_terms, &n_terms, sizeof n_terms);
}

static int count_all(Finder *finder, const Py_buffer *text, const int64_t *lengths, size_t n_documents,
                     Counts *counts)
{
    const unsigned char *at = text->buf;
    float *known = counts->known ? (float *)PyByteArray_AsString(counts->known) : NULL;
    float *sums = counts->sums ? (float *)PyByteArray_AsString(counts->sums) : NULL;
    for (size_t document = 0; document < n_documents; document++) {
        size_t length = (size_t)lengths[document];
        if (!read_document(&finder->reader, at, length, document) || !find_records(finder))
            return 0;
        int64_t n_words = (int64_t)(finder->reader.words.size / sizeof(Word));
        if (!push(&counts->n_words, &n_words, sizeof n_words))
            return 0;
        if (finder->vectors && !find_rows(finder, known + document))
            return 0;
        for (size_t i = 0; i < finder->n_groups; i++)
            if (!find_columns(finder, i) || !put_counts(finder, finder->groups[i].first, counts))
                return 0;
        if (finder->vectors) /* the rows have been prefetched by now */
            sum_rows(finder->vectors, (const uint32_t *)finder->rows.bytes,
                     finder->rows.size / sizeof(uint32_t), sums + document * finder->vectors->n_columns);
        at += length + 1; /* a space follows */
    }
    return 1;
}

/* ------------------------------------------------------------------------------------------------
   Called from Python
   --------------------------------------------------------------------------------------------- */

/* Remove the columns added before memory ran out. */
static void unlearn(FeatureGroup *group)
{
    const int32_t *buckets = (const int32_t *)group->buckets.bytes;
    for (size_t i = 0; group->columns && i < group->buckets.size / sizeof *buckets; i++)
        group->columns[buckets[i]] = -1;
}

static PyObject *as_bytes(const GrowingBuffer *buffer)
{
    /* A bytearray, because arrays made from it must be writable. */
    return PyByteArray_FromStringAndSize(buffer->bytes, (Py_ssize_t)buffer->size);
}

static PyObject *result_of(const Counts *counts, const FeatureGroup *groups, Py_ssize_t n_groups)
{
    PyObject *names = PyTuple_New(n_groups);
    for (Py_ssize_t i = 0; names && i < n_groups; i++) {
        PyObject *learned = Py_BuildValue("(y#NN)", groups[i].names.bytes ? groups[i].names.bytes : "",
                                          (Py_ssize_t)groups[i].names.size, as_bytes(&groups[i].lengths),
                                          as_bytes(&groups[i].buckets));
        if (!learned || PyTuple_SetItem(names, i, learned) < 0) {
            Py_DECREF(names);
            return NULL;
        }
    }
    PyObject *sums = counts->sums ? counts->sums : Py_None, *known = counts->known ? counts->known : Py_None;
    return names ? Py_BuildValue("(NNNNNNOO)", as_bytes(&counts->columns), as_bytes(&counts->values),
        as_bytes(&counts->lengths), as_bytes(&counts->n_terms), as_bytes(&counts->n_words), names, sums,
        known) : NULL;
}

static PyObject *new_floats(size_t n_rows, size_t n_columns)
{
    if (n_rows > PY_SSIZE_T_MAX / sizeof(float) / n_columns)
        return PyErr_NoMemory();
    return PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(n_rows * n_columns * sizeof(float)));
}

PyDoc_STRVAR(count_doc,
"count(text, lengths, ascii, characters, normalize, feature_groups, table=None)\n--\n\n"
"Return the term counts of documents, and the sums of their word vectors.\n\n"
"Parameters\n"
"----------\n"
"text : bytes\n"
"    The documents in UTF-8, with one byte between them.\n"
"lengths : int64 array, shape (n_documents,)\n"
"    Number of bytes of each document.\n"
"ascii : bytes, at least 128\n"
"    Replacement of each ASCII character; a space for word separators.\n"
"characters : uint32 array, shape (2^17 + 17,), or None\n"
"    Entries for each character up to U+1FFFF, then for each plane; see\n"
"    `slugline.text.characters.character_table`. None treats all as lower-case letters.\n"
"normalize : callable\n"
"    Returns a document, given its index, as bytes in lower case and normal form C.\n"
"feature_groups : tuple of (kind, n_slots, columns, keys, multiplier, groups, n_columns, first)\n"
"    See `slugline.text.counting.KernelGroup`. If unseen buckets get columns, `n_columns` is the\n"
"    number of columns so far, and columns may be None if it is 0; otherwise, -1. `first` is\n"
"    added to the returned columns.\n"
"table : (slots, filter, factors, rows, longest_by_start, n_columns, shortest_piece,\n"
"        shortest_unspaced_piece, longest_piece, scale), or None\n"
"    Sections of a `VectorTable`, and fields of its header.\n\n"
"Returns\n"
"-------\n"
"columns, values, lengths : bytearray, of int32, float32 and int64\n"
"    Ascending columns and their counts, by document and group; and the number of columns of each\n"
"    document and group.\n"
"n_terms : bytearray, of int64\n"
"    Sum of the counts of each document and group.\n"
"n_words : bytearray, of int64\n"
"    Number of words of each document, known or not.\n"
"names : tuple of (bytes, bytearray of int64, bytearray of int32)\n"
"    For each group, the terms of new columns, their lengths, and their buckets.\n"
"sums, known : bytearray, of float32, or None\n"
"    Sum of each document's vectors, shape (n_documents, n_columns), and fraction of its known\n"
"    characters; None without a table.");

static PyObject *count(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer text, lengths, ascii, characters;
    PyObject *items, *table = Py_None, *result = NULL;
    Vectors vectors;
    int64_t *own_lengths = NULL;
    FeatureGroup *groups = NULL;
    Py_ssize_t n_groups, n_read = 0;
    Finder finder;
    Counts counts;
    memset(&finder, 0, sizeof finder);
    memset(&counts, 0, sizeof counts);
    memset(&vectors, 0, sizeof vectors);
    text.obj = lengths.obj = ascii.obj = characters.obj = NULL;
    characters.buf = NULL;
    if (!PyArg_ParseTuple(arguments, "y*O&y*O&OO!|O", &text, borrow_int64, &lengths, &ascii,
                          borrow_optional_uint32, &characters, &finder.reader.normalize, &PyTuple_Type,
                          &items, &table))
        goto done;
    n_groups = PyTuple_Size(items);
    groups = calloc((size_t)n_groups + 1, sizeof(FeatureGroup));
    if (!groups) {
        PyErr_NoMemory();
        goto done;
    }
    if (!set_tables(&finder.reader, &ascii, &characters))
        goto done;
    own_lengths = copy_lengths(&text, &lengths);
    if (!own_lengths)
        goto done;
    size_t n_documents = (size_t)lengths.len / sizeof(int64_t);
    if (table != Py_None) {
        if (!open_vectors(table, &vectors))
            goto done;
        finder.vectors = &vectors;
        counts.sums = new_floats(n_documents, vectors.n_columns);
        counts.known = counts.sums ? new_floats(n_documents, 1) : NULL;
        if (!counts.known)
            goto done;
    }
    while (n_read < n_groups) {
        FeatureGroup *group = groups + n_read;
        if (!read_group(PyTuple_GetItem(items, n_read++), group))
            goto done;
        finder.learns |= group->learns;
    }
    finder.groups = groups;
    finder.n_groups = (size_t)n_groups;
    finder.reader.state = text.len < LONG ? NULL : PyEval_SaveThread();
    int ok = count_all(&finder, &text, own_lengths, n_documents, &counts);
    if (finder.reader.state)
        PyEval_RestoreThread(finder.reader.state);
    if (counts.is_over)
        fail("a group has more columns than 32 bits can count");
    if (ok)
        result = result_of(&counts, groups, n_groups);
    else if (!PyErr_Occurred())
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; !result && i < n_groups; i++)
        unlearn(groups + i);
done:
    for (Py_ssize_t i = 0; i < n_read; i++)
        free_group(groups + i);
    free(groups);
    free(own_lengths);
    Py_XDECREF(counts.sums);
    Py_XDECREF(counts.known);
    close_vectors(&vectors);
    close_finder(&finder);
    GrowingBuffer *buffers[] = {&counts.columns, &counts.values, &counts.lengths, &counts.n_terms,
                                &counts.n_words};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        free(buffers[i]->bytes);
    release_arrays(&text, 1);
    release_arrays(&lengths, 1);
    release_arrays(&ascii, 1);
    release_arrays(&characters, 1);
    return result;
}

/* Find the length in characters of the longest word for each hashed pair of first characters. Word
   lengths are untrusted. */
static void find_longest_by_start(unsigned char *longest, const unsigned char *text, size_t n_bytes,
                                  const unsigned char *lengths, size_t n_words)
{
    memset(longest, 0, N_STARTS);
    for (size_t i = 0; i < n_words && lengths[i] <= n_bytes; text += lengths[i], n_bytes -= lengths[i], i++) {
        unsigned char start[UCHAR_MAX + 8] = {0}; /* 8 bytes after the last one must be readable */
        size_t n_characters = 0, n_start = 0;
        for (size_t n = 0; n < lengths[i]; n++) {
            n_characters += is_start(text[n]);
            if (n_characters < 3)
                start[n_start++] = text[n];
        }
        if (n_characters < 2)
            continue;
        unsigned char *number = longest + (hash_of(start, n_start) >> START_SHIFT);
        if (n_characters > *number)
            *number = (unsigned char)n_characters;
    }
}

PyDoc_STRVAR(longest_by_start_doc,
"longest_by_start(text, lengths)\n--\n\n"
"Return the length of the longest word for each hashed pair of first characters, as bytearray.\n\n"
"See `VectorTable.longest_by_start`.\n\n"
"Parameters\n"
"----------\n"
"text, lengths : uint8 arrays\n"
"    Concatenated words, and the number of bytes of each.");

static PyObject *longest_by_start(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer lent[2];
    PyObject *result = NULL;
    memset(lent, 0, sizeof lent);
    if (PyArg_ParseTuple(arguments, "O&O&", borrow_bytes, lent, borrow_bytes, lent + 1))
        result = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)N_STARTS);
    if (result)
        find_longest_by_start((unsigned char *)PyByteArray_AsString(result), lent[0].buf, (size_t)lent[0].len,
                              lent[1].buf, (size_t)lent[1].len);
    release_arrays(lent, 2);
    return result;
}

static PyMethodDef methods[] = {
    {"longest_by_start", longest_by_start, METH_VARARGS, longest_by_start_doc},
    {"count", count, METH_VARARGS, count_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "slugline.text._kernel", "Counts terms.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModuleDef_Init(&definition);
}
