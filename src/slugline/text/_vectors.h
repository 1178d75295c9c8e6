/* Sum the word vectors of documents.

   Follows the same rules as `sum_in_arrays` in vector_sums.py; integer sums are exact, so results
   are bit-identical. The table is borrowed memory, mapped from a file. Its values are checked
   before use as indices, so a damaged table gives wrong sums at worst. */

#ifndef SLUGLINE_VECTORS_H
#define SLUGLINE_VECTORS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_words.h"

/* As in vector_table.py. */
#define ROW_BITS 22
#define ROW_MASK ((UINT64_C(1) << ROW_BITS) - 1)
#define PIECE_SHIFT 12
#define BEGINNING_SHIFT 36
#define START_SHIFT 48
#define N_STARTS ((size_t)1 << (64 - START_SHIFT))
#define MAX_COLUMNS 1024
#define MAX_PIECE 64
#define ZERO 8
#define MAX_FACTOR 4095
/* As in vector_sums.py. */
#define MAX_PART 100 /* maximum number of characters read, in scripts with spaces */

#define MAX_ROWS (1 << 16) /* rows added in 32 bits; numbers are up to 8 * MAX_FACTOR */

/* A table of word vectors. */
typedef struct {
    const uint64_t *slots;
    const unsigned char *filter, *rows;
    const unsigned char *longest_by_start; /* maximum word length by first two characters */
    const uint16_t *factors;
    size_t n_slots, n_words;   /* the number of slots is a power of two */
    size_t n_columns, longest_piece;
    size_t shortest_piece, shortest_unspaced_piece;
    double scale;
    Py_buffer buffers[5];      /* of the table's sections */
} Vectors;

/* A word's rows in a table, and its numbers of known characters and of characters that count; see
   TextSums in vector_sums.py. */
typedef struct {
    GrowingBuffer rows; /* of uint32_t */
    size_t n_known, n_counted;
} WordRows;

/* ------------------------------------------------------------------------------------------------
   The rows of words
   --------------------------------------------------------------------------------------------- */

#define NO_ROW UINT32_MAX

static inline size_t slot_of(const Vectors *vectors, uint64_t hash)
{
    return (size_t)(hash >> 32) & (vectors->n_slots - 1);
}

/* Return the row of a word, or NO_ROW. */
static inline uint32_t find_row(const Vectors *vectors, uint64_t hash)
{
    size_t slot = slot_of(vectors, hash);
    for (size_t n = 0; n < vectors->n_slots; n++) {
        uint64_t entry = vectors->slots[slot];
        if (!entry)
            break;
        uint32_t row = (uint32_t)(entry & ROW_MASK) - 1;
        if (!((entry ^ hash) & ~ROW_MASK) && row < vectors->n_words)
            return row;
        slot = (slot + 1) & (vectors->n_slots - 1);
    }
    return NO_ROW;
}

/* Prefetch a row that will be added soon. */
static inline void prefetch_row(const Vectors *vectors, uint32_t row)
{
    const unsigned char *numbers = vectors->rows + row * (vectors->n_columns / 2);
    prefetch(numbers);
    prefetch(numbers + vectors->n_columns / 2 - 1); /* it may span two cache lines */
    prefetch(vectors->factors + row);
}

static inline int put_row(WordRows *to, uint32_t row)
{
    return push(&to->rows, &row, sizeof row);
}

/* Return a number's bit in the filter. */
static inline uint64_t filter_bit(const Vectors *vectors, uint64_t number)
{
    size_t bit = (size_t)number & (8 * vectors->n_slots - 1);
    return vectors->filter[bit >> 3] >> (bit & 7) & 1;
}

/* Return the bit length of a nonzero number. */
static inline size_t n_bits(uint64_t number)
{
#ifdef __GNUC__
    return (size_t)(64 - __builtin_clzll(number));
#else
    size_t n = 0;
    for (; number; number >>= 1)
        n++;
    return n;
#endif
}

static inline int is_start(unsigned char byte)
{
    return (byte & 0xC0) != 0x80; /* others continue a character */
}

/* Return the number of characters that count: all but apostrophes and spaces. */
FOR_WIDE_REGISTERS static size_t count_letters(const unsigned char *at, size_t length)
{
    size_t n = 0;
    while (length) {
        size_t n_now = length < 255 ? length : 255;
        unsigned char n_of_these = 0;
        for (size_t i = 0; i < n_now; i++)
            n_of_these = (unsigned char)(n_of_these + (is_start(at[i]) & (at[i] != '\'') & (at[i] != ' ')));
        n += n_of_these;
        at += n_now;
        length -= n_now;
    }
    return n;
}

/* Return 1 if all characters of a word in a script without spaces have three bytes; most do. */
static inline int has_narrow_characters(const unsigned char *at, size_t length)
{
    int is_narrow = length % 3 == 0;
    for (size_t i = 0; i < length; i += 3)
        is_narrow &= (at[i] & 0xF0) == 0xE0;
    return is_narrow;
}

/* Append the rows of the pieces of a part of a word; 0 if out of memory. Pieces in a script without
   spaces count as known. Characters have `width` bytes, a compile-time constant; 0 if it varies. */
INLINE int put_pieces_of_width(const Vectors *vectors, const unsigned char *at, const unsigned char *stop,
                               int is_unspaced, size_t width, WordRows *to)
{
    size_t shortest = is_unspaced ? vectors->shortest_unspaced_piece : vectors->shortest_piece;
    size_t n_left = is_unspaced ? SIZE_MAX : MAX_PART;
    uint64_t hashes[MAX_PIECE + 1]; /* of so many characters */
    const unsigned char *ends[2 * MAX_PIECE]; /* those of characters, by number modulo the size */
    size_t first = 0, last = 0;               /* numbers: that of the piece's start, and the last end */
    ends[0] = at;
    while (at < stop && n_left) {
        size_t n = 0, n_most = n_left < vectors->longest_piece ? n_left : vectors->longest_piece;
        const unsigned char *block = at;
        uint64_t state = 0; /* the hash of the bytes before the block of 8 */
        uint64_t possible = 0; /* a bit for each number of characters */
        for (const unsigned char *end = at; n < n_most && end < stop;) {
            n++;
            if (!width && first + n > last) { /* each is found once */
                end++;
                while (end < stop && !is_start(*end))
                    end++;
                ends[++last % (2 * MAX_PIECE)] = end;
            }
            end = width ? at + n * width : ends[(first + n) % (2 * MAX_PIECE)];
            for (; end - block > 8; block += 8)
                state = mix(state ^ load(block));
            if (n < shortest && n != 2)
                continue;
            hashes[n] = hash_last(state, block, (size_t)(end - block));
            if (n == 2) {
                size_t longest = vectors->longest_by_start[hashes[2] >> START_SHIFT];
                if (longest < 2)
                    break;
                n_most = longest < n_most ? longest : n_most;
                if (n < shortest)
                    continue;
            }
            if (n == shortest && !filter_bit(vectors, hashes[n] >> BEGINNING_SHIFT))
                break;
            /* Without a branch, which would be mispredicted. */
            possible |= filter_bit(vectors, hashes[n] >> PIECE_SHIFT) << (n - 1);
        }
        if (possible & (possible - 1)) { /* the longest candidate may not be in the table */
            uint64_t shorter = possible ^ UINT64_C(1) << (n_bits(possible) - 1);
            prefetch(vectors->slots + slot_of(vectors, hashes[n_bits(shorter)]));
        }
        uint32_t row = NO_ROW;
        for (; possible && row == NO_ROW; possible ^= UINT64_C(1) << (n - 1)) {
            n = n_bits(possible);
            row = find_row(vectors, hashes[n]);
        }
        if (row == NO_ROW) {
            n = 1;
        } else {
            if (!put_row(to, row))
                return 0;
            to->n_known += is_unspaced ? n : 0;
        }
        first += n;
        at = width ? at + n * width : ends[first % (2 * MAX_PIECE)];
        n_left -= n;
    }
    return 1;
}

static int put_pieces(const Vectors *vectors, const unsigned char *at, const unsigned char *stop,
                      int is_unspaced, WordRows *to)
{
    if (is_unspaced && has_narrow_characters(at, (size_t)(stop - at)))
        return put_pieces_of_width(vectors, at, stop, 1, 3, to);
    return put_pieces_of_width(vectors, at, stop, is_unspaced, 0, to);
}

/* Append the rows of the parts of a word without a row; 0 if out of memory. */
static int put_parts(const Vectors *vectors, const unsigned char *at, const Word *word, WordRows *to)
{
    const unsigned char *stop = at + word->length;
    while (at < stop) {
        const unsigned char *end = memchr(at, '\'', (size_t)(stop - at));
        end = end ? end : stop;
        size_t length = (size_t)(end - at);
        uint32_t row = NO_ROW;
        if (length && length < word->length) /* the word has no row */
            row = find_row(vectors, hash_of(at, length));
        if (row != NO_ROW) {
            if (!put_row(to, row))
                return 0;
            to->n_known += count_letters(at, length);
        } else if (!put_pieces(vectors, at, end, word->class == UNSPACED, to)) {
            return 0;
        }
        at = end + 1;
    }
    return 1;
}

static int is_number(const unsigned char *at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (at[i] < '0' || at[i] > '9')
            return 0;
    return 1;
}

/* Find the rows of a word; 0 if out of memory. */
static int find_word_rows(const Vectors *vectors, const unsigned char *at, const Word *word, WordRows *to)
{
    uint32_t row = find_row(vectors, word->hash);
    size_t n_letters = count_letters(at, word->length);
    to->rows.size = 0;
    to->n_known = row == NO_ROW ? 0 : n_letters;
    to->n_counted = row == NO_ROW && is_number(at, word->length) ? 0 : n_letters;
    return row == NO_ROW ? put_parts(vectors, at, word, to) : put_row(to, row);
}

/* ------------------------------------------------------------------------------------------------
   Sums
   --------------------------------------------------------------------------------------------- */

/* Add a row times a factor, with ZERO added to each number: each byte holds one column of the first
   half and one of the second. */
FOR_WIDE_REGISTERS static void add_row(uint32_t *restrict sum, const unsigned char *restrict row,
                                       size_t n_bytes, uint16_t factor)
{
    uint32_t *restrict second = sum + n_bytes;
    for (size_t i = 0; i < n_bytes; i++)
        sum[i] += (uint16_t)((row[i] & 15) * factor);
    for (size_t i = 0; i < n_bytes; i++)
        second[i] += (uint16_t)((row[i] >> 4) * factor);
}

/* Add the sum of a block of rows to totals. `zeros` is subtracted from each number in 32 bits, so
   the difference is correct even if the sum has overflowed. */
FOR_WIDE_REGISTERS static void add_block(double *restrict total, const uint32_t *restrict sum,
                                         size_t n_columns, uint32_t zeros)
{
    for (size_t i = 0; i < n_columns; i++)
        total[i] += (double)(int32_t)(sum[i] - zeros);
}

/* Scale the sum of the only block of rows. */
FOR_WIDE_REGISTERS static void scale_block(float *restrict to, const uint32_t *restrict sum,
                                           size_t n_columns, uint32_t zeros, double scale)
{
    for (size_t i = 0; i < n_columns; i++)
        to[i] = (float)((double)(int32_t)(sum[i] - zeros) * scale);
}

FOR_WIDE_REGISTERS static void scale_total(float *restrict to, const double *restrict total,
                                           size_t n_columns, double scale)
{
    for (size_t i = 0; i < n_columns; i++)
        to[i] = (float)(total[i] * scale);
}

/* Write the sum of up to MAX_ROWS rows, without subtracting ZERO, to `sum`; return the number to
   subtract from each column. */
static uint32_t sum_block(const Vectors *vectors, const uint32_t *rows, size_t n_rows, uint32_t *sum)
{
    size_t n_bytes = vectors->n_columns / 2;
    uint32_t n_zeros = 0;
    memset(sum, 0, vectors->n_columns * sizeof *sum);
    for (size_t i = 0; i < n_rows; i++) {
        uint16_t factor = vectors->factors[rows[i]] & MAX_FACTOR;
        n_zeros += factor;
        add_row(sum, vectors->rows + rows[i] * n_bytes, n_bytes, factor);
    }
    return ZERO * n_zeros;
}

/* Write the scaled sum of rows. */
static void sum_rows(const Vectors *vectors, const uint32_t *rows, size_t n_rows, float *to)
{
    size_t n_columns = vectors->n_columns;
    uint32_t sum[MAX_COLUMNS];
    double total[MAX_COLUMNS];
    if (n_rows <= MAX_ROWS) {
        uint32_t zeros = sum_block(vectors, rows, n_rows, sum);
        scale_block(to, sum, n_columns, zeros, vectors->scale);
        return;
    }
    memset(total, 0, n_columns * sizeof *total);
    for (size_t first = 0; first < n_rows; first += MAX_ROWS) {
        size_t n_now = n_rows - first < MAX_ROWS ? n_rows - first : MAX_ROWS;
        uint32_t zeros = sum_block(vectors, rows + first, n_now, sum);
        add_block(total, sum, n_columns, zeros);
    }
    scale_total(to, total, n_columns, vectors->scale);
}

/* ------------------------------------------------------------------------------------------------
   Called from Python
   --------------------------------------------------------------------------------------------- */

/* Borrow a table, and check that its sections fit together; 0 with an exception. */
static int open_vectors(PyObject *item, Vectors *vectors)
{
    Py_ssize_t n_columns, shortest, shortest_unspaced, longest;
    Py_buffer *slots = vectors->buffers, *filter = slots + 1, *factors = slots + 2;
    Py_buffer *rows = slots + 3, *starts = slots + 4;
    if (!PyTuple_Check(item))
        return fail("a table of vectors is not a tuple");
    if (!PyArg_ParseTuple(item, "O&O&O&O&O&nnnnd", borrow_uint64, slots, borrow_bytes, filter,
                          borrow_uint16, factors, borrow_bytes, rows, borrow_bytes, starts, &n_columns, &shortest,
                          &shortest_unspaced, &longest, &vectors->scale))
        return 0;
    vectors->n_slots = (size_t)slots->len / sizeof(uint64_t);
    vectors->n_words = (size_t)factors->len / sizeof(uint16_t);
    if (!vectors->n_slots || vectors->n_slots & (vectors->n_slots - 1))
        return fail("the number of slots is not a power of two");
    if (n_columns < 2 || n_columns > MAX_COLUMNS || n_columns % 2)
        return fail("the number of columns is odd or too large");
    if (shortest < 1 || shortest_unspaced < 1 || longest < 1 || longest > MAX_PIECE)
        return fail("pieces are too short or too long");
    if (!has_length(filter, vectors->n_slots)
        || !has_length(rows, vectors->n_words * ((size_t)n_columns / 2))
        || !has_length(starts, N_STARTS))
        return 0;
    vectors->slots = slots->buf;
    vectors->filter = filter->buf;
    vectors->factors = factors->buf;
    vectors->rows = rows->buf;
    vectors->longest_by_start = starts->buf;
    vectors->n_columns = (size_t)n_columns;
    vectors->shortest_piece = (size_t)shortest;
    vectors->shortest_unspaced_piece = (size_t)shortest_unspaced;
    vectors->longest_piece = (size_t)longest;
    return 1;
}

static void close_vectors(Vectors *vectors)
{
    release_arrays(vectors->buffers, sizeof vectors->buffers / sizeof *vectors->buffers);
}

#endif
