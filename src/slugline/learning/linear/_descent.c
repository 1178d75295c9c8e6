/* Take the steps of a linear learner, minibatch by minibatch.

   `AdaGradDescent` in steps.py does the same in array operations; results differ in rounding only.

   All work is on the caller's arrays and on memory of this call, without the interpreter's lock. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_arrays.h"
#include "_compiler.h"

/* Most rows of a minibatch, and topics of a call. */
#define MOST_SUMMED 128

/* Weights are read at random, so they are prefetched this many entries ahead. */
#define AHEAD 24

/* Topics are processed in lanes that fill one register, or two narrow ones. */
#define LANE 8
#define HALF_LANE 4
#define MAX_LANES (MOST_SUMMED / LANE)
#define LANES_AT_ONCE 8 /* lanes of scores kept in registers */

/* The rows of a minibatch, column by column. An entry's place is its row's number in the
   minibatch, plus LAST for the last entry of its column. */
#define LAST 128
typedef struct {
    const float *values;
    const unsigned char *places;
    size_t n_entries;
    const int32_t *columns;
    size_t n_columns, n_rows;
} Minibatch;

/* An active column: its number in the minibatch, its first entry, and a bitmask of active lanes. */
typedef struct {
    uint32_t column, entry, lanes;
} Active;

typedef struct {
    int32_t column;
    float sum; /* of squared gradients */
} Named;

typedef struct {
    /* Rows: values, their columns, and the start of each row. */
    const float *values;
    const int32_t *columns;
    const int64_t *starts;
    size_t n_rows, n_columns;
    /* The concatenated topics of rows, and the start of each row. */
    const int64_t *y, *y_starts;
    /* Costs of errors: of each row, and of each of its topics. */
    const float *negative, *positive;
    /* The trained arrays. */
    float *weights, *biases, *sums;
    const float *rates;
    size_t rate_stride; /* 0 if all rates are equal */
    float *highest, *right; /* NULL if not requested */
    int64_t first_topic;
    size_t n_topics;
    /* A row of scores, then of slopes, for each row of the minibatch. Like gradients, they are
       whole lanes, with 0 after the last topic. */
    float *slopes, *common;
    size_t stride;
    float *scores; /* of one row */
    /* The minibatch's columns with their sums and gradients, and bitmasks of lanes with nonzero
       gradients. Gradients and masks are 0 between minibatches. Meanwhile, `sums` of these
       columns contain their numbers, as bits. */
    Named *named;
    size_t n_named;
    float *gradients;
    uint16_t *lanes;
    /* The checked columns of one row, and the highest of them. */
    int32_t *row;
    uint32_t highest_column;
    /* For rows grouped by column: bitmasks of lanes with nonzero slopes, and active columns. */
    uint16_t row_lanes[MOST_SUMMED];
    Active *active;
    size_t n_active;
} Workspace;

static inline void add(float *restrict to, const float *restrict from, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += factor * from[i];
}

#ifdef __GNUC__
typedef float Lane __attribute__((vector_size(LANE * sizeof(float)), aligned(4), may_alias));
typedef float HalfLane __attribute__((vector_size(HALF_LANE * sizeof(float)), aligned(4), may_alias));

INLINE void add_lane(float *to, const float *from, float factor)
{
    *(Lane *)to += factor * *(const Lane *)from;
}

INLINE void subtract_lane(float *to, const float *from, float factor)
{
    *(Lane *)to -= *(const Lane *)from * factor;
}

INLINE void add_squares(float *to, const float *from)
{
    *(Lane *)to += *(const Lane *)from * *(const Lane *)from;
}

INLINE void clear_lane(float *lane)
{
    *(Lane *)lane = (Lane){0};
}

/* Like `subtract_lane` for less than a lane: the second half may overlap the first. A whole lane
   would overlap the next column's, and the processor would stall. */
INLINE void subtract_few(float *to, const float *from, float factor, size_t n)
{
    if (n >= HALF_LANE) {
        size_t second = n - HALF_LANE;
        HalfLane a = *(const HalfLane *)to - *(const HalfLane *)from * factor;
        HalfLane b = *(const HalfLane *)(to + second) - *(const HalfLane *)(from + second) * factor;
        *(HalfLane *)to = a;
        *(HalfLane *)(to + second) = b;
        return;
    }
    for (size_t i = 0; i < n; i++)
        to[i] -= from[i] * factor;
}
#else
INLINE void add_lane(float *restrict to, const float *restrict from, float factor)
{
    add(to, from, factor, LANE);
}

INLINE void subtract_few(float *restrict to, const float *restrict from, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] -= from[i] * factor;
}

INLINE void subtract_lane(float *restrict to, const float *restrict from, float factor)
{
    subtract_few(to, from, factor, LANE);
}

INLINE void clear_lane(float *lane)
{
    memset(lane, 0, LANE * sizeof *lane);
}

INLINE void add_squares(float *restrict to, const float *restrict from)
{
    for (size_t i = 0; i < LANE; i++)
        to[i] += from[i] * from[i];
}
#endif

INLINE void prefetch_weights(const float *weights, size_t n)
{
    const char *place = (const char *)weights;
    for (size_t i = 0; i < n * sizeof(float); i += CACHE_LINE)
        prefetch(place + i);
}

enum { DONE, NO_MEMORY, NO_SUCH_ROW, NO_SUCH_COLUMN };

/* Copy the columns of a row, since another thread may write to the caller's array; return 0 if
   one is outside of the table. */
FOR_WIDE_REGISTERS
static int take_columns(Workspace *work, int64_t row)
{
    const int32_t *columns = work->columns + work->starts[row];
    uint32_t highest = 0;
    size_t n = (size_t)(work->starts[row + 1] - work->starts[row]);
    for (size_t i = 0; i < n; i++) {
        uint32_t column = (uint32_t)columns[i];
        highest = column > highest ? column : highest;
        work->row[i] = (int32_t)column;
    }
    work->highest_column = highest;
    return !n || highest < work->n_columns;
}

/* Write the scores of a row for few topics, given its copied columns. */
static void score_plainly(const Workspace *work, int64_t row, float *restrict scores)
{
    size_t n = work->n_topics;
    size_t n_entries = (size_t)(work->starts[row + 1] - work->starts[row]);
    const float *values = work->values + work->starts[row];
    memset(scores, 0, n * sizeof *scores);
    for (size_t i = 0; i < n_entries; i++)
        add(scores, work->weights + (size_t)work->row[i] * n, values[i], n);
}

#ifdef __GNUC__
/* The same for columns followed by at least a lane of weights. */
FOR_WIDE_REGISTERS
static void score_narrowly(const Workspace *work, int64_t row, float *scores)
{
    Lane sums = {0};
    const float *const values = work->values + work->starts[row], *const weights = work->weights;
    const int32_t *const columns = work->row;
    const size_t n = work->n_topics;
    for (size_t i = 0, n_entries = (size_t)(work->starts[row + 1] - work->starts[row]); i < n_entries; i++) {
        if (i + AHEAD < n_entries)
            prefetch_weights(weights + (size_t)columns[i + AHEAD] * n, n);
        sums += values[i] * *(const Lane *)(weights + (size_t)columns[i] * n);
    }
    memcpy(scores, &sums, n * sizeof *scores);
}

/* Write the scores of topics from `first` to `stop` - 1. The last lane overlaps the previous one
   if it would be incomplete. */
INLINE void score_lanes(const Workspace *work, int64_t row, size_t first, size_t stop, float *scores,
                        const size_t n_lanes)
{
    Lane sums[LANES_AT_ONCE] = {{0}};
    const float *const values = work->values + work->starts[row], *const weights = work->weights;
    const int32_t *const columns = work->row;
    const size_t n = work->n_topics, last = stop - LANE;
    for (size_t i = 0, n_entries = (size_t)(work->starts[row + 1] - work->starts[row]); i < n_entries; i++) {
        const float *of_column = weights + (size_t)columns[i] * n;
        if (i + AHEAD < n_entries)
            prefetch_weights(weights + (size_t)columns[i + AHEAD] * n + first, n_lanes * LANE);
        for (size_t k = 0; k < n_lanes; k++)
            sums[k] += values[i] * *(const Lane *)(of_column + (k + 1 < n_lanes ? first + k * LANE : last));
    }
    for (size_t k = 0; k < n_lanes; k++)
        *(Lane *)(scores + (k + 1 < n_lanes ? first + k * LANE : last)) = sums[k];
}

/* The compiler knows the number of lanes, so they stay in registers. */
#define SCORE_LANES(n) \
    case n: \
        score_lanes(work, row, first, stop, scores, n); \
        break;

FOR_WIDE_REGISTERS
static void score_in_lanes(const Workspace *work, int64_t row, float *scores)
{
    size_t n = work->n_topics, n_parts = (n + LANES_AT_ONCE * LANE - 1) / (LANES_AT_ONCE * LANE);
    for (size_t part = 0; part < n_parts; part++) {
        size_t first = n * part / n_parts, stop = n * (part + 1) / n_parts;
        switch ((stop - first + LANE - 1) / LANE) {
            SCORE_LANES(1) SCORE_LANES(2) SCORE_LANES(3) SCORE_LANES(4)
            SCORE_LANES(5) SCORE_LANES(6) SCORE_LANES(7) SCORE_LANES(8)
        }
    }
}
#endif

/* Write the scores of a row, given its copied columns. */
static void score(const Workspace *work, int64_t row, float *scores)
{
#ifdef __GNUC__
    if (work->n_topics >= LANE)
        score_in_lanes(work, row, scores);
    else if (work->highest_column * work->n_topics + LANE <= work->n_columns * work->n_topics)
        score_narrowly(work, row, scores);
    else
#endif
        score_plainly(work, row, scores);
    for (size_t i = 0; i < work->n_topics; i++)
        scores[i] += work->biases[i];
}

/* Turn a row's scores into derivatives of the loss. */
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

/* Return the number of a column in the minibatch. Whether it is new is unpredictable, so data of
   a new column are written in any case. */
INLINE size_t number_of(Named *named, size_t *n_named, float *sums, int32_t column)
{
    uint32_t number, next = (uint32_t)*n_named;
    memcpy(&number, sums + column, sizeof number);
    named[next] = (Named){column, sums[column]};
    number = number < next ? number : next;
    number = named[number].column == column ? number : next;
    memcpy(sums + column, &number, sizeof number);
    *n_named = next + (number == next);
    return number;
}

/* Restore the sums of the minibatch's columns. */
static void forget_named(Workspace *work)
{
    for (size_t number = 0; number < work->n_named; number++)
        work->sums[work->named[number].column] = work->named[number].sum;
    work->n_named = 0;
}

/* Add a row's part to the gradients of its columns; return 0 if one is outside of the table. */
FOR_WIDE_REGISTERS
static int add_gradient(Workspace *work, int64_t row, const float *slope)
{
    size_t starts[MAX_LANES], n_lanes = 0; /* active topics */
    uint16_t lanes = 0;
    for (size_t first = 0; first < work->stride; first += LANE) {
        int is_right = 1;
        for (size_t i = first; i < first + LANE; i++)
            is_right &= slope[i] == 0;
        starts[n_lanes] = first;
        n_lanes += (size_t)!is_right;
        lanes |= (uint16_t)(!is_right << first / LANE);
    }
    const int32_t *columns = work->columns + work->starts[row];
    const float *values = work->values + work->starts[row];
    size_t n_entries = n_lanes ? (size_t)(work->starts[row + 1] - work->starts[row]) : 0, i = 0;
    size_t n_named = work->n_named, stride = work->stride, n_columns = work->n_columns;
    float *sums = work->sums, *gradients = work->gradients;
    for (; i < n_entries; i++) {
        int32_t column = columns[i];
        if (column < 0 || (size_t)column >= n_columns)
            break;
        if (i + AHEAD < n_entries)
            prefetch((const char *)sums + (size_t)(uint32_t)columns[i + AHEAD] * sizeof(float));
        size_t number = number_of(work->named, &n_named, sums, column);
        work->lanes[number] |= lanes;
        float *gradient = gradients + number * stride;
        for (size_t k = 0; k < n_lanes; k++)
            add_lane(gradient + starts[k], slope + starts[k], values[i]);
    }
    work->n_named = n_named;
    return i == n_entries;
}

/* Return a gradient's sum of squares. */
INLINE float sum_of_squares(const float *gradient, size_t n, unsigned lanes)
{
    float sum = 0;
    size_t n_full = n / LANE;
    if (n_full) {
        float parts[LANE] = {0};
        for (size_t k = 0; k < n_full; k++)
            if (lanes >> k & 1)
                add_squares(parts, gradient + k * LANE);
        sum = ((parts[0] + parts[1]) + (parts[2] + parts[3])) +
              ((parts[4] + parts[5]) + (parts[6] + parts[7]));
    }
    if (lanes >> n_full) /* gradients are 0 after the last topic */
        for (size_t i = n_full * LANE; i < (n_full + 1) * LANE; i++)
            sum += gradient[i] * gradient[i];
    return sum;
}

/* Columns updated together, so that their rates are computed in one register. */
#define TOGETHER 8

/* Add the mean squares of gradients to the sums of columns, and write the resulting learning
   rates. */
INLINE void find_rates(const Workspace *work, const float *gradients, const uint16_t *lanes, Named *named,
                       float *rates, size_t n_columns)
{
    const size_t n = work->n_topics;
    float squares[TOGETHER] = {0}, sums[TOGETHER];
    for (size_t i = 0; i < TOGETHER; i++)
        rates[i] = sums[i] = 1;
    for (size_t i = 0; i < n_columns; i++) {
        squares[i] = sum_of_squares(gradients + i * work->stride, n, lanes[i]);
        sums[i] = named[i].sum;
        rates[i] = work->rates[(size_t)named[i].column * work->rate_stride];
    }
    for (size_t i = 0; i < TOGETHER; i++) {
        sums[i] += squares[i] / (float)n;
        rates[i] /= sqrtf(sums[i]);
    }
    for (size_t i = 0; i < n_columns; i++)
        named[i].sum = sums[i];
}

/* Update the weights of a column, and set its gradient to 0. */
INLINE void move_column(Workspace *work, int32_t column, float *gradient, unsigned lanes, float rate)
{
    size_t n = work->n_topics, n_full = n / LANE;
    float *weights = work->weights + (size_t)column * n;
    for (size_t k = 0; k < n_full; k++)
        if (lanes >> k & 1)
            subtract_lane(weights + k * LANE, gradient + k * LANE, rate);
    if (lanes >> n_full)
        subtract_few(weights + n_full * LANE, gradient + n_full * LANE, rate, n - n_full * LANE);
    for (size_t i = 0; i < work->stride; i += LANE)
        clear_lane(gradient + i);
}

/* Update the weights of the minibatch's columns. */
FOR_WIDE_REGISTERS
static void move(Workspace *work)
{
    size_t n = work->n_topics;
    for (size_t first = 0; first < work->n_named; first += TOGETHER) {
        float rates[TOGETHER];
        Named *named = work->named + first;
        float *gradients = work->gradients + first * work->stride;
        uint16_t *lanes = work->lanes + first;
        size_t n_columns = work->n_named - first < TOGETHER ? work->n_named - first : TOGETHER;
        size_t n_ahead = work->n_named - first - n_columns;
        for (size_t i = 0; i < (n_ahead < TOGETHER ? n_ahead : TOGETHER); i++) {
            int32_t later = named[TOGETHER + i].column;
            prefetch_weights(work->weights + (size_t)later * n, n);
            prefetch(work->rates + (size_t)later * work->rate_stride);
        }
        find_rates(work, gradients, lanes, named, rates, n_columns);
        for (size_t i = 0; i < n_columns; i++) {
            move_column(work, named[i].column, gradients + i * work->stride, lanes[i], rates[i]);
            lanes[i] = 0;
        }
    }
    forget_named(work);
}

/* Update the biases, the weights of a term in every document. */
static void move_biases(Workspace *work, size_t n_rows)
{
    size_t n = work->n_topics;
    memset(work->common, 0, work->stride * sizeof(float));
    for (size_t row = 0; row < n_rows; row++)
        add(work->common, work->slopes + row * work->stride, 1, n);
    float *sum = work->sums + work->n_columns;
    *sum += sum_of_squares(work->common, n, (1u << work->stride / LANE) - 1) / (float)n;
    float rate = work->rates[work->n_columns * work->rate_stride] / sqrtf(*sum);
    for (size_t i = 0; i < n; i++)
        work->biases[i] -= rate * work->common[i];
}

/* List the columns with an entry in an active row. */
static void list_active(Workspace *work, const Minibatch *batch)
{
    Active *active = work->active;
    uint32_t column = 0, first = 0, lanes = 0;
    for (size_t i = 0; i < batch->n_entries; i++) { /* without a branch, which would be mispredicted */
        uint32_t place = batch->places[i], is_last = place / LAST;
        lanes |= work->row_lanes[place % LAST];
        *active = (Active){column, first, lanes};
        active += is_last & (lanes != 0);
        lanes = is_last ? 0 : lanes;
        column += is_last;
        first = is_last ? (uint32_t)i + 1 : first;
    }
    work->n_active = (size_t)(active - work->active);
}

#ifdef __GNUC__
/* Return the learning rate for an updated sum of squares. */
INLINE float rate_after(const Workspace *work, size_t column, float squares)
{
    work->sums[column] += squares / (float)work->n_topics;
    return work->rates[column * work->rate_stride] / sqrtf(work->sums[column]);
}

/* Return the start of a lane; the last one overlaps the previous one if it would be incomplete. */
INLINE size_t start_of(size_t lane, size_t n_lanes, size_t n_topics)
{
    return lane + 1 < n_lanes ? lane * LANE : n_topics - LANE;
}

/* Return a gradient's sum of squares, given the squares of the last lane and
   the sums of the others. */
INLINE float sum_of_lanes(Lane squares, Lane last, size_t n_topics)
{
    if (n_topics % LANE == 0)
        squares += last;
    float sum = ((squares[0] + squares[1]) + (squares[2] + squares[3])) +
                ((squares[4] + squares[5]) + (squares[6] + squares[7]));
    for (size_t i = LANE - n_topics % LANE; i < LANE; i++)
        sum += last[i];
    return sum;
}

/* Update the weights of a column with a single active lane. */
INLINE void move_lane(size_t column, const Workspace *work, const Minibatch *batch, const Active *active,
                      const size_t n_lanes)
{
    const size_t n = work->n_topics, stride = n_lanes * LANE;
    size_t lane = 0, entry = active->entry, place;
    while (!(active->lanes >> lane & 1))
        lane++;
    const size_t start = start_of(lane, n_lanes, n);
    const float *slopes = work->slopes + start, *values = batch->values;
    const unsigned char *places = batch->places;
    Lane gradient = {0}, zero = {0};
    do {
        place = places[entry];
        gradient += values[entry++] * *(const Lane *)(slopes + place % LAST * stride);
    } while (place < LAST);
    Lane squares = gradient * gradient;
    float sum = lane + 1 < n_lanes ? sum_of_lanes(squares, zero, n) : sum_of_lanes(zero, squares, n);
    *(Lane *)(work->weights + column * n + start) -= gradient * rate_after(work, column, sum);
}

/* Update the weights of a column. */
INLINE void move_lanes(size_t column, const Workspace *work, const Minibatch *batch, const Active *active,
                       const size_t n_lanes)
{
    const size_t n = work->n_topics, stride = n_lanes * LANE;
    const float *slopes = work->slopes, *values = batch->values;
    const unsigned char *places = batch->places;
    float *weights = work->weights + column * n;
    Lane gradient[MAX_LANES], squares = {0}, moved[MAX_LANES];
    for (size_t k = 0; k < n_lanes; k++)
        gradient[k] = (Lane){0};
    size_t entry = active->entry, place;
    do {
        place = places[entry];
        const float *slope = slopes + place % LAST * stride, value = values[entry++];
        for (size_t k = 0; k < n_lanes; k++)
            gradient[k] += value * *(const Lane *)(slope + start_of(k, n_lanes, n));
    } while (place < LAST);
    for (size_t k = 0; k + 1 < n_lanes; k++)
        squares += gradient[k] * gradient[k];
    float rate = rate_after(work, column, sum_of_lanes(squares, gradient[n_lanes - 1] * gradient[n_lanes - 1], n));
    for (size_t k = 0; k < n_lanes; k++) /* read all before writing any */
        moved[k] = *(const Lane *)(weights + start_of(k, n_lanes, n)) - gradient[k] * rate;
    for (size_t k = 0; k < n_lanes; k++)
        *(Lane *)(weights + start_of(k, n_lanes, n)) = moved[k];
}

INLINE void move_active(Workspace *work, const Minibatch *batch, const size_t n_lanes)
{
    for (size_t i = 0; i < work->n_active; i++) {
        const Active *active = work->active + i;
        size_t column = (size_t)batch->columns[active->column];
        if (active->lanes & (active->lanes - 1))
            move_lanes(column, work, batch, active, n_lanes);
        else
            move_lane(column, work, batch, active, n_lanes);
    }
}

#define MOVE_ACTIVE(n) \
    case n: \
        move_active(work, batch, n); \
        break;

FOR_WIDE_REGISTERS
static void move_grouped(Workspace *work, const Minibatch *batch)
{
    const size_t n_lanes = work->stride / LANE;
    switch (n_lanes) { /* known to the compiler, so they stay in registers */
        MOVE_ACTIVE(1) MOVE_ACTIVE(2) MOVE_ACTIVE(3) MOVE_ACTIVE(4)
        default: move_active(work, batch, n_lanes);
    }
}
#endif

/* Return 1 if all columns and places are in range and each column has entries. */
FOR_WIDE_REGISTERS
static int is_sound(const Minibatch *batch, size_t n_columns)
{
    uint32_t highest = 0, n_last = 0;
    unsigned char highest_row = 0;
    for (size_t i = 0; i < batch->n_columns; i++) {
        uint32_t column = (uint32_t)batch->columns[i];
        highest = column > highest ? column : highest;
    }
    for (size_t i = 0; i < batch->n_entries; i++) {
        unsigned char place = batch->places[i], row = place % LAST;
        highest_row = row > highest_row ? row : highest_row;
        n_last += place / LAST;
    }
    if (!batch->n_entries)
        return !batch->n_columns;
    return highest < n_columns && highest_row < batch->n_rows && n_last == batch->n_columns &&
           batch->places[batch->n_entries - 1] >= LAST;
}

/* Return a bitmask of the lanes in which a row has nonzero slopes. */
INLINE uint16_t lanes_of(const float *slope, size_t n)
{
    unsigned lanes = 0;
    for (size_t i = 0; i < n; i++)
        lanes |= (unsigned)(slope[i] != 0) << i / LANE;
    return (uint16_t)lanes;
}

/* Take one step on rows and, if grouped by column, the same minibatch in that form; return 0 if
   a column is outside of the table. */
static int step(Workspace *work, const Minibatch *batch, const int32_t *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        float *slope = work->slopes + i * work->stride;
        if (!take_columns(work, rows[i]))
            return 0;
        score(work, rows[i], slope);
        make_slope(work, rows[i], slope);
        if (batch)
            work->row_lanes[i] = lanes_of(slope, work->n_topics);
    }
#ifdef __GNUC__
    if (batch) {
        list_active(work, batch);
        move_grouped(work, batch);
        move_biases(work, n_rows);
        return 1;
    }
#endif
    for (size_t i = 0; i < n_rows; i++)
        if (!add_gradient(work, rows[i], work->slopes + i * work->stride)) {
            forget_named(work);
            return 0;
        }
    move(work);
    move_biases(work, n_rows);
    return 1;
}

/* Allocate memory for the largest minibatch, or return 0. The system only provides pages that
   are written to. */
static int allocate(Workspace *work, size_t most_entries, size_t longest, size_t most_columns)
{
    size_t stride = work->stride = (work->n_topics + LANE - 1) / LANE * LANE;
    if (most_entries > SIZE_MAX / 2 / sizeof(float) / stride || most_entries > UINT32_MAX)
        return 0;
    work->slopes = calloc(MOST_SUMMED * stride, sizeof(float));
    work->common = malloc(stride * sizeof(float));
    work->scores = malloc(stride * sizeof(float));
    work->row = malloc((longest + 1) * sizeof(int32_t));
    work->named = malloc((most_entries + 1) * sizeof(Named));
    work->lanes = calloc(most_entries + 1, sizeof(uint16_t));
    work->gradients = calloc(most_entries + 1, stride * sizeof(float));
    work->active = malloc((most_columns + 1) * sizeof(Active)); /* one extra is written */
    return work->slopes && work->common && work->scores && work->row && work->named &&
           work->lanes && work->gradients && work->active;
}

/* Steps of a call ------------------------------------------------------------------------------- */

/* Rows of many minibatches as returned by `group_rows`, and their row numbers. */
typedef struct {
    const float *values;
    const unsigned char *places;
    const int32_t *columns;
    const int64_t *bounds; /* first column and first entry of each minibatch */
    int64_t *sizes, *first_rows; /* in `rows` */
    int32_t *rows;
    int64_t *numbers; /* the minibatches to train on */
    size_t n_numbers, n_minibatches;
} Minibatches;

static Minibatch minibatch_of(const Minibatches *all, int64_t number)
{
    const int64_t *bounds = all->bounds + 2 * number;
    return (Minibatch){
        .values = all->values + bounds[1], .places = all->places + bounds[1],
        .n_entries = (size_t)(bounds[3] - bounds[1]), .columns = all->columns + bounds[0],
        .n_columns = (size_t)(bounds[2] - bounds[0]), .n_rows = (size_t)all->sizes[number],
    };
}

/* Take a step per minibatch; all rows must exist. */
static int run_allocated(Workspace *work, const Minibatches *all)
{
    for (size_t i = 0; i < all->n_numbers; i++) {
        int64_t number = all->numbers[i];
        const int32_t *rows = all->rows + all->first_rows[number];
        size_t n_rows = (size_t)all->sizes[number];
        Minibatch batch = {0};
        if (all->bounds)
            batch = minibatch_of(all, number);
        if (all->bounds && !is_sound(&batch, work->n_columns))
            return NO_SUCH_COLUMN;
        if (!step(work, all->bounds ? &batch : NULL, rows, n_rows))
            return NO_SUCH_COLUMN;
    }
    return DONE;
}

static int run(Workspace *work, const Minibatches *all)
{
    size_t most_entries = 0, longest = 0, most_columns = 0;
    for (size_t i = 0; i < all->n_numbers; i++) {
        int64_t number = all->numbers[i];
        const int32_t *row = all->rows + all->first_rows[number];
        size_t n_entries = 0, n_columns = all->bounds ? minibatch_of(all, number).n_columns : 0;
        for (const int32_t *stop = row + all->sizes[number]; row < stop; row++) {
            if (*row < 0 || (size_t)*row >= work->n_rows)
                return NO_SUCH_ROW;
            size_t length = (size_t)(work->starts[*row + 1] - work->starts[*row]);
            longest = length > longest ? length : longest;
            n_entries += length;
        }
        most_entries = n_entries > most_entries ? n_entries : most_entries;
        most_columns = n_columns > most_columns ? n_columns : most_columns;
    }
    if (all->bounds)
        most_entries = 0; /* grouped entries need no gradients in memory */
    int done = allocate(work, most_entries, longest, most_columns) ? run_allocated(work, all) : NO_MEMORY;
    void *memory[] = {work->slopes, work->common, work->scores, work->row, work->named, work->lanes,
                      work->gradients, work->active};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        free(memory[i]);
    return done;
}

/* Grouping entries by column ---------------------------------------------------------------------- */

typedef struct {
    const float *values;
    const int32_t *columns;
    int64_t *starts, *sizes;
    int32_t *rows;
    size_t n_rows, n_columns, n_minibatches;
    /* Columns of a minibatch are marked as bits; `n_before` counts the marks before each word. */
    uint64_t *marks;
    uint32_t *n_before;
    uint64_t *marked; /* bitmask of the nonzero words of `marks` */
    size_t n_marked;
    uint32_t *numbers; /* number of each entry's column in the minibatch */
    uint32_t *ends;    /* of the entries of each column */
} Rows;

INLINE size_t lowest_of(uint64_t bits)
{
#ifdef __GNUC__
    return (size_t)__builtin_ctzll(bits);
#else
    size_t place = 0;
    for (; !(bits >> place & 1); place++)
        ;
    return place;
#endif
}

INLINE uint32_t number_of_bits(uint64_t bits)
{
#ifdef __GNUC__
    return (uint32_t)__builtin_popcountll(bits);
#else
    bits -= bits >> 1 & 0x5555555555555555;
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
    return (uint32_t)(((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f) * 0x0101010101010101 >> 56);
#endif
}

/* Mark the columns of rows and copy them to `numbers`; return 0 if one is outside of the table. */
static int mark_columns(Rows *all, const int32_t *rows, size_t n_rows)
{
    uint32_t *numbers = all->numbers;
    uint64_t *marks = all->marks, *marked = all->marked;
    const size_t n_columns = all->n_columns;
    for (size_t i = 0; i < n_rows; i++)
        for (int64_t j = all->starts[rows[i]], end = all->starts[rows[i] + 1]; j < end; j++) {
            uint32_t column = (uint32_t)all->columns[j];
            if (column >= n_columns)
                return 0;
            *numbers++ = column;
            marks[column / 64] |= (uint64_t)1 << column % 64;
            marked[column / 4096] |= (uint64_t)1 << column / 64 % 64;
        }
    return 1;
}

/* Write the marked columns in ascending order; return their count. */
static size_t list_marked(Rows *all, int32_t *columns)
{
    uint32_t n = 0;
    for (size_t i = 0; i < all->n_marked; i++)
        for (uint64_t marked = all->marked[i]; marked; marked &= marked - 1) {
            size_t place = i * 64 + lowest_of(marked);
            all->n_before[place] = n;
            for (uint64_t bits = all->marks[place]; bits; bits &= bits - 1)
                columns[n++] = (int32_t)(place * 64 + lowest_of(bits));
        }
    return n;
}

static void clear_marks(Rows *all, const int32_t *columns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        all->marks[columns[i] / 64] = 0;
        all->marked[columns[i] / 4096] = 0;
    }
}

/* Replace each column in `numbers` by its number in the minibatch, and count its entries. */
FOR_WIDE_REGISTERS
static void number_columns(Rows *all, size_t n_entries)
{
    const uint64_t *marks = all->marks;
    const uint32_t *n_before = all->n_before;
    uint32_t *numbers = all->numbers, *ends = all->ends;
    for (size_t i = 0; i < n_entries; i++) {
        uint32_t column = numbers[i];
        uint64_t before = marks[column / 64] & (((uint64_t)1 << column % 64) - 1);
        uint32_t number = n_before[column / 64] + number_of_bits(before);
        numbers[i] = number;
        ends[number]++;
    }
}

/* Write the entries of rows column by column, and their columns; return the number of columns,
   or -1 if one is outside of the table. */
static int64_t group(Rows *all, const int32_t *rows, size_t n_rows, size_t n_entries, float *values,
                     unsigned char *places, int32_t *columns)
{
    if (!mark_columns(all, rows, n_rows))
        return -1;
    size_t n_columns = list_marked(all, columns);
    memset(all->ends, 0, n_columns * sizeof *all->ends);
    number_columns(all, n_entries);
    uint32_t end = 0;
    for (size_t i = 0; i < n_columns; i++) {
        uint32_t n = all->ends[i];
        all->ends[i] = end;
        end += n;
    }
    const uint32_t *number = all->numbers;
    const float *all_values = all->values;
    uint32_t *ends = all->ends;
    for (size_t i = 0; i < n_rows; i++)
        for (int64_t j = all->starts[rows[i]], stop = all->starts[rows[i] + 1]; j < stop; j++) {
            uint32_t place = ends[*number++]++;
            values[place] = all_values[j];
            places[place] = (unsigned char)i;
        }
    for (size_t i = 0; i < n_columns; i++)
        places[all->ends[i] - 1] |= LAST;
    clear_marks(all, columns, n_columns);
    return (int64_t)n_columns;
}

/* ------------------------------------------------------------------------------------------------
   Python
   --------------------------------------------------------------------------------------------- */

/* Return 1 if starts, which are `stride` apart, ascend from at least 0 to at most the number of
   items. */
static int ascend(const int64_t *starts, size_t n, size_t stride, size_t n_items)
{
    if (starts[0] < 0 || starts[n * stride] > (int64_t)n_items)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (starts[i * stride] > starts[(i + 1) * stride])
            return 0;
    return 1;
}

/* Return the number of rows of all minibatches, or -1 unless each has 1 to MOST_SUMMED. */
static int64_t sum_of_sizes(const int64_t *sizes, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (sizes[i] < 1 || sizes[i] > MOST_SUMMED)
            return -1;
        sum += sizes[i];
    }
    return sum;
}

static PyObject *reject(const char *words)
{
    PyErr_SetString(PyExc_ValueError, words);
    return NULL;
}

static const char *const DO_NOT_FIT = "arrays that do not fit together";

PyDoc_STRVAR(group_rows_doc,
"group_rows(values, columns, starts, rows, sizes, n_columns)\n--\n\n"
"Return the entries of minibatches, column by column: values, places, columns and bounds.\n\n"
"Parameters\n"
"----------\n"
"values : float32 array; columns : int32 array; starts : int64 array, shape (n_rows + 1,)\n"
"    All rows, as in CSR.\n"
"rows : int32 array; sizes : int64 array, shape (n_minibatches,)\n"
"    Rows of the minibatches, concatenated, and number of rows of each: at most 128.\n"
"n_columns : int\n\n"
"Returns\n"
"-------\n"
"bytes of four arrays, which `descend` takes\n"
"    Values are float32, shape (n_entries,). Places are uint8 of the same shape: the number of the\n"
"    entry's row in its minibatch, plus 128 if it is the last one of its column. Columns are int32.\n"
"    Bounds, int64 of shape (n_minibatches + 1, 2), are where the columns and the\n"
"    entries of each minibatch start.");

enum { VALUES, COLUMNS, STARTS, ROWS, SIZES, N_ROW_ARRAYS };

/* Check sizes, and allocate memory for the largest minibatch; return the number of entries, or
   -1 with an exception. */
static int64_t check_rows(Rows *all, const Py_buffer *arrays, long long n_columns)
{
    size_t n_starts = n_items(arrays + STARTS), n_listed = n_items(arrays + ROWS), listed = 0;
    if (!all->starts || !all->sizes || !all->rows)
        return PyErr_NoMemory(), -1;
    all->values = arrays[VALUES].buf;
    all->columns = arrays[COLUMNS].buf;
    all->n_minibatches = n_items(arrays + SIZES);
    if (!n_starts || n_items(arrays + VALUES) != n_items(arrays + COLUMNS) || n_columns < 0 ||
        n_columns > INT32_MAX || !ascend(all->starts, n_starts - 1, 1, n_items(arrays + VALUES)) ||
        sum_of_sizes(all->sizes, all->n_minibatches) != (int64_t)n_listed)
        return reject(DO_NOT_FIT), -1;
    all->n_columns = (size_t)n_columns;
    int64_t n_entries = 0, most = 0;
    for (size_t i = 0; i < all->n_minibatches; i++) {
        int64_t n = 0;
        for (size_t stop = listed + (size_t)all->sizes[i]; listed < stop; listed++) {
            int32_t row = all->rows[listed];
            if (row < 0 || (size_t)row >= n_starts - 1)
                return reject("a row that there is not"), -1;
            n += all->starts[row + 1] - all->starts[row];
        }
        most = n > most ? n : most;
        if (n > UINT32_MAX || n_entries > PY_SSIZE_T_MAX / 8 - n)
            return PyErr_NoMemory(), -1;
        n_entries += n;
    }
    size_t n_marks = all->n_columns / 64 + 1;
    all->n_marked = n_marks / 64 + 1;
    all->marks = calloc(n_marks, sizeof *all->marks);
    all->marked = calloc(all->n_marked, sizeof *all->marked);
    all->n_before = malloc(n_marks * sizeof *all->n_before);
    all->numbers = malloc(((size_t)most + 1) * sizeof *all->numbers);
    all->ends = malloc(((size_t)most + 1) * sizeof *all->ends);
    if (!all->marks || !all->marked || !all->n_before || !all->numbers || !all->ends)
        return PyErr_NoMemory(), -1;
    return n_entries;
}

/* Group all minibatches; return 0 if a column is outside of the table. */
static int group_all(Rows *all, float *values, unsigned char *places, int32_t *columns, int64_t *bounds)
{
    const int32_t *rows = all->rows;
    bounds[0] = bounds[1] = 0;
    for (size_t i = 0; i < all->n_minibatches; i++, bounds += 2) {
        size_t n_rows = (size_t)all->sizes[i], n_entries = 0;
        for (size_t k = 0; k < n_rows; k++)
            n_entries += (size_t)(all->starts[rows[k] + 1] - all->starts[rows[k]]);
        int64_t n_columns = group(all, rows, n_rows, n_entries, values + bounds[1], places + bounds[1],
                                  columns + bounds[0]);
        if (n_columns < 0)
            return 0;
        bounds[2] = bounds[0] + n_columns;
        bounds[3] = bounds[1] + (int64_t)n_entries;
        rows += n_rows;
    }
    return 1;
}

static PyObject *group_rows(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer arrays[N_ROW_ARRAYS];
    memset(arrays, 0, sizeof arrays);
    Rows all = {0};
    long long n_columns;
    int64_t n_entries;
    int32_t *columns = NULL;
    PyObject *values = NULL, *places = NULL, *bounds = NULL, *result = NULL;
    if (!PyArg_ParseTuple(arguments, "O&O&O&O&O&L", borrow_floats, arrays + VALUES, borrow_int32,
                          arrays + COLUMNS, borrow_int64, arrays + STARTS, borrow_int32,
                          arrays + ROWS, borrow_int64, arrays + SIZES, &n_columns))
        goto release;
    all.starts = copy_of(arrays + STARTS);
    all.sizes = copy_of(arrays + SIZES);
    all.rows = copy_of(arrays + ROWS);
    n_entries = check_rows(&all, arrays, n_columns);
    if (n_entries < 0)
        goto release;
    values = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n_entries * (Py_ssize_t)sizeof(float));
    places = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n_entries);
    bounds = PyBytes_FromStringAndSize(NULL, ((Py_ssize_t)all.n_minibatches + 1) * 2 * (Py_ssize_t)sizeof(int64_t));
    columns = malloc(((size_t)n_entries + 1) * sizeof *columns);
    if (!values || !places || !bounds)
        goto release;
    if (!columns) {
        PyErr_NoMemory();
        goto release;
    }
    float *to_values = (float *)PyBytes_AsString(values);
    unsigned char *to_places = (unsigned char *)PyBytes_AsString(places);
    int64_t *to_bounds = (int64_t *)PyBytes_AsString(bounds);
    int is_right;
    Py_BEGIN_ALLOW_THREADS
    is_right = group_all(&all, to_values, to_places, columns, to_bounds);
    Py_END_ALLOW_THREADS
    if (!is_right)
        reject("a column that there is not");
    else
        result = Py_BuildValue("OOy#O", values, places, (const char *)columns,
                               (Py_ssize_t)to_bounds[2 * all.n_minibatches] * (Py_ssize_t)sizeof *columns, bounds);
release:
    Py_XDECREF(values);
    Py_XDECREF(places);
    Py_XDECREF(bounds);
    free(columns);
    free(all.starts);
    free(all.sizes);
    free(all.rows);
    free(all.marks);
    free(all.marked);
    free(all.n_before);
    free(all.numbers);
    free(all.ends);
    release_arrays(arrays, N_ROW_ARRAYS);
    return result;
}

enum { NUMBERS = N_ROW_ARRAYS, Y, Y_STARTS, NEGATIVE, POSITIVE, RATES, WEIGHTS, BIASES, SUMS, HIGHEST, RIGHT,
       N_ARRAYS };
enum { GROUPED_VALUES, PLACES, GROUPED_COLUMNS, BOUNDS, N_BYTES };

/* Return 1 if array lengths match. */
static int fit_together(const Py_buffer *arrays, const int64_t *starts, const int64_t *y_starts,
                        int64_t first_topic)
{
    size_t n[N_ARRAYS] = {0};
    for (size_t i = 0; i < N_ARRAYS; i++)
        n[i] = arrays[i].obj ? n_items(arrays + i) : 0;
    size_t n_rows = n[NEGATIVE], n_topics = n[BIASES];
    if (n[STARTS] != n_rows + 1 || n[COLUMNS] != n[VALUES] || n[Y_STARTS] != n_rows + 1 ||
        n[POSITIVE] != n[Y] || (n[RATES] != n[SUMS] && n[RATES] != 1) || !n[SUMS] || !n_topics ||
        n_topics > MOST_SUMMED || n[WEIGHTS] != (n[SUMS] - 1) * n_topics ||
        n[SUMS] > INT32_MAX || first_topic < 0)
        return 0;
    for (size_t i = HIGHEST; i <= RIGHT; i++)
        if (arrays[i].obj && (arrays[i].readonly || n[i] != n_rows))
            return 0;
    return !arrays[HIGHEST].obj == !arrays[RIGHT].obj && ascend(starts, n_rows, 1, n[VALUES]) &&
           ascend(y_starts, n_rows, 1, n[Y]);
}

/* Fill `all` from the bytes of grouped rows; return 0 if they don't match. */
static int take_grouped(Minibatches *all, PyObject *grouped)
{
    PyObject *bytes[N_BYTES];
    size_t n_bytes[N_BYTES];
    if (!PyArg_ParseTuple(grouped, "SSSS", bytes, bytes + 1, bytes + 2, bytes + 3)) {
        PyErr_Clear();
        return 0;
    }
    for (size_t i = 0; i < N_BYTES; i++)
        n_bytes[i] = (size_t)PyBytes_Size(bytes[i]);
    all->values = (const float *)PyBytes_AsString(bytes[GROUPED_VALUES]);
    all->places = (const unsigned char *)PyBytes_AsString(bytes[PLACES]);
    all->columns = (const int32_t *)PyBytes_AsString(bytes[GROUPED_COLUMNS]);
    all->bounds = (const int64_t *)PyBytes_AsString(bytes[BOUNDS]);
    size_t n = all->n_minibatches, n_entries = n_bytes[PLACES];
    return n_bytes[BOUNDS] == (n + 1) * 2 * sizeof(int64_t) && n_entries <= UINT32_MAX &&
           n_bytes[GROUPED_VALUES] == n_entries * sizeof(float) &&
           n_bytes[GROUPED_COLUMNS] % sizeof(int32_t) == 0 &&
           ascend(all->bounds, n, 2, n_bytes[GROUPED_COLUMNS] / sizeof(int32_t)) &&
           ascend(all->bounds + 1, n, 2, n_entries);
}

/* Fill `all`, which has copies of arrays; return 0 if they don't match. */
static int fill_minibatches(Minibatches *all, PyObject *grouped, const Py_buffer *arrays)
{
    size_t n = all->n_minibatches = n_items(arrays + SIZES);
    all->n_numbers = n_items(arrays + NUMBERS);
    if (sum_of_sizes(all->sizes, n) != (int64_t)n_items(arrays + ROWS) ||
        (grouped != Py_None && (n_items(arrays + BIASES) < LANE || !take_grouped(all, grouped))))
        return 0;
#ifndef __GNUC__
    all->bounds = NULL; /* rows are processed one by one */
#endif
    all->first_rows[0] = 0;
    for (size_t i = 0; i < n; i++)
        all->first_rows[i + 1] = all->first_rows[i] + all->sizes[i];
    for (size_t i = 0; i < all->n_numbers; i++)
        if (all->numbers[i] < 0 || (size_t)all->numbers[i] >= n)
            return 0;
    return 1;
}

PyDoc_STRVAR(descend_doc,
"descend(values, columns, starts, rows, sizes, grouped, numbers, y, y_starts, negative, positive, rates,"
" weights, biases, sums, highest, right, first_topic)\n--\n\n"
"Take a step for each of some minibatches.\n\n"
"Parameters\n"
"----------\n"
"values, columns, starts, rows, sizes : arrays\n"
"    See `group_rows`.\n"
"grouped : tuple of bytes, or None\n"
"    Result of `group_rows` for these; only useful with eight topics or more.\n"
"numbers : int64 array\n"
"    The minibatches to train on, in order.\n"
"y : int64 array, shape (n_labels,); y_starts : int64 array, shape (n_rows + 1,)\n"
"    Concatenated topics of rows, and the start of each row's topics.\n"
"negative : float32 array, shape (n_rows,); positive : float32 array, shape (n_labels,)\n"
"    Costs of errors: on topics that a row doesn't have, and on each of its topics.\n"
"rates : float32 array, shape (n_columns + 1,), or (1,) if all are the same\n"
"weights : float32 array, shape (n_columns, n_topics), of at most 128 topics\n"
"    Changed in place, like all following arrays.\n"
"biases : float32 array, shape (n_topics,)\n"
"sums : float32 array, shape (n_columns + 1,)\n"
"highest, right : float32 arrays, shape (n_rows,), or None\n"
"first_topic : int\n"
"    Index of the first column's topic among all topics.");

static PyObject *descend(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer arrays[N_ARRAYS];
    PyObject *grouped, *result = NULL;
    long long first_topic;
    memset(arrays, 0, sizeof arrays);
    Minibatches all = {0};
    int64_t *starts = NULL, *y_starts = NULL;
    if (!PyArg_ParseTuple(
            arguments, "O&O&O&O&O&OO&O&O&O&O&O&O&O&O&O&O&L", borrow_floats, arrays + VALUES,
            borrow_int32, arrays + COLUMNS, borrow_int64, arrays + STARTS,
            borrow_int32, arrays + ROWS, borrow_int64, arrays + SIZES, &grouped,
            borrow_int64, arrays + NUMBERS,
            borrow_int64, arrays + Y, borrow_int64, arrays + Y_STARTS,
            borrow_floats, arrays + NEGATIVE, borrow_floats, arrays + POSITIVE,
            borrow_floats, arrays + RATES, borrow_writable_floats, arrays + WEIGHTS, borrow_writable_floats, arrays + BIASES, borrow_writable_floats, arrays + SUMS,
            borrow_optional_writable_floats, arrays + HIGHEST,
            borrow_optional_writable_floats, arrays + RIGHT, &first_topic))
        goto release;
    /* Copies of all bounds, since another thread may write to the caller's arrays. */
    starts = copy_of(arrays + STARTS);
    y_starts = copy_of(arrays + Y_STARTS);
    all.rows = copy_of(arrays + ROWS);
    all.sizes = copy_of(arrays + SIZES);
    all.numbers = copy_of(arrays + NUMBERS);
    all.first_rows = malloc((n_items(arrays + SIZES) + 1) * sizeof(int64_t));
    if (!starts || !y_starts || !all.rows || !all.sizes || !all.numbers || !all.first_rows) {
        PyErr_NoMemory();
        goto release;
    }
    if (!fit_together(arrays, starts, y_starts, first_topic) || !fill_minibatches(&all, grouped, arrays)) {
        reject(DO_NOT_FIT);
        goto release;
    }
    Workspace work = {
        .values = arrays[VALUES].buf, .columns = arrays[COLUMNS].buf, .starts = starts,
        .n_rows = n_items(arrays + NEGATIVE), .n_columns = n_items(arrays + SUMS) - 1,
        .y = arrays[Y].buf, .y_starts = y_starts,
        .negative = arrays[NEGATIVE].buf, .positive = arrays[POSITIVE].buf,
        .weights = arrays[WEIGHTS].buf, .biases = arrays[BIASES].buf, .sums = arrays[SUMS].buf,
        .rates = arrays[RATES].buf, .rate_stride = n_items(arrays + RATES) > 1,
        .highest = arrays[HIGHEST].buf, .right = arrays[RIGHT].buf,
        .first_topic = first_topic, .n_topics = n_items(arrays + BIASES),
    };
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = run(&work, &all);
    Py_END_ALLOW_THREADS
    if (done == DONE)
        result = Py_BuildValue("");
    else if (done == NO_MEMORY)
        PyErr_NoMemory();
    else
        reject(done == NO_SUCH_ROW ? "a row that there is not" : "a column that there is not");
release:
    free(starts);
    free(y_starts);
    free(all.rows);
    free(all.sizes);
    free(all.numbers);
    free(all.first_rows);
    release_arrays(arrays, N_ARRAYS);
    return result;
}

static PyMethodDef methods[] = {
    {"group_rows", group_rows, METH_VARARGS, group_rows_doc},
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
