// Compile-time facts of one instruction-set level. Files that include this header are compiled once per level, with
// NNQM_LEVEL set to a name (v2, v3, v4 on x86-64; native elsewhere) that becomes their namespace.
#pragma once

#include <cstdint>
#include <cstring>

#ifndef NNQM_LEVEL
#error "NNQM_LEVEL names the instruction-set level this file is compiled for"
#endif

#define NNQM_CONCAT_(a, b) a##b
#define NNQM_CONCAT(a, b) NNQM_CONCAT_(a, b)
#define NNQM_LEVEL_NAMESPACE NNQM_CONCAT(level_, NNQM_LEVEL)

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// Contraction is switched off for the whole build so that every fused multiply-add is one that the source asks for. Where the
// hardware has none, a library fma would cost a hundred cycles: the level then rounds twice, and its bits differ by an ulp.
#if defined(__FMA__) || defined(__aarch64__)
inline float fma(float a, float b, float c) noexcept { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) noexcept { return __builtin_fma(a, b, c); }
#else
inline float fma(float a, float b, float c) noexcept { return a * b + c; }
inline double fma(double a, double b, double c) noexcept { return a * b + c; }
#endif

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
