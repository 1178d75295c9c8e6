/* Counts the terms of documents, in one pass over their bytes.

   This is what `ArrayCounter` of slugline/text/counting.py does in array operations, and the
   results are the same, bit for bit: terms are those of terms.py. With a table of word vectors, the
   vectors of the words are summed in the same pass.

   All work is on memory that is this call's own, and on tables that the caller lends, so that the
   interpreter's lock is released meanwhile, unless texts are short. Memory grows with the longest
   document and with what is returned. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_vectors.h"
#include "_words.h"

/* As in terms.py. */
#define N_LEAD 48
#define MAX_PLAIN 64 /* bytes of a word that are looked at together */
#define LONGEST_WORD 100 /* that is looked at whole */
#define LONGEST_UNSPACED_RUN 4

/* What the call works with. */
typedef struct {
    Reader reader;
    Vectors *vectors;           /* or NULL */
    int is_over;                /* whether a column is over what 32 bits can count */
    GrowingBuffer hashes;          /* of uint64_t: those of a document's words or pairs */
    GrowingBuffer columns, spare;  /* of uint32_t: those of one document's terms in one group */
    GrowingBuffer marks, outlines; /* of BucketBits and uint64_t: those of the columns, 0 in between */
    GrowingBuffer bounds;          /* of pointers: where a word's characters begin */
    GrowingBuffer out_columns, out_values, out_lengths; /* of int32_t, float and int64_t */
    GrowingBuffer out_terms, out_words;                 /* of int64_t */
} Work;

/* ------------------------------------------------------------------------------------------------
   The column of a term
   --------------------------------------------------------------------------------------------- */

/* The columns of a word's runs, found before. */
typedef struct {
    uint64_t hash; /* 0 in an empty slot */
    uint32_t first, n_columns;
} CachedWord;

enum { WORDS, LEAD, BIGRAMS, CHARACTERS };
static const char *const kind_names[] = {
    "words", "lead", "bigrams", "characters", "characters-2", "characters-3", "characters-5"};
static const size_t run_lengths[] = {4, 2, 3, 5}; /* from CHARACTERS on */
#define N_KINDS (int)(sizeof kind_names / sizeof *kind_names)

/* 64 buckets: which of them have a column, and how many before them have one. */
typedef struct {
    uint64_t bits, n_before;
} BucketBits;

/* A feature group. Columns are those of hash buckets: `columns` has one for each, or for each that
   has one according to `groups`, or buckets are columns themselves if it is NULL. Or they are those
   of a vocabulary, whose hash table has `keys`,
   and `columns` has the number of each. */
typedef struct {
    int kind;
    size_t n_slots; /* a power of two */
    int32_t *columns;
    size_t n_listed; /* columns */
    const BucketBits *groups;
    const uint64_t *keys;
    uint64_t multiplier;
    int shift;
    int learns;         /* whether unseen buckets get a column */
    int32_t n_before, n_columns; /* before this call, and so far */
    int32_t first;      /* what is added to columns that are returned */
    GrowingBuffer names, lengths; /* of what has been learned: bytes, and int64_t */
    int failed;          /* whether there was no memory for these */
    CachedWord *cache;        /* hash table of words */
    size_t n_cached;      /* a power of two, or 0 without one */
    GrowingBuffer cached_columns;
    Py_buffer lent_columns, lent_keys, lent_groups; /* .obj is NULL if there is none */
} FeatureGroup;

/* Probes of a word before it is taken to pieces again: nobody can prepare words that take longer. */
#define N_PROBES 4
#define MAX_CACHED ((size_t)1 << 14)
#define MAX_CACHED_BYTES ((size_t)1 << 21)
#define COPIED 32 /* bytes at once: most words have up to so many of columns */
#define SOONER 4  /* words, and words: the tables are larger than the processor's cache */
#define LATER 8

static inline int32_t number_in(const FeatureGroup *group, uint64_t hash)
{
    size_t slot = (size_t)(hash * group->multiplier >> group->shift);
    for (size_t n = 0; n < group->n_slots; n++) {
        uint64_t key = group->keys[slot];
        if (key == hash)
            return group->columns[slot];
        if (!key)
            break;
        slot = (slot + 1) & (group->n_slots - 1);
    }
    return -1;
}

/* Have the processor fetch what will be read: tables are larger than its cache. */
static inline void expect(const FeatureGroup *group, uint64_t hash)
{
#ifdef __GNUC__
    size_t bucket = (size_t)hash & (group->n_slots - 1);
    if (group->groups)
        __builtin_prefetch(group->groups + bucket / 64);
    else if (group->columns && !group->keys)
        __builtin_prefetch(group->columns + bucket);
#else
    (void)group, (void)hash;
#endif
}

/* Give a column to a bucket that is seen for the first time; -1 if there is no memory. */
static int32_t learn(FeatureGroup *group, size_t bucket, const unsigned char *name, size_t length)
{
    int64_t n_bytes = (int64_t)length;
    if (!push(&group->names, name, length) || !push(&group->lengths, &n_bytes, sizeof n_bytes)) {
        group->failed = 1;
        return -1;
    }
    return group->columns[bucket] = group->n_columns++;
}

/* Return how many bits are set. */
static inline uint64_t n_set(uint64_t bits)
{
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    return ((bits + (bits >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F)) * UINT64_C(0x0101010101010101) >> 56;
}

/* Write the columns of buckets that have one, and return where the next one comes. */
static inline int32_t *put_seen(int32_t *to, const FeatureGroup *group, const uint64_t *hashes, size_t n)
{
    const BucketBits *groups = group->groups;
    const uint64_t most = group->n_slots - 1;
    size_t n_seen = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t bucket = hashes[i] & most;
        BucketBits buckets = groups[bucket / 64];
        uint64_t number = buckets.n_before + n_set(buckets.bits & ((UINT64_C(1) << bucket % 64) - 1));
        to[n_seen] = (int32_t)number;
        /* Whether it is there, no processor could foresee. */
        n_seen += (buckets.bits >> bucket % 64 & 1) & (number < group->n_listed);
    }
    for (size_t i = 0; i < n_seen; i++)
        to[i] = group->columns[(uint32_t)to[i]];
    return to + n_seen;
}

/* Write a term's column, if it has one, and return where the next one comes. */
static inline int32_t *put_column(
    int32_t *to, FeatureGroup *group, uint64_t hash, const unsigned char *name, size_t length)
{
    int32_t column;
    if (group->keys) {
        column = number_in(group, hash);
    } else {
        size_t bucket = (size_t)hash & (group->n_slots - 1);
        column = group->columns ? group->columns[bucket] : (int32_t)bucket;
        if (group->learns && column < 0)
            column = learn(group, bucket, name, length);
    }
    *to = column;
    return to + (column >= 0); /* whether it has one, no processor could foresee */
}

/* Make room for so many columns, and return where they come; NULL if there is no memory. */
static inline int32_t *more_columns(Work *work, size_t n)
{
    /* One more, as there has to be a place even for none. */
    if (n >= SIZE_MAX / sizeof(int32_t)
        || !make_room(&work->columns, (n + 1) * sizeof(int32_t)))
        return NULL;
    return (int32_t *)(work->columns.bytes + work->columns.size);
}

static inline int columns_end(Work *work, const FeatureGroup *group, const int32_t *to)
{
    work->columns.size = (size_t)((const char *)to - work->columns.bytes);
    return !group->failed;
}

/* Return whether all of some bytes are ASCII; 8 bytes after the last one must be readable. */
static inline int are_ascii(const unsigned char *at, size_t n)
{
    uint64_t all = 0;
    for (; n >= 8; at += 8, n -= 8)
        all |= load(at);
    all |= load(at) & ((UINT64_C(1) << 8 * n) - 1);
    return !(all & UINT64_C(0x8080808080808080));
}

/* Add the first `most` runs of each number of characters, from `at` up to `stop`. */
FOR_WIDE_REGISTERS static int add_runs(Work *work, FeatureGroup *group, const unsigned char *at, const unsigned char *stop,
                    size_t shortest, size_t longest, size_t most)
{
    size_t n_bytes = (size_t)(stop - at), n = 0, n_hashes = 0;
    size_t n_bounds = n_bytes < most + longest ? n_bytes : most + longest - 1;
    size_t most_hashes = n_bounds * (longest - shortest + 1);
    if (n_bytes >= SIZE_MAX / 64
        || !make_room(&work->bounds, (n_bounds + 2) * sizeof(const unsigned char *))
        || !make_room(&work->hashes, (most_hashes + 1) * sizeof(uint64_t)))
        return 0;
    uint64_t *hashes = (uint64_t *)work->hashes.bytes;
    if (group->groups && shortest == longest && longest < 8 && n_bytes <= MAX_PLAIN
        && are_ascii(at, n_bytes)) { /* the usual case, faster */
        uint64_t end = UINT64_C(1) << 8 * longest;
        for (; n_hashes + longest <= n_bytes && n_hashes < most; n_hashes++) {
            uint64_t hash = mix((load(at + n_hashes) & (end - 1)) | end * 0xFF);
            hashes[n_hashes] = hash ? hash : 1;
            expect(group, hashes[n_hashes]);
        }
        int32_t *to = more_columns(work, n_hashes);
        return to && columns_end(work, group, put_seen(to, group, hashes, n_hashes));
    }
    const unsigned char **bounds = (const unsigned char **)work->bounds.bytes;
    bounds[n++] = at++;
    for (; at < stop && n <= n_bounds; at++) {
        bounds[n] = at;
        n += (*at & 0xC0) != 0x80;
    }
    if (n <= n_bounds)
        bounds[n++] = stop;
    for (size_t size = shortest; size <= longest; size++) {
        for (size_t i = 0; i + size < n && i < most; i++) {
            uint64_t hash = hash_of(bounds[i], (size_t)(bounds[i + size] - bounds[i]));
            hashes[n_hashes++] = hash;
            expect(group, hash);
        }
    }
    int32_t *to = more_columns(work, n_hashes);
    if (!to)
        return 0;
    if (group->groups)
        return columns_end(work, group, put_seen(to, group, hashes, n_hashes));
    const uint64_t *hash = hashes;
    for (size_t size = shortest; size <= longest; size++)
        for (size_t i = 0; i + size < n && i < most; i++)
            to = put_column(to, group, *hash++, bounds[i], (size_t)(bounds[i + size] - bounds[i]));
    return columns_end(work, group, to);
}

static int add_runs_of_word(Work *work, FeatureGroup *group, const Word *word)
{
    const unsigned char *start = (const unsigned char *)work->reader.text.bytes + word->start;
    const unsigned char *stop = start + word->length;
    const size_t run_length = run_lengths[group->kind - CHARACTERS];
    if (word->class == SPACED)
        return add_runs(work, group, start - 1, stop + 1, run_length, run_length,
                        LONGEST_WORD + 3 - run_length);
    return group->kind != CHARACTERS
        || add_runs(work, group, start, stop, 1, LONGEST_UNSPACED_RUN, SIZE_MAX / 64);
}

/* Have the processor fetch what is known of a word, or, of a sooner one, its columns. */
static inline void expect_known(const FeatureGroup *group, const Word *word, int is_sooner)
{
#ifdef __GNUC__
    const CachedWord *known = group->cache + ((size_t)word->hash & (group->n_cached - 1));
    if (!is_sooner)
        __builtin_prefetch(known);
    else if (known->hash == word->hash)
        __builtin_prefetch(group->cached_columns.bytes + known->first);
#else
    (void)group, (void)word, (void)is_sooner;
#endif
}

/* Add columns that are followed by room for `COPIED` more, as must be the place where they go. */
static inline int add_columns(Work *work, const char *columns, size_t size)
{
    if (size + COPIED > work->columns.capacity - work->columns.size
        && !make_room(&work->columns, size + COPIED))
        return 0;
    char *to = work->columns.bytes + work->columns.size;
    for (size_t n = 0; n < size; n += COPIED)
        memcpy(to + n, columns + n, COPIED);
    work->columns.size += size;
    return 1;
}

/* Add the runs of a word; they are found once, as words come again and again. */
static int add_known_runs(Work *work, FeatureGroup *group, const Word *word)
{
    size_t slot = (size_t)word->hash, mask = group->n_cached - 1;
    CachedWord *free_slot = NULL;
    for (int n = 0; group->n_cached && n < N_PROBES; n++) {
        CachedWord *known = group->cache + ((slot + (size_t)n) & mask);
        if (known->hash == word->hash)
            return add_columns(work, group->cached_columns.bytes + known->first,
                               (size_t)known->n_columns * sizeof(int32_t));
        if (!known->hash) {
            free_slot = known;
            break;
        }
    }
    size_t before = work->columns.size;
    if (!add_runs_of_word(work, group, word))
        return 0;
    size_t size = work->columns.size - before;
    if (free_slot && group->cached_columns.size + size <= MAX_CACHED_BYTES) {
        CachedWord known = {word->hash, (uint32_t)group->cached_columns.size,
                       (uint32_t)(size / sizeof(int32_t))};
        if (!push(&group->cached_columns, work->columns.bytes + before, size)
            || !make_room(&group->cached_columns, COPIED))
            return 0;
        *free_slot = known;
    }
    return 1;
}

/* Put the columns of all of a document's terms into `work->columns`, in reading order. */
FOR_WIDE_REGISTERS static int find_columns(Work *work, FeatureGroup *group)
{
    const unsigned char *text = (const unsigned char *)work->reader.text.bytes;
    const Word *words = (const Word *)work->reader.words.bytes;
    size_t n_words = work->reader.words.size / sizeof(Word);
    work->columns.size = 0;
    if (group->kind == LEAD && n_words > N_LEAD)
        n_words = N_LEAD;
    if (group->kind >= CHARACTERS) {
        for (size_t i = 0; i < n_words; i++) {
            if (group->n_cached && i + LATER < n_words)
                expect_known(group, words + i + LATER, 0);
            if (group->n_cached && i + SOONER < n_words)
                expect_known(group, words + i + SOONER, 1);
            if (!add_known_runs(work, group, words + i))
                return 0;
        }
        return 1;
    }
    size_t n_together = group->kind == BIGRAMS ? 2 : 1;
    int32_t *to = more_columns(work, n_words);
    if (!to)
        return 0;
    size_t n_terms = n_words < n_together ? 0 : n_words - n_together + 1;
    work->hashes.size = 0;
    if (!make_room(&work->hashes, (n_terms + 1) * sizeof(uint64_t)))
        return 0;
    uint64_t *hashes = (uint64_t *)work->hashes.bytes;
    for (size_t i = 0; i < n_terms; i++) {
        hashes[i] = words[i].hash;
        if (group->kind == BIGRAMS) {
            uint64_t hash = mix(words[i].hash * UINT64_C(0x9E3779B97F4A7C15) + words[i + 1].hash);
            hashes[i] = hash ? hash : 1;
        }
        expect(group, hashes[i]);
    }
    if (group->groups)
        to = put_seen(to, group, hashes, n_terms);
    for (size_t i = 0; !group->groups && i < n_terms; i++) {
        const Word *word = words + i, *last = word + n_together - 1;
        size_t length = last->start + last->length - word->start;
        to = put_column(to, group, hashes[i], text + word->start, length);
    }
    return columns_end(work, group, to);
}

/* ------------------------------------------------------------------------------------------------
   Counts
   --------------------------------------------------------------------------------------------- */

#define FEW 16                 /* columns that are sorted faster than marked */
#define HIGHEST (UINT64_C(1) << 63)
#define MAX_MARKED (1u << 24) /* columns, as there are hash buckets; more are sorted */

/* Return the place of the lowest bit that is set. */
static inline uint32_t lowest(uint64_t bits)
{
#ifdef __GNUC__
    return (uint32_t)__builtin_ctzll(bits);
#else
    return (uint32_t)n_set((bits & (0 - bits)) - 1);
#endif
}

/* Make room for the marks of columns up to `last`; 0 if there is no memory. */
static int make_marks(Work *work, uint32_t last)
{
    size_t n_outlines = last / 4096 + 1, size = n_outlines * 64 * sizeof(BucketBits);
    if (size <= work->marks.size)
        return 1;
    if (!make_room(&work->marks, size - work->marks.size)
        || !make_room(&work->outlines, n_outlines * sizeof(uint64_t) - work->outlines.size))
        return 0;
    memset(work->marks.bytes + work->marks.size, 0, size - work->marks.size);
    work->marks.size = size;
    work->outlines.size = n_outlines * sizeof(uint64_t);
    memset(work->outlines.bytes, 0, work->outlines.size);
    return 1;
}

/* Mark columns in one pass, and read the marks in order; return how many columns are distinct. */
FOR_WIDE_REGISTERS static size_t count_by_marks(Work *work, const uint32_t *keys, size_t n, uint32_t last,
                             int32_t *columns, float *values)
{
    BucketBits *groups = (BucketBits *)work->marks.bytes;
    uint64_t *outlines = (uint64_t *)work->outlines.bytes; /* a bit for each group with marks */
    uint32_t *repeats = (uint32_t *)work->spare.bytes;
    size_t n_repeats = 0, n_put = 0;
    for (size_t i = 0; i < n; i++) {
        BucketBits *group = groups + keys[i] / 64;
        uint64_t bit = UINT64_C(1) << keys[i] % 64;
        repeats[n_repeats] = keys[i];
        n_repeats += (group->bits & bit) != 0;
        group->bits |= bit;
        outlines[keys[i] / 4096] |= UINT64_C(1) << keys[i] / 64 % 64;
    }
    for (uint32_t first = 0; first <= last / 64; first += 64) {
        uint64_t outline = outlines[first / 64];
        outlines[first / 64] = 0;
        for (; outline; outline &= outline - 1) {
            uint32_t number = first + lowest(outline);
            uint64_t bits = groups[number].bits;
            groups[number].n_before = n_put;
            do {
                columns[n_put++] = (int32_t)(number * 64 + lowest(bits));
                bits &= bits - 1;
                /* Whether there is another one, no processor could foresee; a third one is rare. */
                columns[n_put] = (int32_t)(number * 64 + lowest(bits | HIGHEST));
                n_put += bits != 0;
                bits &= bits - 1;
            } while (bits);
        }
    }
    for (size_t i = 0; i < n_put; i++)
        values[i] = 1;
    for (size_t i = 0; i < n_repeats; i++) {
        const BucketBits *group = groups + repeats[i] / 64;
        uint64_t bit = UINT64_C(1) << repeats[i] % 64;
        values[group->n_before + n_set(group->bits & (bit - 1))] += 1;
    }
    for (size_t i = 0; i < n; i++)
        groups[keys[i] / 64].bits = 0;
    return n_put;
}

static int compare(const void *a, const void *b)
{
    uint32_t key = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return (key > other) - (key < other);
}

/* The same by sorting the columns. */
static size_t count_by_order(uint32_t *keys, size_t n, int32_t *columns, float *values)
{
    size_t n_put = 0;
    if (n > FEW)
        qsort(keys, n, sizeof *keys, compare);
    for (size_t i = 1; n <= FEW && i < n; i++) {
        uint32_t key = keys[i];
        size_t j = i;
        for (; j && keys[j - 1] > key; j--)
            keys[j] = keys[j - 1];
        keys[j] = key;
    }
    for (size_t i = 0; i < n; i++) {
        if (i && keys[i - 1] == keys[i]) {
            values[n_put - 1] += 1;
            continue;
        }
        columns[n_put] = (int32_t)keys[i];
        values[n_put++] = 1;
    }
    return n_put;
}

/* Return the counts of a document's columns, in ascending order of these. */
static int put_counts(Work *work, int32_t first_column)
{
    size_t size = work->columns.size, n = size / sizeof(uint32_t);
    int64_t n_terms = (int64_t)n, n_put;
    /* One more, as there has to be a place even for no repeat and no second column. */
    if (!make_room(&work->spare, size + sizeof(uint32_t))
        || !make_room(&work->out_columns, size + sizeof(int32_t))
        || !make_room(&work->out_values, size))
        return 0;
    int32_t *columns = (int32_t *)(work->out_columns.bytes + work->out_columns.size);
    float *values = (float *)(work->out_values.bytes + work->out_values.size);
    uint32_t *keys = (uint32_t *)work->columns.bytes, last = 0;
    for (size_t i = 0; i < n; i++)
        last = keys[i] > last ? keys[i] : last;
    /* A sum of ones in a float comes to 2^24 and no further. */
    if (n <= FEW || last >= MAX_MARKED)
        n_put = (int64_t)count_by_order(keys, n, columns, values);
    else if (make_marks(work, last))
        n_put = (int64_t)count_by_marks(work, keys, n, last, columns, values);
    else
        return 0;
    if (n && last > (uint32_t)(INT32_MAX - first_column)) {
        work->is_over = 1;
        return 0;
    }
    for (int64_t i = 0; i < n_put; i++)
        columns[i] += first_column;
    work->out_columns.size += (size_t)n_put * sizeof(int32_t);
    work->out_values.size += (size_t)n_put * sizeof(float);
    return push(&work->out_lengths, &n_put, sizeof n_put)
        && push(&work->out_terms, &n_terms, sizeof n_terms);
}

static int count_all(Work *work, FeatureGroup *feature_groups, Py_ssize_t n_feature_groups, const Py_buffer *text,
                     const int64_t *lengths, size_t n_documents)
{
    size_t at = 0;
    for (size_t document = 0; document < n_documents; document++) {
        size_t length = (size_t)lengths[document];
        if (!read_document(&work->reader, (const unsigned char *)text->buf + at, length, document))
            return 0;
        int64_t n_words = (int64_t)(work->reader.words.size / sizeof(Word));
        if (!push(&work->out_words, &n_words, sizeof n_words))
            return 0;
        if (work->vectors)
            prefetch_slots(work->vectors, &work->reader);
        for (Py_ssize_t i = 0; i < n_feature_groups; i++)
            if (!find_columns(work, feature_groups + i) || !put_counts(work, feature_groups[i].first))
                return 0;
        if (work->vectors) {
            if (document) /* the rows of the previous one have been fetched meanwhile */
                sum_rows(work->vectors, document - 1);
            if (!put_rows(work->vectors, &work->reader, document))
                return 0;
        }
        at += length + 1; /* a space follows */
    }
    if (work->vectors && n_documents)
        sum_rows(work->vectors, n_documents - 1);
    return 1;
}

/* ------------------------------------------------------------------------------------------------
   Python's class
   --------------------------------------------------------------------------------------------- */

static int kind_of(const char *name)
{
    for (int kind = WORDS; kind < N_KINDS; kind++)
        if (!strcmp(name, kind_names[kind]))
            return kind;
    return -1;
}

static int read_group(PyObject *item, FeatureGroup *group, Py_ssize_t n_bytes)
{
    const char *kind;
    Py_ssize_t n_slots;
    PyObject *columns, *keys, *groups;
    unsigned long long multiplier;
    int n_columns, first;
    if (!PyTuple_Check(item))
        return fail("a group is not a tuple");
    if (!PyArg_ParseTuple(item, "snOOKOii", &kind, &n_slots, &columns, &keys, &multiplier,
                          &groups, &n_columns, &first))
        return 0;
    group->kind = kind_of(kind);
    if (group->kind < 0)
        return fail("a group is of no kind that there is");
    if (n_slots < 1 || n_slots > 1 << 30 || n_slots & (n_slots - 1))
        return fail("the number of slots is not a power of two up to 2^30");
    group->n_slots = (size_t)n_slots;
    group->multiplier = multiplier;
    for (group->shift = 64; n_slots > 1; n_slots >>= 1)
        group->shift--;
    /* Columns are of 32 bits, also those that buckets will get, and with the first one added. */
    if (n_columns < -1 || first < 0 || (int64_t)n_columns + (int64_t)group->n_slots > INT32_MAX)
        return fail("a group has more columns than 32 bits can count");
    group->learns = n_columns >= 0;
    group->n_before = group->n_columns = n_columns;
    group->first = first;
    if (groups != Py_None) {
        size_t n_groups = (group->n_slots + 63) / 64;
        if (!borrow_uint64(groups, &group->lent_groups) || !has_length(&group->lent_groups, 2 * n_groups))
            return 0;
        if (columns == Py_None)
            return fail("a group's tables do not fit together");
        if (!borrow_int32(columns, &group->lent_columns))
            return 0;
        group->groups = group->lent_groups.buf;
    } else if (columns != Py_None) {
        int is_borrowed = group->learns ? borrow_writable_int32(columns, &group->lent_columns)
                                        : borrow_int32(columns, &group->lent_columns);
        if (!is_borrowed || !has_length(&group->lent_columns, group->n_slots))
            return 0;
    }
    group->columns = group->lent_columns.buf;
    group->n_listed = (size_t)group->lent_columns.len / sizeof(int32_t);
    if (keys != Py_None) {
        if (!borrow_uint64(keys, &group->lent_keys) || !has_length(&group->lent_keys, group->n_slots))
            return 0;
        group->keys = group->lent_keys.buf;
    }
    if ((group->keys && (!group->columns || group->shift == 64))
        || (group->groups && (group->keys || group->learns))
        || (group->learns && (!group->columns || group->keys)))
        return fail("a group's tables do not fit together");
    if (group->kind >= CHARACTERS) {
        group->n_cached = 16;
        while (group->n_cached < MAX_CACHED && group->n_cached < (size_t)n_bytes / 8)
            group->n_cached *= 2;
        group->cache = calloc(group->n_cached, sizeof(CachedWord));
        if (!group->cache)
            group->n_cached = 0; /* slower, but no less right */
    }
    return 1;
}

static void free_group(FeatureGroup *group)
{
    free(group->cache);
    free(group->cached_columns.bytes);
    free(group->names.bytes);
    free(group->lengths.bytes);
    release_arrays(&group->lent_columns, 1);
    release_arrays(&group->lent_keys, 1);
    release_arrays(&group->lent_groups, 1);
}

/* Take back the columns that were given before memory ran out. */
static void unlearn(FeatureGroup *group)
{
    for (size_t i = 0; group->learns && i < group->n_slots; i++)
        if (group->columns[i] >= group->n_before)
            group->columns[i] = -1;
}

static PyObject *as_bytes(const GrowingBuffer *buffer)
{
    /* A bytearray can be written to, as an array made of it must be. */
    return PyByteArray_FromStringAndSize(buffer->bytes, (Py_ssize_t)buffer->size);
}

static PyObject *result_of(const Work *work, const FeatureGroup *feature_groups, Py_ssize_t n_feature_groups)
{
    PyObject *names = PyTuple_New(n_feature_groups);
    for (Py_ssize_t i = 0; names && i < n_feature_groups; i++) {
        PyObject *learned = Py_BuildValue("(y#N)",
            feature_groups[i].names.bytes ? feature_groups[i].names.bytes : "", (Py_ssize_t)feature_groups[i].names.size,
            as_bytes(&feature_groups[i].lengths));
        if (!learned || PyTuple_SetItem(names, i, learned) < 0) {
            Py_DECREF(names);
            return NULL;
        }
    }
    PyObject *sums = work->vectors ? work->vectors->sums : Py_None;
    PyObject *known = work->vectors ? work->vectors->known : Py_None;
    return names ? Py_BuildValue("(NNNNNNOO)", as_bytes(&work->out_columns),
        as_bytes(&work->out_values), as_bytes(&work->out_lengths), as_bytes(&work->out_terms),
        as_bytes(&work->out_words), names, sums, known) : NULL;
}

PyDoc_STRVAR(count_doc,
"count(text, lengths, ascii, characters, normalize, feature_groups, table=None)\n--\n\n"
"Return how often each term occurs in documents, and the sums of the vectors of their words.\n\n"
"Parameters\n"
"----------\n"
"text : bytes\n"
"    The documents in UTF-8, with one byte between them.\n"
"lengths : int64 array, shape (n_documents,)\n"
"    The number of bytes of each.\n"
"ascii : bytes, at least 128\n"
"    What stands for each ASCII character; a space for what separates words.\n"
"characters : uint32 array, shape (2^17 + 17,), or None\n"
"    What is known of each character up to U+1FFFF, then of those of each plane, in bits: see\n"
"    `slugline.text.tokens.character_table`. None takes all of them for letters in lower case.\n"
"normalize : callable\n"
"    Gets the number of a document, and returns its bytes in lower case and normal form C.\n"
"feature_groups : tuple of (kind, n_slots, columns, keys, multiplier, groups, n_columns, first)\n"
"    A `TermTable` and what is around it. `n_columns` is the number of columns so far if unseen\n"
"    buckets are to get one, else -1. `first` is added to the columns that are returned.\n"
"table : (slots, filter, factors, rows, n_columns, shortest_piece, shortest_unspaced_piece,\n"
"        longest_piece, scale), or None\n"
"    Sections of a `VectorTable`, and numbers of its header.\n\n"
"Returns\n"
"-------\n"
"columns, values, lengths : bytearray, of int32, float32 and int64\n"
"    Ascending columns and their counts, for each group of the first document, then of the second;\n"
"    and how many each group of each document has.\n"
"n_terms : bytearray, of int64\n"
"    The sum of the counts of each group of each document.\n"
"n_words : bytearray, of int64\n"
"    How many words each document has, known or not.\n"
"names : tuple of (bytes, bytearray of int64)\n"
"    For each group, the terms that columns were given to, and their lengths.\n"
"sums, known : bytearray, of float32, or None\n"
"    The sum of the vectors of each document, shape (n_documents, n_columns), and the fraction of\n"
"    its characters that is known; None without a table.");

static PyObject *count(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer text, lengths, ascii, characters;
    PyObject *items, *table = Py_None, *result = NULL;
    Vectors vectors;
    int64_t *own_lengths = NULL;
    FeatureGroup *feature_groups = NULL;
    Py_ssize_t n_feature_groups, n_read = 0;
    Work work;
    memset(&work, 0, sizeof work);
    memset(&vectors, 0, sizeof vectors);
    text.obj = lengths.obj = ascii.obj = characters.obj = NULL;
    characters.buf = NULL;
    if (!PyArg_ParseTuple(arguments, "y*O&y*O&OO!|O", &text, borrow_int64, &lengths, &ascii,
                          borrow_optional_uint32, &characters, &work.reader.normalize, &PyTuple_Type, &items,
                          &table))
        goto done;
    n_feature_groups = PyTuple_Size(items);
    feature_groups = calloc((size_t)n_feature_groups + 1, sizeof(FeatureGroup));
    if (!feature_groups) {
        PyErr_NoMemory();
        goto done;
    }
    if (!set_tables(&work.reader, &ascii, &characters))
        goto done;
    own_lengths = copy_lengths(&text, &lengths);
    if (!own_lengths)
        goto done;
    size_t n_documents = (size_t)lengths.len / sizeof(int64_t);
    if (table != Py_None) {
        if (!open_vectors(table, &vectors, n_documents))
            goto done;
        work.vectors = &vectors;
    }
    while (n_read < n_feature_groups) {
        FeatureGroup *group = feature_groups + n_read;
        if (!read_group(PyTuple_GetItem(items, n_read++), group, text.len))
            goto done;
    }
    work.reader.state = text.len < LONG ? NULL : PyEval_SaveThread();
    int ok = count_all(&work, feature_groups, n_feature_groups, &text, own_lengths, n_documents);
    if (work.reader.state)
        PyEval_RestoreThread(work.reader.state);
    if (work.is_over)
        fail("a group has more columns than 32 bits can count");
    result = ok ? result_of(&work, feature_groups, n_feature_groups) : PyErr_Occurred() ? NULL : PyErr_NoMemory();
    for (Py_ssize_t i = 0; !result && i < n_feature_groups; i++)
        unlearn(feature_groups + i);
done:
    for (Py_ssize_t i = 0; i < n_read; i++)
        free_group(feature_groups + i);
    free(feature_groups);
    free(own_lengths);
    close_vectors(&vectors);
    GrowingBuffer *buffers[] = {&work.reader.text, &work.reader.words, &work.hashes, &work.columns,
                                &work.spare, &work.marks, &work.outlines, &work.bounds,
                                &work.out_columns, &work.out_values, &work.out_lengths,
                                &work.out_terms, &work.out_words};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        free(buffers[i]->bytes);
    release_arrays(&text, 1);
    release_arrays(&lengths, 1);
    release_arrays(&ascii, 1);
    release_arrays(&characters, 1);
    return result;
}

static PyMethodDef methods[] = {
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
