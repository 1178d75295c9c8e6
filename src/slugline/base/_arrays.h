/* Borrow arrays from Python, checking their type, layout and alignment.

   The functions `borrow_...` are converters for PyArg_ParseTuple with "O&". They fill a Py_buffer,
   which has to be released, or return 0 with an exception. */

#ifndef SLUGLINE_ARRAYS_H
#define SLUGLINE_ARRAYS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Borrow a contiguous array with items of a size and of a type code in `types`. */
static inline int borrow(PyObject *array, Py_buffer *lent, const char *types, size_t size, int flags)
{
    if (PyObject_GetBuffer(array, lent, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) < 0)
        return 0;
    const char *type = lent->format ? lent->format : "B";
    if (strlen(type) == 1 && strchr(types, *type) && (size_t)lent->itemsize == size
        && (uintptr_t)lent->buf % size == 0)
        return 1;
    PyErr_SetString(PyExc_ValueError, "an array of another type, or not aligned");
    PyBuffer_Release(lent);
    return 0;
}

static inline int borrow_floats(PyObject *array, void *lent)
{
    return borrow(array, lent, "f", sizeof(float), 0);
}

static inline int borrow_writable_floats(PyObject *array, void *lent)
{
    return borrow(array, lent, "f", sizeof(float), PyBUF_WRITABLE);
}

static inline int borrow_writable_bools(PyObject *array, void *lent)
{
    return borrow(array, lent, "?", 1, PyBUF_WRITABLE);
}

static inline int borrow_bytes(PyObject *array, void *lent)
{
    return borrow(array, lent, "B", 1, 0);
}

static inline int borrow_uint16(PyObject *array, void *lent)
{
    return borrow(array, lent, "H", sizeof(uint16_t), 0);
}

static inline int borrow_int32(PyObject *array, void *lent)
{
    return borrow(array, lent, "il", sizeof(int32_t), 0);
}

static inline int borrow_writable_int32(PyObject *array, void *lent)
{
    return borrow(array, lent, "il", sizeof(int32_t), PyBUF_WRITABLE);
}

static inline int borrow_uint32(PyObject *array, void *lent)
{
    return borrow(array, lent, "IL", sizeof(uint32_t), 0);
}

static inline int borrow_int64(PyObject *array, void *lent)
{
    return borrow(array, lent, "lq", sizeof(int64_t), 0);
}

static inline int borrow_writable_int64(PyObject *array, void *lent)
{
    return borrow(array, lent, "lq", sizeof(int64_t), PyBUF_WRITABLE);
}

static inline int borrow_uint64(PyObject *array, void *lent)
{
    return borrow(array, lent, "LQ", sizeof(uint64_t), 0);
}

/* The same, but leave the buffer empty for None. */
static inline int borrow_optional_writable_floats(PyObject *array, void *lent)
{
    return array == Py_None || borrow_writable_floats(array, lent);
}

static inline int borrow_optional_uint32(PyObject *array, void *lent)
{
    return array == Py_None || borrow_uint32(array, lent);
}

/* Release buffers; some may be empty. */
static inline void release_arrays(Py_buffer *lent, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lent[i].obj)
            PyBuffer_Release(lent + i);
}

static inline size_t n_items(const Py_buffer *lent)
{
    return (size_t)lent->len / (size_t)lent->itemsize;
}

/* Copy an array; NULL if out of memory. */
static inline void *copy_of(const Py_buffer *array)
{
    void *copy = malloc((size_t)array->len + 1);
    if (copy)
        memcpy(copy, array->buf, (size_t)array->len);
    return copy;
}

#endif
