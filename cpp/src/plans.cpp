#include "plans.hpp"

#include <cmath>
#include <limits>
#include <set>

namespace nnqm::detail {

namespace {

template <class T>
std::vector<T> cast(const std::vector<double>& values) {
    return std::vector<T>(values.begin(), values.end());
}

// The plan of lags; its stretches end wherever the earlier times of a lag end or its later times begin.
LagPlan plan_lags(const std::vector<std::int64_t>& lags, int size, int parts, std::int64_t n_times,
                  LagStorage& storage) {
    std::set<std::int64_t> bounds = {0, n_times};
    for (const std::int64_t lag : lags) {
        bounds.insert(lag);
        bounds.insert(n_times - lag);
    }
    storage.bounds.assign(bounds.begin(), bounds.end());
    for (std::size_t s = 0; s + 1 < storage.bounds.size(); ++s)
        for (const std::int64_t lag : lags)
            storage.weights.push_back(
                static_cast<unsigned char>((storage.bounds[s] < n_times - lag) + (storage.bounds[s] >= lag)));
    return {static_cast<int>(lags.size()),
            size,
            parts,
            lags.data(),
            static_cast<int>(storage.bounds.size()) - 1,
            storage.bounds.data(),
            storage.weights.data()};
}

// Time since the time before. The steps of a uniform grid differ by rounding; equal steps must give equal coefficients,
// so the nominal step replaces them.
std::vector<double> steps_of(const std::vector<double>& grid) {
    std::vector<double> steps(grid.size(), 0.0);
    const double nominal = grid.size() > 1 ? (grid.back() - grid.front()) / static_cast<double>(grid.size() - 1) : 0;
    for (std::size_t t = 1; t < grid.size(); ++t) {
        const double step = grid[t] - grid[t - 1];
        steps[t] = std::abs(step - nominal) <= 1e-9 * nominal ? nominal : step;
    }
    return steps;
}

// Factors of the exact steps of Ornstein-Uhlenbeck processes, (processes, T): see OuPlan.
template <class T>
struct StepTables {
    std::vector<T> decay, noise;
    StepTables(const std::vector<double>& omega, const std::vector<double>& spreads, const std::vector<double>& steps)
        : decay(omega.size() * steps.size()), noise(decay.size()) {
        for (std::size_t d = 0; d < omega.size(); ++d) {
            noise[d * steps.size()] = static_cast<T>(spreads[d]);
            for (std::size_t t = 1; t < steps.size(); ++t) {
                const std::size_t at = d * steps.size() + t;
                if (t > 1 && steps[t] == steps[t - 1]) {
                    decay[at] = decay[at - 1];
                    noise[at] = noise[at - 1];
                    continue;
                }
                const double a = omega[d] * steps[t];
                decay[at] = static_cast<T>(std::exp(-a));
                noise[at] = static_cast<T>(spreads[d] * std::sqrt(-std::expm1(-2 * a)));
            }
        }
    }
};

}  // namespace

int inputs_of(const Source& source) {
    if (const auto* ou = std::get_if<OrnsteinUhlenbeck>(&source)) return static_cast<int>(ou->omega.size());
    if (const auto* waves = std::get_if<RandomWaves>(&source)) return waves->n_points;
    const auto* modes = std::get_if<Modes>(&source);
    return modes ? static_cast<int>(modes->matrix.size() / std::max<std::size_t>(1, modes->omega.size())) : 1;
}

int radial_components(const RandomWaves& waves) {
    return waves.space + (waves.oscillators || !waves.ratio.coefficients.empty() ? 0 : 1);
}

template <class T>
void TheoryPlan<T>::add_network(const Network& net, const std::vector<double>& grid) {
    int widest = std::max(1, inputs);
    for (const Layer& layer : net.layers) {
        layers.push_back(plan_layer(layer));
        widest = std::max(widest, layer.outputs);
    }
    for (std::size_t i = 0; i < net.drawn.size(); ++i)
        drawn.push_back({plan_draws(net.drawn[i].weight_density, layers[i].weights, net.drawn[i].weight_scales),
                         plan_draws(net.drawn[i].bias_density, layers[i].biases, net.drawn[i].bias_scales),
                         net.drawn[i].shared});
    const auto n_negative = std::count_if(grid.begin(), grid.end(), [](double t) { return t < 0; });
    network = {static_cast<int>(layers.size()),
               inputs,
               channels - inputs,
               widest,
               layers.data(),
               net.random() ? drawn.data() : nullptr,
               net.parameters(),
               net.group,
               net.split,
               n_negative,
               {},
               {}};
    if (net.training.steps > 0) add_training(net);
    if (net.table) network.table = {static_cast<T>(1 / net.table->spacing), keep(cast<T>(net.table->coefficients))};
}

template <class T>
void TheoryPlan<T>::add_training(const Network& net) {
    const Training& given = net.training;
    TrainingPlan<T>& plan = network.training;
    const auto n = static_cast<std::int64_t>(given.weights.size()), d = static_cast<std::int64_t>(network.inputs),
               c = static_cast<std::int64_t>(network.outputs);
    plan.steps = given.steps;
    // The output of a split network needs the point 0 as well.
    plan.n_points = n + (net.split ? 1 : 0);
    plan.points = (plan.n_points + times_at_once - 1) / times_at_once * times_at_once;
    // (channels, points) of a given array (n, channels); the other points are 0.
    const auto columns = [&](const std::vector<double>& values, std::int64_t count) {
        std::vector<T> result(static_cast<std::size_t>(product({count, plan.points}, "training")));
        for (std::int64_t p = 0; p < n; ++p)
            for (std::int64_t k = 0; k < count; ++k)
                result[static_cast<std::size_t>(k * plan.points + p)] =
                    static_cast<T>(values[static_cast<std::size_t>(p * count + k)]);
        return keep(std::move(result));
    };
    plan.inputs = columns(given.points, d);
    plan.targets = columns(given.targets, c);
    plan.weights = columns(given.weights, 1);
    double size = 0;
    for (std::size_t k = 0; k < given.targets.size(); ++k)
        size += given.weights[k / static_cast<std::size_t>(c)] * given.targets[k] * given.targets[k];
    plan.size = static_cast<T>(size);
    plan.growth = static_cast<T>(divergent_growth);
    plan.largest = std::numeric_limits<T>::max();
    std::vector<T> rates;
    plan.first = network.n_layers;
    TrainedLayer at{0, 0, d * plan.points, 0};
    for (int l = 0; l < network.n_layers; ++l) {
        const std::size_t before = rates.size();
        for (const double rate : training_rates(net, static_cast<std::size_t>(l)))
            rates.push_back(static_cast<T>(-rate));
        const bool moves = std::any_of(rates.begin() + static_cast<std::ptrdiff_t>(before), rates.end(),
                                       [](T rate) { return rate != 0; });
        if (moves && l < plan.first) plan.first = l;
        trained.push_back(at);
        const std::int64_t size_of_layer =
            product({layers[static_cast<std::size_t>(l)].outputs, plan.points}, "training");
        at = {static_cast<std::int64_t>(rates.size()), at.out, at.out + size_of_layer, at.deltas + size_of_layer};
    }
    plan.rates = keep(std::move(rates));
    plan.layers = trained.data();
    plan.values = at.out;
    plan.memory = net.parameters() + plan.values + at.deltas;
}

template <class T>
LayerPlan<T> TheoryPlan<T>::plan_layer(const Layer& layer) {
    const T* weights = keep(cast<T>(layer.weights));
    return {layer.inputs, layer.outputs, activation_index(layer.activation), weights, keep(cast<T>(layer.biases))};
}

template <class T>
DrawPlan<T> TheoryPlan<T>::plan_draws(const Density& density, const T* location, const std::vector<double>& scales) {
    return {density.kind, density.nu, static_cast<std::int64_t>(scales.size()), location, keep(cast<T>(scales))};
}

template <class T>
void TheoryPlan<T>::add(int first_channel, const Chain& chain, const std::vector<double>&) {
    chains.push_back({first_channel, chain.states, chain.grids, futures, keep(cast<T>(chain.values)),
                      chain.start_threshold.data(), chain.start_alias.data(), chain.threshold.data(),
                      chain.alias.data()});
}

template <class T>
void TheoryPlan<T>::add(int first_channel, const PeriodicChain& chain, const std::vector<double>&) {
    periodic_chains.push_back({first_channel, chain.states, chain.grids, chain.steps, keep(cast<T>(chain.values)),
                               chain.start_threshold.data(), chain.start_alias.data(), chain.step_weights.data(),
                               chain.remaining.data()});
}

template <class T>
void TheoryPlan<T>::add(int first_channel, const Linear& linear, const std::vector<double>&) {
    const std::size_t n_times = linear.mean.size(), n_modes = static_cast<std::size_t>(linear.modes);
    std::vector<T> basis(n_times * n_modes);
    for (std::size_t k = 0; k < n_modes; ++k)
        for (std::size_t t = 0; t < n_times; ++t)
            basis[t * n_modes + k] = static_cast<T>(linear.basis[k * n_times + t]);
    const T* zeros = keep(std::vector<T>(n_modes, T(0)));
    linears.push_back({first_channel, linear.modes, static_cast<std::int64_t>(linear.rows.size() / n_modes),
                       linear.independent, modes, plan_draws(linear.density, zeros, std::vector<double>(n_modes, 1.0)),
                       keep(cast<T>(linear.mean)), keep(std::move(basis)), keep(cast<T>(linear.rows))});
    modes += linear.modes;
}

template <class T>
void TheoryPlan<T>::add(int first_channel, const Times& source, const std::vector<double>& grid) {
    std::vector<T> values = cast<T>(grid);
    for (T& value : values)
        if (source.reflected) value = std::abs(value);
    times.push_back({first_channel, keep(std::move(values))});
}

template <class T>
void TheoryPlan<T>::add(int first_channel, const OrnsteinUhlenbeck& ou, const std::vector<double>& grid) {
    std::vector<double> spreads;
    for (std::size_t d = 0; d < ou.omega.size(); ++d) spreads.push_back(ou.sigma[d] / std::sqrt(2 * ou.omega[d]));
    StepTables<T> tables(ou.omega, spreads, steps_of(grid));
    const T* decay = keep(std::move(tables.decay));
    processes.push_back(
        {first_channel, static_cast<int>(ou.omega.size()), futures, decay, keep(std::move(tables.noise))});
}

template <class T>
void TheoryPlan<T>::add_waves(WavePlan<T> plan) {
    plan.first_process = wave_processes;
    plan.futures = futures;
    plan.first_number = wave_numbers;
    plan.first_rate = wave_rates;
    plan.index = static_cast<int>(waves.size());
    if (plan.oscillators) wave_processes += static_cast<std::uint32_t>(plan.processes);
    wave_numbers += plan.numbers();
    wave_rates += plan.rates();
    waves.push_back(plan);
}

template <class T>
void TheoryPlan<T>::add(int first_channel, const Modes& given, const std::vector<double>& grid) {
    WavePlan<T> plan{};
    plan.first_channel = first_channel;
    plan.processes = static_cast<int>(given.omega.size());
    plan.points = static_cast<int>(given.matrix.size() / given.omega.size());
    StepTables<T> tables(given.omega, std::vector<double>(given.omega.size(), 1.0), steps_of(grid));
    plan.matrix = keep(cast<T>(given.matrix));
    plan.decay = keep(std::move(tables.decay));
    plan.noise = keep(std::move(tables.noise));
    plan.oscillators = true;
    add_waves(plan);
}

template <class T>
void TheoryPlan<T>::add(int first_channel, const RandomWaves& given, const std::vector<double>& grid) {
    constexpr double turn = 6.283185307179586;
    const auto in_turns = [](std::vector<double> values) {
        for (double& value : values) value /= turn;
        return values;
    };
    WavePlan<T> plan{};
    plan.first_channel = first_channel;
    plan.points = given.n_points;
    plan.processes = 2 * given.neurons;
    plan.space = given.space;
    plan.radial = given.radius.coefficients.empty() ? 0 : radial_components(given);
    plan.oscillators = given.oscillators;
    plan.radius = plan.radial == 0 ? nullptr : keep_doubles(given.radius.coefficients);
    plan.ratio = given.ratio.coefficients.empty() ? nullptr : keep_doubles(given.ratio.coefficients);
    plan.turns = keep_doubles(in_turns(given.points));
    plan.times = keep_doubles(in_turns(grid));
    plan.steps = keep_doubles(steps_of(grid));
    plan.mass_squared = given.mass * given.mass;
    plan.amplitude = given.amplitude;
    plan.power = given.power;
    plan.group = given.group;
    add_waves(plan);
}

template <class T>
TheoryPlan<T> plan_theory(const Theory& theory, const Run& run) {
    TheoryPlan<T> plan;
    plan.futures = run.futures;
    plan.inputs = theory.inputs();
    plan.channels = theory.channels();
    int first = 0;
    for (const Source& source : theory.sources) {
        std::visit([&](const auto& one) { plan.add(first, one, run.times); }, source);
        first += inputs_of(source);
    }
    plan.add_network(theory.network, run.times);
    return plan;
}

template <class T>
std::int64_t window_size(std::int64_t n_times, std::int64_t rows) {
    const std::int64_t most = (std::int64_t{1} << 19) / (rows * lanes * static_cast<std::int64_t>(sizeof(T)));
    return std::min(n_times, std::max<std::int64_t>(16, most - most % (most < 64 ? 16 : 64)));
}

template <class T>
FullMeasurePlan<T>::FullMeasurePlan(const Measure& measure, std::int64_t n_times) {
    shift = cast<T>(measure.shift);
    for (const double s : measure.scale) inverse_scale.push_back(static_cast<T>(1 / s));
    plan.n_channels = static_cast<int>(measure.channels.size());
    plan.channels = measure.channels.data();
    plan.shift = shift.data();
    plan.inverse_scale = inverse_scale.data();
    plan.orders = measure.orders.data();
    if (measure.neurons.outputs > 0) {
        weights = cast<T>(measure.neurons.weights);
        biases = cast<T>(measure.neurons.biases);
        centres = cast<T>(measure.centres);
        plan.centres = centres.data();
        plan.neurons = {measure.neurons.inputs, measure.neurons.outputs, activation_index(measure.neurons.activation),
                        weights.data(), biases.data()};
    }
    plan.n_products = static_cast<int>(measure.products.size());
    plan.products = measure.products.data();
    plan.linear_lags = plan_lags(measure.lags, measure.linear_size(), measure.parts(), n_times, linear);
    plan.observable_lags = plan_lags(measure.observable_lags, measure.size(), measure.parts(), n_times, observables);
    plan.n_increment_lags = static_cast<int>(measure.increment_lags.size());
    plan.increment_lags = measure.increment_lags.data();
    plan.two_time = measure.two_time;
    plan.group = measure.group;
    const std::int64_t linear_size = measure.linear_size(), size = measure.observable_lags.empty() ? 0 : measure.size();
    window = window_size<T>(n_times, 2 * linear_size + size);
    const auto largest = [&](const std::vector<std::int64_t>& lags) {
        return window < n_times && !lags.empty() ? lags.back() : 0;
    };
    const auto history = [&](std::int64_t lag) {
        return History{lag, std::max<std::int64_t>(1, (lag + window - 1) / window)};
    };
    plan.linear = history(std::max(largest(measure.lags), largest(measure.increment_lags)));
    plan.observables = history(largest(measure.observable_lags));
}

template struct TheoryPlan<float>;
template struct TheoryPlan<double>;
template TheoryPlan<float> plan_theory(const Theory&, const Run&);
template TheoryPlan<double> plan_theory(const Theory&, const Run&);
template std::int64_t window_size<float>(std::int64_t, std::int64_t);
template std::int64_t window_size<double>(std::int64_t, std::int64_t);
template struct FullMeasurePlan<float>;
template struct FullMeasurePlan<double>;

}  // namespace nnqm::detail
