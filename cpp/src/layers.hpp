// One layer of a network on rows of lanes: its products and its activation.
#pragma once

#include "rows.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// out (outputs, lanes) = biases + weights (outputs, inputs) in (inputs, lanes); output rows lie `stride` apart. Every
// lane gets the same operations in the same order, whatever its position in the tile.
template <class T>
void affine(const T* weights, const T* biases, std::int64_t outputs, int inputs, const T* in, T* out,
            std::int64_t stride);

// x (n) = activation(x); activation is an index into NNQM_ACTIVATIONS, and n a multiple of the vector width.
template <class T>
void activate(int activation, std::int64_t n, T* x);

// The same, and slopes (order, n): the derivatives of orders 1 .. order <= 3 at x.
template <class T>
void activate(int activation, std::int64_t n, T* x, int order, T* slopes);

// out (outputs, lanes) = activation(biases + weights in), in (inputs, lanes).
template <class T>
void layer(const detail::LayerPlan<T>& plan, const T* in, T* out);

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
