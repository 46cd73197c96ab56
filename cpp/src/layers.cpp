#include "layers.hpp"

#include "activations.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

// R outputs of a layer on V vectors of lanes, in registers; output rows lie `stride` apart.
template <class T, int R, int V>
inline void layer_block(const T* weights, const T* biases, int inputs, const T* in, T* out, std::int64_t stride) {
    // The loops over sums are unrolled explicitly: an array indexed in a loop would be kept in memory.
    Vector<T> sum[R][V];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[r][v] = vector_set(biases[r]);
    for (int i = 0; i < inputs; ++i) {
        Vector<T> x[V];
        for (int v = 0; v < V; ++v) x[v] = vector_load(in + i * lanes + v * width<T>);
        for (int r = 0; r < R; ++r) {
            const Vector<T> w = vector_set(weights[r * inputs + i]);
            for (int v = 0; v < V; ++v) sum[r][v] = vector_fma<T>(w, x[v], sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) *reinterpret_cast<Vector<T>*>(out + r * stride + v * width<T>) = sum[r][v];
}

// R outputs of a layer on all lanes.
template <class T, int R>
inline void layer_rows(const T* weights, const T* biases, int inputs, const T* in, T* out, std::int64_t stride) {
    constexpr int v = vector_registers == 32 ? 4 : 2;
    for (int first = 0; first < row_vectors<T>; first += v)
        layer_block<T, R, v>(weights, biases, inputs, in + first * width<T>, out + first * width<T>, stride);
}

// x (n) = f(x), slopes (order, n) = the first `order` derivatives.
template <int order, class T, class F>
inline void with_slopes(std::int64_t n, T* __restrict x, T* __restrict slopes, const F& f) {
    for (std::int64_t i = 0; i < n; ++i) {
        Slopes<T> s;
        x[i] = f(x[i], s);
        slopes[i] = s.first;
        if constexpr (order > 1) slopes[n + i] = s.second;
        if constexpr (order > 2) slopes[2 * n + i] = s.third;
    }
}

}  // namespace

template <class T>
void affine(const T* weights, const T* biases, std::int64_t outputs, int inputs, const T* in, T* out,
            std::int64_t stride) {
    std::int64_t o = 0;
    for (; o + 4 <= outputs; o += 4)
        layer_rows<T, 4>(weights + o * inputs, biases + o, inputs, in, out + o * stride, stride);
    const T *w = weights + o * inputs, *b = biases + o;
    switch (outputs - o) {
    case 1: layer_rows<T, 1>(w, b, inputs, in, out + o * stride, stride); break;
    case 2: layer_rows<T, 2>(w, b, inputs, in, out + o * stride, stride); break;
    case 3: layer_rows<T, 3>(w, b, inputs, in, out + o * stride, stride); break;
    default: break;
    }
}

template <class T>
void activate(int activation, std::int64_t n, T* x) {
    if constexpr (sizeof(T) == 4) {
        // tanh and erf have a form for whole vectors, which is twice as fast as the vectorised loop.
        const auto each = [n, x](const auto& f) {
            for (std::int64_t i = 0; i < n; i += width<T>) *reinterpret_cast<Vector<T>*>(x + i) = f(vector_load(x + i));
        };
        if (activation == activation_tanh) return each([](Vector<T> v) { return tanh(v); });
        if (activation == activation_erf) return each([](Vector<T> v) { return erf(v); });
    }
    switch (activation) {
#define NNQM_CASE(name)                                         \
    case activation_##name:                                     \
        for (std::int64_t i = 0; i < n; ++i) x[i] = name(x[i]); \
        break;
        NNQM_ACTIVATIONS(NNQM_CASE)
#undef NNQM_CASE
    default: break;
    }
}

template <class T>
void activate(int activation, std::int64_t n, T* x, int order, T* slopes) {
    const auto each = [=](const auto& f) {
        switch (order) {
        case 1: return with_slopes<1>(n, x, slopes, f);
        case 2: return with_slopes<2>(n, x, slopes, f);
        default: return with_slopes<3>(n, x, slopes, f);
        }
    };
    switch (activation) {
#define NNQM_CASE(name) \
    case activation_##name: return each([](T v, Slopes<T>& s) __attribute__((always_inline)) { return name(v, s); });
        NNQM_ACTIVATIONS(NNQM_CASE)
#undef NNQM_CASE
    default: break;
    }
}

template <class T>
void layer(const detail::LayerPlan<T>& plan, const T* in, T* out) {
    affine(plan.weights, plan.biases, plan.outputs, plan.inputs, in, out, lanes);
    activate(plan.activation, static_cast<std::int64_t>(plan.outputs) * lanes, out);
}

#define NNQM_INSTANTIATE(T)                                                                  \
    template void affine(const T*, const T*, std::int64_t, int, const T*, T*, std::int64_t); \
    template void activate(int, std::int64_t, T*);                                           \
    template void activate(int, std::int64_t, T*, int, T*);                                  \
    template void layer(const detail::LayerPlan<T>&, const T*, T*);
NNQM_INSTANTIATE(float)
NNQM_INSTANTIATE(double)
#undef NNQM_INSTANTIATE

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
