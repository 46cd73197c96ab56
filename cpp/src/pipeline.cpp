// The pipeline: checks and plans, the division of work among threads (the only OpenMP of the library), tiles in and out.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <set>
#include <stdexcept>

#include "blocks.hpp"
#include "checks.hpp"
#include "kernels.hpp"
#include "nnqm/nnqm.hpp"
#include "threads.hpp"

namespace nnqm {

using detail::lanes;
static_assert(lanes == tile_paths);

namespace {

constexpr std::int64_t max_size = std::numeric_limits<std::int64_t>::max() / 4;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

std::int64_t product(std::initializer_list<std::int64_t> factors, const char* what) {
    std::int64_t result = 1;
    for (const std::int64_t f : factors) {
        if (f < 0) refuse(std::string(what) + ": negative size " + std::to_string(f));
        if (f > 0 && result > max_size / f) refuse(std::string(what) + ": the product of the sizes overflows 64 bits");
        result *= f;
    }
    return result;
}

// Zeroed, 64-byte aligned, grown on demand and kept between tiles.
template <class T>
class Buffer {
public:
    explicit Buffer(std::int64_t n) {
        const std::size_t bytes = std::max<std::size_t>(static_cast<std::size_t>(n) * sizeof(T), 64);
        data_ = static_cast<T*>(::operator new(bytes, std::align_val_t{64}));
        std::memset(data_, 0, bytes);
    }
    Buffer(Buffer&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer& operator=(Buffer&&) = delete;
    ~Buffer() { ::operator delete(data_, std::align_val_t{64}); }
    T* data() const { return data_; }

private:
    T* data_;
};

template <class T>
std::vector<T> cast(const std::vector<double>& values) {
    return std::vector<T>(values.begin(), values.end());
}

void check_layer(const Layer& layer, const std::string& name) {
    if (layer.inputs < 1 || layer.outputs < 1) refuse(name + ": a layer needs at least one input and one output");
    if (static_cast<std::int64_t>(layer.weights.size()) != product({layer.outputs, layer.inputs}, "weights"))
        refuse(name + ": weights must have outputs * inputs = " + std::to_string(layer.outputs) + " * " +
               std::to_string(layer.inputs) + " entries, got " + std::to_string(layer.weights.size()));
    if (layer.biases.size() != static_cast<std::size_t>(layer.outputs))
        refuse(name + ": biases must have " + std::to_string(layer.outputs) + " entries, got " +
               std::to_string(layer.biases.size()));
}

int activation_index(const std::string& name) {
    const std::vector<std::string> all = activations();
    const auto found = std::find(all.begin(), all.end(), name);
    if (found == all.end()) refuse("activation \"" + name + "\" is unknown");
    return static_cast<int>(found - all.begin());
}

void check_density(const Density& density, const std::string& name) {
    if (density.kind == DensityKind::student_t && !(density.nu > 0 && std::isfinite(density.nu)))
        refuse(name + ": nu must be finite and positive");
}

void check_group(std::int64_t group) {
    if (group < 1 || (lanes % group != 0 && group % lanes != 0))
        refuse("group must divide " + std::to_string(lanes) + " or be a multiple of it, got " + std::to_string(group));
}

void check_drawn(const Network& network) {
    if (network.drawn.size() != network.layers.size()) refuse("drawn must have one entry per layer, or none");
    check_group(network.group);
    if (network.parameters() > std::int64_t{1} << 32 || network.layers.size() > 32768) refuse("a network with drawn parameters has at most 2^32");
    for (std::size_t i = 0; i < network.drawn.size(); ++i) {
        const Drawn& drawn = network.drawn[i];
        const std::string name = "layer " + std::to_string(i);
        check_density(drawn.weight_density, name);
        check_density(drawn.bias_density, name);
        if (drawn.weight_scales.size() != network.layers[i].weights.size() || drawn.bias_scales.size() != network.layers[i].biases.size())
            refuse(name + ": scales must have one entry per weight and per bias");
        for (const auto& scales : {drawn.weight_scales, drawn.bias_scales})
            for (const double scale : scales)
                if (!(scale >= 0 && std::isfinite(scale))) refuse(name + ": scales must be finite and not negative");
    }
    if (network.split) {
        if (network.layers.front().inputs != 1 || network.group != 1) refuse("a split network has one input and group 1");
        if (network.layers.back().activation != "identity" || network.layers.size() < 2)
            refuse("a split network has hidden layers and a last layer that is linear");
    }
}

}  // namespace

void detail::check_network(const Network& network) {
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
        const std::string name = "layer " + std::to_string(i);
        check_layer(network.layers[i], name);
        activation_index(network.layers[i].activation);
        if (i > 0 && network.layers[i].inputs != network.layers[i - 1].outputs)
            refuse(name + ": takes " + std::to_string(network.layers[i].inputs) + " inputs, but the layer before has " +
                   std::to_string(network.layers[i - 1].outputs) + " outputs");
    }
    if (network.random()) check_drawn(network);
    if (network.split && !network.random()) refuse("a split network needs drawn parameters");
    if (network.table) {
        const Table& table = *network.table;
        const int terms = table.precision == Precision::float32 ? detail::table_terms<float> : detail::table_terms<double>;
        if (network.random() || network.layers.empty() || network.layers.front().inputs != 1)
            refuse("only a network of one input whose parameters are fixed has a table");
        if (table.half_cells != detail::half_cells || table.terms != terms || !(table.spacing > 0) ||
            static_cast<std::int64_t>(table.coefficients.size()) !=
                product({2 * detail::half_cells + 1, network.layers.back().outputs, terms}, "table"))
            refuse("the table is not one that compile() made for this network");
    }
}

namespace {

using detail::check_network;

void check_table_precision(const Network& network, Precision precision) {
    if (network.table && network.table->precision != precision) refuse("the table of the network is for another precision");
}

void check_source(const OrnsteinUhlenbeck& ou) {
    if (ou.omega.empty() || ou.omega.size() != ou.sigma.size()) refuse("omega and sigma must have the same length, at least 1");
    for (std::size_t i = 0; i < ou.omega.size(); ++i)
        if (!(ou.omega[i] > 0 && std::isfinite(ou.omega[i]) && ou.sigma[i] > 0 && std::isfinite(ou.sigma[i])))
            refuse("omega and sigma must be finite and positive");
}

template <class V>
void check_table(const V& table, std::int64_t size) {
    if (static_cast<std::int64_t>(table.size()) != size) refuse("a table of a chain has " + std::to_string(table.size()) + " entries, but must have " + std::to_string(size));
}

void check_aliases(const std::vector<std::uint32_t>& aliases, int states) {
    for (const std::uint32_t state : aliases)
        if (state >= static_cast<std::uint32_t>(states)) refuse("aliases of a chain must be states");
}

template <class C>
std::int64_t check_chain(const C& chain) {
    if (chain.states < 1 || chain.states > 65536 || chain.grids < 1) refuse("a chain needs 1 to 65536 states and a grid");
    const std::int64_t rows = product({chain.grids, chain.states}, "chain"), square = product({rows, chain.states}, "chain");
    check_table(chain.values, rows);
    check_table(chain.start_threshold, rows);
    check_table(chain.start_alias, rows);
    check_aliases(chain.start_alias, chain.states);
    if (!(chain.dt > 0 && std::isfinite(chain.dt))) refuse("dt of a chain must be finite and positive");
    for (const double value : chain.values)
        if (!std::isfinite(value)) refuse("values of a chain must be finite");
    return square;
}

void check_source(const Chain& chain) {
    const std::int64_t square = check_chain(chain);
    check_table(chain.threshold, square);
    check_table(chain.alias, square);
    check_aliases(chain.alias, chain.states);
}

void check_source(const PeriodicChain& chain) {
    const std::int64_t square = check_chain(chain);
    if (chain.steps < 1) refuse("a periodic chain needs at least one step");
    check_table(chain.step_weights, square);
    check_table(chain.remaining, product({chain.steps - 1, square}, "chain"));
    for (const auto* weights : {&chain.step_weights, &chain.remaining})
        for (const std::uint32_t weight : *weights)
            if (weight >> 31) refuse("weights of a periodic chain must be below 2^31");
}

void check_source(const Linear& linear) {
    if (linear.modes < 1 || linear.mean.empty()) refuse("a linear source needs at least one mode and one time");
    const auto n_times = static_cast<std::int64_t>(linear.mean.size());
    if (static_cast<std::int64_t>(linear.basis.size()) != product({linear.modes, n_times}, "basis"))
        refuse("basis must have modes * times = " + std::to_string(linear.modes) + " * " + std::to_string(n_times) + " entries");
    if (linear.rows.size() % static_cast<std::size_t>(linear.modes) != 0 || linear.rows.size() / static_cast<std::size_t>(linear.modes) > 0xffffffffU)
        refuse("rows must have shape (R, modes), R < 2^32");
    check_density(linear.density, "density");
    for (const auto* values : {&linear.mean, &linear.basis, &linear.rows})
        for (const double value : *values)
            if (!std::isfinite(value)) refuse("mean, basis and rows of a linear source must be finite");
}

void check_source(const Times&) {}

void check_steps(const Theory& theory, const std::vector<double>& times) {
    const auto chain_step = [&times](double dt) {
        for (std::size_t t = 1; t < times.size(); ++t)
            if (std::abs(times[t] - times[t - 1] - dt) > 1e-9 * dt + 1e-15 * std::abs(times[t]))
                refuse("times must have the step of the chain, " + std::to_string(dt));
    };
    const auto n_times = [&times](std::size_t n, const char* what) {
        if (times.size() != n) refuse(std::string(what) + " is made for " + std::to_string(n) + " times, got " + std::to_string(times.size()));
    };
    for (const Source& source : theory.sources) {
        if (const auto* chain = std::get_if<Chain>(&source)) chain_step(chain->dt);
        if (const auto* periodic = std::get_if<PeriodicChain>(&source)) {
            chain_step(periodic->dt);
            n_times(static_cast<std::size_t>(periodic->steps), "the periodic chain");
        }
        if (const auto* linear = std::get_if<Linear>(&source)) n_times(linear->mean.size(), "the linear source");
    }
}

void check_theory(const Theory& theory) {
    if (theory.sources.empty()) refuse("a theory needs at least one source");
    for (const Source& source : theory.sources) std::visit([](const auto& s) { check_source(s); }, source);
    check_network(theory.network);
    if (!theory.network.layers.empty() && theory.network.layers.front().inputs != theory.inputs())
        refuse("the network takes " + std::to_string(theory.network.layers.front().inputs) + " inputs, but the sources give " +
               std::to_string(theory.inputs()));
    if (theory.network.split) {
        const auto* times = std::get_if<Times>(&theory.sources.front());
        if (!times || !times->reflected) refuse("the source of a split network is |t|");
    }
}

void check_times(const std::vector<double>& times) {
    if (times.empty()) refuse("times must have at least one entry");
    for (std::size_t t = 0; t < times.size(); ++t) {
        if (!std::isfinite(times[t])) refuse("times must be finite; times[" + std::to_string(t) + "] is not");
        if (t > 0 && !(times[t] > times[t - 1])) refuse("times must be strictly increasing, at index " + std::to_string(t));
    }
}

void check_lags(const std::vector<std::int64_t>& lags, std::int64_t smallest, std::int64_t n_times, const char* name) {
    for (std::size_t k = 0; k < lags.size(); ++k) {
        if (lags[k] < smallest || lags[k] >= n_times)
            refuse(std::string(name) + " must lie between " + std::to_string(smallest) + " and n_times - 1 = " +
                   std::to_string(n_times - 1) + ", got " + std::to_string(lags[k]));
        if (k > 0 && lags[k] <= lags[k - 1]) refuse(std::string(name) + " must be strictly increasing");
    }
}

void check_measure(const Measure& measure, int channels, std::int64_t n_times, const Sums& sums) {
    const std::size_t n = measure.channels.size();
    if (n == 0 || measure.shift.size() != n || measure.scale.size() != n || measure.orders.size() != n)
        refuse("channels, shift, scale and orders must have the same length, at least 1");
    for (std::size_t i = 0; i < n; ++i) {
        if (measure.channels[i] < 0 || measure.channels[i] >= channels)
            refuse("channel " + std::to_string(measure.channels[i]) + " does not exist: there are " + std::to_string(channels));
        if (!std::isfinite(measure.shift[i]) || !(measure.scale[i] > 0 && std::isfinite(measure.scale[i])))
            refuse("shift must be finite and scale finite and positive");
        if (measure.orders[i] < 1 || measure.orders[i] > 64) refuse("orders must lie between 1 and 64");
    }
    if (measure.neurons.outputs > 0) {
        check_layer(measure.neurons, "neurons");
        activation_index(measure.neurons.activation);
        if (measure.neurons.inputs != static_cast<int>(n)) refuse("neurons must take as many inputs as there are channels");
        if (measure.centres.size() != static_cast<std::size_t>(measure.neurons.outputs))
            refuse("centres must have one entry per neuron");
    }
    check_group(measure.group);
    check_lags(measure.lags, 0, n_times, "lags");
    check_lags(measure.observable_lags, 0, n_times, "observable_lags");
    check_lags(measure.increment_lags, 1, n_times, "increment_lags");
    if (measure.two_time >= static_cast<int>(n)) refuse("two_time must be an index into channels");
    const auto agree = [](bool asked, const void* array, const char* name) {
        if (asked != (array != nullptr))
            refuse(std::string("sums.") + name + (asked ? " is asked for but null" : " is not asked for but given"));
    };
    agree(!measure.lags.empty(), sums.lags, "lags");
    agree(!measure.observable_lags.empty(), sums.observable_lags, "observable_lags");
    agree(!measure.increment_lags.empty(), sums.increments, "increments");
    agree(measure.moments, sums.moments, "moments");
    agree(measure.two_time >= 0, sums.two_time, "two_time");
    agree(measure.two_time >= 0, sums.time_sums, "time_sums");
    if (!sums.paths || !sums.first_bad) refuse("sums.paths and sums.first_bad are null");
}

// A channel that is a function of time alone.
template <class T>
struct TimesPlan {
    int channel;
    const T* values;
};

template <class T>
struct TheoryPlan {
    std::vector<std::vector<T>> storage;
    std::vector<detail::OuPlan<T>> processes;
    std::vector<detail::ChainPlan<T>> chains;
    std::vector<detail::PeriodicChainPlan<T>> periodic_chains;
    std::vector<detail::LinearPlan<T>> linears;
    std::vector<TimesPlan<T>> times;
    std::vector<detail::LayerPlan<T>> layers;
    std::vector<detail::DrawnPlan<T>> drawn;
    detail::NetworkPlan<T> network{};
    int inputs = 0, channels = 0;
    std::int64_t modes = 0;  // of all linear sources

    const T* keep(std::vector<T> values) {
        storage.push_back(std::move(values));
        return storage.back().data();
    }

    void add_network(const Network& net, const std::vector<double>& grid) {
        int widest = std::max(1, inputs);
        for (const Layer& layer : net.layers) {
            layers.push_back(plan_layer(layer));
            widest = std::max(widest, layer.outputs);
        }
        for (std::size_t i = 0; i < net.drawn.size(); ++i)
            drawn.push_back({plan_draws(net.drawn[i].weight_density, layers[i].weights, net.drawn[i].weight_scales),
                             plan_draws(net.drawn[i].bias_density, layers[i].biases, net.drawn[i].bias_scales), net.drawn[i].shared});
        const auto n_negative = std::count_if(grid.begin(), grid.end(), [](double t) { return t < 0; });
        network = {static_cast<int>(layers.size()), inputs, channels - inputs, widest, layers.data(),
                   net.random() ? drawn.data() : nullptr, net.parameters(), net.group, net.split, n_negative, {}};
        if (net.table) network.table = {static_cast<T>(1 / net.table->spacing), keep(cast<T>(net.table->coefficients))};
    }

    detail::LayerPlan<T> plan_layer(const Layer& layer) {
        const T* weights = keep(cast<T>(layer.weights));
        return {layer.inputs, layer.outputs, activation_index(layer.activation), weights, keep(cast<T>(layer.biases))};
    }

    detail::DrawPlan<T> plan_draws(const Density& density, const T* location, const std::vector<double>& scales) {
        const detail::Draw kind = density.kind == DensityKind::gaussian     ? detail::Draw::gaussian
                                  : density.kind == DensityKind::uniform    ? detail::Draw::uniform
                                  : density.kind == DensityKind::laplace    ? detail::Draw::laplace
                                  : density.kind == DensityKind::rademacher ? detail::Draw::rademacher
                                                                            : detail::Draw::student_t;
        return {kind, density.nu, static_cast<std::int64_t>(scales.size()), location, keep(cast<T>(scales))};
    }

    void add(int, const Chain& chain, const std::vector<double>&);
    void add(int, const PeriodicChain& chain, const std::vector<double>&);
    void add(int, const Linear& linear, const std::vector<double>&);
    void add(int, const Times& source, const std::vector<double>&);
    void add(int, const OrnsteinUhlenbeck& ou, const std::vector<double>&);

    std::int64_t parameter_scratch() const {
        return network.drawn ? product({network.parameters, network.group < lanes ? lanes : 1}, "network") : 0;
    }
    std::int64_t hidden_scratch() const {
        return product({2, network.widest, lanes}, "network");
    }
};

template <class T>
void TheoryPlan<T>::add(int first, const Chain& chain, const std::vector<double>&) {
    chains.push_back({first, chain.states, chain.grids, keep(cast<T>(chain.values)), chain.start_threshold.data(),
                      chain.start_alias.data(), chain.threshold.data(), chain.alias.data()});
}

template <class T>
void TheoryPlan<T>::add(int first, const PeriodicChain& chain, const std::vector<double>&) {
    periodic_chains.push_back({first, chain.states, chain.grids, chain.steps, keep(cast<T>(chain.values)), chain.start_threshold.data(),
                               chain.start_alias.data(), chain.step_weights.data(), chain.remaining.data()});
}

template <class T>
void TheoryPlan<T>::add(int first, const Linear& linear, const std::vector<double>&) {
    const std::size_t n_times = linear.mean.size(), n_modes = static_cast<std::size_t>(linear.modes);
    std::vector<T> basis(n_times * n_modes);
    for (std::size_t k = 0; k < n_modes; ++k)
        for (std::size_t t = 0; t < n_times; ++t) basis[t * n_modes + k] = static_cast<T>(linear.basis[k * n_times + t]);
    const T* zeros = keep(std::vector<T>(n_modes, T(0)));
    linears.push_back({first, linear.modes, static_cast<std::int64_t>(linear.rows.size() / n_modes), linear.independent, modes,
                       plan_draws(linear.density, zeros, std::vector<double>(n_modes, 1.0)), keep(cast<T>(linear.mean)),
                       keep(std::move(basis)), keep(cast<T>(linear.rows))});
    modes += linear.modes;
}

template <class T>
void TheoryPlan<T>::add(int first, const Times& source, const std::vector<double>& grid) {
    std::vector<T> values = cast<T>(grid);
    for (T& value : values)
        if (source.reflected) value = std::abs(value);
    times.push_back({first, keep(std::move(values))});
}

template <class T>
void TheoryPlan<T>::add(int first, const OrnsteinUhlenbeck& ou, const std::vector<double>& grid) {
    const std::size_t n = ou.omega.size(), n_times = grid.size();
    std::vector<T> decay(n * n_times), noise(n * n_times);
    for (std::size_t d = 0; d < n; ++d) {
        const double stationary = ou.sigma[d] / std::sqrt(2 * ou.omega[d]);
        decay[d * n_times] = 0;
        noise[d * n_times] = static_cast<T>(stationary);
        // Steps of a uniform grid differ by rounding: equal ones must give equal coefficients, so the nominal step is used.
        const double span = grid.back() - grid.front();
        const double nominal = n_times > 1 ? span / static_cast<double>(n_times - 1) : 0;
        double last = 0;
        for (std::size_t t = 1; t < n_times; ++t) {
            double step = grid[t] - grid[t - 1];
            if (std::abs(step - nominal) <= 1e-9 * nominal) step = nominal;
            const std::size_t at = d * n_times + t;
            if (step == last) {
                decay[at] = decay[at - 1];
                noise[at] = noise[at - 1];
                continue;
            }
            const double a = ou.omega[d] * step;
            decay[at] = static_cast<T>(std::exp(-a));
            noise[at] = static_cast<T>(stationary * std::sqrt(-std::expm1(-2 * a)));
            last = step;
        }
    }
    const T* decay_data = keep(std::move(decay));
    processes.push_back({first, static_cast<int>(n), decay_data, keep(std::move(noise))});
}

int inputs_of(const Source& source) {
    const auto* ou = std::get_if<OrnsteinUhlenbeck>(&source);
    return ou ? static_cast<int>(ou->omega.size()) : 1;
}

template <class T>
TheoryPlan<T> plan_theory(const Theory& theory, const std::vector<double>& times) {
    TheoryPlan<T> plan;
    plan.inputs = theory.inputs();
    plan.channels = theory.channels();
    int first = 0;
    for (const Source& source : theory.sources) {
        std::visit([&](const auto& one) { plan.add(first, one, times); }, source);
        first += inputs_of(source);
    }
    plan.add_network(theory.network, times);
    return plan;
}

struct LagStorage {
    std::vector<std::int64_t> bounds;
    std::vector<unsigned char> weights;
};

detail::LagPlan plan_lags(const std::vector<std::int64_t>& lags, int size, int parts, std::int64_t n_times,
                          LagStorage& storage) {
    std::set<std::int64_t> bounds = {0, n_times};
    for (const std::int64_t lag : lags) {
        bounds.insert(lag);
        bounds.insert(n_times - lag);
    }
    storage.bounds.assign(bounds.begin(), bounds.end());
    for (std::size_t s = 0; s + 1 < storage.bounds.size(); ++s)
        for (const std::int64_t lag : lags)
            storage.weights.push_back(static_cast<unsigned char>((storage.bounds[s] < n_times - lag) + (storage.bounds[s] >= lag)));
    return {static_cast<int>(lags.size()), size, parts, lags.data(),
            static_cast<int>(storage.bounds.size()) - 1, storage.bounds.data(), storage.weights.data()};
}

// Times of a window of which `rows` rows of lanes are held for each time: they take half a megabyte, which a second-level cache holds.
template <class T>
std::int64_t window_size(std::int64_t n_times, std::int64_t rows) {
    const std::int64_t most = (std::int64_t{1} << 19) / (rows * lanes * static_cast<std::int64_t>(sizeof(T)));
    return std::min(n_times, std::max<std::int64_t>(16, most - most % (most < 64 ? 16 : 64)));
}

template <class F>
void for_windows(std::int64_t n_times, std::int64_t size, const F& work) {
    for (std::int64_t begin = 0; begin < n_times; begin += size)
        work(detail::Window{begin, std::min(n_times, begin + size), size, n_times});
}

template <class T>
struct FullMeasurePlan {
    detail::MeasurePlan<T> plan{};
    std::int64_t window;  // does not depend on the theory: paths that are given are summed as those that are sampled
    std::vector<T> shift, inverse_scale, weights, biases, centres;
    LagStorage linear, observables;

    FullMeasurePlan(const Measure& measure, std::int64_t n_times) {
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
            return detail::History{lag, std::max<std::int64_t>(1, (lag + window - 1) / window)};
        };
        plan.linear = history(std::max(largest(measure.lags), largest(measure.increment_lags)));
        plan.observables = history(largest(measure.observable_lags));
    }

    std::int64_t rows(const detail::History& history) const { return history.rows + history.turns * window; }
};

struct GroupBuffers {
    Buffer<double> cumulative, marks, totals;
    GroupBuffers(bool wanted, int size, std::size_t n_lags)
        : cumulative(wanted ? product({size, lanes}, "observables") : 0),
          marks(wanted ? product({2, static_cast<std::int64_t>(n_lags), size, lanes}, "observables") : 0),
          totals(wanted ? product({2, static_cast<std::int64_t>(n_lags), size}, "observables") : 0) {}
    detail::GroupScratch scratch() const { return {cumulative.data(), marks.data(), totals.data()}; }
};

// What one thread works in. Without a theory it holds channels that are given; without a measure it adds up nothing.
template <class T>
struct Workspace {
    Buffer<T> tile, hidden, parameters, coefficients, linear, observables, panels;
    Buffer<std::uint32_t> states;
    Buffer<double> products, before;
    GroupBuffers linear_groups, observable_groups;
    Workspace(std::int64_t n_times, std::int64_t window, int channels, const TheoryPlan<T>* theory, const Measure* measure,
              const FullMeasurePlan<T>* full)
        : tile(product({window, channels, lanes}, "tile")),
          hidden(theory ? theory->hidden_scratch() : 0),
          parameters(theory ? theory->parameter_scratch() : 0),
          coefficients(theory ? product({theory->modes, lanes}, "modes") : 0),
          linear(measure ? product({full->rows(full->plan.linear), measure->linear_size(), lanes}, "channels") : 0),
          observables(measure && !measure->observable_lags.empty()
                          ? product({full->rows(full->plan.observables), measure->size(), lanes}, "observables")
                          : 0),
          panels(measure && measure->two_time >= 0 ? product({n_times + detail::panel, lanes}, "two_time") : 0),
          states(theory ? product({theory->inputs, 2, lanes}, "sources") : 0),
          products(measure ? product({measure->size(), measure->size()}, "observables") : 0),
          before(measure && !measure->lags.empty() ? n_times + 1 : 0),
          linear_groups(measure && measure->group > 1, measure ? measure->linear_size() : 0, measure ? measure->lags.size() : 0),
          observable_groups(measure && measure->group > 1, measure ? measure->size() : 0,
                            measure ? measure->observable_lags.size() : 0) {}
    detail::Scratch<T> scratch() const {
        return {hidden.data(), parameters.data(), coefficients.data(), states.data(), linear.data(), observables.data(),
                panels.data(), products.data(),   before.data(),       linear_groups.scratch(), observable_groups.scratch()};
    }
};

template <class T>
std::vector<Workspace<T>> workspaces(int n, std::int64_t n_times, std::int64_t window, int channels, const TheoryPlan<T>* theory,
                                     const Measure* measure = nullptr, const FullMeasurePlan<T>* full = nullptr) {
    std::vector<Workspace<T>> result;
    result.reserve(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) result.emplace_back(n_times, window, channels, theory, measure, full);
    return result;
}

detail::BlockSums block_sums(const Measure& m, std::int64_t n_times, const Sums& sums, std::int64_t i) {
    const auto at = [i](double* array, std::size_t size) { return array ? array + i * static_cast<std::int64_t>(size) : nullptr; };
    const auto square = [&m](int size) {
        return static_cast<std::size_t>(m.parts()) * static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
    };
    const std::size_t n = m.channels.size(), t = static_cast<std::size_t>(n_times);
    return {at(sums.lags, m.lags.size() * square(m.linear_size())),
            at(sums.observable_lags, m.observable_lags.size() * square(m.size())),
            at(sums.increments, n * m.increment_lags.size() * 2),
            at(sums.moments, n * 4),
            at(sums.time_sums, t),
            at(sums.two_time, t * (t + 1) / 2)};
}

// Of two lanes, of which -1 is none.
int first_of(int a, int b) { return a < 0 || (b >= 0 && b < a) ? b : a; }

void record(const Sums& sums, std::int64_t i, std::int64_t first_path, int n_valid, int bad) {
    sums.paths[i] += n_valid;
    if (bad >= 0 && sums.first_bad[i] < 0) sums.first_bad[i] = first_path + bad;
}

template <class T>
void fill_tile(const TheoryPlan<T>& plan, std::uint64_t key, std::int64_t first_path, const detail::Window& window,
               const Workspace<T>& work, bool network) {
    const auto& kernels = detail::level().kernels<T>();
    for (const auto& process : plan.processes)
        kernels.sample_ou(process, key, first_path, window, plan.channels, work.tile.data());
    for (const auto& chain : plan.chains)
        kernels.sample_chain(chain, key, first_path, window, plan.channels, work.scratch(), work.tile.data());
    for (const auto& chain : plan.periodic_chains)
        kernels.sample_periodic_chain(chain, key, first_path, window, plan.channels, work.scratch(), work.tile.data());
    for (const auto& linear : plan.linears)
        kernels.sample_linear(linear, key, first_path, window, plan.channels, work.scratch(), work.tile.data());
    for (const auto& source : plan.times)
        for (std::int64_t t = window.begin; t < window.end; ++t)
            std::fill_n(work.tile.data() + ((t - window.begin) * plan.channels + source.channel) * lanes, lanes, source.values[t]);
    if (network && plan.network.n_layers > 0)
        kernels.forward(plan.network, key, first_path, window, plan.channels, work.scratch(), work.tile.data());
}

template <class T>
int advance_as(const Theory& theory, const Measure& measure, const Run& run, Range blocks, Range rounds, Sums& sums) {
    const auto n_times = static_cast<std::int64_t>(run.times.size());
    const TheoryPlan<T> plan = plan_theory<T>(theory, run.times);
    const FullMeasurePlan<T> full(measure, n_times);
    const auto& kernels = detail::level().kernels<T>();
    const int n_threads = detail::thread_count(run.n_threads, blocks.end - blocks.begin);
    const auto works = workspaces<T>(n_threads, n_times, full.window, plan.channels, &plan, &measure, &full);
    const std::int64_t tiles = std::max<std::int64_t>(1, measure.group / lanes);
    return detail::for_each(blocks.end - blocks.begin, n_threads, [&](std::int64_t item, int thread) noexcept {
        const auto& work = works[static_cast<std::size_t>(thread)];
        const std::int64_t block = blocks.begin + item, i = block - sums.first_block;
        const detail::BlockSums out = block_sums(measure, n_times, sums, i);
        for (std::int64_t n = rounds.begin * tiles; n < rounds.end * tiles; ++n) {
            const std::int64_t unit = n / tiles * run.n_blocks + block, tile = n % tiles;
            const std::int64_t first_path = (unit * tiles + tile) * lanes;
            if (first_path >= run.n_paths) break;
            const int n_valid = static_cast<int>(std::min<std::int64_t>(lanes, run.n_paths - first_path));
            int bad = -1;
            for_windows(n_times, full.window, [&](const detail::Window& window) {
                fill_tile(plan, run.key, first_path, window, work, true);
                bad = first_of(bad, kernels.accumulate(full.plan, window, plan.channels, work.tile.data(), n_valid, tile == 0,
                                                       tile + 1 == tiles, work.scratch(), out));
            });
            record(sums, i, first_path, n_valid, bad);
        }
    });
}

// Paths row .. row + n - 1 of a strided user array -> lanes skip .. of the tile channels 0 .. C - 1; other lanes are zero.
template <class T>
void load_tile(const ArrayView& view, const detail::Window& window, std::int64_t row, int n, int skip, int channels, T* tile) {
    const std::int64_t n_channels = view.shape[2];
    const char* base = static_cast<const char*>(view.data);
    constexpr std::int64_t step = 16;  // times per visit of a path: few enough that the written rows stay in cache
    for (std::int64_t t0 = window.begin; t0 < window.end; t0 += step) {
        const std::int64_t t1 = std::min(window.end, t0 + step);
        for (int l = 0; l < lanes; ++l) {
            const char* path = base + (row + l - skip) * view.strides[0];
            for (std::int64_t t = t0; t < t1; ++t) {
                for (std::int64_t c = 0; c < n_channels; ++c) {
                    T value = 0;
                    if (l >= skip && l < skip + n) std::memcpy(&value, path + t * view.strides[1] + c * view.strides[2], sizeof(T));
                    tile[((t - window.begin) * channels + c) * lanes + l] = value;
                }
            }
        }
    }
}

// Tile channels first .. first + C - 1 -> contiguous (path, time, channel).
template <class T>
void store_tile(const T* tile, const detail::Window& window, std::int64_t row, int n_valid, int skip, int channels, int first,
                const ArrayOut& out) {
    constexpr int block = 16 / sizeof(T), line = 64 / sizeof(T);
    const std::int64_t n = out.shape[2], stride = out.shape[1] * n, count = (window.end - window.begin) * n;
    T* base = static_cast<T*>(out.data) + row * stride + window.begin * n;
    // Whole cache lines of the result, from rows that stay in the first-level cache until all lanes are served.
    const T* rows[line];
    for (std::int64_t j = 0, time = 0, channel = 0; j < count; j += line) {
        const int n_rows = static_cast<int>(std::min<std::int64_t>(line, count - j));
        for (int r = 0; r < n_rows; ++r) {
            rows[r] = tile + (time * channels + first + channel) * lanes + skip;
            if (++channel == n) channel = 0, ++time;
        }
        const int whole = n_valid - n_valid % block;
        for (int l = 0; n_rows == line && l < whole; l += block) {
            for (int r = 0; r < line; r += block) {
                detail::Block<T> x[block];
                for (int k = 0; k < block; ++k) std::memcpy(&x[k], rows[r + k] + l, sizeof x[k]);
                detail::transpose(x);
                for (int k = 0; k < block; ++k) std::memcpy(base + (l + k) * stride + j + r, &x[k], sizeof x[k]);
            }
        }
        for (int l = n_rows == line ? whole : 0; l < n_valid; ++l)
            for (int r = 0; r < n_rows; ++r) base[l * stride + j + r] = rows[r][l];
    }
}

template <class T>
int sample_as(const Theory& theory, const Run& run, Range paths, const ArrayOut& out) {
    const auto n_times = static_cast<std::int64_t>(run.times.size());
    TheoryPlan<T> plan = plan_theory<T>(theory, run.times);
    const std::int64_t first_tile = paths.begin / lanes, n_tiles = (paths.end + lanes - 1) / lanes - first_tile;
    detail::level();  // throws here, not among the threads, if the environment names one that this processor lacks
    const int n_threads = detail::thread_count(run.n_threads, n_tiles);
    const std::int64_t size = window_size<T>(n_times, plan.channels);
    const auto works = workspaces<T>(n_threads, n_times, size, plan.channels, &plan);
    return detail::for_each(n_tiles, n_threads, [&](std::int64_t item, int thread) noexcept {
        const auto& work = works[static_cast<std::size_t>(thread)];
        const std::int64_t first_path = (first_tile + item) * lanes;
        const std::int64_t from = std::max(first_path, paths.begin), to = std::min(first_path + lanes, paths.end);
        for_windows(n_times, size, [&](const detail::Window& window) {
            fill_tile(plan, run.key, first_path, window, work, false);
            store_tile(work.tile.data(), window, from - paths.begin, static_cast<int>(to - from),
                       static_cast<int>(from - first_path), plan.channels, 0, out);
        });
    });
}

template <class T>
int apply_as(const Network& network, const Run& run, std::int64_t begin, const ArrayView& in, const ArrayOut& out) {
    const auto& kernels = detail::level().kernels<T>();
    TheoryPlan<T> plan;
    plan.inputs = static_cast<int>(in.shape[2]);
    plan.channels = plan.inputs + static_cast<int>(out.shape[2]);
    plan.add_network(network, run.times);
    const std::int64_t n_times = in.shape[1], end = begin + in.shape[0];
    const std::int64_t first_tile = begin / lanes, n_tiles = (end + lanes - 1) / lanes - first_tile;
    const int n_threads = detail::thread_count(run.n_threads, n_tiles);
    const std::int64_t size = window_size<T>(n_times, plan.channels);
    const auto works = workspaces<T>(n_threads, n_times, size, plan.channels, &plan);
    return detail::for_each(n_tiles, n_threads, [&](std::int64_t item, int thread) noexcept {
        const auto& work = works[static_cast<std::size_t>(thread)];
        const std::int64_t first_path = (first_tile + item) * lanes;
        const std::int64_t from = std::max(first_path, begin), to = std::min(first_path + lanes, end);
        const int n = static_cast<int>(to - from), skip = static_cast<int>(from - first_path);
        for_windows(n_times, size, [&](const detail::Window& window) {
            load_tile(in, window, from - begin, n, skip, plan.channels, work.tile.data());
            kernels.forward(plan.network, run.key, first_path, window, plan.channels, work.scratch(), work.tile.data());
            store_tile(work.tile.data(), window, from - begin, n, skip, plan.channels, plan.inputs, out);
        });
    });
}

template <class T>
void draw_as(const Network& network, std::uint64_t key, bool negative, Range groups, const ArrayOut& out) {
    const auto& kernels = detail::level().kernels<T>();
    TheoryPlan<T> plan;
    plan.add_network(network, {});
    const std::int64_t n = plan.network.parameters;
    const Buffer<T> parameters(product({n, lanes}, "network"));
    T* base = static_cast<T*>(out.data);
    for (std::int64_t first = groups.begin; first < groups.end; first += lanes) {
        kernels.draw(plan.network, key, first, negative, parameters.data());
        for (std::int64_t g = first; g < std::min(first + lanes, groups.end); ++g)
            for (std::int64_t i = 0; i < n; ++i) base[(g - groups.begin) * n + i] = parameters.data()[i * lanes + g - first];
    }
}

template <class T>
int accumulate_as(const ArrayView& view, const Measure& measure, const std::vector<std::int64_t>& offsets,
                  std::int64_t path_index, int threads, Sums& sums) {
    const auto& kernels = detail::level().kernels<T>();
    const std::int64_t n_times = view.shape[1];
    const int channels = static_cast<int>(view.shape[2]);
    const FullMeasurePlan<T> full(measure, n_times);
    const int n_threads = detail::thread_count(threads, sums.n_blocks);
    const auto works =
        workspaces<T>(n_threads, n_times, full.window, channels, static_cast<const TheoryPlan<T>*>(nullptr), &measure, &full);
    const std::int64_t tiles = std::max<std::int64_t>(1, measure.group / lanes);
    return detail::for_each(sums.n_blocks, n_threads, [&](std::int64_t b, int thread) noexcept {
        const auto& work = works[static_cast<std::size_t>(thread)];
        const detail::BlockSums out = block_sums(measure, n_times, sums, b);
        const std::int64_t end = offsets[static_cast<std::size_t>(b) + 1];
        std::int64_t tile = 0;
        for (std::int64_t first = offsets[static_cast<std::size_t>(b)]; first < end; first += lanes, ++tile) {
            const int n_valid = static_cast<int>(std::min<std::int64_t>(lanes, end - first));
            int bad = -1;
            for_windows(n_times, full.window, [&](const detail::Window& window) {
                load_tile(view, window, first, n_valid, 0, channels, work.tile.data());
                bad = first_of(bad, kernels.accumulate(full.plan, window, channels, work.tile.data(), n_valid, tile % tiles == 0,
                                                       tile % tiles + 1 == tiles, work.scratch(), out));
            });
            record(sums, b, path_index + first, n_valid, bad);
        }
    });
}

void check_run(const Run& run) {
    check_times(run.times);
    if (run.n_paths < 1) refuse("n_paths must be at least 1, got " + std::to_string(run.n_paths));
    if (run.n_blocks < 1) refuse("n_blocks must be at least 1, got " + std::to_string(run.n_blocks));
    product({run.n_paths, static_cast<std::int64_t>(run.times.size())}, "n_paths * n_times");
}

void check_first_path(std::int64_t first_path, std::int64_t n_paths) {
    if (first_path < 0 || first_path > max_size - n_paths)
        refuse("first_path must lie between 0 and " + std::to_string(max_size) + " less the number of paths, got " + std::to_string(first_path));
}

void check_sums_range(const Sums& sums, Range blocks) {
    if (blocks.begin < sums.first_block || blocks.end > sums.first_block + sums.n_blocks || blocks.begin >= blocks.end)
        refuse("blocks " + std::to_string(blocks.begin) + " .. " + std::to_string(blocks.end) + " are not among those of the sums");
}

}  // namespace

std::int64_t Network::parameters() const {
    std::int64_t n = 0;
    for (const Layer& layer : layers) n += (static_cast<std::int64_t>(layer.inputs) + 1) * layer.outputs;
    return n;
}

int Theory::inputs() const {
    int n = 0;
    for (const Source& source : sources) n += inputs_of(source);
    return n;
}

int Theory::channels() const { return inputs() + (network.layers.empty() ? 0 : network.layers.back().outputs); }

int Measure::size() const {
    int n = linear_size() + std::max(neurons.outputs, 0);
    for (const int order : orders) n += order - 1;
    return n;
}

SumsBuffer::SumsBuffer(const Measure& m, std::int64_t n_times, std::int64_t first_block, std::int64_t n_blocks)
    : first_block_(first_block), n_blocks_(n_blocks) {
    const auto size = [n_blocks](std::initializer_list<std::int64_t> shape) {
        return static_cast<std::size_t>(product({n_blocks, product(shape, "sums")}, "sums"));
    };
    if (n_times < 1 || n_times > (std::int64_t{1} << 31) || n_blocks < 1) refuse("n_times and n_blocks must be positive sizes");
    for (const int order : m.orders)
        if (order < 1 || order > 64) refuse("orders must lie between 1 and 64");
    const auto n = static_cast<std::int64_t>(m.channels.size());
    const std::int64_t g = m.linear_size(), f = m.size();
    lags_.resize(size({static_cast<std::int64_t>(m.lags.size()), m.parts(), g, g}));
    observable_lags_.resize(size({static_cast<std::int64_t>(m.observable_lags.size()), m.parts(), f, f}));
    increments_.resize(size({n, static_cast<std::int64_t>(m.increment_lags.size()), 2}));
    moments_.resize(m.moments ? size({n, 4}) : 0);
    time_sums_.resize(m.two_time >= 0 ? size({n_times}) : 0);
    two_time_.resize(m.two_time >= 0 ? size({n_times * (n_times + 1) / 2}) : 0);
    paths_.resize(static_cast<std::size_t>(n_blocks));
    first_bad_.resize(static_cast<std::size_t>(n_blocks), -1);
}

Sums SumsBuffer::view() {
    const auto pointer = [](std::vector<double>& v) { return v.empty() ? nullptr : v.data(); };
    Sums sums;
    sums.first_block = first_block_;
    sums.n_blocks = n_blocks_;
    sums.lags = pointer(lags_);
    sums.observable_lags = pointer(observable_lags_);
    sums.increments = pointer(increments_);
    sums.moments = pointer(moments_);
    sums.time_sums = pointer(time_sums_);
    sums.two_time = pointer(two_time_);
    sums.paths = paths_.data();
    sums.first_bad = first_bad_.data();
    return sums;
}

int advance(const Theory& theory, const Measure& measure, const Run& run, Range blocks, Range rounds, Sums& sums) {
    check_theory(theory);
    check_run(run);
    check_steps(theory, run.times);
    check_measure(measure, theory.channels(), static_cast<std::int64_t>(run.times.size()), sums);
    check_sums_range(sums, blocks);
    if (blocks.end > run.n_blocks || rounds.begin < 0 || rounds.begin > rounds.end) refuse("blocks or rounds out of range");
    if (measure.group != theory.group()) refuse("the measure must have the group of the theory, " + std::to_string(theory.group()));
    if (run.n_paths % measure.group != 0)
        refuse("n_paths must be a multiple of the group of " + std::to_string(measure.group) + ", got " + std::to_string(run.n_paths));
    check_table_precision(theory.network, run.precision);
    // Rounds beyond the last path are empty, however many are asked for.
    const std::int64_t unit = std::max<std::int64_t>(lanes, measure.group), n_units = (run.n_paths - 1) / unit + 1;
    product({run.n_blocks, unit}, "n_blocks * group");
    const std::int64_t n_rounds = (n_units - 1) / run.n_blocks + 1;
    rounds = {std::min(rounds.begin, n_rounds), std::min(rounds.end, n_rounds)};
    return run.precision == Precision::float32 ? advance_as<float>(theory, measure, run, blocks, rounds, sums)
                                               : advance_as<double>(theory, measure, run, blocks, rounds, sums);
}

int sample(const Theory& theory, const Run& run, Range paths, const ArrayOut& inputs) {
    check_theory(theory);
    check_times(run.times);
    check_steps(theory, run.times);
    if (paths.begin < 0 || paths.end <= paths.begin || paths.end > max_size)
        refuse("paths must be a range that is not empty, from 0 to " + std::to_string(max_size));
    if (inputs.shape[0] != paths.end - paths.begin || inputs.shape[1] != static_cast<std::int64_t>(run.times.size()) ||
        inputs.shape[2] != theory.inputs() || inputs.precision != run.precision || !inputs.data)
        refuse("the array must have shape (paths, times, inputs) and the precision of the run");
    return run.precision == Precision::float32 ? sample_as<float>(theory, run, paths, inputs)
                                               : sample_as<double>(theory, run, paths, inputs);
}

int apply(const Network& network, const Run& run, std::int64_t first_path, const ArrayView& inputs, const ArrayOut& outputs) {
    check_network(network);
    if (network.layers.empty()) refuse("the network has no layers");
    if (inputs.shape[2] != network.layers.front().inputs || outputs.shape[2] != network.layers.back().outputs ||
        inputs.shape[0] != outputs.shape[0] || inputs.shape[1] != outputs.shape[1] || inputs.precision != outputs.precision)
        refuse("inputs and outputs must have shapes (paths, times, inputs), (paths, times, outputs) and one precision");
    if (inputs.shape[0] < 1 || inputs.shape[1] < 1 || !inputs.data || !outputs.data) refuse("the arrays are empty");
    check_first_path(first_path, inputs.shape[0]);
    check_table_precision(network, inputs.precision);
    if (network.split) {
        check_times(run.times);
        if (static_cast<std::int64_t>(run.times.size()) != inputs.shape[1]) refuse("a split network needs the times of the arrays");
    }
    return inputs.precision == Precision::float32 ? apply_as<float>(network, run, first_path, inputs, outputs)
                                                  : apply_as<double>(network, run, first_path, inputs, outputs);
}

int apply(const Network& network, const ArrayView& inputs, const ArrayOut& outputs, int n_threads) {
    if (network.random()) refuse("drawn parameters need a run and the first path");
    Run run;
    run.n_threads = n_threads;
    return apply(network, run, 0, inputs, outputs);
}

void draw(const Network& network, std::uint64_t key, bool negative, Range groups, const ArrayOut& parameters) {
    check_network(network);
    if (!network.random()) refuse("the parameters of the network are fixed");
    if (groups.begin < 0 || groups.end <= groups.begin || groups.end > max_size)
        refuse("groups must be a range that is not empty, from 0 to " + std::to_string(max_size));
    if (parameters.shape[0] != groups.end - groups.begin || parameters.shape[1] != 1 || parameters.shape[2] != network.parameters() ||
        !parameters.data)
        refuse("the array must have shape (groups, 1, parameters)");
    parameters.precision == Precision::float32 ? draw_as<float>(network, key, negative, groups, parameters)
                                               : draw_as<double>(network, key, negative, groups, parameters);
}

int accumulate(const ArrayView& channels, const Measure& measure, const std::vector<std::int64_t>& offsets,
               std::int64_t first_path, int n_threads, Sums& sums) {
    if (channels.shape[1] < 1 || channels.shape[2] < 1 || !channels.data) refuse("the array is empty");
    check_measure(measure, static_cast<int>(channels.shape[2]), channels.shape[1], sums);
    check_first_path(first_path, channels.shape[0]);
    if (static_cast<std::int64_t>(offsets.size()) != sums.n_blocks + 1) refuse("offsets must have n_blocks + 1 entries");
    for (std::size_t b = 0; b + 1 < offsets.size(); ++b)
        if (offsets[b] < 0 || offsets[b + 1] < offsets[b] || offsets[b + 1] > channels.shape[0])
            refuse("offsets must increase from 0 to at most the number of paths");
    for (const std::int64_t offset : offsets)
        if ((offset - offsets.front()) % measure.group != 0)
            refuse("blocks must hold whole groups of " + std::to_string(measure.group) + " paths");
    return channels.precision == Precision::float32
               ? accumulate_as<float>(channels, measure, offsets, first_path, n_threads, sums)
               : accumulate_as<double>(channels, measure, offsets, first_path, n_threads, sums);
}

}  // namespace nnqm
