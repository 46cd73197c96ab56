// Dense linear algebra of one instruction-set level, by Eigen. Its templates are weak symbols, of which the linker
// keeps one copy: the build gives Eigen's namespace another name at every level.
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
        if (vectors) a = reduced.matrixQ();
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
        Eigen::Map<Matrix> m(metric, size, size), a(later, size, size);
        const Eigen::LLT<Matrix> factored(m);
        positive = factored.info() == Eigen::Success;
        if (!positive) return;
        m = factored.matrixLLT();
        m.triangularView<Eigen::Lower>().solveInPlace(a);
        m.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(a);
        a = ((a + a.transpose()) / 2).eval();
    });
}

bool restore(const double* factor, double* vectors, std::int64_t size) {
    return with_memory([&] {
        const Eigen::Map<const Matrix> l(factor, size, size);
        Eigen::Map<Matrix> u(vectors, size, size);
        l.triangularView<Eigen::Lower>().transpose().solveInPlace(u);
    });
}

bool product(const double* a, const double* b, std::int64_t rows, std::int64_t inner, std::int64_t columns,
             bool transposed_b, double* out) {
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
