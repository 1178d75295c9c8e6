/* Compiler-specific definitions. */

#ifndef SLUGLINE_COMPILER_H
#define SLUGLINE_COMPILER_H

/* Slow functions are also compiled for AVX2, and the loader chooses. Results are the same, because
   products are rounded before addition. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define FOR_WIDE_REGISTERS __attribute__((target_clones("avx2", "default")))
#else
#define FOR_WIDE_REGISTERS
#endif

/* INLINE: functions called from the AVX2 versions must be inlined to be compiled for AVX2.
   prefetch: fetch memory that will be read soon into the processor's cache. */
#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#define prefetch(place) __builtin_prefetch(place)
#else
#define INLINE static inline
#define prefetch(place) ((void)(place))
#endif

#define CACHE_LINE 64 /* bytes */

#endif
