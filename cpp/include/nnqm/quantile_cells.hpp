// Sizes of a table of quantiles. The kernels include this header; it therefore includes nothing of the standard
// library.
#pragma once

namespace nnqm {

inline constexpr int quantile_octaves = 60, quantile_cells = 4, quantile_terms = 12;

}  // namespace nnqm
