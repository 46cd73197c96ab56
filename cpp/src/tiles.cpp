#include "tiles.hpp"

#include <algorithm>
#include <cstring>

#include "blocks.hpp"

namespace nnqm::detail {

template <class T>
void load_tile(const ArrayView& view, const Window& window, std::int64_t row, int n, int skip, int channels, T* tile) {
    const std::int64_t n_channels = view.shape[2];
    const char* base = static_cast<const char*>(view.data);
    constexpr std::int64_t step = 16;  // times per visit of a path; the rows written stay in cache
    for (std::int64_t t0 = window.begin; t0 < window.end; t0 += step) {
        const std::int64_t t1 = std::min(window.end, t0 + step);
        for (int l = 0; l < lanes; ++l) {
            const char* path = base + (row + l - skip) * view.strides[0];
            for (std::int64_t t = t0; t < t1; ++t) {
                for (std::int64_t c = 0; c < n_channels; ++c) {
                    T value = 0;
                    if (l >= skip && l < skip + n)
                        std::memcpy(&value, path + t * view.strides[1] + c * view.strides[2], sizeof(T));
                    tile[((t - window.begin) * channels + c) * lanes + l] = value;
                }
            }
        }
    }
}

template <class T>
void store_tile(const T* tile, const Window& window, std::int64_t row, int n_valid, int skip, int channels, int first,
                const ArrayOut& out) {
    constexpr int block = 16 / sizeof(T), line = 64 / sizeof(T);
    const std::int64_t n = out.shape[2], stride = out.shape[1] * n, count = (window.end - window.begin) * n;
    T* base = static_cast<T*>(out.data) + row * stride + window.begin * n;
    // Writes whole cache lines of the result. Their rows stay in the first-level cache until all lanes are written.
    const T* rows[line];
    for (std::int64_t j = 0, time = 0, channel = 0; j < count; j += line) {
        const int n_rows = static_cast<int>(std::min<std::int64_t>(line, count - j));
        for (int r = 0; r < n_rows; ++r) {
            rows[r] = tile + (time * channels + first + channel) * lanes + skip;
            if (++channel == n) channel = 0, ++time;
        }
        const int whole = n_valid - n_valid % block;
        for (int l = 0; n_rows == line && l < whole; l += block) {
            for (int r = 0; r < line; r += block) {
                Block<T> x[block];
                for (int k = 0; k < block; ++k) std::memcpy(&x[k], rows[r + k] + l, sizeof x[k]);
                transpose(x);
                for (int k = 0; k < block; ++k) std::memcpy(base + (l + k) * stride + j + r, &x[k], sizeof x[k]);
            }
        }
        for (int l = n_rows == line ? whole : 0; l < n_valid; ++l)
            for (int r = 0; r < n_rows; ++r) base[l * stride + j + r] = rows[r][l];
    }
}

template void load_tile(const ArrayView&, const Window&, std::int64_t, int, int, int, float*);
template void load_tile(const ArrayView&, const Window&, std::int64_t, int, int, int, double*);
template void store_tile(const float*, const Window&, std::int64_t, int, int, int, int, const ArrayOut&);
template void store_tile(const double*, const Window&, std::int64_t, int, int, int, int, const ArrayOut&);

}  // namespace nnqm::detail
