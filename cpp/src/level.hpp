// Types and operations of one instruction-set level. Files that include this header are compiled once per level.
// NNQM_LEVEL is the name of the level (v2, v3, v4 on x86-64; native elsewhere) and becomes their namespace.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef NNQM_LEVEL
#error "NNQM_LEVEL names the instruction-set level this file is compiled for"
#endif

#define NNQM_CONCAT_(a, b) a##b
#define NNQM_CONCAT(a, b) NNQM_CONCAT_(a, b)
#define NNQM_LEVEL_NAMESPACE NNQM_CONCAT(level_, NNQM_LEVEL)

// For functions that a loop calls for each number: if the compiler does not inline such a function, the loop is not
// vectorised.
#define NNQM_INLINE inline __attribute__((always_inline))

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// Contraction is disabled for the whole build, so every fused multiply-add is explicit in the source. Without hardware
// support a library fma would cost a hundred cycles: such a level rounds twice instead, and its bits differ by an ulp.
#if defined(__FMA__) || defined(__aarch64__)
inline float fma(float a, float b, float c) noexcept { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) noexcept { return __builtin_fma(a, b, c); }
#else
inline float fma(float a, float b, float c) noexcept { return a * b + c; }
inline double fma(double a, double b, double c) noexcept { return a * b + c; }
#endif

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int vector_registers = 32;
#elif defined(__AVX2__)
inline constexpr int vector_bytes = 32;
inline constexpr int vector_registers = 16;
#else
inline constexpr int vector_bytes = 16;
inline constexpr int vector_registers = 16;
#endif

template <class T>
struct VectorOf {
    typedef T type __attribute__((vector_size(vector_bytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
inline Vector<T> vector_fma(Vector<T> a, Vector<T> b, Vector<T> c) noexcept {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return _mm512_fmadd_ps(a, b, c);
    else return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__)
    if constexpr (sizeof(T) == 4) return _mm256_fmadd_ps(a, b, c);
    else return _mm256_fmadd_pd(a, b, c);
#elif defined(__aarch64__)
    Vector<T> r;
    for (int k = 0; k < static_cast<int>(vector_bytes / sizeof(T)); ++k) r[k] = fma(a[k], b[k], c[k]);
    return r;
#else
    return a * b + c;
#endif
}

template <class T>
inline Vector<T> vector_load(const T* p) noexcept {
    return *reinterpret_cast<const Vector<T>*>(p);
}

template <class T>
inline Vector<T> vector_set(T x) noexcept {
    // The compiler turns this into one broadcast. It does not recognise a loop over the elements.
    return x - Vector<T>{};
}

// Formulas are written once for numbers and for vectors: like(x, c) is the constant c in the type of x.
inline Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) noexcept {
    return vector_fma<float>(a, b, c);
}
inline float like(float, float c) noexcept { return c; }
inline double like(double, double c) noexcept { return c; }
inline Vector<float> like(Vector<float>, float c) noexcept { return vector_set(c); }

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
