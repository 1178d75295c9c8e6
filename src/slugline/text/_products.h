/* Sum the weights of a row's terms for each topic, and the weights of a sum of word vectors. */

#ifndef SLUGLINE_PRODUCTS_H
#define SLUGLINE_PRODUCTS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_compiler.h"

/* ------------------------------------------------------------------------------------------------
   Weights of terms
   --------------------------------------------------------------------------------------------- */

#define AHEAD 24 /* terms prefetched; the table is larger than the processor's cache */

/* Entries of a row, whose columns have been checked. */
typedef struct {
    const float *values;
    const int32_t *columns;
    size_t n_topics;
} Products;

/* A sparse table of weights. A column with a weight for every topic has them in topic order. */
typedef struct {
    const float *weights;
    const int32_t *topics;
    const int32_t *starts; /* of the weights of each column */
    size_t n_weights;
} Sparse;

/* Add the weights of a row's terms, from entry `at` up to `stop`, times their values and a factor,
   to its scores; 0 if a weight is outside of the table. */
FOR_WIDE_REGISTERS static int add_products_of_row(const Products *products, const Sparse *sparse,
                                                  size_t at, size_t stop, float factor,
                                                  float *restrict scores)
{
    size_t n_topics = products->n_topics;
    for (; at < stop; at++) {
        int32_t first = sparse->starts[products->columns[at]], last = sparse->starts[products->columns[at] + 1];
        if (first < 0 || first > last || (size_t)last > sparse->n_weights)
            return 0;
        if (at + AHEAD < stop) {
            size_t later = (uint32_t)sparse->starts[products->columns[at + AHEAD]];
            if (later < sparse->n_weights) {
                prefetch(sparse->weights + later);
                prefetch(sparse->topics + later);
            }
        }
        float value = products->values[at] * factor;
        if ((size_t)(last - first) == n_topics) {
            const float *restrict weights = sparse->weights + first;
            for (size_t n = 0; n < n_topics; n++)
                scores[n] += value * weights[n];
            continue;
        }
        for (int32_t i = first; i < last; i++) {
            size_t topic = (uint32_t)sparse->topics[i];
            if (topic >= n_topics)
                return 0;
            scores[topic] += value * sparse->weights[i];
        }
    }
    return 1;
}

/* ------------------------------------------------------------------------------------------------
   Scores of sums of word vectors
   --------------------------------------------------------------------------------------------- */

#define TOPICS_AT_ONCE 8 /* as in head.py, and in vector_sums.py for squares */
#define COLUMNS_AT_ONCE 4 /* as in head.py */
#define GROUPS_AT_ONCE 3 /* of topics, so each number of a vector is loaded once for all of them */

/* Weights that turn sums of word vectors into scores. */
typedef struct {
    const float *weights, *biases;
    size_t n_columns, n_topics; /* the number of columns is a multiple of 8 */
    float min_known_fraction, factor;
} VectorScores;

/* Return the length of a vector. */
static inline float length_of(const float *vector, size_t n_columns)
{
    float squares[TOPICS_AT_ONCE] = {0};
    for (size_t i = 0; i < n_columns; i += TOPICS_AT_ONCE)
        for (size_t n = 0; n < TOPICS_AT_ONCE; n++)
            squares[n] += vector[i + n] * vector[i + n];
    for (size_t half = TOPICS_AT_ONCE / 2; half; half /= 2)
        for (size_t n = 0; n < half; n++)
            squares[n] += squares[n + half];
    return sqrtf(squares[0]);
}

/* Add to sums the terms of COLUMNS_AT_ONCE columns, each for TOPICS_AT_ONCE topics. */
static inline void add_terms(float *restrict sums, const float *restrict vector,
                             const float *restrict weights)
{
#ifdef __GNUC__
#pragma GCC unroll 1 /* keeps GCC from rearranging the loop, which would be much slower */
#endif
    for (size_t i = 0; i < TOPICS_AT_ONCE; i++)
        sums[i] += (vector[0] * weights[i] + vector[1] * weights[TOPICS_AT_ONCE + i])
            + (vector[2] * weights[2 * TOPICS_AT_ONCE + i] + vector[3] * weights[3 * TOPICS_AT_ONCE + i]);
}

/* Multiply a vector by the weights of TOPICS_AT_ONCE topics. */
static inline void multiply(const float *vector, const float *weights, size_t n_columns,
                            float *products)
{
    float sums[TOPICS_AT_ONCE] = {0};
    for (size_t i = 0; i < n_columns; i += COLUMNS_AT_ONCE)
        add_terms(sums, vector + i, weights + i * TOPICS_AT_ONCE);
    memcpy(products, sums, sizeof sums);
}

/* Multiply a vector by the weights of GROUPS_AT_ONCE groups of topics. */
static inline void multiply_groups(const float *vector, const float *weights, size_t n_columns,
                                     float *products)
{
    float a[TOPICS_AT_ONCE] = {0}, b[TOPICS_AT_ONCE] = {0}, c[TOPICS_AT_ONCE] = {0};
    size_t n = n_columns * TOPICS_AT_ONCE;
    for (size_t i = 0; i < n_columns; i += COLUMNS_AT_ONCE, weights += COLUMNS_AT_ONCE * TOPICS_AT_ONCE) {
        add_terms(a, vector + i, weights);
        add_terms(b, vector + i, weights + n);
        add_terms(c, vector + i, weights + 2 * n);
    }
    memcpy(products, a, sizeof a);
    memcpy(products + TOPICS_AT_ONCE, b, sizeof b);
    memcpy(products + 2 * TOPICS_AT_ONCE, c, sizeof c);
}

/* Add the scores of one vector to the word scores times a factor. */
static inline void add_vector(const VectorScores *vectors, const float *vector, float length,
                              float *restrict scores)
{
    float scale = 1 / length, products[GROUPS_AT_ONCE * TOPICS_AT_ONCE];
    for (size_t topic = 0, n_now; topic < vectors->n_topics; topic += n_now) {
        const float *weights = vectors->weights + topic * vectors->n_columns;
        size_t n_left = vectors->n_topics - topic;
        if (n_left > (GROUPS_AT_ONCE - 1) * TOPICS_AT_ONCE)
            multiply_groups(vector, weights, vectors->n_columns, products);
        else
            multiply(vector, weights, vectors->n_columns, products);
        n_now = n_left > (GROUPS_AT_ONCE - 1) * TOPICS_AT_ONCE ? GROUPS_AT_ONCE * TOPICS_AT_ONCE : TOPICS_AT_ONCE;
        n_now = n_left < n_now ? n_left : n_now;
        for (size_t i = 0; i < n_now; i++)
            scores[topic + i] = scores[topic + i] * vectors->factor
                + (products[i] * scale + vectors->biases[topic + i]);
    }
}

#endif
