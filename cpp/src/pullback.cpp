// Derivatives of networks and their pullbacks at the points of the caller: divides the points among threads and runs
// the kernels on tiles of points.
#include <algorithm>
#include <cstring>
#include <memory>

#include "checks.hpp"
#include "kernels.hpp"
#include "nnqm/nnqm.hpp"
#include "plans.hpp"
#include "threads.hpp"
#include "workspace.hpp"

namespace nnqm {

using namespace detail;

namespace {

// Tiles whose gradients are summed in the working precision before they are added to doubles.
constexpr std::int64_t tiles_per_sum = 16;
// Largest number of chunks of points, and number of products of a layer that make a chunk worth a thread.
constexpr std::int64_t most_chunks = 64, chunk_work = std::int64_t{1} << 19;
// Numbers of the parameters of networks that are drawn at a time.
constexpr std::int64_t batch_numbers = std::int64_t{1} << 22;

std::int64_t padded(std::int64_t n) { return (n + panel - 1) / panel * panel; }

// A network with fixed parameters for the gradient kernels.
template <class T>
struct FullGradientPlan {
    GradientPlan<T> plan{};
    std::vector<LayerPlan<T>> layers;
    std::vector<std::int64_t> offsets;  // of the weights of each layer among the parameters
    std::vector<T> parameters, transposed_weights, zeros;
    std::vector<const T*> transposed;
    std::int64_t tape = 0, sums = 0;  // numbers of scratch memory

    FullGradientPlan(const Network& network, int order) {
        plan.n_layers = static_cast<int>(network.layers.size());
        plan.inputs = network.layers.front().inputs;
        plan.outputs = network.layers.back().outputs;
        plan.order = order;
        plan.widest = plan.inputs;
        const auto size = static_cast<std::size_t>(network.parameters());
        parameters.resize(size);
        transposed_weights.resize(size);
        constexpr auto widest_vector = static_cast<std::int64_t>(64 / sizeof(T));
        std::int64_t at = 0;
        for (const Layer& layer : network.layers) {
            const std::int64_t in = layer.inputs, out = layer.outputs;
            offsets.push_back(at);
            const T* weights = parameters.data() + at;
            transposed.push_back(transposed_weights.data() + at);
            at += in * out;
            layers.push_back(
                {layer.inputs, layer.outputs, activation_index(layer.activation), weights, parameters.data() + at});
            at += out;
            plan.widest = std::max(plan.widest, layer.outputs);
            tape += product({plan.streams(), in, lanes}, "network");
            tape += product({plan.streams() + order, out, lanes}, "network");
            sums += std::min(in, out) <= narrow ? product({out, in, widest_vector}, "network")
                                                : product({out, padded(in)}, "network");
            sums += out * widest_vector;
        }
        zeros.resize(static_cast<std::size_t>(plan.widest));
        plan.layers = layers.data();
        plan.transposed = transposed.data();
        plan.zeros = zeros.data();
    }
    FullGradientPlan(const FullGradientPlan&) = delete;
    FullGradientPlan& operator=(const FullGradientPlan&) = delete;

    template <class F>
    void set(const F* from) {
        std::transform(from, from + parameters.size(), parameters.begin(), [](F x) { return static_cast<T>(x); });
        for (std::size_t k = 0; k < layers.size(); ++k) {
            const std::int64_t in = layers[k].inputs, out = layers[k].outputs;
            T* to = transposed_weights.data() + offsets[k];
            for (std::int64_t o = 0; o < out; ++o)
                for (std::int64_t i = 0; i < in; ++i) to[i * out + o] = layers[k].weights[o * in + i];
        }
    }

    void set(const Network& network) {
        std::vector<double> all;
        all.reserve(parameters.size());
        for (const Layer& layer : network.layers) {
            all.insert(all.end(), layer.weights.begin(), layer.weights.end());
            all.insert(all.end(), layer.biases.begin(), layer.biases.end());
        }
        set(all.data());
    }
};

// Working memory of one thread.
template <class T>
struct GradientWorkspace {
    Buffer<T> tape, cotangents, panels, sums;
    Buffer<double> totals;
    // The gradient of a network with n parameters needs totals (n) unless the caller has them.
    GradientWorkspace(const FullGradientPlan<T>& full, bool backward, std::int64_t n = 0)
        : tape(product({full.plan.streams(), full.plan.outputs, lanes}, "network") + full.tape, false),
          cotangents(backward ? product({2 * full.plan.streams(), full.plan.widest, lanes}, "network") : 0, false),
          panels(backward ? product({padded(full.plan.widest), lanes}, "network") : 0, false),
          sums(backward ? full.sums : 0),
          totals(n) {}
    GradientScratch<T> scratch() const { return {tape.data(), cotangents.data(), panels.data(), sums.data()}; }
};

template <class T>
std::vector<GradientWorkspace<T>> gradient_workspaces(int n, const FullGradientPlan<T>& full, bool backward,
                                                      std::int64_t n_totals = 0) {
    std::vector<GradientWorkspace<T>> result;
    result.reserve(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) result.emplace_back(full, backward, n_totals);
    return result;
}

// The points of a tile: n successive ones of an array (path, time, .), the times of a path one after another.
struct Points {
    std::int64_t path[lanes], time[lanes];
    int n;
    Points(std::int64_t first, std::int64_t end, std::int64_t n_times)
        : n(static_cast<int>(std::min<std::int64_t>(lanes, end - first))) {
        std::int64_t p = first / n_times, t = first % n_times;
        for (int l = 0; l < lanes; ++l) {
            path[l] = p;
            time[l] = t;
            if (l + 1 < n && ++t == n_times) t = 0, ++p;  // lanes beyond the end repeat the last point
        }
    }
};

// Copies `count` entries of the last axis from `from` on, to rows (count, lanes).
template <class T>
void load(const ArrayView& view, const Points& points, std::int64_t from, std::int64_t step, std::int64_t count,
          T* rows) {
    const char* at[lanes];
    for (int l = 0; l < lanes; ++l)
        at[l] =
            static_cast<const char*>(view.data) + points.path[l] * view.strides[0] + points.time[l] * view.strides[1];
    for (std::int64_t c = 0; c < count; ++c)
        for (int l = 0; l < lanes; ++l)
            std::memcpy(rows + c * lanes + l, at[l] + (from + c * step) * view.strides[2], sizeof(T));
}

// The reverse, for the points of the tile only.
template <class T>
void store(const T* rows, const Points& points, std::int64_t from, std::int64_t step, std::int64_t count,
           const ArrayOut& out) {
    for (int l = 0; l < points.n; ++l) {
        T* to = static_cast<T*>(out.data) + (points.path[l] * out.shape[1] + points.time[l]) * out.shape[2] + from;
        for (std::int64_t c = 0; c < count; ++c) to[c * step] = rows[c * lanes + l];
    }
}

// The gradient at the points begin .. end - 1: writes the cotangents of the inputs and adds to the doubles in totals.
template <class T>
void pull_points(const FullGradientPlan<T>& full, const GradientWorkspace<T>& work, std::int64_t begin,
                 std::int64_t end, const ArrayView& inputs, const Cotangents& cotangents,
                 const ArrayOut& input_gradients, double* totals) noexcept {
    const auto& kernels = detail::level().kernels<T>();
    const GradientPlan<T>& plan = full.plan;
    const GradientScratch<T> scratch = work.scratch();
    const std::int64_t outputs = plan.outputs, n_inputs = plan.inputs;
    for (std::int64_t first = begin, tile = 1; first < end; first += lanes, ++tile) {
        const Points points(first, end, inputs.shape[1]);
        load(inputs, points, 0, 1, n_inputs, scratch.tape);
        kernels.differentiate(plan, plan.order + 1, scratch.tape);
        load(cotangents.values, points, 0, 1, outputs, scratch.cotangents);
        T* rows = scratch.cotangents + outputs * lanes;
        for (const ArrayView* weights : {&cotangents.first, &cotangents.second}) {
            if (rows >= scratch.cotangents + plan.streams() * outputs * lanes) break;
            for (std::int64_t d = 0; d < n_inputs; ++d, rows += outputs * lanes) {
                if (weights->data) load(*weights, points, d, n_inputs, outputs, rows);
                else std::fill_n(rows, outputs * lanes, T(0));
            }
        }
        for (std::int64_t c = 0; points.n < lanes && c < plan.streams() * outputs; ++c)
            std::fill(scratch.cotangents + c * lanes + points.n, scratch.cotangents + (c + 1) * lanes, T(0));
        const T* back = kernels.pull_back(plan, scratch);
        if (input_gradients.data) store(back, points, 0, 1, n_inputs, input_gradients);
        if (tile % tiles_per_sum == 0 || first + lanes >= end) kernels.add_sums(plan, scratch.sums, totals);
    }
}

int order_of(const void* first, const void* second) { return second ? 2 : first ? 1 : 0; }

// Number of points of a chunk, a multiple of the tile. A few points have few chunks, because each chunk has a gradient
// of its own in memory.
std::int64_t chunk_size(std::int64_t n_points, std::int64_t n_parameters) {
    const std::int64_t tiles = (n_points + lanes - 1) / lanes;
    std::int64_t chunks = 1;
    while (chunks < most_chunks && chunks * chunks < 2 * tiles) ++chunks;
    const std::int64_t enough = chunk_work / (lanes * std::max<std::int64_t>(1, n_parameters)) + 1;
    return lanes * std::max(enough, (tiles + chunks - 1) / chunks);
}

template <class T>
int differentiate_as(const Network& network, const ArrayView& inputs, const ArrayOut& values, const ArrayOut& first,
                     const ArrayOut& second, int threads) {
    const auto& kernels = detail::level().kernels<T>();
    FullGradientPlan<T> full(network, order_of(first.data, second.data));
    full.set(network);
    const GradientPlan<T>& plan = full.plan;
    const std::int64_t n_points = inputs.shape[0] * inputs.shape[1], size = chunk_size(n_points, network.parameters());
    const std::int64_t n_chunks = (n_points + size - 1) / size;
    const int n_threads = detail::thread_count(threads, n_chunks);
    const auto works = gradient_workspaces(n_threads, full, false);
    return detail::for_each(n_chunks, n_threads, [&](std::int64_t chunk, int thread) noexcept {
        T* const tape = works[static_cast<std::size_t>(thread)].tape.data();
        const std::int64_t end = std::min(n_points, (chunk + 1) * size);
        for (std::int64_t at = chunk * size; at < end; at += lanes) {
            const Points points(at, end, inputs.shape[1]);
            load(inputs, points, 0, 1, plan.inputs, tape);
            const T* streams = kernels.differentiate(plan, plan.order, tape);
            store(streams, points, 0, 1, plan.outputs, values);
            for (const ArrayOut* out : {&first, &second})
                for (int d = 0; out->data && d < plan.inputs; ++d) {
                    streams += plan.outputs * lanes;
                    store(streams, points, d, plan.inputs, plan.outputs, *out);
                }
        }
    });
}

template <class T>
int pullback_as(const Network& network, const ArrayView& inputs, const Cotangents& cotangents,
                const ArrayOut& parameters, const ArrayOut& input_gradients, int threads) {
    FullGradientPlan<T> full(network, order_of(cotangents.first.data, cotangents.second.data));
    full.set(network);
    const std::int64_t n_points = inputs.shape[0] * inputs.shape[1], n = network.parameters();
    const std::int64_t size = chunk_size(n_points, n), n_chunks = (n_points + size - 1) / size;
    const int n_threads = detail::thread_count(threads, n_chunks);
    const auto works = gradient_workspaces(n_threads, full, true);
    std::vector<double> totals(static_cast<std::size_t>(product({n_chunks, n}, "parameters")));
    const int used = detail::for_each(n_chunks, n_threads, [&](std::int64_t chunk, int thread) noexcept {
        pull_points(full, works[static_cast<std::size_t>(thread)], chunk * size, std::min(n_points, (chunk + 1) * size),
                    inputs, cotangents, input_gradients, totals.data() + chunk * n);
    });
    for (std::int64_t chunk = 1; chunk < n_chunks; ++chunk)
        for (std::int64_t i = 0; i < n; ++i)
            totals[static_cast<std::size_t>(i)] += totals[static_cast<std::size_t>(chunk * n + i)];
    std::copy_n(totals.begin(), n, static_cast<T*>(parameters.data));
    return used;
}

// Each group of paths has parameters of its own. They are drawn for a batch of groups at a time.
template <class T>
int pullback_drawn_as(const Network& network, const Run& run, std::int64_t first_path, const ArrayView& inputs,
                      const Cotangents& cotangents, const ArrayOut& parameters, const ArrayOut& input_gradients) {
    const std::int64_t n = network.parameters(), n_paths = inputs.shape[0], n_times = inputs.shape[1];
    const std::int64_t first_group = first_path / network.group, n_groups = parameters.shape[0];
    const std::int64_t batch = std::min(n_groups, std::max<std::int64_t>(lanes, batch_numbers / n / lanes * lanes));
    const int n_threads = detail::thread_count(run.n_threads, batch);
    const int order = order_of(cotangents.first.data, cotangents.second.data);
    std::vector<std::unique_ptr<FullGradientPlan<T>>> plans;
    for (int i = 0; i < n_threads; ++i) plans.push_back(std::make_unique<FullGradientPlan<T>>(network, order));
    const auto works = gradient_workspaces(n_threads, *plans.front(), true, n);
    std::vector<T> drawn(static_cast<std::size_t>(product({batch, n}, "parameters")));
    int used = 0;
    for (std::int64_t begin = 0; begin < n_groups; begin += batch) {
        const std::int64_t count = std::min(batch, n_groups - begin);
        ArrayOut to;
        to.data = drawn.data();
        to.precision = inputs.precision;
        to.shape[0] = count;
        to.shape[1] = 1;
        to.shape[2] = n;
        draw(network, run.key, false, {first_group + begin, first_group + begin + count}, to, run.n_threads);
        const int now = detail::for_each(count, n_threads, [&](std::int64_t item, int thread) noexcept {
            FullGradientPlan<T>& full = *plans[static_cast<std::size_t>(thread)];
            const GradientWorkspace<T>& work = works[static_cast<std::size_t>(thread)];
            const std::int64_t row = begin + item, group = first_group + row;
            full.set(drawn.data() + item * n);
            double* const totals = work.totals.data();
            std::fill_n(totals, n, 0.0);
            const std::int64_t from = std::max(group * network.group - first_path, std::int64_t{0});
            const std::int64_t to_path = std::min((group + 1) * network.group - first_path, n_paths);
            pull_points(full, work, from * n_times, to_path * n_times, inputs, cotangents, input_gradients, totals);
            std::copy_n(totals, n, static_cast<T*>(parameters.data) + row * n);
        });
        used = std::max(used, now);
    }
    return used;
}

template <class A>
bool has_shape(const A& array, std::int64_t paths, std::int64_t times, std::int64_t last, Precision precision) {
    return array.data && array.shape[0] == paths && array.shape[1] == times && array.shape[2] == last &&
           array.precision == precision;
}

// Checks the inputs, and an array with `last` entries per point that may be missing if `optional`.
void check_points(const Network& network, const ArrayView& inputs) {
    check_network(network);
    if (network.layers.empty()) refuse("the network has no layers");
    const std::int64_t n_inputs = network.layers.front().inputs;
    product({inputs.shape[0], inputs.shape[1], n_inputs, network.layers.back().outputs}, "inputs");
    if (inputs.shape[0] < 1 || inputs.shape[1] < 1 || !inputs.data || inputs.shape[2] != n_inputs)
        refuse("inputs must have shape (paths, times, inputs) with " + std::to_string(n_inputs) +
               " inputs and must not be empty or null");
}

template <class A>
void check_per_point(const A& array, const ArrayView& inputs, std::int64_t last, bool optional, const char* name) {
    if (optional && !array.data) return;
    if (!has_shape(array, inputs.shape[0], inputs.shape[1], last, inputs.precision))
        refuse(std::string(name) + " must have the paths, times and precision of the inputs and " +
               std::to_string(last) + " entries per point");
}

void check_pullback(const Network& network, const ArrayView& inputs, const Cotangents& cotangents,
                    const ArrayOut& parameters, const ArrayOut& input_gradients, std::int64_t groups) {
    check_points(network, inputs);
    const std::int64_t n_inputs = network.layers.front().inputs, n_outputs = network.layers.back().outputs;
    check_per_point(cotangents.values, inputs, n_outputs, false, "values");
    check_per_point(cotangents.first, inputs, n_outputs * n_inputs, true, "first");
    check_per_point(cotangents.second, inputs, n_outputs * n_inputs, true, "second");
    check_per_point(input_gradients, inputs, n_inputs, true, "input_gradients");
    if (!has_shape(parameters, groups, 1, network.parameters(), inputs.precision))
        refuse("parameters must have shape (groups, 1, parameters) = (" + std::to_string(groups) + ", 1, " +
               std::to_string(network.parameters()) + ") and the precision of the inputs");
}

}  // namespace

int differentiate(const Network& network, const ArrayView& inputs, const ArrayOut& values, const ArrayOut& first,
                  const ArrayOut& second, int n_threads) {
    check_points(network, inputs);
    if (network.random()) refuse("the network must have fixed parameters; its parameters are drawn");
    const std::int64_t n_inputs = network.layers.front().inputs, n_outputs = network.layers.back().outputs;
    check_per_point(values, inputs, n_outputs, false, "values");
    check_per_point(first, inputs, n_outputs * n_inputs, true, "first");
    check_per_point(second, inputs, n_outputs * n_inputs, true, "second");
    if (second.data && !first.data) refuse("second needs first");
    return inputs.precision == Precision::float32
               ? differentiate_as<float>(network, inputs, values, first, second, n_threads)
               : differentiate_as<double>(network, inputs, values, first, second, n_threads);
}

int pullback(const Network& network, const ArrayView& inputs, const Cotangents& cotangents, const ArrayOut& parameters,
             const ArrayOut& input_gradients, int n_threads) {
    if (network.random()) refuse("a network with drawn parameters needs a run and a first path");
    check_pullback(network, inputs, cotangents, parameters, input_gradients, 1);
    return inputs.precision == Precision::float32
               ? pullback_as<float>(network, inputs, cotangents, parameters, input_gradients, n_threads)
               : pullback_as<double>(network, inputs, cotangents, parameters, input_gradients, n_threads);
}

int pullback(const Network& network, const Run& run, std::int64_t first_path, const ArrayView& inputs,
             const Cotangents& cotangents, const ArrayOut& parameters, const ArrayOut& input_gradients) {
    if (!network.random()) refuse("the network must have drawn parameters; its parameters are fixed");
    if (network.split) refuse("gradients of a split network are not available");
    check_first_path(first_path, std::max<std::int64_t>(1, inputs.shape[0]));
    check_network(network);
    const std::int64_t groups = (first_path + inputs.shape[0] - 1) / network.group - first_path / network.group + 1;
    check_pullback(network, inputs, cotangents, parameters, input_gradients, groups);
    return inputs.precision == Precision::float32
               ? pullback_drawn_as<float>(network, run, first_path, inputs, cotangents, parameters, input_gradients)
               : pullback_drawn_as<double>(network, run, first_path, inputs, cotangents, parameters, input_gradients);
}

}  // namespace nnqm
