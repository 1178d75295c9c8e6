/* Finds the columns of the terms of documents, and counts them.

   Terms are defined as in terms.py. Because words repeat, each word is looked up once and cached:
   its columns, the columns of its n-grams, and its rows in a table of word vectors. */

#ifndef SLUGLINE_TERMS_H
#define SLUGLINE_TERMS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_vectors.h"
#include "_words.h"

/* As in terms.py. */
#define N_LEAD 48
#define MAX_PLAIN 64 /* maximum bytes of a word processed together */
#define LONGEST_WORD 100 /* characters; longer words are cut */
#define LONGEST_UNSPACED_RUN 4

/* ------------------------------------------------------------------------------------------------
   Feature groups
   --------------------------------------------------------------------------------------------- */

enum { WORDS, LEAD, BIGRAMS, CHARACTERS };
static const char *const kind_names[] = {
    "words", "lead", "bigrams", "characters", "characters-2", "characters-3", "characters-5"};
static const size_t run_lengths[] = {4, 2, 3, 5}; /* from CHARACTERS on */
#define N_KINDS (int)(sizeof kind_names / sizeof *kind_names)

/* 64 buckets: a bitmask of those with a column, and the number of columns before them. */
typedef struct {
    uint64_t bits, n_before;
} BucketBits;

/* A feature group, with hash buckets or a vocabulary. With buckets, `columns` has an entry for each
   bucket or, if there are `groups`, for each bucket with a column; NULL if buckets are columns.
   With a vocabulary, `keys` and `columns` form a hash table. While a group learns its first
   columns, it uses a table of this call, which grows as needed. */
typedef struct {
    int kind;
    size_t n_slots; /* a power of two */
    int32_t *columns;
    size_t n_listed; /* columns */
    const BucketBits *groups;
    const uint64_t *keys;
    uint64_t multiplier;
    int shift;
    int learns;         /* 1 if unseen buckets get a column */
    int32_t *own;       /* column of each slot, or -1; NULL unless learning the first ones */
    size_t n_own;       /* slots, a power of two up to n_slots */
    int32_t n_columns;  /* so far */
    int32_t first;      /* offset added to returned columns */
    GrowingBuffer names, lengths, buckets; /* of new columns: bytes, int64_t and int32_t */
    int failed;          /* 1 if out of memory for these */
    Py_buffer lent_columns, lent_keys, lent_groups; /* .obj is NULL if absent */
} FeatureGroup;

/* Cached record of a word. It is followed by the word, zero-padded to a multiple of 8 bytes; the
   end of each group's columns; these columns; and the rows of the word's vectors. */
typedef struct {
    uint32_t length;             /* of the word, in bytes */
    uint32_t n_rows;
    uint32_t n_known, n_counted; /* characters; see WordRows */
} Record;

/* Kept small, because the slots don't fit into a core's own cache. */
typedef struct {
    uint32_t hash; /* its lowest bits */
    uint32_t place; /* of the record, in blocks of 8 bytes, plus 1; 0 in an empty slot */
} CacheSlot;

/* Location of a word's record. */
typedef struct {
    size_t start;
    enum { NOWHERE, IN_CACHE, IN_DOCUMENT } where;
} RecordPlace;

/* A cache of words. Records are matched byte for byte, because attackers can craft equal hashes. A
   full cache is emptied before the next document. */
typedef struct {
    CacheSlot *slots;
    size_t n_slots, n_words; /* n_slots is a power of two, or 0 */
    GrowingBuffer records;
} WordCache;

/* State for finding a document's terms. */
typedef struct {
    Reader reader;
    FeatureGroup *groups;
    size_t n_groups;
    const Vectors *vectors;       /* or NULL */
    GrowingBuffer hashes;         /* uint64_t: of a document's words or pairs */
    GrowingBuffer columns, spare; /* uint32_t: of a document's terms in one group */
    GrowingBuffer counts;         /* bytes: counts of columns in a document; 0 between documents */
    GrowingBuffer blocks, outlines; /* bytes: 1 if any of 64, or of 4096, columns has a count */
    int has_large_counts;         /* 1 if a count of the last group may exceed MOST */
    GrowingBuffer bounds;         /* pointers to the starts of a word's characters */
    GrowingBuffer ends;           /* uint32_t: of a word's columns in each group */
    WordRows word_rows;           /* of a word */
    GrowingBuffer rows;           /* uint32_t: of a document's words */
    WordCache cache;
    GrowingBuffer places;         /* RecordPlace: of a document's words */
    GrowingBuffer records;        /* of a document's uncached words */
    int learns;                   /* 1 if a group learns columns */
} Finder;

/* ------------------------------------------------------------------------------------------------
   The column of a term
   --------------------------------------------------------------------------------------------- */

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

/* Prefetch a slot: tables are larger than the processor's cache. */
static inline void expect(const FeatureGroup *group, uint64_t hash)
{
    size_t bucket = (size_t)hash & (group->n_slots - 1);
    if (group->groups)
        prefetch(group->groups + bucket / 64);
    else if (group->own)
        prefetch(group->own + (bucket & (group->n_own - 1)));
    else if (group->columns && !group->keys)
        prefetch(group->columns + bucket);
}

#define FEWEST_SLOTS ((size_t)1 << 12)
#define MOST_PROBES 16 /* with more, the table grows, until each bucket has its own slot */

/* Return the slot of a bucket in the group's own table, or a free slot for it; NULL if that takes
   too many probes. */
static inline int32_t *own_slot(const FeatureGroup *group, size_t bucket)
{
    const int32_t *buckets = (const int32_t *)group->buckets.bytes;
    for (size_t n = 0; n < MOST_PROBES; n++) {
        int32_t *slot = group->own + ((bucket + n) & (group->n_own - 1));
        if (*slot < 0 || (size_t)buckets[*slot] == bucket)
            return slot;
    }
    return NULL;
}

/* Create or enlarge the group's own table; 0 if out of memory. */
static int widen_own(FeatureGroup *group)
{
    size_t n_own = group->own ? group->n_own * 4 : FEWEST_SLOTS;
    const int32_t *buckets = (const int32_t *)group->buckets.bytes;
    for (int32_t column = -1; column < group->n_columns; n_own *= 4) {
        group->n_own = n_own < group->n_slots ? n_own : group->n_slots;
        int32_t *own = realloc(group->own, group->n_own * sizeof *own);
        if (!own)
            return 0;
        group->own = own;
        memset(own, 0xFF, group->n_own * sizeof *own); /* -1 everywhere */
        for (column = 0; column < group->n_columns; column++) {
            int32_t *slot = own_slot(group, (size_t)buckets[column]);
            if (!slot)
                break;
            *slot = column;
        }
    }
    return 1;
}

/* Return a pointer to the column of a bucket, set or not; NULL if out of memory. */
static inline int32_t *learning_slot(FeatureGroup *group, size_t bucket)
{
    if (!group->own)
        return group->columns + bucket;
    int32_t *slot = own_slot(group, bucket);
    while (!slot && widen_own(group))
        slot = own_slot(group, bucket);
    return slot;
}

/* Add a column for a bucket seen for the first time; -1 if out of memory. */
static int32_t learn(FeatureGroup *group, int32_t *slot, size_t bucket, const unsigned char *name,
                     size_t length)
{
    int64_t n_bytes = (int64_t)length;
    int32_t number = (int32_t)bucket;
    if (!push(&group->names, name, length) || !push(&group->lengths, &n_bytes, sizeof n_bytes)
        || !push(&group->buckets, &number, sizeof number)) {
        group->failed = 1;
        return -1;
    }
    *slot = group->n_columns++;
    /* Half of the slots of a table with probes stay empty. */
    if (group->own && group->n_own < group->n_slots && (size_t)group->n_columns > group->n_own / 2
        && !widen_own(group))
        group->failed = 1;
    return group->n_columns - 1;
}

/* Return the column of a bucket, adding one if needed; -1 if out of memory. */
static inline int32_t learned_column(FeatureGroup *group, size_t bucket, const unsigned char *name,
                                     size_t length)
{
    int32_t *slot = learning_slot(group, bucket);
    if (!slot) {
        group->failed = 1;
        return -1;
    }
    return *slot < 0 ? learn(group, slot, bucket, name, length) : *slot;
}

/* Write a bucket's index among the buckets with a column; return where to write the next one. */
static inline int32_t *put_number(int32_t *to, const FeatureGroup *group, uint64_t hash)
{
    uint64_t bucket = hash & (group->n_slots - 1);
    BucketBits buckets = group->groups[bucket / 64];
    uint64_t number = buckets.n_before + n_set(buckets.bits & ((UINT64_C(1) << bucket % 64) - 1));
    *to = (int32_t)number;
    /* Without a branch, which would be mispredicted. */
    return to + ((buckets.bits >> bucket % 64 & 1) & (number < group->n_listed));
}

/* Convert bucket indices to columns. */
static inline int32_t *put_columns_of_numbers(int32_t *at, int32_t *end, const FeatureGroup *group)
{
    for (; at < end; at++)
        *at = group->columns[(uint32_t)*at];
    return end;
}

/* Write the columns of buckets with a column; return where to write the next one. */
static inline int32_t *put_seen(int32_t *to, const FeatureGroup *group, const uint64_t *hashes, size_t n)
{
    int32_t *end = to;
    for (size_t i = 0; i < n; i++)
        end = put_number(end, group, hashes[i]);
    return put_columns_of_numbers(to, end, group);
}

/* Write a term's column, if any; return where to write the next one. */
static inline int32_t *put_column(
    int32_t *to, FeatureGroup *group, uint64_t hash, const unsigned char *name, size_t length)
{
    int32_t column;
    if (group->keys) {
        column = number_in(group, hash);
    } else {
        size_t bucket = (size_t)hash & (group->n_slots - 1);
        if (group->learns)
            column = learned_column(group, bucket, name, length);
        else
            column = group->columns ? group->columns[bucket] : (int32_t)bucket;
    }
    *to = column;
    return to + (column >= 0); /* without a branch, which would be mispredicted */
}

/* Make room for `n` columns and return a pointer to it; NULL if out of memory. */
static inline int32_t *more_columns(Finder *finder, size_t n)
{
    /* One more, so that the pointer is valid even without columns. */
    if (n >= SIZE_MAX / sizeof(int32_t)
        || !make_room(&finder->columns, (n + 1) * sizeof(int32_t)))
        return NULL;
    return (int32_t *)(finder->columns.bytes + finder->columns.size);
}

static inline int columns_end(Finder *finder, const FeatureGroup *group, const int32_t *to)
{
    finder->columns.size = (size_t)((const char *)to - finder->columns.bytes);
    return !group->failed;
}

/* Return 1 if all bytes are ASCII; 8 bytes after the last one must be readable. */
static inline int are_ascii(const unsigned char *at, size_t n)
{
    uint64_t all = 0;
    for (; n >= 8; at += 8, n -= 8)
        all |= load(at);
    all |= load(at) & ((UINT64_C(1) << 8 * n) - 1);
    return !(all & UINT64_C(0x8080808080808080));
}

/* Add the first `most` runs of each number of characters, from `at` up to `stop`. */
FOR_WIDE_REGISTERS static int add_runs(Finder *finder, FeatureGroup *group, const unsigned char *at, const unsigned char *stop,
                    size_t shortest, size_t longest, size_t most)
{
    size_t n_bytes = (size_t)(stop - at), n = 0, n_hashes = 0;
    size_t n_bounds = n_bytes < most + longest ? n_bytes : most + longest - 1;
    size_t most_hashes = n_bounds * (longest - shortest + 1);
    if (n_bytes >= SIZE_MAX / 64
        || !make_room(&finder->bounds, (n_bounds + 2) * sizeof(const unsigned char *))
        || !make_room(&finder->hashes, (most_hashes + 1) * sizeof(uint64_t)))
        return 0;
    uint64_t *hashes = (uint64_t *)finder->hashes.bytes;
    if (group->groups && shortest == longest && longest < 8 && n_bytes <= MAX_PLAIN
        && are_ascii(at, n_bytes)) { /* the usual case, faster */
        uint64_t end = UINT64_C(1) << 8 * longest;
        for (; n_hashes + longest <= n_bytes && n_hashes < most; n_hashes++) {
            uint64_t hash = mix((load(at + n_hashes) & (end - 1)) | end * 0xFF);
            hashes[n_hashes] = hash ? hash : 1;
            expect(group, hashes[n_hashes]);
        }
        int32_t *to = more_columns(finder, n_hashes);
        return to && columns_end(finder, group, put_seen(to, group, hashes, n_hashes));
    }
    const unsigned char **bounds = (const unsigned char **)finder->bounds.bytes;
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
    int32_t *to = more_columns(finder, n_hashes);
    if (!to)
        return 0;
    if (group->groups)
        return columns_end(finder, group, put_seen(to, group, hashes, n_hashes));
    const uint64_t *hash = hashes;
    for (size_t size = shortest; size <= longest; size++)
        for (size_t i = 0; i + size < n && i < most; i++)
            to = put_column(to, group, *hash++, bounds[i], (size_t)(bounds[i + size] - bounds[i]));
    return columns_end(finder, group, to);
}

/* Add the runs of 1 to 4 three-byte characters; faster than `add_runs`. */
FOR_WIDE_REGISTERS static int add_narrow_runs(Finder *finder, FeatureGroup *group, const unsigned char *at,
                                              const unsigned char *stop)
{
    size_t n_left = (size_t)(stop - at) / 3;
    if (n_left >= SIZE_MAX / 64)
        return 0;
    int32_t *first = more_columns(finder, LONGEST_UNSPACED_RUN * n_left), *to = first;
    if (!first)
        return 0;
    for (; n_left; n_left--, at += 3) {
        /* The two longer ones share the hash of their first 8 bytes. */
        uint64_t state = mix(load(at));
        to = put_number(to, group, hash_last(0, at, 3));
        if (n_left >= 2)
            to = put_number(to, group, hash_last(0, at, 6));
        if (n_left >= 3)
            to = put_number(to, group, hash_last(state, at + 8, 1));
        if (n_left >= 4)
            to = put_number(to, group, hash_last(state, at + 8, 4));
    }
    return columns_end(finder, group, put_columns_of_numbers(first, to, group));
}

static int add_runs_of_word(Finder *finder, FeatureGroup *group, const Word *word)
{
    const unsigned char *start = (const unsigned char *)finder->reader.text.bytes + word->start;
    const unsigned char *stop = start + word->length;
    const size_t run_length = run_lengths[group->kind - CHARACTERS];
    if (word->class == SPACED)
        return add_runs(finder, group, start - 1, stop + 1, run_length, run_length,
                        LONGEST_WORD + 3 - run_length);
    if (group->kind != CHARACTERS)
        return 1;
    if (group->groups && has_narrow_characters(start, word->length))
        return add_narrow_runs(finder, group, start, stop);
    return add_runs(finder, group, start, stop, 1, LONGEST_UNSPACED_RUN, SIZE_MAX / 64);
}

/* ------------------------------------------------------------------------------------------------
   Records of words
   --------------------------------------------------------------------------------------------- */

/* Maximum probes for a slot, so crafted words can't take longer. */
#define N_PROBES 4
#define MIN_SLOTS ((size_t)1 << 10)
/* Half of the slots are used; with half as many slots, long English texts take a sixth longer. */
#define MAX_SLOTS ((size_t)1 << 17)
#define MAX_CACHED_BYTES ((size_t)1 << 23)
/* Longer words, such as sentences in scripts without spaces, rarely repeat. */
#define MAX_CACHED_LENGTH 48
#define COPIED 32 /* bytes copied at once; enough for the columns of most words */
#define SOONER 12 /* words, and words: the cache is larger than that of the processor */
#define LATER 24

static inline size_t padded_length(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

static inline const unsigned char *word_of(const Record *record)
{
    return (const unsigned char *)(record + 1);
}

/* Return the ends of a record's columns in each group. */
static inline const uint32_t *ends_of(const Record *record)
{
    return (const uint32_t *)(word_of(record) + padded_length(record->length));
}

/* Return the record of a word of the document, or NULL. */
static inline const Record *record_at(const Finder *finder, RecordPlace place)
{
    const char *records = place.where == IN_CACHE ? finder->cache.records.bytes : finder->records.bytes;
    return place.where == NOWHERE ? NULL : (const Record *)(records + place.start);
}

/* Return 1 if a record belongs to a word; 8 bytes after the word must be readable. */
static inline int is_of(const Record *record, const unsigned char *at, size_t length)
{
    const unsigned char *word = word_of(record);
    if (record->length != length)
        return 0;
    for (; length > 8; at += 8, word += 8, length -= 8)
        if (load(at) != load(word))
            return 0;
    return !((load(at) ^ load(word)) << (64 - 8 * length));
}

static inline CacheSlot *slot_at(const WordCache *cache, uint64_t hash, size_t probe)
{
    return cache->slots + (((size_t)hash + probe) & (cache->n_slots - 1));
}

/* Return the start of the record of a used slot. */
static inline size_t start_of(const CacheSlot *slot)
{
    return (size_t)(slot->place - 1) * 8;
}

/* Prefetch the record of a word whose slot has been fetched or, without a record, the data needed
   to create it. */
static inline void expect_record(const Finder *finder, const Word *word)
{
    const WordCache *cache = &finder->cache;
    const CacheSlot *slot = slot_at(cache, word->hash, 0);
    if (slot->place && slot->hash == (uint32_t)word->hash) {
        const char *record = cache->records.bytes + start_of(slot);
        prefetch(record);
        prefetch(record + CACHE_LINE);
        return;
    }
    for (size_t i = 0; i < finder->n_groups; i++)
        if (finder->groups[i].kind == WORDS)
            expect(finder->groups + i, word->hash);
    if (finder->vectors)
        prefetch(finder->vectors->slots + slot_of(finder->vectors, word->hash));
}

/* Find a word's record and return 1; otherwise, return 0 and set `slot` to a free slot, or NULL. */
static inline int find_record(const WordCache *cache, const unsigned char *at, const Word *word,
                              CacheSlot **slot)
{
    for (size_t n = 0; cache->n_slots && n < N_PROBES; n++) {
        *slot = slot_at(cache, word->hash, n);
        if (!(*slot)->place)
            return 0;
        if ((*slot)->hash == (uint32_t)word->hash
            && is_of((const Record *)(cache->records.bytes + start_of(*slot)), at, word->length))
            return 1;
    }
    *slot = NULL;
    return 0;
}

/* Resize the cache to `n_slots` slots; unchanged if out of memory. */
static void resize_cache(WordCache *cache, size_t n_slots)
{
    CacheSlot *slots = calloc(n_slots, sizeof *slots);
    if (!slots)
        return; /* slower, but correct */
    for (size_t i = 0; i < cache->n_slots; i++) {
        CacheSlot moved = cache->slots[i];
        for (size_t n = 0; moved.place && n < N_PROBES; n++) {
            CacheSlot *slot = slots + ((moved.hash + n) & (n_slots - 1));
            if (slot->place)
                continue;
            *slot = moved;
            break;
        }
    }
    free(cache->slots);
    cache->slots = slots;
    cache->n_slots = n_slots;
}

/* Make room in the cache for the next document's words. */
static void open_cache(WordCache *cache)
{
    int is_large = cache->records.size > MAX_CACHED_BYTES, is_dense = 2 * cache->n_words > cache->n_slots;
    if (!cache->n_slots) {
        resize_cache(cache, MIN_SLOTS);
    } else if (is_dense && !is_large && cache->n_slots < MAX_SLOTS) {
        resize_cache(cache, 2 * cache->n_slots);
    } else if (is_dense || is_large) {
        memset(cache->slots, 0, cache->n_slots * sizeof *cache->slots);
        cache->records.size = cache->n_words = 0;
    }
}

/* Append a record of a word's columns and rows. */
static int push_record(const Finder *finder, GrowingBuffer *records, const unsigned char *at, const Word *word)
{
    static const unsigned char zeros[8] = {0};
    const GrowingBuffer *rows = &finder->word_rows.rows;
    Record record = {(uint32_t)word->length, (uint32_t)(rows->size / sizeof(uint32_t)),
                     (uint32_t)finder->word_rows.n_known, (uint32_t)finder->word_rows.n_counted};
    return push(records, &record, sizeof record) && push(records, at, word->length)
        && push(records, zeros, padded_length(word->length) - word->length)
        && push(records, finder->ends.bytes, finder->ends.size)
        && push(records, finder->columns.bytes, finder->columns.size)
        && push(records, rows->bytes, rows->size)
        && push(records, zeros, 8 - (records->size & 7))
        && make_room(records, COPIED); /* copies more than needed */
}

/* Add a word's columns in a group: the word's own, or those of its n-grams. */
static int add_columns_of_word(Finder *finder, FeatureGroup *group, const unsigned char *at, const Word *word)
{
    if (group->kind >= CHARACTERS)
        return add_runs_of_word(finder, group, word);
    int32_t *to = more_columns(finder, 1);
    if (!to)
        return 0;
    if (group->groups)
        to = put_seen(to, group, &word->hash, 1);
    else
        to = put_column(to, group, word->hash, at, word->length);
    return columns_end(finder, group, to);
}

/* Return 1 if a group's columns are found word by word. */
static inline int is_by_word(const FeatureGroup *group)
{
    return group->kind == WORDS || group->kind >= CHARACTERS;
}

/* Find the columns of a word and of its n-grams, group by group, and the rows of its vectors. */
static int find_word_columns(Finder *finder, const unsigned char *at, const Word *word)
{
    finder->columns.size = finder->ends.size = 0;
    for (size_t i = 0; i < finder->n_groups; i++) {
        FeatureGroup *group = finder->groups + i;
        if (is_by_word(group) && !add_columns_of_word(finder, group, at, word))
            return 0;
        size_t n = finder->columns.size / sizeof(uint32_t);
        uint32_t end = (uint32_t)n;
        if (n > UINT32_MAX || !push(&finder->ends, &end, sizeof end))
            return 0;
    }
    return !finder->vectors || find_word_rows(finder->vectors, at, word, &finder->word_rows);
}

/* Add a word's record to the cache if it has a slot there, else to the document's records. */
static int make_record(Finder *finder, const unsigned char *at, const Word *word, CacheSlot *slot,
                       RecordPlace *place)
{
    GrowingBuffer *records = slot ? &finder->cache.records : &finder->records;
    *place = (RecordPlace){records->size, slot ? IN_CACHE : IN_DOCUMENT};
    if (word->length > UINT32_MAX / 8 || !find_word_columns(finder, at, word)
        || !push_record(finder, records, at, word))
        return 0;
    if (slot) {
        *slot = (CacheSlot){(uint32_t)word->hash, (uint32_t)(place->start / 8 + 1)};
        finder->cache.n_words++;
    }
    return 1;
}

/* Find or create the records of a document's words; 0 on failure.

   Words that don't fit into the cache have no record, unless columns are learned, because columns
   are numbered in word order. */
static int find_records(Finder *finder)
{
    const unsigned char *text = (const unsigned char *)finder->reader.text.bytes;
    const Word *words = (const Word *)finder->reader.words.bytes;
    size_t n_words = finder->reader.words.size / sizeof(Word);
    WordCache *cache = &finder->cache;
    open_cache(cache);
    finder->places.size = finder->records.size = 0;
    if (!make_room(&finder->places, (n_words + 1) * sizeof(RecordPlace)))
        return 0;
    RecordPlace *places = (RecordPlace *)finder->places.bytes;
    finder->places.size = n_words * sizeof *places;
    for (size_t i = 0; i < LATER && i < n_words; i++)
        prefetch(slot_at(cache, words[i].hash, 0));
    for (size_t i = 0; cache->n_slots && i < SOONER && i < n_words; i++)
        expect_record(finder, words + i);
    for (size_t i = 0; i < n_words; i++) {
        CacheSlot *slot;
        const unsigned char *at = text + words[i].start;
        if (i + LATER < n_words)
            prefetch(slot_at(cache, words[i + LATER].hash, 0));
        if (cache->n_slots && i + SOONER < n_words)
            expect_record(finder, words + i + SOONER);
        if (find_record(cache, at, words + i, &slot)) {
            places[i] = (RecordPlace){start_of(slot), IN_CACHE};
            continue;
        }
        if (words[i].length > MAX_CACHED_LENGTH || 2 * cache->n_words > cache->n_slots
            || cache->records.size > MAX_CACHED_BYTES)
            slot = NULL;
        places[i] = (RecordPlace){0, NOWHERE};
        if ((slot || finder->learns) && !make_record(finder, at, words + i, slot, places + i))
            return 0;
    }
    return 1;
}

/* ------------------------------------------------------------------------------------------------
   The terms of a document
   --------------------------------------------------------------------------------------------- */

/* Put the columns of all words' terms in a group into `finder->columns`, in reading order. */
static int add_columns_of_words(Finder *finder, size_t number)
{
    const unsigned char *text = (const unsigned char *)finder->reader.text.bytes;
    const Word *words = (const Word *)finder->reader.words.bytes;
    const RecordPlace *places = (const RecordPlace *)finder->places.bytes;
    size_t n_words = finder->places.size / sizeof *places;
    for (size_t i = 0; i < n_words; i++) {
        const Record *record = record_at(finder, places[i]);
        if (!record) {
            if (!add_columns_of_word(finder, finder->groups + number, text + words[i].start, words + i))
                return 0;
            continue;
        }
        const uint32_t *ends = ends_of(record), *columns = ends + finder->n_groups;
        size_t first = number ? ends[number - 1] : 0, size = (ends[number] - first) * sizeof *columns;
        if (size + COPIED > finder->columns.capacity - finder->columns.size
            && !make_room(&finder->columns, size + COPIED))
            return 0;
        char *to = finder->columns.bytes + finder->columns.size;
        const char *from = (const char *)(columns + first);
        for (size_t n = 0; n < size; n += COPIED)
            memcpy(to + n, from + n, COPIED);
        finder->columns.size += size;
    }
    return 1;
}

/* Put the columns of all of a document's terms in a group into `finder->columns`, in reading order;
   0 on failure. */
FOR_WIDE_REGISTERS static int find_columns(Finder *finder, size_t number)
{
    FeatureGroup *group = finder->groups + number;
    const unsigned char *text = (const unsigned char *)finder->reader.text.bytes;
    const Word *words = (const Word *)finder->reader.words.bytes;
    size_t n_words = finder->reader.words.size / sizeof(Word);
    finder->columns.size = 0;
    if (is_by_word(group))
        return add_columns_of_words(finder, number);
    if (group->kind == LEAD && n_words > N_LEAD)
        n_words = N_LEAD;
    size_t n_together = group->kind == BIGRAMS ? 2 : 1;
    int32_t *to = more_columns(finder, n_words);
    if (!to)
        return 0;
    size_t n_terms = n_words < n_together ? 0 : n_words - n_together + 1;
    finder->hashes.size = 0;
    if (!make_room(&finder->hashes, (n_terms + 1) * sizeof(uint64_t)))
        return 0;
    uint64_t *hashes = (uint64_t *)finder->hashes.bytes;
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
    return columns_end(finder, group, to);
}

/* Put the rows of the vectors of a document's words into `finder->rows`, and its known fraction
   into `known`; 0 if out of memory. */
static int find_rows(Finder *finder, float *known)
{
    const unsigned char *text = (const unsigned char *)finder->reader.text.bytes;
    const Word *words = (const Word *)finder->reader.words.bytes;
    const RecordPlace *places = (const RecordPlace *)finder->places.bytes;
    size_t n_words = finder->places.size / sizeof *places, n_known = 0, n_counted = 0;
    WordRows *found = &finder->word_rows;
    finder->rows.size = 0;
    for (size_t i = 0; i < n_words; i++) {
        const Record *record = record_at(finder, places[i]);
        const uint32_t *rows;
        size_t n_rows;
        if (record) {
            const uint32_t *ends = ends_of(record);
            rows = ends + finder->n_groups + (finder->n_groups ? ends[finder->n_groups - 1] : 0);
            n_rows = record->n_rows;
            n_known += record->n_known;
            n_counted += record->n_counted;
        } else {
            if (!find_word_rows(finder->vectors, text + words[i].start, words + i, found))
                return 0;
            rows = (const uint32_t *)found->rows.bytes;
            n_rows = found->rows.size / sizeof *rows;
            n_known += found->n_known;
            n_counted += found->n_counted;
        }
        if (!push(&finder->rows, rows, n_rows * sizeof *rows))
            return 0;
        for (size_t n = 0; n < n_rows; n++)
            prefetch_row(finder->vectors, rows[n]);
    }
    *known = n_counted ? (float)((double)n_known / (double)n_counted) : 0;
    return 1;
}

/* ------------------------------------------------------------------------------------------------
   Counts
   --------------------------------------------------------------------------------------------- */

#define FEW 16                 /* with up to this many columns, sorting is faster than marking */
#define HIGHEST (UINT64_C(1) << 63)
#define MAX_MARKED (1u << 24) /* columns, the number of hash buckets; more are sorted */

/* Make room for zeroed counts of columns up to `last`; 0 if out of memory. */
static int make_counts(Finder *finder, uint32_t last)
{
    size_t n_outlines = last / 4096 + 1;
    if (n_outlines <= finder->outlines.size)
        return 1;
    GrowingBuffer *buffers[] = {&finder->counts, &finder->blocks, &finder->outlines};
    const size_t sizes[] = {n_outlines * 4096, n_outlines * 64, n_outlines};
    for (size_t i = 0; i < 3; i++)
        if (!make_room(buffers[i], sizes[i] - buffers[i]->size))
            return 0;
    for (size_t i = 0; i < 3; i++) {
        memset(buffers[i]->bytes, 0, sizes[i]);
        buffers[i]->size = sizes[i];
    }
    return 1;
}

/* Return a bitmask of the nonzero bytes among 64. */
static inline uint64_t set_bytes(const unsigned char *at)
{
#ifdef __SSE2__
    uint64_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(at + 16 * i));
        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128())) << 16 * i;
    }
    return ~bits;
#else
    const uint64_t low = UINT64_C(0x7F7F7F7F7F7F7F7F);
    uint64_t bits = 0;
    for (size_t i = 0; i < 8; i++) {
        uint64_t bytes = load(at + 8 * i);
        bytes = (((bytes & low) + low) | bytes) >> 7 & UINT64_C(0x0101010101010101);
        bits |= bytes * UINT64_C(0x0102040810204080) >> 56 << 8 * i;
    }
    return bits;
#endif
}

#define MOST 255 /* maximum count in a byte */

/* Count columns in one pass. Append a column to `finder->spare` each time its count overflows by
   MOST; return their number. */
static size_t mark_columns(Finder *finder, const uint32_t *keys, size_t n)
{
    unsigned char *counts = (unsigned char *)finder->counts.bytes;
    unsigned char *blocks = (unsigned char *)finder->blocks.bytes;
    unsigned char *outlines = (unsigned char *)finder->outlines.bytes;
    uint32_t *carries = (uint32_t *)finder->spare.bytes;
    size_t n_carries = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char count = counts[keys[i]];
        if (count == MOST) {
            carries[n_carries++] = keys[i];
            count = 0;
        }
        counts[keys[i]] = (unsigned char)(count + 1);
        blocks[keys[i] / 64] = 1;
        outlines[keys[i] / 4096] = 1;
    }
    return n_carries;
}

/* Read the counts of columns up to `last`, in order, and reset them to 0; return the number of
   distinct columns. */
FOR_WIDE_REGISTERS static size_t read_counts(Finder *finder, uint32_t last, int32_t *columns, float *values)
{
    unsigned char *counts = (unsigned char *)finder->counts.bytes;
    unsigned char *blocks = (unsigned char *)finder->blocks.bytes;
    unsigned char *outlines = (unsigned char *)finder->outlines.bytes;
    size_t n = 0;
    for (uint32_t first = 0; first <= last / 64; first += 64) {
        if (!outlines[first / 64])
            continue;
        outlines[first / 64] = 0;
        for (uint64_t outline = set_bytes(blocks + first); outline; outline &= outline - 1) {
            uint32_t number = (first + lowest(outline)) * 64;
            uint64_t bits = set_bytes(counts + number);
            do {
                columns[n] = (int32_t)(number + lowest(bits));
                values[n] = counts[columns[n]];
                n++;
                bits &= bits - 1;
                /* A branch for a second one would be mispredicted; a third one is rare. */
                columns[n] = (int32_t)(number + lowest(bits | HIGHEST));
                values[n] = counts[columns[n]];
                n += bits != 0;
                bits &= bits - 1;
            } while (bits);
            memset(counts + number, 0, 64);
        }
        memset(blocks + first, 0, 64);
    }
    return n;
}

/* Add MOST to the count of a column, given its position in ascending order. */
static void add_carry(const int32_t *columns, float *values, size_t n, uint32_t column)
{
    size_t low = 0;
    for (size_t high = n; high - low > 1;) {
        size_t middle = low + (high - low) / 2;
        if ((uint32_t)columns[middle] > column)
            high = middle;
        else
            low = middle;
    }
    /* A float sum of ones stops at 2^24. */
    values[low] = values[low] + MOST < 0x1p24f ? values[low] + MOST : 0x1p24f;
}

static int compare(const void *a, const void *b)
{
    uint32_t key = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return (key > other) - (key < other);
}

/* Count columns by sorting them. */
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

/* Write the distinct columns in ascending order, and their counts, to arrays with room for one
   extra. Return the number of distinct columns, or -1 if out of memory. */
static int64_t count_columns(Finder *finder, int32_t *columns, float *values)
{
    size_t size = finder->columns.size, n = size / sizeof(uint32_t);
    uint32_t *keys = (uint32_t *)finder->columns.bytes, last = 0;
    for (size_t i = 0; i < n; i++)
        last = keys[i] > last ? keys[i] : last;
    if (n <= FEW || last >= MAX_MARKED) {
        finder->has_large_counts = n > FEW;
        return (int64_t)count_by_order(keys, n, columns, values);
    }
    if (!make_room(&finder->spare, size) || !make_counts(finder, last))
        return -1;
    size_t n_carries = mark_columns(finder, keys, n), n_put = read_counts(finder, last, columns, values);
    for (size_t i = 0; i < n_carries; i++)
        add_carry(columns, values, n_put, ((uint32_t *)finder->spare.bytes)[i]);
    finder->has_large_counts = n_carries > 0;
    return (int64_t)n_put;
}

/* ------------------------------------------------------------------------------------------------
   Arguments from Python
   --------------------------------------------------------------------------------------------- */

static int kind_of(const char *name)
{
    for (int kind = WORDS; kind < N_KINDS; kind++)
        if (!strcmp(name, kind_names[kind]))
            return kind;
    return -1;
}

static int read_group(PyObject *item, FeatureGroup *group)
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
    /* Columns have 32 bits, including future columns of buckets and the offset `first`. */
    if (n_columns < -1 || first < 0 || (int64_t)n_columns + (int64_t)group->n_slots > INT32_MAX)
        return fail("a group has more columns than 32 bits can count");
    group->learns = n_columns >= 0;
    group->n_columns = n_columns;
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
        || (group->learns && (group->keys || (!group->columns && n_columns))))
        return fail("a group's tables do not fit together");
    if (group->learns && !group->columns && !widen_own(group)) {
        PyErr_NoMemory();
        return 0;
    }
    return 1;
}

static void free_group(FeatureGroup *group)
{
    free(group->names.bytes);
    free(group->lengths.bytes);
    free(group->buckets.bytes);
    free(group->own);
    release_arrays(&group->lent_columns, 1);
    release_arrays(&group->lent_keys, 1);
    release_arrays(&group->lent_groups, 1);
}

/* Free everything but the groups. */
static void close_finder(Finder *finder)
{
    GrowingBuffer *buffers[] = {
        &finder->reader.text, &finder->reader.words, &finder->hashes, &finder->columns,
        &finder->spare, &finder->counts, &finder->blocks, &finder->outlines, &finder->bounds, &finder->ends,
        &finder->word_rows.rows, &finder->rows, &finder->cache.records, &finder->records,
        &finder->places};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        free(buffers[i]->bytes);
    free(finder->cache.slots);
}

#endif
