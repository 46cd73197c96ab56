#include "training.hpp"

#include "activations.hpp"
#include "layers.hpp"
#include "math.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

// One vector of lanes at a time: its parameters and the values of all layers at all points stay in the second-level
// cache. All arrays below have a last axis of one vector, and those of a layer are (rows, points, vector).

// Rows of a product that stay in registers at times_at_once points.
inline constexpr int descent_rows = vector_registers == 32 ? 4 : 2;
inline constexpr int descent_columns = 4;

template <class T>
inline Vector<T>& vector_at(T* p) noexcept {
    return *reinterpret_cast<Vector<T>*>(p);
}

// Distances between entries of the left factor of a product, in vectors: from row to row, and along the sum.
struct Left {
    std::int64_t row, inner;
};

// out (R rows, points) = start[r] + sum_k left[r, k] right[k, p] or, without start, out[r, p] sum_k left[r, k] right[k,
// p].
template <class T, int R, int points>
inline void product_rows(const T* left, const Left& step, std::int64_t inner, const T* right, std::int64_t stride,
                         const T* start, T* out) {
    for (std::int64_t at = 0; at < stride; at += points * width<T>) {
        Vector<T> sum[R][points];
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
            for (int p = 0; p < points; ++p) sum[r][p] = start ? vector_load(start + r * width<T>) : Vector<T>{};
        for (std::int64_t k = 0; k < inner; ++k) {
            Vector<T> x[points];
#pragma GCC unroll 16
            for (int p = 0; p < points; ++p) x[p] = vector_load(right + k * stride + at + p * width<T>);
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) {
                const Vector<T> w = vector_load(left + (r * step.row + k * step.inner) * width<T>);
#pragma GCC unroll 16
                for (int p = 0; p < points; ++p) sum[r][p] = vector_fma<T>(w, x[p], sum[r][p]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
            for (int p = 0; p < points; ++p) {
                Vector<T>& entry = vector_at(out + r * stride + at + p * width<T>);
                entry = start ? sum[r][p] : entry * sum[r][p];
            }
    }
}

// The same for any number of rows. A single row takes more points at once, because every sum waits for its last
// product.
template <class T>
inline void product(const T* left, const Left& step, std::int64_t rows, std::int64_t inner, const T* right,
                    std::int64_t stride, const T* start, T* out) {
    constexpr int few = detail::times_at_once, many = 4 * few;
    std::int64_t r = 0;
    const auto at = [&](std::int64_t row) { return start ? start + row * width<T> : nullptr; };
    for (; r + descent_rows <= rows; r += descent_rows)
        product_rows<T, descent_rows, few>(left + r * step.row * width<T>, step, inner, right, stride, at(r),
                                           out + r * stride);
    for (; r < rows; ++r) {
        const T* row = left + r * step.row * width<T>;
        if (vector_registers == 32 && stride % (many * width<T>) == 0)
            product_rows<T, 1, many>(row, step, inner, right, stride, at(r), out + r * stride);
        else product_rows<T, 1, few>(row, step, inner, right, stride, at(r), out + r * stride);
    }
}

// Adds rates[r, c] sum_p deltas[r, p] in[c, p] to the weights [r, c] of R rows and C columns, of `columns` columns.
template <class T, int R, int C>
inline void update_weights(const T* deltas, const T* in, std::int64_t n, std::int64_t stride, const T* rates,
                           std::int64_t columns, T* weights) {
    Vector<T> sum[R][C];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) sum[r][c] = Vector<T>{};
    for (std::int64_t p = 0; p < n * width<T>; p += width<T>) {
        Vector<T> x[R];
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) x[r] = vector_load(deltas + r * stride + p);
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
            const Vector<T> y = vector_load(in + c * stride + p);
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) sum[r][c] = vector_fma<T>(x[r], y, sum[r][c]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
            Vector<T>& weight = vector_at(weights + (r * columns + c) * width<T>);
            weight = vector_fma<T>(vector_set(rates[r * columns + c]), sum[r][c], weight);
        }
}

// The same for R biases, whose input is 1.
template <class T, int R>
inline void update_biases(const T* deltas, std::int64_t n, std::int64_t stride, const T* rates, T* biases) {
    Vector<T> sum[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sum[r] = Vector<T>{};
    for (std::int64_t p = 0; p < n * width<T>; p += width<T>)
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) sum[r] += vector_load(deltas + r * stride + p);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        Vector<T>& bias = vector_at(biases + r * width<T>);
        bias = vector_fma<T>(vector_set(rates[r]), sum[r], bias);
    }
}

template <class T, int R, int C>
inline void update_rows(const T* deltas, const T* in, const detail::LayerPlan<T>& layer, const T* rates, std::int64_t n,
                        std::int64_t stride, T* weights) {
    int c = 0;
    for (; c + C <= layer.inputs; c += C)
        update_weights<T, R, C>(deltas, in + c * stride, n, stride, rates + c, layer.inputs, weights + c * width<T>);
    for (; c < layer.inputs; ++c)
        update_weights<T, R, 1>(deltas, in + c * stride, n, stride, rates + c, layer.inputs, weights + c * width<T>);
}

// Moves the weights (outputs, inputs) and biases (outputs) of a layer against the gradient, a sum over n points.
template <class T>
inline void update_layer(const detail::LayerPlan<T>& layer, const T* deltas, const T* in, const T* rates,
                         std::int64_t n, std::int64_t stride, T* parameters) {
    const std::int64_t inputs = layer.inputs, weights = layer.outputs * inputs;
    constexpr int rows = descent_rows, many = 2 * rows;
    int r = 0;
    for (; r + rows <= layer.outputs; r += rows)
        update_rows<T, rows, descent_columns>(deltas + r * stride, in, layer, rates + r * inputs, n, stride,
                                              parameters + r * inputs * width<T>);
    for (; r < layer.outputs; ++r)
        update_rows<T, 1, 2 * descent_columns>(deltas + r * stride, in, layer, rates + r * inputs, n, stride,
                                               parameters + r * inputs * width<T>);
    T* biases = parameters + weights * width<T>;
    for (r = 0; r + many <= layer.outputs; r += many)
        update_biases<T, many>(deltas + r * stride, n, stride, rates + weights + r, biases + r * width<T>);
    for (; r < layer.outputs; ++r)
        update_biases<T, 1>(deltas + r * stride, n, stride, rates + weights + r, biases + r * width<T>);
}

enum DescentActivation {
#define NNQM_NAME(name) descent_##name,
    NNQM_ACTIVATIONS(NNQM_NAME)
#undef NNQM_NAME
};

// x (n) = activation(x), and its slopes (n). The float slope of tanh is 1 - tanh^2, with the error of a rounding of 1:
// sums over points and neurons have that error anyway.
template <class T>
inline void activate_with_slopes(int activation, std::int64_t n, T* x, T* slopes) {
    const Vector<T> one = vector_set(T(1));
    if (activation == descent_identity)
        for (std::int64_t i = 0; i < n; i += width<T>) vector_at(slopes + i) = one;
    else if (activation == descent_relu)
        for (std::int64_t i = 0; i < n; ++i) {
            slopes[i] = x[i] > T(0) ? T(1) : T(0);
            x[i] = x[i] > T(0) ? x[i] : T(0);
        }
    else if (sizeof(T) == 4 && activation == descent_tanh) {
        activate(activation, n, x);
        for (std::int64_t i = 0; i < n; i += width<T>) {
            const Vector<T> value = vector_load(x + i);
            vector_at(slopes + i) = vector_fma<T>(-value, value, one);
        }
    } else activate(activation, n, x, 1, slopes);
}

// The arrays of one vector of networks during its training.
template <class T>
struct Descent {
    const detail::NetworkPlan<T>& plan;
    const detail::TrainingPlan<T>& training;
    T* parameters;  // (parameters)
    T* values;      // (inputs, points), then (outputs, points) of each layer
    T* deltas;      // (outputs, points) of each layer: first the slopes of its activation, then the gradient
    alignas(64) T limit[width<T>];
    alignas(64) T left[width<T>];  // NaN for a network that has diverged, otherwise 0

    Descent(const detail::NetworkPlan<T>& network, T* memory)
        : plan(network),
          training(network.training),
          parameters(memory),
          values(memory + network.parameters * width<T>),
          deltas(values + training.values * width<T>) {
        for (int l = 0; l < width<T>; ++l) left[l] = 0;
        for (std::int64_t k = 0; k < plan.inputs * training.points; ++k)
            vector_at(values + k * width<T>) = vector_set(training.inputs[k]);
    }

    void forward(const detail::TrainedLayer& at, const detail::LayerPlan<T>& layer) const {
        const T* weights = parameters + at.parameters * width<T>;
        T* out = values + at.out * width<T>;
        product(weights, {layer.inputs, 1}, layer.outputs, layer.inputs, values + at.in * width<T>,
                training.points * width<T>,
                weights + static_cast<std::int64_t>(layer.outputs) * layer.inputs * width<T>, out);
        activate(layer.activation, layer.outputs * training.points * width<T>, out, 1, deltas + at.deltas * width<T>);
    }

    // Turns the slopes of the last layer into the gradient with respect to its sums, and notes networks that diverge.
    void residuals(bool first_step) {
        const detail::TrainedLayer& at = training.layers[plan.n_layers - 1];
        const std::int64_t n = training.points, last = training.n_points - 1;
        Vector<T> loss{};
        for (int c = 0; c < plan.outputs; ++c) {
            const T* out = values + (at.out + c * n) * width<T>;
            T* delta = deltas + (at.deltas + c * n) * width<T>;
            // A split network is W h(t) - W h(0) + b: the last point is 0, and moves with the others.
            Vector<T> shift{}, sum{};
            if (plan.split) {
                const std::int64_t bias = plan.parameters - plan.outputs + c;
                shift = vector_load(out + last * width<T>) - vector_load(parameters + bias * width<T>);
            }
            for (std::int64_t p = 0; p < training.n_points; ++p) {
                const Vector<T> residual =
                    vector_load(out + p * width<T>) - shift - vector_set(training.targets[c * n + p]);
                const Vector<T> pull = vector_set(training.weights[p]) * residual;
                loss = vector_fma<T>(pull, residual, loss);
                const Vector<T> gradient = pull * vector_load(delta + p * width<T>);
                vector_at(delta + p * width<T>) = gradient;
                sum += gradient;
            }
            if (plan.split) vector_at(delta + last * width<T>) = -sum;
        }
        alignas(64) T losses[width<T>];
        vector_at(losses) = loss;
        if (first_step)
            for (int l = 0; l < width<T>; ++l)
                limit[l] = at_most(training.growth * (losses[l] + training.size), training.largest);
        for (int l = 0; l < width<T>; ++l) left[l] = losses[l] <= limit[l] ? left[l] : layout<T>::nan;
    }

    void backward(int l) const {
        const detail::TrainedLayer& at = training.layers[l];
        const detail::LayerPlan<T>& layer = plan.layers[l];
        T* weights = parameters + at.parameters * width<T>;
        const T* delta = deltas + at.deltas * width<T>;
        if (l > training.first)
            product<T>(weights, {1, layer.inputs}, layer.inputs, layer.outputs, delta, training.points * width<T>,
                       nullptr, deltas + training.layers[l - 1].deltas * width<T>);
        update_layer(layer, delta, values + at.in * width<T>, training.rates + at.parameters, training.n_points,
                     training.points * width<T>, weights);
    }

    void run() {
        for (int l = 0; l < training.first; ++l) forward(training.layers[l], plan.layers[l]);
        for (std::int64_t s = 0; s < training.steps; ++s) {
            for (int l = training.first; l < plan.n_layers; ++l) forward(training.layers[l], plan.layers[l]);
            residuals(s == 0);
            for (int l = plan.n_layers - 1; l >= training.first; --l) backward(l);
        }
        Vector<T> sum = vector_load(left);
        for (std::int64_t k = 0; k < plan.parameters; ++k)
            sum = vector_fma<T>(vector_load(parameters + k * width<T>), Vector<T>{}, sum);
        vector_at(left) = sum;
        for (std::int64_t k = 0; k < plan.parameters; ++k)
            for (int l = 0; l < width<T>; ++l) {
                T& parameter = parameters[k * width<T> + l];
                parameter = left[l] == T(0) ? parameter : layout<T>::nan;
            }
    }
};

}  // namespace

template <class T>
void train_lanes(const detail::NetworkPlan<T>& plan, int n, T* parameters, T* memory) {
    for (int v = 0; v < n; v += width<T>) {
        Descent<T> descent(plan, memory);
        for (std::int64_t k = 0; k < plan.parameters; ++k)
            vector_at(descent.parameters + k * width<T>) = vector_load(parameters + k * lanes + v);
        descent.run();
        for (std::int64_t k = 0; k < plan.parameters; ++k)
            vector_at(parameters + k * lanes + v) = vector_load(descent.parameters + k * width<T>);
    }
}

template <class T>
void train_one(const detail::NetworkPlan<T>& plan, T* parameters, T* memory) {
    Descent<T> descent(plan, memory);
    for (std::int64_t k = 0; k < plan.parameters; ++k)
        vector_at(descent.parameters + k * width<T>) = vector_set(parameters[k]);
    descent.run();
    for (std::int64_t k = 0; k < plan.parameters; ++k) parameters[k] = descent.parameters[k * width<T>];
}

#define NNQM_INSTANTIATE(T)                                                \
    template void train_lanes(const detail::NetworkPlan<T>&, int, T*, T*); \
    template void train_one(const detail::NetworkPlan<T>&, T*, T*);
NNQM_INSTANTIATE(float)
NNQM_INSTANTIATE(double)
#undef NNQM_INSTANTIATE

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
