// Functions of block sums that involve millions of numbers: functions of two times, and jackknife errors.
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "nnqm/nnqm.hpp"

namespace nnqm {

void two_time_functions(double* packed, const double* factors, const double* offsets, std::int64_t n,
                        std::int64_t n_times, Range rows) {
    if (n < 0 || rows.begin < 0 || rows.end < rows.begin || n_times < rows.end || !packed || !factors || !offsets)
        throw std::invalid_argument(
            "two-time functions need n >= 0, rows within the times, and arrays that are not null");
    for (std::int64_t i = 0; i < n; ++i) {
        const double factor = factors[i], *offset = offsets + i * n_times;
        for (std::int64_t t = rows.begin; t < rows.end; packed += ++t) {
            const double own = offset[t];
            for (std::int64_t s = 0; s <= t; ++s) packed[s] = factor * packed[s] + (own + offset[s]);
        }
    }
}

void unpack_matrices(const double* packed, std::int64_t n, std::int64_t size, double* matrices) {
    if (n < 0 || size < 1 || !packed || !matrices)
        throw std::invalid_argument("matrices need n >= 0, size >= 1, and arrays that are not null");
    // Works in square blocks of whole cache lines, because the upper triangle is written down its columns.
    constexpr std::int64_t block = 8;
    for (std::int64_t i = 0; i < n; ++i) {
        const double* values = packed + i * (size * (size + 1) / 2);
        double* matrix = matrices + i * size * size;
        for (std::int64_t row = 0; row < size; row += block)
            for (std::int64_t column = 0; column <= row; column += block)
                for (std::int64_t t = row; t < std::min(row + block, size); ++t)
                    for (std::int64_t s = column; s < std::min(column + block, t + 1); ++s)
                        matrix[t * size + s] = matrix[s * size + t] = values[t * (t + 1) / 2 + s];
    }
}

void jackknife_variances(const double* values, const double* replicas, const double* weights, std::int64_t n_blocks,
                         std::int64_t size, double* variances) {
    if (n_blocks < 2 || size < 0 || !values || !replicas || !weights || !variances)
        throw std::invalid_argument(
            "a jackknife needs at least 2 blocks, and arrays that are not null; got n_blocks = " +
            std::to_string(n_blocks));
    if (!std::all_of(weights, weights + n_blocks, [](double weight) { return weight > 1; }))
        throw std::invalid_argument("weights of a jackknife must exceed 1");
    constexpr std::int64_t piece = 512;  // numbers per pass; all replicas of a piece stay in cache
    std::array<double, piece> centre;
    for (std::int64_t first = 0; first < size; first += piece) {
        const std::int64_t n = std::min(piece, size - first);
        const double* value = values + first;
        double* variance = variances + first;
        std::fill_n(centre.begin(), n, 0.0);
        std::fill_n(variance, n, 0.0);
        for (std::int64_t b = 0; b < n_blocks; ++b) {
            const double share = 1 - 1 / weights[b], *replica = replicas + b * size + first;
            for (std::int64_t k = 0; k < n; ++k) centre[static_cast<std::size_t>(k)] += share * (value[k] - replica[k]);
        }
        for (std::int64_t b = 0; b < n_blocks; ++b) {
            const double rest = weights[b] - 1, scale = rest / static_cast<double>(n_blocks),
                         *replica = replicas + b * size + first;
            const double part = 1 / rest;
            for (std::int64_t k = 0; k < n; ++k) {
                const double deviation = value[k] - replica[k] - part * centre[static_cast<std::size_t>(k)];
                variance[k] += scale * (deviation * deviation);
            }
        }
    }
}

}  // namespace nnqm
