// Plans: a theory and a measure, converted to one precision and laid out once per call for the kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "checks.hpp"
#include "kernels.hpp"
#include "nnqm/nnqm.hpp"

namespace nnqm::detail {

// Number of input channels of a source.
int inputs_of(const Source& source);
// Number of components of the momenta whose magnitude has the quantiles `radius`.
int radial_components(const RandomWaves& waves);

// A channel that is a function of time only.
template <class T>
struct TimesPlan {
    int channel;
    const T* values;
};

template <class T>
struct TheoryPlan {
    std::vector<std::vector<T>> storage;
    std::vector<OuPlan<T>> processes;
    std::vector<ChainPlan<T>> chains;
    std::vector<PeriodicChainPlan<T>> periodic_chains;
    std::vector<LinearPlan<T>> linears;
    std::vector<WavePlan<T>> waves;
    std::vector<TimesPlan<T>> times;
    std::vector<LayerPlan<T>> layers;
    std::vector<DrawnPlan<T>> drawn;
    std::vector<TrainedLayer> trained;
    NetworkPlan<T> network{};
    int inputs = 0, channels = 0;
    std::int64_t modes = 0;  // of all linear sources together
    std::int64_t futures = 1;
    std::uint32_t wave_processes = 0;               // of all waves together
    std::int64_t wave_numbers = 0, wave_rates = 0;  // scratch memory of all waves together
    std::vector<std::vector<double>> doubles;

    // Stores the values for the lifetime of the plan.
    const T* keep(std::vector<T> values) {
        storage.push_back(std::move(values));
        return storage.back().data();
    }

    const double* keep_doubles(std::vector<double> values) {
        doubles.push_back(std::move(values));
        return doubles.back().data();
    }

    // Places the scratch memory and the noise of waves.
    void add_waves(WavePlan<T> plan);

    void add_network(const Network& net, const std::vector<double>& grid);

    void add_training(const Network& net);

    LayerPlan<T> plan_layer(const Layer& layer);

    DrawPlan<T> plan_draws(const Density& density, const T* location, const std::vector<double>& scales);

    // Add one source, whose first input channel is first_channel.
    void add(int first_channel, const Chain& chain, const std::vector<double>&);
    void add(int first_channel, const PeriodicChain& chain, const std::vector<double>&);
    void add(int first_channel, const Linear& linear, const std::vector<double>&);
    void add(int first_channel, const Times& source, const std::vector<double>&);
    void add(int first_channel, const OrnsteinUhlenbeck& ou, const std::vector<double>&);
    void add(int first_channel, const Modes& modes, const std::vector<double>&);
    void add(int first_channel, const RandomWaves& waves, const std::vector<double>&);

    // Numbers of scratch memory that one thread needs.
    std::int64_t parameter_scratch() const {
        return network.drawn ? product({network.parameters, network.group < lanes ? lanes : 1}, "network") : 0;
    }
    // Enough for the vectors of every level.
    std::int64_t training_scratch() const {
        return product({network.training.memory, 64 / static_cast<std::int64_t>(sizeof(T))}, "training");
    }
    std::int64_t hidden_scratch() const { return product({2, network.widest, lanes}, "network"); }
};

// The plan of a theory in a run.
template <class T>
TheoryPlan<T> plan_theory(const Theory& theory, const Run& run);

// Arrays that a LagPlan points to.
struct LagStorage {
    std::vector<std::int64_t> bounds;
    std::vector<unsigned char> weights;
};

// Number of times per window, for `rows` rows of lanes per time. A window takes half a megabyte, which fits in the
// second-level cache.
template <class T>
std::int64_t window_size(std::int64_t n_times, std::int64_t rows);

// Calls work(window) for the windows of a path, in order.
template <class F>
void for_windows(std::int64_t n_times, std::int64_t size, const F& work) {
    for (std::int64_t begin = 0; begin < n_times; begin += size)
        work(Window{begin, std::min(n_times, begin + size), size, n_times});
}

// A MeasurePlan with the arrays that it points to.
template <class T>
struct FullMeasurePlan {
    MeasurePlan<T> plan{};
    std::int64_t window;  // independent of the theory, so that sampled paths and given paths are summed alike
    std::vector<T> shift, inverse_scale, weights, biases, centres;
    LagStorage linear, observables;

    FullMeasurePlan(const Measure& measure, std::int64_t n_times);

    // Rows of the buffer of a history.
    std::int64_t rows(const History& history) const { return history.rows + history.turns * window; }
};

}  // namespace nnqm::detail
