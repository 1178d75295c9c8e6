/* What each compiler has in its own way. */

#ifndef SLUGLINE_COMPILER_H
#define SLUGLINE_COMPILER_H

/* Functions that take long are also compiled for AVX2, and the system chooses as it loads. Results are
   the same, as products are rounded before they are added. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define FOR_WIDE_REGISTERS __attribute__((target_clones("avx2", "default")))
#else
#define FOR_WIDE_REGISTERS
#endif

/* INLINE: a function that is called by those for wide registers is compiled for them only within
   these. prefetch: fetch what will be read soon into the processor's cache. */
#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#define prefetch(place) __builtin_prefetch(place)
#else
#define INLINE static inline
#define prefetch(place) ((void)(place))
#endif

#define CACHE_LINE 64 /* bytes */

#endif
