#include "training.hpp"

#include "activations.hpp"
#include "layers.hpp"
#include "math.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

// One vector of lanes at a time: its parameters and the values of all layers at all points stay in the second-level
// cache. The arrays have a last axis of one vector: a layer has values and deltas (outputs, points), and `stride`, the
// numbers of one output. Deltas are derivatives of the loss with respect to the sums before the activation.

// Rows and columns of products and updates that stay in registers.
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

// Calls result(offset, start[r] + sum_k left[r, k] right[k, p]) for R rows and all points; offset is the position of
// the entry from the first row. Without start, sums start at 0.
template <class T, int R, int points, class Result>
inline void product_rows(const T* left, const Left& step, std::int64_t inner, const T* right, std::int64_t stride,
                         const T* start, const Result& result) {
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
            for (int p = 0; p < points; ++p) result(r * stride + at + p * width<T>, sum[r][p]);
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
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sum[r] = Vector<T>{};
    for (std::int64_t p = 0; p < n * width<T>; p += width<T>)
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) sum[r] += vector_load(deltas + r * stride + p);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
        Vector<T>& bias = vector_at(biases + r * width<T>);
        bias = vector_fma<T>(vector_set(rates[r]), sum[r], bias);
    }
}

// product_rows with all rows that stay in registers, or with one. A single row takes more points at once, where there
// are more, because every sum waits for its last product.
template <class T, int R, class Result>
inline void product(const T* left, const Left& step, std::int64_t inner, const T* right, std::int64_t stride,
                    const T* start, const Result& result) {
    constexpr int few = detail::times_at_once, many = vector_registers == 32 ? 4 * few : 2 * few;
    if (R == 1 && stride % (many * width<T>) == 0)
        product_rows<T, R, R == 1 ? many : few>(left, step, inner, right, stride, start, result);
    else product_rows<T, R, few>(left, step, inner, right, stride, start, result);
}

// A layer of one vector of networks during its training.
template <class T>
struct Trained {
    std::int64_t inputs, outputs;
    int activation;
    std::int64_t n, stride;  // number of points, and of numbers per row, which includes padding
    T* weights;              // (outputs, inputs), then the biases (outputs)
    const T* rates;          // the same for all networks
    const T* in;             // (inputs, points)
    T* values;               // (outputs, points)
    T* deltas;               // (outputs, points): slopes of the activation, until the deltas replace them

    // Slopes of these activations follow from their values. The float slope of tanh is 1 - tanh^2: its error is a
    // rounding of 1, which sums over points and neurons have anyway.
    bool slopes_of_values() const {
        return activation == activation_relu || (sizeof(T) == 4 && activation == activation_tanh);
    }

    // sum times the slope of one of these activations at a value.
    NNQM_INLINE static Vector<T> times_slope_of_relu(Vector<T> value, Vector<T> sum) noexcept {
        const auto positive = value > Vector<T>{};  // all bits or none
        return (Vector<T>)(positive & (decltype(positive))sum);
    }
    NNQM_INLINE static Vector<T> times_slope_of_tanh(Vector<T> value, Vector<T> sum) noexcept {
        return sum * vector_fma<T>(-value, value, vector_set(T(1)));
    }

    // x (n) = activation(x) and, unless they follow from the values, slopes (n).
    void activate_row(std::int64_t count, T* x, T* slopes) const {
        if (slopes_of_values()) return activate(activation, count, x);
        if (activation != activation_identity) return activate(activation, count, x, 1, slopes);
        for (std::int64_t i = 0; i < count; i += width<T>) vector_at(slopes + i) = vector_set(T(1));
    }

    template <int R>
    void forward_rows(std::int64_t r) const {
        T *out = values + r * stride, *slopes = deltas + r * stride;
        product<T, R>(weights + r * inputs * width<T>, {inputs, 1}, inputs, in, stride,
                      weights + (outputs * inputs + r) * width<T>,
                      [out](std::int64_t at, Vector<T> sum) { vector_at(out + at) = sum; });
        activate_row(R * stride, out, slopes);
    }

    void forward() const {
        std::int64_t r = 0;
        for (; r + descent_rows <= outputs; r += descent_rows) forward_rows<descent_rows>(r);
        for (; r < outputs; ++r) forward_rows<1>(r);
    }

    // Deltas of C outputs of the layer below, which are inputs of this one.
    template <int C>
    void backward_rows(const Trained& below, std::int64_t c) const {
        T* out = below.deltas + c * stride;
        const T *from = below.values + c * stride, *left = weights + c * width<T>;
        const auto multiply = [&](const auto& with_slope) {
            product<T, C>(left, {1, inputs}, outputs, deltas, stride, nullptr, with_slope);
        };
        if (!below.slopes_of_values()) multiply([=](std::int64_t at, Vector<T> sum) { vector_at(out + at) *= sum; });
        else if (below.activation == activation_relu)
            multiply([=](std::int64_t at, Vector<T> sum) {
                vector_at(out + at) = times_slope_of_relu(vector_load(from + at), sum);
            });
        else
            multiply([=](std::int64_t at, Vector<T> sum) {
                vector_at(out + at) = times_slope_of_tanh(vector_load(from + at), sum);
            });
    }

    // Updates C columns of the weights.
    template <int C>
    void update_columns(std::int64_t c) const {
        T* to = weights + c * width<T>;
        const T *from = in + c * stride, *rate = rates + c;
        std::int64_t r = 0;
        for (; r + descent_rows <= outputs; r += descent_rows)
            update_weights<T, descent_rows, C>(deltas + r * stride, from, n, stride, rate + r * inputs, inputs,
                                               to + r * inputs * width<T>);
        for (; r < outputs; ++r)
            update_weights<T, 1, C>(deltas + r * stride, from, n, stride, rate + r * inputs, inputs,
                                    to + r * inputs * width<T>);
    }

    // Updates R biases.
    template <int R>
    void update_bias_rows(std::int64_t r) const {
        update_biases<T, R>(deltas + r * stride, n, stride, rates + outputs * inputs + r,
                            weights + (outputs * inputs + r) * width<T>);
    }

    // Updates R rows of the weights and their biases.
    template <int R>
    void update_rows(std::int64_t r) const {
        T* to = weights + r * inputs * width<T>;
        const T *from = deltas + r * stride, *rate = rates + r * inputs;
        std::int64_t c = 0;
        for (; c + descent_columns <= inputs; c += descent_columns)
            update_weights<T, R, descent_columns>(from, in + c * stride, n, stride, rate + c, inputs,
                                                  to + c * width<T>);
        for (; c < inputs; ++c)
            update_weights<T, R, 1>(from, in + c * stride, n, stride, rate + c, inputs, to + c * width<T>);
        update_bias_rows<R>(r);
    }

    // The deltas of C outputs of the layer below, and then all updates that read them or follow them: the weights of
    // these columns and, if the layer below is the first that is trained, its rows. The arrays are still in the
    // first-level cache.
    template <int C>
    void backward_columns(Trained below, bool is_first, std::int64_t c) const {
        // Nothing reads the deltas of the first layer later, so all its rows take the place of row 0, which stays in
        // the first-level cache.
        if (is_first && below.slopes_of_values()) below.deltas -= c * stride;
        backward_rows<C>(below, c);
        update_columns<C>(c);
        if (is_first) below.template update_rows<C>(c);
    }

    void backward(const Trained& below, bool is_first) const {
        std::int64_t c = 0;
        for (; c + descent_rows <= inputs; c += descent_rows) backward_columns<descent_rows>(below, is_first, c);
        for (; c < inputs; ++c) backward_columns<1>(below, is_first, c);
        std::int64_t r = 0;
        for (; r + descent_rows <= outputs; r += descent_rows) update_bias_rows<descent_rows>(r);
        for (; r < outputs; ++r) update_bias_rows<1>(r);
    }

    void update() const {
        std::int64_t r = 0;
        for (; r + descent_rows <= outputs; r += descent_rows) update_rows<descent_rows>(r);
        for (; r < outputs; ++r) update_rows<1>(r);
    }
};

// The training of one vector of networks.
template <class T>
struct Descent {
    const detail::NetworkPlan<T>& plan;
    const detail::TrainingPlan<T>& training;
    T* parameters;  // (parameters)
    T* values;      // (inputs, points), then (outputs, points) of each layer
    T* deltas;      // (outputs, points) of each layer
    alignas(64) T limit[width<T>];
    alignas(64) T left[width<T>];  // NaN for a network that has diverged, otherwise 0

    Descent(const detail::NetworkPlan<T>& network, T* memory)
        : plan(network),
          training(network.training),
          parameters(memory),
          values(memory + network.parameters * width<T>),
          deltas(values + network.training.values * width<T>) {
        for (int l = 0; l < width<T>; ++l) left[l] = 0;
        for (std::int64_t k = 0; k < plan.inputs * training.points; ++k)
            vector_at(values + k * width<T>) = vector_set(training.inputs[k]);
    }

    Trained<T> layer(int l) const {
        const detail::TrainedLayer& at = training.layers[l];
        return {plan.layers[l].inputs,          plan.layers[l].outputs,
                plan.layers[l].activation,      training.n_points,
                training.points * width<T>,     parameters + at.parameters * width<T>,
                training.rates + at.parameters, values + at.in * width<T>,
                values + at.out * width<T>,     deltas + at.deltas * width<T>};
    }

    // The deltas of the last layer, instead of its slopes. Notes networks that diverge.
    void residuals(const Trained<T>& last, bool first_step) {
        const std::int64_t zero = (training.n_points - 1) * width<T>;
        Vector<T> loss{};
        for (int c = 0; c < plan.outputs; ++c) {
            const T *out = last.values + c * last.stride,
                    *bias = last.weights + (last.outputs * last.inputs + c) * width<T>;
            T* delta = last.deltas + c * last.stride;
            // A split network is W h(t) - W h(0) + b. Its last point is t = 0, which all others move.
            const Vector<T> shift = plan.split ? vector_load(out + zero) - vector_load(bias) : Vector<T>{};
            Vector<T> total{};
            for (std::int64_t p = 0; p < training.n_points; ++p) {
                const T* target = training.targets + c * training.points + p;
                const Vector<T> residual = vector_load(out + p * width<T>) - shift - vector_set(*target);
                const Vector<T> pull = vector_set(training.weights[p]) * residual;
                loss = vector_fma<T>(pull, residual, loss);
                Vector<T>& entry = vector_at(delta + p * width<T>);
                const Vector<T> value = vector_load(out + p * width<T>);
                entry = !last.slopes_of_values()             ? pull * entry
                        : last.activation == activation_relu ? Trained<T>::times_slope_of_relu(value, pull)
                                                             : Trained<T>::times_slope_of_tanh(value, pull);
                total += entry;
            }
            if (plan.split) vector_at(delta + zero) = -total;
        }
        alignas(64) T losses[width<T>];
        vector_at(losses) = loss;
        if (first_step)
            for (int l = 0; l < width<T>; ++l)
                limit[l] = at_most(training.growth * (losses[l] + training.size), training.largest);
        for (int l = 0; l < width<T>; ++l) left[l] = losses[l] <= limit[l] ? left[l] : layout<T>::nan;
    }

    void run() {
        const int end = plan.n_layers - 1, first = training.first;
        for (int l = 0; l < first; ++l) layer(l).forward();
        for (std::int64_t s = 0; s < training.steps; ++s) {
            for (int l = first; l <= end; ++l) layer(l).forward();
            residuals(layer(end), s == 0);
            for (int l = end; l > first; --l) layer(l).backward(layer(l - 1), l - 1 == first);
            if (first == end) layer(end).update();
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
