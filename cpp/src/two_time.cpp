#include "two_time.hpp"

#include "blocks.hpp"
#include "kernels.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {
namespace {

using detail::lanes;

// Products are computed in blocks of `rows` times by two vectors of times; all sums of a block stay in registers.
constexpr int rows = vector_registers == 32 ? 8 : 4;
template <class T>
constexpr int columns = panel_width<T>;

// sum (rows, columns) = sum over lanes of a b^T, with `rows` times of a (lanes, columns) and all times of b (lanes,
// columns).
template <class T>
inline void product_block(const T* a, const T* b, T* sum) {
    constexpr int half = columns<T> / 2;
    Vector<T> low[rows], high[rows];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) low[r] = high[r] = vector_set(T(0));
    for (int l = 0; l < lanes; ++l) {
        const Vector<T> x = vector_load(b + l * columns<T>), y = vector_load(b + l * columns<T> + half);
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            const Vector<T> factor = vector_set(a[l * columns<T> + r]);
            low[r] = vector_fma<T>(factor, x, low[r]);
            high[r] = vector_fma<T>(factor, y, high[r]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
        *reinterpret_cast<Vector<T>*>(sum + r * columns<T>) = low[r];
        *reinterpret_cast<Vector<T>*>(sum + r * columns<T> + half) = high[r];
    }
}

template <class T>
constexpr std::int64_t panel_size = lanes * columns<T>;

template <class T>
void fill(const T* z, std::int64_t begin, std::int64_t end, std::int64_t stride, T* panels) {
    constexpr int block = 16 / sizeof(T);
    for (std::int64_t t = begin; t < end; t += block) {
        T* to = panels + t / columns<T> * panel_size<T> + t % columns<T>;
        for (int l = 0; l < lanes; l += block) {
            detail::Block<T> x[block] = {};
            for (int k = 0; k < block && t + k < end; ++k)
                std::memcpy(&x[k], z + (t + k - begin) * stride + l, sizeof x[k]);
            detail::transpose(x);
            for (int k = 0; k < block; ++k) std::memcpy(to + (l + k) * columns<T>, &x[k], sizeof x[k]);
        }
    }
}

// Sums that contain the padding of the last panel are not used.
template <class T>
void add(std::int64_t n_times, const T* panels, double* packed) {
    constexpr std::int64_t size = panel_size<T>;
    for (std::int64_t s = 0; s < n_times; s += columns<T>) {
        for (std::int64_t t = s; t < n_times; t += rows) {
            // The sums of the next block are prefetched during the products of this one, because the triangle is larger
            // than a cache.
            for (std::int64_t i = t + rows; i < t + 2 * rows && i < n_times; ++i)
                for (int k = 0; k < columns<T>; k += 8) __builtin_prefetch(packed + i * (i + 1) / 2 + s + k, 1);
            alignas(64) T sum[rows * columns<T>];
            product_block(panels + t / columns<T> * size + t % columns<T>, panels + s / columns<T> * size, sum);
            for (std::int64_t i = t; i < t + rows && i < n_times; ++i) {
                double* out = packed + i * (i + 1) / 2 + s;
                const T* row = sum + (i - t) * columns<T>;
                if (i - s >= columns<T> - 1)
                    for (int k = 0; k < columns<T>; ++k) out[k] += static_cast<double>(row[k]);
                else
                    for (std::int64_t k = 0; k <= i - s; ++k) out[k] += static_cast<double>(row[k]);
            }
        }
    }
}

}  // namespace

void fill_panels(const float* z, std::int64_t begin, std::int64_t end, std::int64_t stride, float* panels) {
    fill(z, begin, end, stride, panels);
}
void fill_panels(const double* z, std::int64_t begin, std::int64_t end, std::int64_t stride, double* panels) {
    fill(z, begin, end, stride, panels);
}
void add_two_time(std::int64_t n_times, const float* panels, double* packed) { add(n_times, panels, packed); }
void add_two_time(std::int64_t n_times, const double* panels, double* packed) { add(n_times, panels, packed); }

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
