// The counter-based random generator Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011): ten rounds turn a 128-bit counter
// and a 64-bit key into four random words, so that any draw can be computed on its own, in any order.
#pragma once

#include "level.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// The counter goes in and the random words come out in place. A loop over counters vectorises.
inline void philox4x32(std::uint32_t& c0, std::uint32_t& c1, std::uint32_t& c2, std::uint32_t& c3, std::uint32_t k0,
                       std::uint32_t k1) noexcept {
    constexpr std::uint64_t multiplier_0 = 0xd2511f53U, multiplier_1 = 0xcd9e8d57U;
    constexpr std::uint32_t weyl_0 = 0x9e3779b9U, weyl_1 = 0xbb67ae85U;
    constexpr int rounds = 10;
    for (int round = 0; round < rounds; ++round) {
        const std::uint64_t product_0 = multiplier_0 * c0, product_1 = multiplier_1 * c2;
        c0 = static_cast<std::uint32_t>(product_1 >> 32) ^ c1 ^ k0;
        c1 = static_cast<std::uint32_t>(product_1);
        c2 = static_cast<std::uint32_t>(product_0 >> 32) ^ c3 ^ k1;
        c3 = static_cast<std::uint32_t>(product_0);
        k0 += weyl_0;
        k1 += weyl_1;
    }
}

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
