// The (T, T) products of one channel over a tile.
#pragma once

#include "level.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// packed (T (T + 1) / 2) += z z^T, lower triangle by rows; the rows of z lie `stride` apart; panels is scratch of
// lanes rows of T numbers, to the next multiple of detail::panel.
void add_two_time(const float* z, std::int64_t n_times, std::int64_t stride, float* panels, double* packed);
void add_two_time(const double* z, std::int64_t n_times, std::int64_t stride, double* panels, double* packed);

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
