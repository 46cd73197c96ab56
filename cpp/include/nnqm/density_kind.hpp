// Densities of random parameters and coefficients. A header of its own, because the kernels include it, which are
// compiled for several processors and need nothing of the standard library.
#pragma once

namespace nnqm {

// Distributions of parameters and coefficients. All have mean zero and, but for student_t with nu <= 2, variance one;
// student_t with nu <= 2 (nu = 1 is Cauchy's) is the standard one.
enum class DensityKind { gaussian, uniform, laplace, rademacher, student_t };

// Names in the order of DensityKind.
inline constexpr const char* density_names[] = {"gaussian", "uniform", "laplace", "rademacher", "student-t"};

}  // namespace nnqm
