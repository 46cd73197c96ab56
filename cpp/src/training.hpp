// Training of drawn parameters by gradient descent; each lane is a network of its own.
#pragma once

#include "rows.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// Trains the networks of the first n lanes of parameters (parameters, lanes). All lanes get the same operations in the
// same order, so the bits of a network do not depend on its lane. The parameters of a network that diverges become NaN.
// memory: detail::NetworkPlan::training.memory vectors.
template <class T>
void train_lanes(const detail::NetworkPlan<T>& plan, int n, T* parameters, T* memory);

// The same for one network, with the same bits. parameters: (parameters).
template <class T>
void train_one(const detail::NetworkPlan<T>& plan, T* parameters, T* memory);

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
