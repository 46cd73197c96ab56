// Copies between tiles and arrays of the caller.
#pragma once

#include "kernels.hpp"
#include "nnqm/nnqm.hpp"

namespace nnqm::detail {

// Copies the paths row .. row + n - 1 of a strided array to the lanes skip .. skip + n - 1 of the tile channels 0 .. C
// - 1, and zeroes the other lanes. C is the number of channels of the array.
template <class T>
void load_tile(const ArrayView& view, const Window& window, std::int64_t row, int n, int skip, int channels, T* tile);

// Copies the tile channels first .. first + C - 1 of the lanes skip .. skip + n_valid - 1 to the paths from `row` on of
// a contiguous (path, time, channel) array with C channels.
template <class T>
void store_tile(const T* tile, const Window& window, std::int64_t row, int n_valid, int skip, int channels, int first,
                const ArrayOut& out);

}  // namespace nnqm::detail
