// Tiles from arrays of a user, and into them.
#pragma once

#include "kernels.hpp"
#include "nnqm/nnqm.hpp"

namespace nnqm::detail {

// Paths row .. row + n - 1 of a strided user array -> lanes skip .. of the tile channels 0 .. C - 1; other lanes are
// zero.
template <class T>
void load_tile(const ArrayView& view, const Window& window, std::int64_t row, int n, int skip, int channels, T* tile);

// Tile channels first .. first + C - 1 -> contiguous (path, time, channel).
template <class T>
void store_tile(const T* tile, const Window& window, std::int64_t row, int n_valid, int skip, int channels, int first,
                const ArrayOut& out);

}  // namespace nnqm::detail
