// The activations. This list is the only place that names them. To add one, add its name here and, unless math.hpp has
// it, its function below; everything else, including Python, reads this list.
#pragma once

#define NNQM_ACTIVATIONS(X) \
    X(identity)             \
    X(tanh)                 \
    X(relu)                 \
    X(sin)                  \
    X(cos)                  \
    X(erf)                  \
    X(gelu)                 \
    X(sigmoid)              \
    X(softplus)

#ifdef NNQM_LEVEL

#include "math.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

template <class T>
NNQM_INLINE T identity(T x) noexcept {
    return x;
}

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm

#endif
