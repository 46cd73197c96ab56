// Densities of random parameters and coefficients. The kernels, which are compiled once per instruction-set level,
// include this header; it therefore includes nothing of the standard library.
#pragma once

namespace nnqm {

// Densities of parameters and coefficients. All have mean 0 and variance 1, except student_t with nu <= 2, which is the
// standard Student distribution (nu = 1: Cauchy).
enum class DensityKind { gaussian, uniform, laplace, rademacher, student_t };

// Names in the order of DensityKind.
inline constexpr const char* density_names[] = {"gaussian", "uniform", "laplace", "rademacher", "student-t"};

}  // namespace nnqm
