// Dense linear algebra of one instruction-set level, by Eigen. Its templates are weak symbols, of which the linker
// keeps one copy: the build gives Eigen's namespace another name at every level.
//
// Bits depend on values and shapes only, not on addresses. Eigen's loops over memory of unknown alignment may treat the
// numbers before the first aligned address in another order of operations; matrices that Eigen owns are aligned.
#include "dense.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <new>

#include "level.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

using Matrix = Eigen::MatrixXd;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class Work>
bool with_memory(const Work& work) noexcept {
    try {
        work();
    } catch (const std::bad_alloc&) {
        return false;
    }
    return true;
}

bool tridiagonal(double* matrix, std::int64_t size, bool vectors, double* diagonal, double* beside) {
    return with_memory([&] {
        Eigen::Map<Matrix> a(matrix, size, size);
        const Eigen::Tridiagonalization<Matrix> reduced(a);
        Eigen::Map<Eigen::VectorXd>(diagonal, size) = reduced.diagonal();
        Eigen::Map<Eigen::VectorXd>(beside, size - 1) = reduced.subDiagonal();
        if (!vectors) return;
        const Matrix q = reduced.matrixQ();
        a = q;
    });
}

void rotate(double* block, const detail::Rotation* rotations, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
        const double c = rotations[i].cosine, s = rotations[i].sine;
        double* left = block + rotations[i].column * detail::rotated_rows;
        double* right = left + detail::rotated_rows;
        for (std::int64_t row = 0; row < detail::rotated_rows; ++row) {
            const double u = left[row], v = right[row];
            right[row] = s * u + c * v;
            left[row] = c * u - s * v;
        }
    }
}

bool reduce(double* metric, double* later, std::int64_t size, bool& positive) {
    return with_memory([&] {
        Eigen::Map<Matrix> m(metric, size, size), result(later, size, size);
        const Eigen::LLT<Matrix> factored(m);
        positive = factored.info() == Eigen::Success;
        if (!positive) return;
        const Matrix& l = factored.matrixLLT();
        Matrix a = result;
        l.triangularView<Eigen::Lower>().solveInPlace(a);
        l.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(a);
        result = (a + a.transpose()) / 2;
        m = l;
    });
}

bool restore(const double* factor, double* vectors, std::int64_t size) {
    return with_memory([&] {
        const Matrix l = Eigen::Map<const Matrix>(factor, size, size);
        Eigen::Map<Matrix> result(vectors, size, size);
        Matrix u = result;
        l.triangularView<Eigen::Lower>().transpose().solveInPlace(u);
        result = u;
    });
}

// Sum of the three sizes of a product from which on Eigen packs matrices into memory of its own. Below it, a plain loop
// is as fast.
constexpr std::int64_t packed = 20;

// b[inner * step_inner + column * step_column] is an entry of b.
void small_product(const double* a, const double* b, std::int64_t rows, std::int64_t inner, std::int64_t columns,
                   std::int64_t step_inner, std::int64_t step_column, double* out) {
    for (std::int64_t row = 0; row < rows; ++row) {
        double* result = out + row * columns;
        for (std::int64_t column = 0; column < columns; ++column) result[column] = 0;
        for (std::int64_t j = 0; j < inner; ++j) {
            const double factor = a[row * inner + j];
            for (std::int64_t column = 0; column < columns; ++column)
                result[column] += factor * b[j * step_inner + column * step_column];
        }
    }
}

bool product(const double* a, const double* b, std::int64_t rows, std::int64_t inner, std::int64_t columns,
             bool transposed_b, double* out) {
    if (rows + inner + columns < packed) {
        if (transposed_b) small_product(a, b, rows, inner, columns, 1, inner, out);
        else small_product(a, b, rows, inner, columns, columns, 1, out);
        return true;
    }
    return with_memory([&] {
        const Eigen::Map<const Rows> left(a, rows, inner);
        Eigen::Map<Rows> result(out, rows, columns);
        if (transposed_b) result.noalias() = left * Eigen::Map<const Matrix>(b, inner, columns);
        else result.noalias() = left * Eigen::Map<const Rows>(b, inner, columns);
    });
}

}  // namespace

extern const detail::Dense dense;
const detail::Dense dense = {tridiagonal, rotate, reduce, restore, product};

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
