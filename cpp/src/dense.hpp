// Dense linear algebra of one instruction-set level. Matrices are square unless stated, of doubles, column after
// column. The functions that allocate memory return false if there is none.
#pragma once

#include <cstdint>

namespace nnqm::detail {

// A rotation of the columns `column` and `column + 1`.
struct Rotation {
    std::int64_t column;
    double cosine, sine;
};

// Rows of a matrix that are rotated together: a block contains, for each column, this number of rows.
inline constexpr std::int64_t rotated_rows = 32;

struct Dense {
    // Reduces a symmetric matrix to a tridiagonal one with the diagonal (size) and the numbers beside it (size - 1),
    // and overwrites it with the orthogonal matrix Q of matrix = Q T Q^T if `vectors`.
    bool (*tridiagonal)(double* matrix, std::int64_t size, bool vectors, double* diagonal, double* beside);
    // Applies rotations, one after another, to a block (columns, rotated_rows).
    void (*rotate)(double* block, const Rotation* rotations, std::int64_t count);
    // Overwrites `metric` with its Cholesky factor L, and `later` with L^-1 later L^-T. `positive` tells whether the
    // metric is.
    bool (*reduce)(double* metric, double* later, std::int64_t size, bool& positive);
    // Overwrites the columns of `vectors` with L^-T vectors.
    bool (*restore)(const double* factor, double* vectors, std::int64_t size);
    // out (rows, columns) = a (rows, inner) b (inner, columns), all of them row after row; b column after column if
    // `transposed_b`.
    bool (*product)(const double* a, const double* b, std::int64_t rows, std::int64_t inner, std::int64_t columns,
                    bool transposed_b, double* out);
};

}  // namespace nnqm::detail
