// The counter-based random generator Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011): ten rounds turn a 128-bit
// counter and a 64-bit key into four random words, so that any draw can be computed on its own, in any order.
#pragma once

#include "level.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// The type of a lane in the vector loop. With a 64-bit vector product (AVX-512) the words stay in lanes of 64 bits,
// whose upper halves are ignored: this needs no shuffle between rounds and is 1.7 times faster. Other levels have a
// separate 32-bit multiplication for the low product.
#if defined(__AVX512DQ__)
using philox_lane = std::uint64_t;
#else
using philox_lane = std::uint32_t;
#endif

// Replaces the counter by the random words. A loop over counters vectorises.
inline void philox4x32(std::uint32_t& c0, std::uint32_t& c1, std::uint32_t& c2, std::uint32_t& c3, std::uint32_t k0,
                       std::uint32_t k1) noexcept {
    constexpr philox_lane multiplier_0 = 0xd2511f53U, multiplier_1 = 0xcd9e8d57U, word = 0xffffffffU;
    constexpr std::uint32_t weyl_0 = 0x9e3779b9U, weyl_1 = 0xbb67ae85U;
    constexpr int rounds = 10;
    philox_lane x0 = c0, x1 = c1, x2 = c2, x3 = c3;
    for (int round = 0; round < rounds; ++round) {
        const philox_lane low_0 = multiplier_0 * (x0 & word), low_1 = multiplier_1 * (x2 & word);
        const std::uint64_t high_0 = (std::uint64_t{multiplier_0} * (x0 & word)) >> 32;
        const std::uint64_t high_1 = (std::uint64_t{multiplier_1} * (x2 & word)) >> 32;
        x0 = static_cast<philox_lane>(high_1) ^ x1 ^ k0;
        x1 = low_1;
        x2 = static_cast<philox_lane>(high_0) ^ x3 ^ k1;
        x3 = low_0;
        k0 += weyl_0;
        k1 += weyl_1;
    }
    c0 = static_cast<std::uint32_t>(x0);
    c1 = static_cast<std::uint32_t>(x1);
    c2 = static_cast<std::uint32_t>(x2);
    c3 = static_cast<std::uint32_t>(x3);
}

#if defined(__AVX2__) && !defined(__AVX512DQ__)
// Eight blocks at a time, in two halves. The words stay in lanes of 64 bits, whose upper halves are ignored. The
// compiler would combine and separate them again in every round, which is three times slower. `x` (4 words, 2 halves)
// contains the counters: x[.][0] the first, third, ... of the eight, x[.][1] the others. The words (8) come out in
// order.
inline void philox_eight(__m256i (&x)[4][2], std::uint32_t k0, std::uint32_t k1,
                         std::uint32_t* const (&words)[4]) noexcept {
    const __m256i multiplier_0 = _mm256_set1_epi64x(0xd2511f53), multiplier_1 = _mm256_set1_epi64x(0xcd9e8d57);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
        const __m256i key_0 = _mm256_set1_epi32(static_cast<int>(k0)), key_1 = _mm256_set1_epi32(static_cast<int>(k1));
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
            const __m256i product_0 = _mm256_mul_epu32(x[0][half], multiplier_0),
                          product_1 = _mm256_mul_epu32(x[2][half], multiplier_1);
            x[0][half] = _mm256_xor_si256(_mm256_srli_epi64(product_1, 32), _mm256_xor_si256(x[1][half], key_0));
            x[1][half] = product_1;
            x[2][half] = _mm256_xor_si256(_mm256_srli_epi64(product_0, 32), _mm256_xor_si256(x[3][half], key_1));
            x[3][half] = product_0;
        }
        k0 += 0x9e3779b9U;
        k1 += 0xbb67ae85U;
    }
#pragma GCC unroll 4
    for (int w = 0; w < 4; ++w)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(words[w]),
                            _mm256_blend_epi32(x[w][0], _mm256_slli_epi64(x[w][1], 32), 0xaa));
}
#endif

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
