// Products of one channel at all pairs of times, summed over a tile.
#pragma once

#include "level.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// Width of a panel. Panels are stored as (panel of rows, lane, row in the panel). One panel fits in the first-level
// cache, whatever the number of rows.
template <class T>
constexpr int panel_width = 2 * static_cast<int>(vector_bytes / sizeof(T));

// Copies the times begin .. end - 1 of z, whose rows lie `stride` apart, into panels: for each lane the T times, padded
// to a multiple of detail::panel.
void fill_panels(const float* z, std::int64_t begin, std::int64_t end, std::int64_t stride, float* panels);
void fill_panels(const double* z, std::int64_t begin, std::int64_t end, std::int64_t stride, double* panels);

// packed (T (T + 1) / 2) += z z^T, lower triangle by rows, from the panels of all times.
void add_two_time(std::int64_t n_times, const float* panels, double* packed);
void add_two_time(std::int64_t n_times, const double* panels, double* packed);

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
