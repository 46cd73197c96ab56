// The plain-C interface. A handle is a C++ description. A call checks for the mistakes that only a C caller can make
// (null pointers, sizes beyond the types of the C++ interface), makes one C++ call, and turns exceptions into codes.
#include "nnqm/nnqm.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "c_handles.hpp"

using namespace nnqm::detail;

namespace {

// Message of the last failed call. Its fixed size lets it report that memory ran out.
thread_local char last_error[1024] = "";

std::int32_t set_lags(nnqm_measure* measure, std::vector<std::int64_t> nnqm::Measure::* member, std::int64_t n,
                      const std::int64_t* lags) noexcept {
    return guarded([&] {
        nnqm::Measure& m = given(measure, "measure").value;
        m.*member = copy(lags, between(0, n, largest_times, "the number of lags"), "lags");
    });
}

std::string joined(const std::vector<std::string>& names) {
    std::string result;
    for (const std::string& name : names) result += (result.empty() ? "" : " ") + name;
    return result;
}

}  // namespace

std::int32_t nnqm::detail::fail(std::int32_t status, const char* message) noexcept {
    std::snprintf(last_error, sizeof last_error, "%s", message);
    return status;
}

extern "C" {

std::int32_t nnqm_abi_version() { return NNQM_ABI_VERSION; }

const char* nnqm_last_error() { return last_error; }

std::int32_t nnqm_build_info(const char** version, const char** compiler, const char** level, const char** levels,
                             const char** activations, std::int32_t* openmp, std::int32_t* max_threads) {
    return guarded([&] {
        static const nnqm::BuildInfo info = nnqm::build_info();
        static const std::string all_levels = joined(info.levels), all_activations = joined(nnqm::activations());
        if (version) *version = info.version.c_str();
        if (compiler) *compiler = info.compiler.c_str();
        if (level) *level = info.level.c_str();
        if (levels) *levels = all_levels.c_str();
        if (activations) *activations = all_activations.c_str();
        if (openmp) *openmp = info.openmp;
        if (max_threads) *max_threads = nnqm::build_info().max_threads;
    });
}

std::int32_t nnqm_measure_create(nnqm_measure** measure) { return create(measure, "measure"); }

void nnqm_measure_destroy(nnqm_measure* measure) { delete measure; }

std::int32_t nnqm_measure_add_channel(nnqm_measure* measure, std::int64_t channel, double shift, double scale,
                                      std::int64_t order) {
    return guarded([&] {
        nnqm::Measure& m = given(measure, "measure").value;
        const auto index = static_cast<int>(between(0, channel, largest_width, "channel"));
        const auto highest = static_cast<int>(between(1, order, 64, "order"));
        width(static_cast<std::int64_t>(m.channels.size()) + 1, "the number of channels");
        // Reserved first: either all four vectors grow or, without memory, none.
        const std::size_t n = m.channels.size() + 1;
        m.channels.reserve(n);
        m.shift.reserve(n);
        m.scale.reserve(n);
        m.orders.reserve(n);
        m.channels.push_back(index);
        m.shift.push_back(shift);
        m.scale.push_back(scale);
        m.orders.push_back(highest);
    });
}

std::int32_t nnqm_measure_set_neurons(nnqm_measure* measure, std::int64_t channels, std::int64_t neurons,
                                      const double* weights, const double* biases, const double* centres,
                                      const char* activation) {
    return guarded([&] {
        nnqm::Measure& m = given(measure, "measure").value;
        nnqm::Layer all = layer(channels, neurons, weights, biases, activation);
        m.centres = copy(centres, neurons, "centres");
        m.neurons = std::move(all);
    });
}

std::int32_t nnqm_measure_add_product(nnqm_measure* measure, std::int64_t left, std::int64_t right) {
    return guarded([&] {
        nnqm::Measure& m = given(measure, "measure").value;
        const std::int64_t last = m.size() - 1;
        m.products.push_back(
            {static_cast<int>(between(1, left, last, "left")), static_cast<int>(between(1, right, last, "right"))});
    });
}

std::int32_t nnqm_measure_set_lags(nnqm_measure* measure, std::int64_t n, const std::int64_t* lags) {
    return set_lags(measure, &nnqm::Measure::lags, n, lags);
}

std::int32_t nnqm_measure_set_observable_lags(nnqm_measure* measure, std::int64_t n, const std::int64_t* lags) {
    return set_lags(measure, &nnqm::Measure::observable_lags, n, lags);
}

std::int32_t nnqm_measure_set_increment_lags(nnqm_measure* measure, std::int64_t n, const std::int64_t* lags) {
    return set_lags(measure, &nnqm::Measure::increment_lags, n, lags);
}

std::int32_t nnqm_measure_set_moments(nnqm_measure* measure, std::int32_t asked) {
    return guarded([&] { given(measure, "measure").value.moments = flag(asked, "asked"); });
}

std::int32_t nnqm_measure_set_group(nnqm_measure* measure, std::int64_t group) {
    return guarded([&] { given(measure, "measure").value.group = between(1, group, largest_group, "group"); });
}

std::int32_t nnqm_measure_set_two_time(nnqm_measure* measure, std::int64_t index) {
    return guarded([&] {
        given(measure, "measure").value.two_time = static_cast<int>(between(-1, index, largest_width, "index"));
    });
}

std::int32_t nnqm_sums_create(nnqm_sums** sums, const nnqm_measure* measure, std::int64_t n_times,
                              std::int64_t first_block, std::int64_t n_blocks) {
    return guarded([&] {
        given(sums, "sums") = nullptr;
        const nnqm::Measure& m = given(measure, "measure").value;
        if (m.channels.empty()) refuse("the measure has no channels; add at least one");
        between(1, n_times, largest_times, "n_times");
        between(0, first_block, largest_index, "first_block");
        between(1, n_blocks, largest_index, "n_blocks");
        if (m.two_time >= static_cast<int>(m.channels.size()))
            refuse("two_time must be an index into the " + std::to_string(m.channels.size()) +
                   " channels of the measure, got " + std::to_string(m.two_time));
        *sums = new nnqm_sums(m, n_times, first_block, n_blocks);
    });
}

void nnqm_sums_destroy(nnqm_sums* sums) { delete sums; }

std::int32_t nnqm_sums_array(nnqm_sums* sums, std::int32_t which, double** data, std::int32_t* rank,
                             std::int64_t* shape) {
    return guarded([&] {
        const nnqm_sums& s = given(sums, "sums");
        const auto index = static_cast<std::size_t>(between(NNQM_LAGS, which, NNQM_TWO_TIME, "which"));
        const nnqm::SumShape one = nnqm::sum_shapes(s.measure, s.n_times)[index];
        if (!one.asked) refuse("the measure does not request array " + std::to_string(which) + ", " + one.name);
        if (data) *data = s.view.*one.array;
        if (rank) *rank = static_cast<std::int32_t>(1 + one.shape.size());
        if (shape) {
            shape[0] = s.view.n_blocks;
            std::fill(std::copy(one.shape.begin(), one.shape.end(), shape + 1), shape + 5, 1);
        }
    });
}

std::int32_t nnqm_sums_counts(nnqm_sums* sums, std::int64_t** paths, std::int64_t** first_bad, std::int64_t* n_blocks) {
    return guarded([&] {
        const nnqm::Sums& s = given(sums, "sums").view;
        if (paths) *paths = s.paths;
        if (first_bad) *first_bad = s.first_bad;
        if (n_blocks) *n_blocks = s.n_blocks;
    });
}

std::int32_t nnqm_run_create(nnqm_run** run, std::uint64_t key, std::int64_t n_paths, std::int64_t n_blocks,
                             std::int64_t n_times, const double* times) {
    return guarded([&] {
        given(run, "run") = nullptr;
        auto made = std::make_unique<nnqm_run>();
        made->value.key = key;
        made->value.n_paths = between(1, n_paths, largest_index, "n_paths");
        made->value.n_blocks = between(1, n_blocks, largest_index, "n_blocks");
        made->value.times = copy(times, between(1, n_times, largest_times, "n_times"), "times");
        *run = made.release();
    });
}

void nnqm_run_destroy(nnqm_run* run) { delete run; }

std::int32_t nnqm_run_set_precision(nnqm_run* run, std::int32_t precision) {
    return guarded([&] { given(run, "run").value.precision = precision_of(precision); });
}

std::int32_t nnqm_run_set_threads(nnqm_run* run, std::int32_t n_threads) {
    return guarded([&] { given(run, "run").value.n_threads = threads(n_threads); });
}

std::int32_t nnqm_run_set_futures(nnqm_run* run, std::int64_t futures) {
    return guarded([&] { given(run, "run").value.futures = between(1, futures, largest_group, "futures"); });
}

std::int32_t nnqm_advance(const nnqm_theory* theory, const nnqm_run* run, std::int64_t first_block,
                          std::int64_t end_block, std::int64_t first_round, std::int64_t end_round, nnqm_sums* sums) {
    return guarded([&] {
        const nnqm::Theory& t = given(theory, "theory").value;
        const nnqm::Run& r = given(run, "run").value;
        nnqm_sums& s = given(sums, "sums");
        if (static_cast<std::int64_t>(r.times.size()) != s.n_times)
            refuse("the run has " + std::to_string(r.times.size()) + " times, but the sums are for " +
                   std::to_string(s.n_times));
        if (first_round < 0 || end_round < first_round) refuse("rounds must be a range from 0 upwards");
        nnqm::advance(t, s.measure, r, {first_block, end_block}, {first_round, end_round}, s.view);
    });
}

std::int32_t nnqm_sample(const nnqm_theory* theory, const nnqm_run* run, std::int64_t first_path, std::int64_t end_path,
                         const std::int64_t* shape, void* inputs) {
    return guarded([&] {
        const nnqm::Theory& t = given(theory, "theory").value;
        const nnqm::Run& r = given(run, "run").value;
        between(0, first_path, largest_index, "first_path");
        between(first_path, end_path, largest_index, "end_path");
        const nnqm::ArrayOut array = out(r.precision, shape, inputs, "inputs");
        nnqm::sample(t, r, {first_path, end_path}, array);
    });
}

std::int32_t nnqm_apply(const nnqm_theory* theory, std::int32_t precision, const std::int64_t* input_shape,
                        const std::int64_t* input_strides, const void* inputs, const std::int64_t* output_shape,
                        void* outputs, std::int32_t n_threads) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        const nnqm::ArrayOut to = out(from.precision, output_shape, outputs, "output");
        nnqm::apply(network, from, to, threads(n_threads));
    });
}

std::int32_t nnqm_apply_run(const nnqm_theory* theory, const nnqm_run* run, std::int64_t first_path,
                            std::int32_t precision, const std::int64_t* input_shape, const std::int64_t* input_strides,
                            const void* inputs, const std::int64_t* output_shape, void* outputs) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::Run& r = given(run, "run").value;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        const nnqm::ArrayOut to = out(from.precision, output_shape, outputs, "output");
        nnqm::apply(network, r, between(0, first_path, largest_index, "first_path"), from, to);
    });
}

std::int32_t nnqm_draw(const nnqm_theory* theory, std::uint64_t key, std::int32_t negative, std::int64_t first_group,
                       std::int64_t end_group, std::int32_t precision, const std::int64_t* shape, void* parameters) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const bool before_zero = flag(negative, "negative");
        between(0, first_group, largest_index, "first_group");
        between(first_group, end_group, largest_index, "end_group");
        nnqm::draw(network, key, before_zero, {first_group, end_group},
                   out(precision_of(precision), shape, parameters, "parameters"));
    });
}

std::int32_t nnqm_differentiate(const nnqm_theory* theory, std::int32_t precision, const std::int64_t* input_shape,
                                const std::int64_t* input_strides, const void* inputs, const std::int64_t* value_shape,
                                void* values, void* first, void* second, std::int32_t n_threads) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        const DerivativeShape full(value_shape, from.shape[2]);
        nnqm::differentiate(network, from, out(from.precision, value_shape, values, "values"),
                            optional(from.precision, full.shape, first, "first"),
                            optional(from.precision, full.shape, second, "second"), threads(n_threads));
    });
}

std::int32_t nnqm_pullback(const nnqm_theory* theory, std::int32_t precision, const std::int64_t* input_shape,
                           const std::int64_t* input_strides, const void* inputs, const std::int64_t* value_shape,
                           const void* values, const void* first, const void* second,
                           const std::int64_t* parameter_shape, void* parameters, void* input_gradients,
                           std::int32_t n_threads) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        nnqm::pullback(network, from, cotangents(precision, value_shape, from.shape[2], values, first, second),
                       out(from.precision, parameter_shape, parameters, "parameters"),
                       optional(from.precision, input_shape, input_gradients, "input_gradients"), threads(n_threads));
    });
}

std::int32_t nnqm_pullback_run(const nnqm_theory* theory, const nnqm_run* run, std::int64_t first_path,
                               std::int32_t precision, const std::int64_t* input_shape,
                               const std::int64_t* input_strides, const void* inputs, const std::int64_t* value_shape,
                               const void* values, const void* first, const void* second,
                               const std::int64_t* parameter_shape, void* parameters, void* input_gradients) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::Run& r = given(run, "run").value;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        nnqm::pullback(network, r, between(0, first_path, largest_index, "first_path"), from,
                       cotangents(precision, value_shape, from.shape[2], values, first, second),
                       out(from.precision, parameter_shape, parameters, "parameters"),
                       optional(from.precision, input_shape, input_gradients, "input_gradients"));
    });
}

std::int32_t nnqm_accumulate(nnqm_sums* sums, std::int32_t precision, const std::int64_t* shape,
                             const std::int64_t* strides, const void* channels, std::int64_t n_offsets,
                             const std::int64_t* offsets, std::int64_t first_path, std::int32_t n_threads) {
    return guarded([&] {
        nnqm_sums& s = given(sums, "sums");
        const nnqm::ArrayView from = view(precision, shape, strides, channels, "channels");
        if (shape[1] != s.n_times)
            refuse("the paths have " + std::to_string(shape[1]) + " times, but the sums are for " +
                   std::to_string(s.n_times));
        if (n_offsets != s.view.n_blocks + 1)
            refuse("offsets must have n_blocks + 1 = " + std::to_string(s.view.n_blocks + 1) + " entries, got " +
                   std::to_string(n_offsets));
        between(0, first_path, largest_index, "first_path");
        nnqm::accumulate(from, s.measure, copy(offsets, n_offsets, "offsets"), first_path, threads(n_threads), s.view);
    });
}

}  // extern "C"
