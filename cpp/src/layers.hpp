// A layer of a network on rows of lanes: products and activations.
#pragma once

#include "rows.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// out (outputs, lanes), rows `stride` apart, = biases + weights (outputs, inputs) in (inputs, lanes). The operations of
// each lane and their order are the same in every position of the tile.
template <class T>
void affine(const T* weights, const T* biases, std::int64_t outputs, int inputs, const T* in, T* out,
            std::int64_t stride);

// x (n) = activation(x), by its index in NNQM_ACTIVATIONS; n is a multiple of the width of a vector.
template <class T>
void activate(int activation, std::int64_t n, T* x);

// in (inputs, lanes) -> out (outputs, lanes).
template <class T>
void layer(const detail::LayerPlan<T>& plan, const T* in, T* out);

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
