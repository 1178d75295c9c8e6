/* Reads the words of documents, for the kernels that count terms or look up vectors.

   Words and their hashes are defined as in tokens.py and hashing.py. Python provides the table of
   characters, and normalizes documents whose characters may combine. Invalid UTF-8 is allowed: each
   such byte counts as one character. */

#ifndef SLUGLINE_WORDS_H
#define SLUGLINE_WORDS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "_arrays.h"
#include "_compiler.h"

/* The character table has an entry for each of the first 2^17 characters, then for each plane. */
#define N_TABLED 0x20000
#define N_CHARACTERS (N_TABLED + 17)

/* ------------------------------------------------------------------------------------------------
   Memory that grows
   --------------------------------------------------------------------------------------------- */

typedef struct {
    char *bytes;
    size_t size, capacity;
} GrowingBuffer;

/* Make room for `more` bytes; 0 if out of memory. */
static inline int make_room(GrowingBuffer *buffer, size_t more)
{
    if (more <= buffer->capacity - buffer->size)
        return 1;
    if (more > SIZE_MAX / 4 - buffer->size)
        return 0;
    size_t capacity = buffer->size + more + buffer->size / 2 + 64;
    char *bytes = realloc(buffer->bytes, capacity);
    if (!bytes)
        return 0;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return 1;
}

static inline int push(GrowingBuffer *buffer, const void *bytes, size_t size)
{
    if (size > buffer->capacity - buffer->size && !make_room(buffer, size))
        return 0;
    if (size) /* there may be no place for nothing */
        memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    return 1;
}

/* ------------------------------------------------------------------------------------------------
   Words
   --------------------------------------------------------------------------------------------- */

/* Classes of characters. */
enum { SPACED, UNSPACED, BETWEEN, APOSTROPHE };

/* Bits of an entry of the character table. STARTS and FOLLOWS refer to the lower-case character in
   normal form C; its canonical combining class is in the bits from COMBINING_SHIFT on. */
#define LOWER 0x1FFFFu              /* the character in lower case */
#define CLASS_SHIFT 17              /* two bits: its class */
#define CHANGES (UINT32_C(1) << 19) /* its lower case is another character */
#define STARTS (UINT32_C(1) << 20)  /* it may combine with a character after it */
#define FOLLOWS (UINT32_C(1) << 21) /* it may combine with a character before it */
#define IS_HARD (UINT32_C(1) << 22) /* only Python can normalize it */
#define COMBINING_SHIFT 24

typedef struct {
    size_t start, length; /* in bytes */
    uint64_t hash;
    int class;
} Word;

#define AT_ONCE 64 /* ASCII characters read together */

/* State for reading documents. */
typedef struct {
    const unsigned char *ascii; /* replacement of each ASCII character; a space for separators */
    const uint32_t *characters; /* character table; if NULL, all are SPACED */
    int is_normal;              /* 1 if the document is in lower case and normal form C */
    PyObject *normalize;        /* returns a normalized document, given its index */
    PyThreadState *state;       /* of a thread without the interpreter's lock, or NULL */
    GrowingBuffer text;         /* a document's words, with spaces before, between and after */
    GrowingBuffer words;        /* of Word */
} Reader;

static inline uint64_t load(const unsigned char *at)
{
    uint64_t low = at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24;
    uint64_t high = at[4] | (uint64_t)at[5] << 8 | (uint64_t)at[6] << 16 | (uint64_t)at[7] << 24;
    return low | high << 32; /* compiled to a single load */
}

/* Return the number of set bits. */
static inline uint64_t n_set(uint64_t bits)
{
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    return ((bits + (bits >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F)) * UINT64_C(0x0101010101010101) >> 56;
}

/* Return the position of the lowest set bit. */
static inline uint32_t lowest(uint64_t bits)
{
#ifdef __GNUC__
    return (uint32_t)__builtin_ctzll(bits);
#else
    return (uint32_t)n_set((bits & (0 - bits)) - 1);
#endif
}

static inline uint64_t mix(uint64_t hash)
{
    hash ^= hash >> 30;
    hash *= UINT64_C(0xBF58476D1CE4E5B9);
    hash ^= hash >> 27;
    hash *= UINT64_C(0x94D049BB133111EB);
    hash ^= hash >> 31;
    return hash;
}

/* Extend a hash by the last 1 to 8 bytes; 8 bytes after the last one must be readable. */
static inline uint64_t hash_last(uint64_t hash, const unsigned char *at, size_t length)
{
    uint64_t end = UINT64_C(1) << (8 * length & 63);
    hash = mix(hash ^ (length == 8 ? load(at) : (load(at) & (end - 1)) | end * 0xFF));
    return hash ? hash : 1;
}

/* Return the hash of one byte or more; 8 bytes after the last one must be readable. */
static inline uint64_t hash_of(const unsigned char *at, size_t length)
{
    uint64_t hash = 0;
    for (; length > 8; at += 8, length -= 8)
        hash = mix(hash ^ load(at));
    return hash_last(hash, at, length);
}

/* Return a character's entry in the table. */
static inline uint32_t entry_of(const Reader *reader, uint32_t point)
{
    uint32_t plane = point >> 16;
    if (!reader->characters || plane > 16)
        return 0;
    return reader->characters[point < N_TABLED ? point : N_TABLED + plane];
}

/* Return the number of bytes of the first character, and its entry in the table.

   Each number has its own branch, so a correct prediction avoids waiting for it. */
static inline size_t look_at(const Reader *reader, const unsigned char *at, size_t n_left,
                             uint32_t *entry)
{
    uint32_t first = at[0];
    *entry = 0;
    if (n_left < 2 || first < 0xC0 || (at[1] & 0xC0) != 0x80)
        return 1;
    uint32_t second = at[1] & 0x3F;
    if (first < 0xE0) {
        *entry = entry_of(reader, (first & 0x1F) << 6 | second);
        return 2;
    }
    if (n_left < 3 || (at[2] & 0xC0) != 0x80)
        return 1;
    uint32_t third = at[2] & 0x3F;
    if (first < 0xF0) {
        *entry = entry_of(reader, (first & 0x0F) << 12 | second << 6 | third);
        return 3;
    }
    if (n_left < 4 || (at[3] & 0xC0) != 0x80)
        return 1;
    *entry = entry_of(reader, (first & 0x07) << 18 | second << 12 | third << 6 | (at[3] & 0x3F));
    return 4;
}

/* Return 1 if normal form C may combine or reorder a character with the one before it. */
static inline int may_change(uint32_t before, uint32_t entry)
{
    uint32_t mark_before = before >> COMBINING_SHIFT, mark = entry >> COMBINING_SHIFT;
    return (entry & IS_HARD) || (mark && mark_before > mark)
        || ((entry & FOLLOWS) && ((before & STARTS) || mark_before));
}

/* Write the bytes of a character; there must be room for four. Return the end. */
static inline unsigned char *put_character(unsigned char *to, uint32_t point)
{
    size_t n_more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xC0, 0xE0, 0xF0};
    *to++ = (unsigned char)(leads[n_more] | point >> 6 * n_more);
    while (n_more--)
        *to++ = (unsigned char)(0x80 | (point >> 6 * n_more & 0x3F));
    return to;
}

/* Return a bitmask of the spaces among 64 bytes. */
static inline uint64_t space_bits(const unsigned char *at)
{
    uint64_t bits = 0;
#ifdef __SSE2__
    for (size_t i = 0; i < 4; i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(at + 16 * i));
        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(' '))) << 16 * i;
    }
#else
    for (size_t i = 0; i < 64; i++)
        bits |= (uint64_t)(at[i] == ' ') << i;
#endif
    return bits;
}

/* Add a word that begins at `start`; 0 if out of memory. */
static inline int begin_word(Reader *reader, size_t start, int class)
{
    Word word = {start, 0, 0, class};
    return push(&reader->words, &word, sizeof word);
}

/* Set the length of the last word. */
static inline void end_word(Reader *reader, size_t end)
{
    Word *word = (Word *)(reader->words.bytes + reader->words.size) - 1;
    word->length = end - word->start;
}

/* Read ASCII characters up to the first other one; return their number, or 0 if out of memory.

   Word boundaries are unpredictable, so 64 characters are examined together, without branches. */
static size_t read_ascii(Reader *reader, const unsigned char *at, size_t n_left, unsigned char **end,
                         int *state)
{
    const unsigned char *ascii = reader->ascii;
    unsigned char *text = (unsigned char *)reader->text.bytes, *to = *end;
    size_t n_read = 0, n;
    uint64_t was_word = *state != BETWEEN;
    do {
        size_t most = n_left - n_read < AT_ONCE ? n_left - n_read : AT_ONCE;
        for (n = 0; n < most && at[n_read + n] < 0x80; n++)
            to[n] = ascii[at[n_read + n]];
        if (!n)
            break;
        if (!make_room(&reader->words, (AT_ONCE / 2 + 1) * sizeof(Word)))
            return 0;
        uint64_t last = UINT64_C(1) << (n - 1), is_word = ~space_bits(to) & (last | (last - 1));
        uint64_t edges = (is_word ^ (is_word << 1 | was_word)) & (last | (last - 1));
        size_t start = (size_t)(to - text);
        Word *word = (Word *)(reader->words.bytes + reader->words.size) - was_word;
        for (; edges; edges &= edges - 1) {
            size_t place = start + lowest(edges);
            if (was_word) {
                word->length = place - word->start;
                word++;
            } else {
                word->start = place;
                word->class = SPACED;
            }
            was_word ^= 1;
        }
        reader->words.size = (size_t)((char *)(word + was_word) - reader->words.bytes);
        to += n;
        n_read += n;
    } while (n == AT_ONCE);
    *end = to;
    *state = was_word ? SPACED : BETWEEN;
    return n_read;
}

/* Copy two-byte or three-byte characters that are unchanged and of the word's class, up to the
   first other one; return the number of bytes, for which there must be room. */
static inline size_t copy_plain(const Reader *reader, const unsigned char *at, size_t n_left, int class,
                                uint32_t *before, unsigned char *to)
{
    const uint32_t wanted = (uint32_t)class << CLASS_SHIFT, examined = 3u << CLASS_SHIFT | CHANGES;
    const unsigned char *const start = at, *const stop = at + n_left;
    if (!reader->characters)
        return 0;
    while (stop - at >= 2 && (at[0] & 0xE0) == 0xC0 && (at[1] & 0xC0) == 0x80) {
        uint32_t entry = reader->characters[(at[0] & 0x1Fu) << 6 | (at[1] & 0x3F)];
        if ((entry & examined) != wanted || (!reader->is_normal && may_change(*before, entry)))
            break;
        *before = entry;
        *to++ = *at++;
        *to++ = *at++;
    }
    while (stop - at >= 3 && (at[0] & 0xF0) == 0xE0 && (at[1] & 0xC0) == 0x80 && (at[2] & 0xC0) == 0x80) {
        uint32_t entry = reader->characters[(at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3F)];
        if ((entry & examined) != wanted || (!reader->is_normal && may_change(*before, entry)))
            break;
        *before = entry;
        *to++ = *at++;
        *to++ = *at++;
        *to++ = *at++;
    }
    return (size_t)(at - start);
}

enum { NO_MEMORY, FOUND, NOT_NORMAL };

/* Find a document's words, unless only Python can normalize it. */
static int find_words(Reader *reader, const unsigned char *at, size_t n_left)
{
    reader->text.size = reader->words.size = 0;
    /* A word of one byte is followed by a space. More are for what reads some bytes together. */
    if (n_left > SIZE_MAX / 8 || !make_room(&reader->text, 2 * n_left + AT_ONCE + 24))
        return NO_MEMORY;
    unsigned char *text = (unsigned char *)reader->text.bytes, *to = text;
    *to++ = ' ';
    int state = BETWEEN;
    uint32_t before = 0;
    while (n_left) {
        size_t width;
        if (at[0] < 0x80) {
            if (state == UNSPACED) {
                end_word(reader, (size_t)(to - text));
                *to++ = ' ';
                state = BETWEEN;
            }
            width = read_ascii(reader, at, n_left, &to, &state);
            if (!width)
                return NO_MEMORY;
            before = entry_of(reader, at[width - 1]);
        } else {
            uint32_t entry;
            width = look_at(reader, at, n_left, &entry);
            if (!reader->is_normal && may_change(before, entry))
                return NOT_NORMAL;
            before = entry;
            int class = entry >> CLASS_SHIFT & 3, is_apostrophe = class == APOSTROPHE;
            if (is_apostrophe)
                class = SPACED;
            if (class != state) {
                if (state != BETWEEN) {
                    end_word(reader, (size_t)(to - text));
                    *to++ = ' ';
                }
                if (class != BETWEEN && !begin_word(reader, (size_t)(to - text), class))
                    return NO_MEMORY;
                state = class;
            }
            if (is_apostrophe) {
                *to++ = '\'';
            } else if (entry & CHANGES) {
                to = put_character(to, entry & LOWER);
            } else if (class != BETWEEN) {
                if (n_left >= 4) /* there is room for more than one character */
                    memcpy(to, at, 4);
                else
                    memcpy(to, at, width);
                to += width;
            }
        }
        at += width;
        n_left -= width;
        if (state == SPACED || state == UNSPACED) {
            size_t n = copy_plain(reader, at, n_left, state, &before, to);
            to += n;
            at += n;
            n_left -= n;
        }
    }
    if (state != BETWEEN)
        end_word(reader, (size_t)(to - text));
    memset(to, ' ', 17);
    Word *words = (Word *)reader->words.bytes;
    size_t n_words = reader->words.size / sizeof(Word);
    for (size_t i = 0; i < n_words; i++)
        words[i].hash = hash_of(text + words[i].start, words[i].length);
    return FOUND;
}

/* Find the words of a document after Python has normalized it; 0 on failure. */
static int find_words_of_normal(Reader *reader, size_t document)
{
    char *text;
    Py_ssize_t length;
    int found = 0;
    if (reader->state)
        PyEval_RestoreThread(reader->state);
    PyObject *bytes = PyObject_CallFunction(reader->normalize, "n", (Py_ssize_t)document);
    if (bytes && PyBytes_AsStringAndSize(bytes, &text, &length) == 0) {
        reader->is_normal = 1;
        found = find_words(reader, (const unsigned char *)text, (size_t)length);
        reader->is_normal = 0;
    }
    Py_XDECREF(bytes);
    if (reader->state)
        reader->state = PyEval_SaveThread();
    return found;
}

/* Find the words of a document, given its index; 0 on failure. */
static int read_document(Reader *reader, const unsigned char *at, size_t length, size_t document)
{
    int found = find_words(reader, at, length);
    return found == NOT_NORMAL ? find_words_of_normal(reader, document) : found;
}

/* ------------------------------------------------------------------------------------------------
   Arguments from Python
   --------------------------------------------------------------------------------------------- */

/* With more bytes, releasing the interpreter's lock pays off. */
#define LONG (1 << 13)

static int fail(const char *message)
{
    PyErr_SetString(PyExc_ValueError, message);
    return 0;
}

/* Return 1 if a borrowed array has `n` items, else 0 with an exception. */
static int has_length(const Py_buffer *lent, size_t n)
{
    return (size_t)lent->len / (size_t)lent->itemsize == n
        ? 1 : fail("a table is not of the size that it has to be");
}

/* Fill a reader with the tables from Python; 0 with an exception. */
static int set_tables(Reader *reader, const Py_buffer *ascii, const Py_buffer *characters)
{
    if (ascii->len < 0x80
        || (characters->buf && (size_t)characters->len < N_CHARACTERS * sizeof(uint32_t)))
        return fail("a table of characters is too short");
    reader->ascii = ascii->buf;
    reader->characters = characters->buf;
    return 1;
}

/* Return a copy of the lengths, since other threads may write to them; NULL if they don't match. */
static int64_t *copy_lengths(const Py_buffer *text, const Py_buffer *lengths)
{
    int64_t n_left = text->len;
    int64_t *each = copy_of(lengths);
    if (!each) {
        PyErr_NoMemory();
        return NULL;
    }
    for (size_t i = 0; i < (size_t)lengths->len / sizeof *each; i++) {
        if (each[i] < 0 || each[i] > n_left) {
            free(each);
            fail("the documents are longer than the text");
            return NULL;
        }
        n_left -= each[i] + 1;
    }
    return each;
}

#endif
