// A row of a tile (one number per lane) as vectors of the instruction-set level.
#pragma once

#include "kernels.hpp"
#include "level.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

using detail::lanes;

// Numbers per vector, and vectors per row.
template <class T>
inline constexpr int width = static_cast<int>(vector_bytes / sizeof(T));
template <class T>
inline constexpr int row_vectors = lanes / width<T>;

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
