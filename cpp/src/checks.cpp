#include "checks.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels.hpp"
#include "plans.hpp"

namespace nnqm::detail {

void refuse(const std::string& message) { throw std::invalid_argument(message); }

std::int64_t product(std::initializer_list<std::int64_t> factors, const char* what) {
    std::int64_t result = 1;
    for (const std::int64_t f : factors) {
        if (f < 0) refuse(std::string(what) + ": negative size " + std::to_string(f));
        if (f > 0 && result > max_size / f) refuse(std::string(what) + ": the product of the sizes overflows 64 bits");
        result *= f;
    }
    return result;
}

int activation_index(const std::string& name) {
    const std::vector<std::string> all = activations();
    const auto found = std::find(all.begin(), all.end(), name);
    if (found == all.end()) refuse("activation \"" + name + "\" is unknown; activations() lists the names");
    return static_cast<int>(found - all.begin());
}

namespace {

void check_layer(const Layer& layer, const std::string& name) {
    if (layer.inputs < 1 || layer.outputs < 1)
        refuse(name + ": a layer must have at least one input and one output, got " + std::to_string(layer.inputs) +
               " and " + std::to_string(layer.outputs));
    if (static_cast<std::int64_t>(layer.weights.size()) != product({layer.outputs, layer.inputs}, "weights"))
        refuse(name + ": weights must have outputs * inputs = " + std::to_string(layer.outputs) + " * " +
               std::to_string(layer.inputs) + " entries, got " + std::to_string(layer.weights.size()));
    if (layer.biases.size() != static_cast<std::size_t>(layer.outputs))
        refuse(name + ": biases must have " + std::to_string(layer.outputs) + " entries, got " +
               std::to_string(layer.biases.size()));
}

void check_density(const Density& density, const std::string& name) {
    if (density.kind == DensityKind::student_t && !(density.nu > 0 && std::isfinite(density.nu)))
        refuse(name + ": nu must be finite and positive");
}

void check_group(std::int64_t group, const char* name = "group") {
    if (group < 1 || (lanes % group != 0 && group % lanes != 0))
        refuse(std::string(name) + " must divide " + std::to_string(lanes) + " or be a multiple of it, got " +
               std::to_string(group));
}

void check_drawn(const Network& network) {
    if (network.drawn.size() != network.layers.size())
        refuse("drawn must have no entries or one per layer, " + std::to_string(network.layers.size()) + ", got " +
               std::to_string(network.drawn.size()));
    check_group(network.group);
    if (network.parameters() > std::int64_t{1} << 32 || network.layers.size() > 32768)
        refuse("a network with drawn parameters must have at most 2^32 parameters and 32768 layers");
    for (std::size_t i = 0; i < network.drawn.size(); ++i) {
        const Drawn& drawn = network.drawn[i];
        const std::string name = "layer " + std::to_string(i);
        check_density(drawn.weight_density, name);
        check_density(drawn.bias_density, name);
        if (drawn.weight_scales.size() != network.layers[i].weights.size() ||
            drawn.bias_scales.size() != network.layers[i].biases.size())
            refuse(name + ": scales must have one entry per weight and per bias");
        for (const auto& scales : {drawn.weight_scales, drawn.bias_scales})
            for (const double scale : scales)
                if (!(scale >= 0 && std::isfinite(scale))) refuse(name + ": scales must be finite and not negative");
    }
    if (network.split) {
        if (network.layers.front().inputs != 1 || network.group != 1)
            refuse("a split network must have one input and group 1");
        if (network.layers.back().activation != "identity" || network.layers.size() < 2)
            refuse("a split network must have a hidden layer and a linear last layer");
    }
}

void check_training(const Network& network) {
    const Training& training = network.training;
    if (training.steps < 0) refuse("steps of a training must not be negative, got " + std::to_string(training.steps));
    if (training.steps == 0) return;
    if (!network.random()) refuse("a training needs drawn parameters");
    const auto n = static_cast<std::int64_t>(training.weights.size());
    const int inputs = network.layers.front().inputs, outputs = network.layers.back().outputs;
    if (n < 1 || static_cast<std::int64_t>(training.points.size()) != product({n, inputs}, "points") ||
        static_cast<std::int64_t>(training.targets.size()) != product({n, outputs}, "targets"))
        refuse("points, targets and weights of a training must have shapes (P, " + std::to_string(inputs) + "), (P, " +
               std::to_string(outputs) + ") and (P), P at least 1; got " + std::to_string(training.points.size()) +
               ", " + std::to_string(training.targets.size()) + " and " + std::to_string(n) + " numbers");
    for (const auto* values : {&training.points, &training.targets, &training.weights})
        for (const double value : *values)
            if (!std::isfinite(value)) refuse("points, targets and weights of a training must be finite");
    for (const double weight : training.weights)
        if (weight < 0) refuse("weights of a training must not be negative");
    if (!(training.rate > 0 && std::isfinite(training.rate)))
        refuse("rate of a training must be finite and positive, got " + std::to_string(training.rate));
    if (network.split)
        for (const double point : training.points)
            if (point < 0) refuse("points of a training of a split network are values of |t| and must not be negative");
    bool moves = false;
    for (std::size_t i = 0; i < network.layers.size(); ++i)
        for (const double rate : training_rates(network, i)) moves = moves || rate > 0;
    if (!moves) refuse("the training changes no parameter: their scales are 0, or all its layers are shared");
}

void check_source(const OrnsteinUhlenbeck& ou) {
    if (ou.omega.empty() || ou.omega.size() != ou.sigma.size())
        refuse("omega and sigma must have the same length, at least 1");
    for (std::size_t i = 0; i < ou.omega.size(); ++i)
        if (!(ou.omega[i] > 0 && std::isfinite(ou.omega[i]) && ou.sigma[i] > 0 && std::isfinite(ou.sigma[i])))
            refuse("omega and sigma must be finite and positive");
}

template <class V>
void check_table(const V& table, std::int64_t size) {
    if (static_cast<std::int64_t>(table.size()) != size)
        refuse("a table of a chain must have " + std::to_string(size) + " entries, got " +
               std::to_string(table.size()));
}

void check_aliases(const std::vector<std::uint32_t>& aliases, int states) {
    for (const std::uint32_t state : aliases)
        if (state >= static_cast<std::uint32_t>(states))
            refuse("aliases of a chain must be states below " + std::to_string(states) + ", got " +
                   std::to_string(state));
}

template <class C>
std::int64_t check_chain(const C& chain) {
    if (chain.states < 1 || chain.states > 65536 || chain.grids < 1)
        refuse("a chain must have 1 to 65536 states and at least one grid");
    const std::int64_t rows = product({chain.grids, chain.states}, "chain"),
                       square = product({rows, chain.states}, "chain");
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
    if (chain.steps < 1) refuse("a periodic chain must have at least one step, got " + std::to_string(chain.steps));
    check_table(chain.step_weights, square);
    check_table(chain.remaining, product({chain.steps - 1, square}, "chain"));
    for (const auto* weights : {&chain.step_weights, &chain.remaining})
        for (const std::uint32_t weight : *weights)
            if (weight >> 31) refuse("weights of a periodic chain must be below 2^31");
}

void check_source(const Linear& linear) {
    if (linear.modes < 1 || linear.mean.empty()) refuse("a linear source must have at least one mode and one time");
    const auto n_times = static_cast<std::int64_t>(linear.mean.size());
    if (static_cast<std::int64_t>(linear.basis.size()) != product({linear.modes, n_times}, "basis"))
        refuse("basis must have modes * times = " + std::to_string(linear.modes) + " * " + std::to_string(n_times) +
               " entries, got " + std::to_string(linear.basis.size()));
    if (linear.rows.size() % static_cast<std::size_t>(linear.modes) != 0 ||
        linear.rows.size() / static_cast<std::size_t>(linear.modes) > 0xffffffffU)
        refuse("rows must have shape (R, modes), R < 2^32");
    check_density(linear.density, "density");
    for (const auto* values : {&linear.mean, &linear.basis, &linear.rows})
        for (const double value : *values)
            if (!std::isfinite(value)) refuse("mean, basis and rows of a linear source must be finite");
}

void check_source(const Times&) {}

void check_source(const Modes& modes) {
    if (modes.omega.empty() || modes.matrix.empty() || modes.matrix.size() % modes.omega.size() != 0)
        refuse("the matrix of modes must have shape (S, J), with S and the number of rates J at least 1");
    for (const double omega : modes.omega)
        if (!(omega > 0 && std::isfinite(omega))) refuse("omega of modes must be finite and positive");
    for (const double value : modes.matrix)
        if (!std::isfinite(value)) refuse("the matrix of modes must be finite");
}

void check_quantiles(const Quantiles& quantiles, bool needed, const char* name) {
    constexpr std::size_t size = std::size_t{2} * quantile_octaves * quantile_cells * quantile_terms;
    if (quantiles.coefficients.size() != (needed ? size : 0))
        refuse(std::string(name) + " must have " + (needed ? std::to_string(size) : "no") + " coefficients, got " +
               std::to_string(quantiles.coefficients.size()));
    for (const double value : quantiles.coefficients)
        if (!std::isfinite(value)) refuse(std::string(name) + " must be finite");
}

void check_source(const RandomWaves& waves) {
    if (waves.neurons < 1 || waves.space < 0 || waves.n_points < 1 || waves.neurons > 1 << 24 || waves.space > 1024)
        refuse("random waves must have 1 to 2^24 neurons, 0 to 1024 components of space and at least one point");
    if (static_cast<std::int64_t>(waves.points.size()) != product({waves.n_points, waves.space}, "points"))
        refuse("points of random waves must have shape (S, space)");
    for (const double value : waves.points)
        if (!std::isfinite(value)) refuse("points of random waves must be finite");
    const bool ratio = !waves.ratio.coefficients.empty();
    if (ratio && waves.oscillators) refuse("ratio must be empty for random waves with oscillators");
    check_quantiles(waves.radius, radial_components(waves) > 0, "radius");
    check_quantiles(waves.ratio, ratio, "ratio");
    // Blocks of random words of one source are numbered by 32 bits.
    if ((2 + (std::int64_t{radial_components(waves)} + 3) / 4) * waves.neurons > std::int64_t{1} << 32)
        refuse("random waves with " + std::to_string(waves.space) + " components of space have too many neurons, " +
               std::to_string(waves.neurons));
    if (!(waves.mass >= 0 && std::isfinite(waves.mass)) || (waves.mass == 0 && radial_components(waves) == 0))
        refuse("mass of random waves must be finite and not negative, and positive without components of space");
    if (!std::isfinite(waves.amplitude) || !std::isfinite(waves.power))
        refuse("amplitude and power of random waves must be finite");
    check_group(waves.group);
}

void check_lags(const std::vector<std::int64_t>& lags, std::int64_t smallest, std::int64_t n_times, const char* name) {
    for (std::size_t k = 0; k < lags.size(); ++k) {
        if (lags[k] < smallest || lags[k] >= n_times)
            refuse(std::string(name) + " must lie between " + std::to_string(smallest) +
                   " and n_times - 1 = " + std::to_string(n_times - 1) + ", got " + std::to_string(lags[k]));
        if (k > 0 && lags[k] <= lags[k - 1]) refuse(std::string(name) + " must be strictly increasing");
    }
}

}  // namespace

std::vector<double> training_rates(const Network& network, std::size_t i) {
    const Training& training = network.training;
    const Drawn& drawn = network.drawn[i];
    const bool last = i + 1 == network.layers.size();
    std::vector<double> rates;
    for (const bool biases : {false, true}) {
        const bool fixed = (training.last_layer && !last) || (network.split && (drawn.shared || (last && biases)));
        for (const double scale : biases ? drawn.bias_scales : drawn.weight_scales)
            rates.push_back(fixed ? 0 : training.rate * (training.unit_draws ? scale * scale : 1));
    }
    return rates;
}

void check_network(const Network& network) {
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
    check_training(network);
    if (network.table) {
        const Table& table = *network.table;
        const int terms = table.precision == Precision::float32 ? table_terms<float> : table_terms<double>;
        if (network.random() || network.layers.empty() || network.layers.front().inputs != 1)
            refuse("a network with a table must have one input and fixed parameters");
        if (table.half_cells != half_cells || table.terms != terms || !(table.spacing > 0) ||
            static_cast<std::int64_t>(table.coefficients.size()) !=
                product({2 * half_cells + 1, network.layers.back().outputs, terms}, "table"))
            refuse("the table must be one that compile() made for this network");
    }
}

void check_table_precision(const Network& network, Precision precision) {
    if (network.table && network.table->precision != precision)
        refuse("the table of the network is for another precision");
}

void check_theory(const Theory& theory) {
    if (theory.sources.empty()) refuse("a theory needs at least one source");
    std::int64_t processes = 0, inputs = 0;
    for (const Source& source : theory.sources) {
        std::visit([](const auto& s) { check_source(s); }, source);
        if (const auto* modes = std::get_if<Modes>(&source))
            processes += static_cast<std::int64_t>(modes->omega.size());
        const auto* waves = std::get_if<RandomWaves>(&source);
        if (waves && inputs >= 65536)
            refuse("at most 65536 inputs may precede random waves, got " + std::to_string(inputs));
        inputs += inputs_of(source);
        if (waves && waves->oscillators) processes += 2 * static_cast<std::int64_t>(waves->neurons);
        if (waves && waves->group != 1 && waves->group != theory.group())
            refuse("all random parameters must be shared by the same number of paths, got groups of " +
                   std::to_string(waves->group) + " and " + std::to_string(theory.group()));
    }
    if (processes > 65536)
        refuse("modes and random waves must have at most 65536 processes, got " + std::to_string(processes));
    check_network(theory.network);
    if (theory.network.random() && theory.network.group != theory.group())
        refuse("the network and the random waves must have the same group, got " +
               std::to_string(theory.network.group) + " and " + std::to_string(theory.group()));
    if (!theory.network.layers.empty() && theory.network.layers.front().inputs != theory.inputs())
        refuse("the network takes " + std::to_string(theory.network.layers.front().inputs) +
               " inputs, but the sources give " + std::to_string(theory.inputs()));
    if (theory.network.split) {
        const auto* times = std::get_if<Times>(&theory.sources.front());
        if (!times || !times->reflected) refuse("the source of a split network must be |t|");
    }
}

void check_times(const std::vector<double>& times) {
    if (times.empty()) refuse("times must have at least one entry");
    for (std::size_t t = 0; t < times.size(); ++t) {
        if (!std::isfinite(times[t])) refuse("times must be finite; times[" + std::to_string(t) + "] is not");
        if (t > 0 && !(times[t] > times[t - 1]))
            refuse("times must be strictly increasing; times[" + std::to_string(t) +
                   "] is not above the time before it");
    }
}

void check_steps(const Theory& theory, const std::vector<double>& times) {
    const auto chain_step = [&times](double dt) {
        for (std::size_t t = 1; t < times.size(); ++t)
            if (std::abs(times[t] - times[t - 1] - dt) > 1e-9 * dt + 1e-15 * std::abs(times[t]))
                refuse("times must have the step of the chain, " + std::to_string(dt) + "; the step to times[" +
                       std::to_string(t) + "] differs");
    };
    const auto n_times = [&times](std::size_t n, const char* what) {
        if (times.size() != n)
            refuse(std::string(what) + " is made for " + std::to_string(n) + " times, got " +
                   std::to_string(times.size()));
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

void check_orders(const std::vector<int>& orders) {
    for (const int order : orders)
        if (order < 1 || order > 64) refuse("orders must lie between 1 and 64, got " + std::to_string(order));
}

void check_products(const Measure& measure) {
    int position = measure.size() - static_cast<int>(measure.products.size());
    for (const std::array<int, 2>& factors : measure.products) {
        for (const int factor : factors)
            if (factor < 1 || factor >= position)
                refuse("factors of a product must lie between 1 and " + std::to_string(position - 1) +
                       ", the observables before it, got " + std::to_string(factor));
        ++position;
    }
}

void check_measure(const Measure& measure, int channels, std::int64_t n_times, const Sums& sums) {
    const std::size_t n = measure.channels.size();
    if (n == 0 || measure.shift.size() != n || measure.scale.size() != n || measure.orders.size() != n)
        refuse("channels, shift, scale and orders must have the same length, at least 1");
    for (std::size_t i = 0; i < n; ++i) {
        if (measure.channels[i] < 0 || measure.channels[i] >= channels)
            refuse("channel " + std::to_string(measure.channels[i]) + " does not exist: there are " +
                   std::to_string(channels));
        if (!std::isfinite(measure.shift[i]) || !(measure.scale[i] > 0 && std::isfinite(measure.scale[i])))
            refuse("shift must be finite and scale finite and positive");
    }
    check_orders(measure.orders);
    if (measure.neurons.outputs > 0) {
        check_layer(measure.neurons, "neurons");
        activation_index(measure.neurons.activation);
        if (measure.neurons.inputs != static_cast<int>(n))
            refuse("neurons must have one input per channel, " + std::to_string(n) + ", got " +
                   std::to_string(measure.neurons.inputs));
        if (measure.centres.size() != static_cast<std::size_t>(measure.neurons.outputs))
            refuse("centres must have one entry per neuron, " + std::to_string(measure.neurons.outputs) + ", got " +
                   std::to_string(measure.centres.size()));
    }
    check_products(measure);
    check_group(measure.group);
    check_lags(measure.lags, 0, n_times, "lags");
    check_lags(measure.observable_lags, 0, n_times, "observable_lags");
    check_lags(measure.increment_lags, 1, n_times, "increment_lags");
    if (measure.two_time >= static_cast<int>(n))
        refuse("two_time must be an index into the " + std::to_string(n) + " channels, got " +
               std::to_string(measure.two_time));
    for (const SumShape& one : sum_shapes(measure, n_times))
        if (one.asked != (sums.*one.array != nullptr))
            refuse(std::string("sums.") + one.name +
                   (one.asked ? " is null, but the measure requests it"
                              : " must be null: the measure does not request it"));
    if (!sums.paths || !sums.first_bad) refuse("sums.paths and sums.first_bad must not be null");
}

void check_run(const Run& run) {
    check_times(run.times);
    if (run.n_paths < 1) refuse("n_paths must be at least 1, got " + std::to_string(run.n_paths));
    if (run.n_blocks < 1) refuse("n_blocks must be at least 1, got " + std::to_string(run.n_blocks));
    product({run.n_paths, static_cast<std::int64_t>(run.times.size())}, "n_paths * n_times");
}

void check_futures(const Theory& theory, std::int64_t futures) {
    if (futures == 1) return;
    check_group(futures, "futures");
    for (const Source& source : theory.sources) {
        const auto* waves = std::get_if<RandomWaves>(&source);
        if (waves && waves->group % futures != 0)
            refuse("the group of random waves must be a multiple of futures = " + std::to_string(futures) + ", got " +
                   std::to_string(waves->group));
        if (!std::holds_alternative<OrnsteinUhlenbeck>(source) && !std::holds_alternative<Chain>(source) &&
            !std::holds_alternative<Modes>(source) && !(waves && waves->oscillators))
            refuse(
                "futures need Markov processes as sources: Ornstein-Uhlenbeck processes, chains, modes or random "
                "waves with oscillators");
    }
    if (theory.network.random() && theory.network.group % futures != 0)
        refuse("the group of the network must be a multiple of futures = " + std::to_string(futures) + ", got " +
               std::to_string(theory.network.group));
}

void check_first_path(std::int64_t first_path, std::int64_t n_paths) {
    if (first_path < 0 || first_path > max_size - n_paths)
        refuse("first_path must lie between 0 and " + std::to_string(max_size) + " less the number of paths, got " +
               std::to_string(first_path));
}

void check_sums_range(const Sums& sums, Range blocks) {
    if (blocks.begin < sums.first_block || blocks.end > sums.first_block + sums.n_blocks || blocks.begin >= blocks.end)
        refuse("blocks " + std::to_string(blocks.begin) + " .. " + std::to_string(blocks.end) +
               " must be a non-empty range within the blocks of the sums, " + std::to_string(sums.first_block) +
               " .. " + std::to_string(sums.first_block + sums.n_blocks));
}

}  // namespace nnqm::detail
