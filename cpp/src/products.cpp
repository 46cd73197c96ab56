#include "products.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

// Number of rows of products in one running sum: 16 terms per element of a vector, because longer sums lose the small
// eigenvalues of a correlator matrix.
template <class T>
inline constexpr int rows_per_run = row_vectors<T> < 16 ? 16 / row_vectors<T> : 1;

// Adds RA x RB entries of sum a b^T over rows and lanes to out. In a symmetric product the entries below the diagonal
// are copies of the entries above it.
template <class T, int RA, int RB>
void product_block(const T* a, const T* b, std::int64_t rows, std::int64_t stride, bool symmetric, int i, int j,
                   int size, double* out) {
    Vector<T> total[RA][RB];
    for (int p = 0; p < RA; ++p)
        for (int q = 0; q < RB; ++q) total[p][q] = vector_set(T(0));
    for (std::int64_t from = 0; from < rows; from += rows_per_run<T>) {
        const std::int64_t to = from + rows_per_run<T> < rows ? from + rows_per_run<T> : rows;
        Vector<T> sum[RA][RB];
        for (int p = 0; p < RA; ++p)
            for (int q = 0; q < RB; ++q) sum[p][q] = vector_set(T(0));
        for (std::int64_t r = from; r < to; ++r) {
            for (int v = 0; v < lanes; v += width<T>) {
                Vector<T> x[RA], y[RB];
                for (int p = 0; p < RA; ++p) x[p] = vector_load(a + r * stride + (i + p) * lanes + v);
                for (int q = 0; q < RB; ++q) y[q] = vector_load(b + r * stride + (j + q) * lanes + v);
                for (int p = 0; p < RA; ++p)
                    for (int q = 0; q < RB; ++q) sum[p][q] = vector_fma<T>(x[p], y[q], sum[p][q]);
            }
        }
        for (int p = 0; p < RA; ++p)
            for (int q = 0; q < RB; ++q) total[p][q] += sum[p][q];
    }
    for (int p = 0; p < RA; ++p) {
        for (int q = 0; q < RB; ++q) {
            const int row = i + p, column = j + q;
            if (symmetric && row > column) continue;
            const double s = vector_sum<T>(total[p][q]);
            out[row * size + column] += s;
            if (symmetric && row != column) out[column * size + row] += s;
        }
    }
}

// Size of a block of entries that is summed at once. With fewer registers it has fewer rows, to leave one register for
// a factor.
inline constexpr int block_rows = vector_registers == 32 ? 4 : 3, block_columns = 4;

// Adds RA rows of a product to out.
template <class T, int RA>
void product_rows(const T* a, const T* b, std::int64_t rows, std::int64_t stride, bool symmetric, int i, int size,
                  double* out) {
    for (int j = 0; j < size; j += block_columns) {
        if (symmetric && j + block_columns <= i) continue;
        switch (size - j) {
        case 1: product_block<T, RA, 1>(a, b, rows, stride, symmetric, i, j, size, out); break;
        case 2: product_block<T, RA, 2>(a, b, rows, stride, symmetric, i, j, size, out); break;
        case 3: product_block<T, RA, 3>(a, b, rows, stride, symmetric, i, j, size, out); break;
        default: product_block<T, RA, block_columns>(a, b, rows, stride, symmetric, i, j, size, out); break;
        }
    }
}

// Number of rows of lanes that are multiplied together. A few rows keep the observables in the first-level cache while
// each is multiplied with all others. Wide vectors need many rows, because the final sums over their lanes would
// otherwise cost more.
inline constexpr int product_rows_at_once = vector_registers == 32 ? 64 : 8;

}  // namespace

template <class T>
double dot(const T* a, const T* b, std::int64_t rows, std::int64_t stride) {
    constexpr int chains = dot_chains<T>;
    Vector<T> sum[chains];
    for (int c = 0; c < chains; ++c) sum[c] = vector_set(T(0));
    for (std::int64_t r = 0; r < rows; ++r) {
        const T *x = a + r * stride, *y = b + r * stride;
#pragma GCC unroll 16
        for (int v = 0; v < row_vectors<T>; ++v)
            sum[v % chains] =
                vector_fma<T>(vector_load(x + v * width<T>), vector_load(y + v * width<T>), sum[v % chains]);
    }
    for (int c = 1; c < chains; ++c) sum[0] += sum[c];
    return vector_sum<T>(sum[0]);
}

template <class T>
void add_products(const T* a, const T* b, std::int64_t rows, std::int64_t stride, bool symmetric, int size,
                  double* out) {
    while (rows > 0) {
        const std::int64_t n = rows < product_rows_at_once ? rows : product_rows_at_once;
        int i = 0;
        for (; i + block_rows <= size; i += block_rows)
            product_rows<T, block_rows>(a, b, n, stride, symmetric, i, size, out);
        switch (size - i) {
        case 1: product_rows<T, 1>(a, b, n, stride, symmetric, i, size, out); break;
        case 2: product_rows<T, 2>(a, b, n, stride, symmetric, i, size, out); break;
        case 3: product_rows<T, 3>(a, b, n, stride, symmetric, i, size, out); break;
        default: break;
        }
        rows -= n;
        a += n * stride;
        b += n * stride;
    }
}

#define NNQM_INSTANTIATE(T)                                              \
    template double dot(const T*, const T*, std::int64_t, std::int64_t); \
    template void add_products(const T*, const T*, std::int64_t, std::int64_t, bool, int, double*);
NNQM_INSTANTIATE(float)
NNQM_INSTANTIATE(double)
#undef NNQM_INSTANTIATE

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
