// Compiled with -DEigen=Eigen_<level>: Eigen's templates are weak symbols, of which the linker would keep one for every level.
#include "two_time.hpp"

#include <Eigen/Core>

#include "kernels.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {
namespace {

template <class T>
void add(const T* z, std::int64_t n_times, std::int64_t stride, T* gram, double* packed) {
    using Rows = Eigen::Matrix<T, Eigen::Dynamic, detail::lanes, Eigen::RowMajor>;
    using Square = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const Eigen::Map<const Rows, Eigen::Aligned64, Eigen::OuterStride<>> x(z, n_times, detail::lanes,
                                                                           Eigen::OuterStride<>(stride));
    Eigen::Map<Square, Eigen::Aligned64> product(gram, n_times, n_times);
    product.template triangularView<Eigen::Lower>().setZero();
    product.template selfadjointView<Eigen::Lower>().rankUpdate(x);
    for (std::int64_t t = 0; t < n_times; ++t) {
        const T* row = gram + t * n_times;
        for (std::int64_t s = 0; s <= t; ++s) packed[s] += static_cast<double>(row[s]);
        packed += t + 1;
    }
}

}  // namespace

void add_two_time(const float* z, std::int64_t n_times, std::int64_t stride, float* gram, double* packed) {
    add(z, n_times, stride, gram, packed);
}
void add_two_time(const double* z, std::int64_t n_times, std::int64_t stride, double* gram, double* packed) {
    add(z, n_times, stride, gram, packed);
}

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
