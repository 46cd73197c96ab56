// Derivatives of a network with respect to its inputs, and pullbacks to its parameters and inputs, at the points of a
// tile.
//
// With z = W h + b, z' = W h', z'' = W h'' before an activation a, the next streams are a(z), a' z' and a'' z'^2 + a'
// z''.
#include "layers.hpp"
#include "products.hpp"
#include "stages.hpp"
#include "two_time.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

template <class T>
std::int64_t rows_of(const detail::LayerPlan<T>& layer) {
    return static_cast<std::int64_t>(layer.outputs) * lanes;
}

// Numbers that a layer has on the tape.
template <class T>
std::int64_t tape_size(const detail::GradientPlan<T>& plan, const detail::LayerPlan<T>& layer, int slopes) {
    return static_cast<std::int64_t>(plan.streams()) * layer.inputs * lanes +
           (plan.streams() - 1 + slopes) * rows_of(layer);
}

// The derivative streams after an activation; z: the streams before it, a: the derivatives of the activation.
template <class T>
void activate_streams(const detail::GradientPlan<T>& plan, std::int64_t n, const T* z, const T* __restrict a,
                      T* __restrict out) {
    for (int d = 0; d < plan.inputs; ++d) {
        const T* __restrict first = z + d * n;
        T* __restrict to = out + (1 + d) * n;
        for (std::int64_t i = 0; i < n; ++i) to[i] = a[i] * first[i];
        if (plan.order < 2) continue;
        const T* __restrict second = z + (plan.inputs + d) * n;
        T* __restrict next = out + (1 + plan.inputs + d) * n;
        for (std::int64_t i = 0; i < n; ++i) next[i] = fma(a[n + i] * first[i], first[i], a[i] * second[i]);
    }
}

// Replaces the cotangents g of the streams after an activation by the cotangents of the streams before it.
template <class T>
void pull_activation(const detail::GradientPlan<T>& plan, std::int64_t n, const T* z, const T* __restrict a,
                     T* __restrict g) {
    for (std::int64_t i = 0; i < n; ++i) g[i] *= a[i];
    if (plan.order == 0) return;
    const T* __restrict second_slope = a + n, * __restrict third_slope = a + 2 * n;
    for (int d = 0; d < plan.inputs; ++d) {
        const T* __restrict first = z + d * n;
        T* __restrict g1 = g + (1 + d) * n;
        if (plan.order == 1) {
            for (std::int64_t i = 0; i < n; ++i) {
                g[i] = fma(g1[i] * second_slope[i], first[i], g[i]);
                g1[i] *= a[i];
            }
            continue;
        }
        const T* __restrict second = z + (plan.inputs + d) * n;
        T* __restrict g2 = g + (1 + plan.inputs + d) * n;
        for (std::int64_t i = 0; i < n; ++i) {
            const T bend = second_slope[i] * first[i];
            const T curve = fma(third_slope[i] * first[i], first[i], second_slope[i] * second[i]);
            g[i] = fma(g1[i], bend, fma(g2[i], curve, g[i]));
            g1[i] = fma(T(2) * g2[i], bend, g1[i] * a[i]);
            g2[i] *= a[i];
        }
    }
}

// sums (outputs, inputs, width) += g h^T, summed over the vectors of a row, for R outputs and C inputs.
template <class T, int R, int C>
inline void narrow_block(const T* g, const T* h, int inputs, T* sums) {
    Vector<T> sum[R][C];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) sum[r][c] = vector_load(sums + (r * inputs + c) * width<T>);
    for (int v = 0; v < lanes; v += width<T>) {
        Vector<T> x[C];
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) x[c] = vector_load(h + c * lanes + v);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
            const Vector<T> y = vector_load(g + r * lanes + v);
#pragma GCC unroll 4
            for (int c = 0; c < C; ++c) sum[r][c] = vector_fma<T>(y, x[c], sum[r][c]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) *reinterpret_cast<Vector<T>*>(sums + (r * inputs + c) * width<T>) = sum[r][c];
}

template <class T, int R>
void narrow_rows(const T* g, const T* h, int inputs, T* sums) {
    int i = 0;
    for (; i + 4 <= inputs; i += 4) narrow_block<T, R, 4>(g, h + i * lanes, inputs, sums + i * width<T>);
    for (; i < inputs; ++i) narrow_block<T, R, 1>(g, h + i * lanes, inputs, sums + i * width<T>);
}

template <class T>
void add_narrow(const T* g, const T* h, int outputs, int inputs, T* sums) {
    constexpr int rows = vector_registers == 32 ? 4 : 2;
    const std::int64_t step = static_cast<std::int64_t>(inputs) * width<T>;
    int o = 0;
    for (; o + rows <= outputs; o += rows) narrow_rows<T, rows>(g + o * lanes, h, inputs, sums + o * step);
    for (; o < outputs; ++o) narrow_rows<T, 1>(g + o * lanes, h, inputs, sums + o * step);
}

// sums (R, panel_width) += g (R, lanes) panel (lanes, panel_width).
template <class T, int R>
inline void panel_block(const T* g, const T* panel, T* sums) {
    constexpr int columns = panel_width<T>, half = width<T>;
    Vector<T> low[R], high[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        low[r] = vector_load(sums + r * columns);
        high[r] = vector_load(sums + r * columns + half);
    }
    for (int l = 0; l < lanes; ++l) {
        const Vector<T> x = vector_load(panel + l * columns), y = vector_load(panel + l * columns + half);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const Vector<T> factor = vector_set(g[r * lanes + l]);
            low[r] = vector_fma<T>(factor, x, low[r]);
            high[r] = vector_fma<T>(factor, y, high[r]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        *reinterpret_cast<Vector<T>*>(sums + r * columns) = low[r];
        *reinterpret_cast<Vector<T>*>(sums + r * columns + half) = high[r];
    }
}

// sums (panels, outputs, panel_width) += g h^T, with h (inputs, lanes) as panels.
template <class T>
void add_panels(const T* g, const T* panels, int outputs, int inputs, T* sums) {
    constexpr int rows = vector_registers == 32 ? 8 : 4, columns = panel_width<T>;
    for (int i = 0; i < inputs; i += columns, panels += lanes * columns) {
        int o = 0;
        for (; o + rows <= outputs; o += rows, sums += rows * columns)
            panel_block<T, rows>(g + o * lanes, panels, sums);
        for (; o < outputs; ++o, sums += columns) panel_block<T, 1>(g + o * lanes, panels, sums);
    }
}

// sums (n, width) += rows (n, lanes), summed over the vectors of a row.
template <class T>
void add_rows(const T* g, int n, T* sums) {
    for (int o = 0; o < n; ++o) {
        Vector<T> sum = vector_load(sums + o * width<T>);
#pragma GCC unroll 16
        for (int v = 0; v < lanes; v += width<T>) sum += vector_load(g + o * lanes + v);
        *reinterpret_cast<Vector<T>*>(sums + o * width<T>) = sum;
    }
}

bool is_narrow(int outputs, int inputs) { return outputs <= detail::narrow || inputs <= detail::narrow; }

// Numbers of the sums of the weights of a layer. The sums of its biases, (outputs, width), follow.
template <class T>
std::int64_t weight_sums(const detail::LayerPlan<T>& layer) {
    const std::int64_t outputs = layer.outputs, inputs = layer.inputs;
    if (is_narrow(layer.outputs, layer.inputs)) return outputs * inputs * width<T>;
    return (inputs + panel_width<T> - 1) / panel_width<T> * outputs * panel_width<T>;
}

}  // namespace

template <class T>
const T* differentiate(const detail::GradientPlan<T>& plan, int slopes, T* tape) {
    const int streams = plan.streams();
    for (std::int64_t i = static_cast<std::int64_t>(plan.inputs) * lanes; i < streams * plan.inputs * lanes; ++i)
        tape[i] = T(0);
    for (int d = 0; plan.order > 0 && d < plan.inputs; ++d)
        for (int l = 0; l < lanes; ++l) tape[((1 + d) * plan.inputs + d) * lanes + l] = T(1);
    for (int k = 0; k < plan.n_layers; ++k) {
        const detail::LayerPlan<T>& now = plan.layers[k];
        const std::int64_t n = rows_of(now), from = static_cast<std::int64_t>(now.inputs) * lanes;
        T *z = tape + streams * from, *a = z + (streams - 1) * n, *out = a + slopes * n;
        affine(now.weights, now.biases, now.outputs, now.inputs, tape, out, lanes);
        for (int s = 1; s < streams; ++s)
            affine(now.weights, plan.zeros, now.outputs, now.inputs, tape + s * from, z + (s - 1) * n, lanes);
        if (slopes > 0) activate(now.activation, n, out, slopes, a);
        else activate(now.activation, n, out);
        if (plan.order > 0) activate_streams(plan, n, z, a, out);
        tape = out;
    }
    return tape;
}

template <class T>
const T* pull_back(const detail::GradientPlan<T>& plan, const detail::GradientScratch<T>& scratch) {
    const int streams = plan.streams(), slopes = plan.order + 1;
    const T* tape = scratch.tape;
    T* sums = scratch.sums;
    for (int k = 0; k < plan.n_layers; ++k) {
        tape += tape_size(plan, plan.layers[k], slopes);
        sums += weight_sums(plan.layers[k]) + plan.layers[k].outputs * width<T>;
    }
    T *g = scratch.cotangents, *next = g + static_cast<std::int64_t>(streams) * plan.widest * lanes;
    for (int k = plan.n_layers - 1; k >= 0; --k) {
        const detail::LayerPlan<T>& now = plan.layers[k];
        const std::int64_t n = rows_of(now), from = static_cast<std::int64_t>(now.inputs) * lanes;
        tape -= tape_size(plan, now, slopes);
        sums -= weight_sums(now) + now.outputs * width<T>;
        const T *z = tape + streams * from, *a = z + (streams - 1) * n;
        pull_activation(plan, n, z, a, g);
        // The second derivatives of the inputs themselves are 0.
        const int used = k > 0 || plan.order < 2 ? streams : 1 + plan.inputs;
        const bool by_lane = is_narrow(now.outputs, now.inputs);
        for (int s = 0; s < used; ++s) {
            if (by_lane) {
                add_narrow(g + s * n, tape + s * from, now.outputs, now.inputs, sums);
            } else {
                fill_panels(tape + s * from, 0, now.inputs, lanes, scratch.panels);
                add_panels(g + s * n, scratch.panels, now.outputs, now.inputs, sums);
            }
        }
        add_rows(g, now.outputs, sums + weight_sums(now));
        // Only the values of the inputs are variables.
        for (int s = 0; s < (k > 0 ? streams : 1); ++s)
            affine(plan.transposed[k], plan.zeros, now.inputs, now.outputs, g + s * n, next + s * from, lanes);
        T* const last = g;
        g = next;
        next = last;
    }
    return g;
}

template <class T>
void add_sums(const detail::GradientPlan<T>& plan, T* sums, double* totals) {
    constexpr int columns = panel_width<T>;
    for (int k = 0; k < plan.n_layers; ++k) {
        const detail::LayerPlan<T>& now = plan.layers[k];
        if (is_narrow(now.outputs, now.inputs)) {
            for (std::int64_t i = 0; i < static_cast<std::int64_t>(now.outputs) * now.inputs; ++i)
                totals[i] += vector_sum<T>(vector_load(sums + i * width<T>));
        } else {
            for (int i = 0; i < now.inputs; i += columns) {
                const T* from = sums + static_cast<std::int64_t>(i) * now.outputs;
                const int n = now.inputs - i < columns ? now.inputs - i : columns;
                for (int o = 0; o < now.outputs; ++o)
                    for (int c = 0; c < n; ++c)
                        totals[static_cast<std::int64_t>(o) * now.inputs + i + c] +=
                            static_cast<double>(from[o * columns + c]);
            }
        }
        const std::int64_t n = weight_sums(now);
        totals += static_cast<std::int64_t>(now.outputs) * now.inputs;
        for (int o = 0; o < now.outputs; ++o) totals[o] += vector_sum<T>(vector_load(sums + n + o * width<T>));
        totals += now.outputs;
        for (std::int64_t i = 0; i < n + now.outputs * width<T>; ++i) sums[i] = T(0);
        sums += n + now.outputs * width<T>;
    }
}

#define NNQM_INSTANTIATE(T)                                                                         \
    template const T* differentiate(const detail::GradientPlan<T>&, int, T*);                       \
    template const T* pull_back(const detail::GradientPlan<T>&, const detail::GradientScratch<T>&); \
    template void add_sums(const detail::GradientPlan<T>&, T*, double*);
NNQM_INSTANTIATE(float)
NNQM_INSTANTIATE(double)
#undef NNQM_INSTANTIATE

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
