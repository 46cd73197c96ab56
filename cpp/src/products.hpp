// Sums over rows and lanes: of one row, of the products of two rows, and of all products of the entries of two vectors.
#pragma once

#include "rows.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// Number of terms of a running sum in the working precision before it is added to a double. For continuous values the
// rounding errors are random; for discrete values they have a common sign and grow with the number of terms.
inline constexpr int run_length = 64;

// Largest number of rows of one call of `dot`, and the number of its independent running sums.
template <class T>
inline constexpr int dot_chains = row_vectors<T> < 4 ? row_vectors<T> : 4;
template <class T>
inline constexpr int dot_rows = run_length * dot_chains<T> / row_vectors<T>;

// Sum over the elements of x.
template <class T>
inline double vector_sum(Vector<T> x) {
    alignas(vector_bytes) T part[width<T>];
    *reinterpret_cast<Vector<T>*>(part) = x;
    for (int half = width<T> / 2; half >= 1; half /= 2)
        for (int k = 0; k < half; ++k) part[k] += part[k + half];
    return static_cast<double>(part[0]);
}

// Sum over the lanes of x.
template <class T>
inline double lane_sum(const T* x) {
    // Several running sums, because additions to a single one wait for each other.
    constexpr int chains = 16;
    double part[chains] = {};
    for (int l = 0; l < lanes; l += chains)
        for (int k = 0; k < chains; ++k) part[k] += static_cast<double>(x[l + k]);
    for (int half = chains / 2; half >= 1; half /= 2)
        for (int k = 0; k < half; ++k) part[k] += part[k + half];
    return part[0];
}

// Sum of a b over lanes and at most dot_rows rows; rows lie `stride` apart.
template <class T>
double dot(const T* a, const T* b, std::int64_t rows, std::int64_t stride);

// out (size, size) += sum of a b^T over rows and lanes; a row is (size, lanes), rows lie `stride` apart.
template <class T>
void add_products(const T* a, const T* b, std::int64_t rows, std::int64_t stride, bool symmetric, int size,
                  double* out);

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
