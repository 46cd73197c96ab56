// Theories of the plain-C interface: sources, layers and drawn parameters.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "c_handles.hpp"

using namespace nnqm::detail;

namespace {

static_assert(static_cast<int>(nnqm::DensityKind::gaussian) == NNQM_GAUSSIAN &&
              static_cast<int>(nnqm::DensityKind::uniform) == NNQM_UNIFORM &&
              static_cast<int>(nnqm::DensityKind::laplace) == NNQM_LAPLACE &&
              static_cast<int>(nnqm::DensityKind::rademacher) == NNQM_RADEMACHER &&
              static_cast<int>(nnqm::DensityKind::student_t) == NNQM_STUDENT_T);

static_assert(NNQM_QUANTILES == 2 * nnqm::quantile_octaves * nnqm::quantile_cells * nnqm::quantile_terms);

nnqm::Density density(std::int32_t kind, double nu) {
    return {static_cast<nnqm::DensityKind>(between(NNQM_GAUSSIAN, kind, NNQM_STUDENT_T, "density")), nu};
}

// Completes the draws of a random network: layers without draws get scales of zero.
void complete_draws(nnqm::Network& network) {
    for (std::size_t i = network.drawn.size(); i < network.layers.size(); ++i) {
        nnqm::Drawn fixed;
        fixed.weight_scales.resize(network.layers[i].weights.size());
        fixed.bias_scales.resize(network.layers[i].biases.size());
        network.drawn.push_back(std::move(fixed));
    }
}

void check_inputs(const nnqm::Theory& theory, std::int64_t more) {
    if (theory.inputs() + more > largest_width)
        refuse("a theory must have at most " + std::to_string(largest_width) + " inputs, got " +
               std::to_string(theory.inputs() + more));
}

}  // namespace

extern "C" {

std::int32_t nnqm_theory_create(nnqm_theory** theory) { return create(theory, "theory"); }

void nnqm_theory_destroy(nnqm_theory* theory) { delete theory; }

std::int32_t nnqm_theory_add_ou(nnqm_theory* theory, std::int64_t n, const double* omega, const double* sigma) {
    return guarded([&] {
        nnqm::Theory& t = given(theory, "theory").value;
        check_inputs(t, width(n, "n"));
        t.sources.push_back(nnqm::OrnsteinUhlenbeck{copy(omega, n, "omega"), copy(sigma, n, "sigma")});
    });
}

std::int32_t nnqm_theory_add_chain(nnqm_theory* theory, double dt, std::int64_t states, std::int64_t grids,
                                   const double* values, const std::uint32_t* start_threshold,
                                   const std::uint32_t* start_alias, const std::uint32_t* threshold,
                                   const std::uint32_t* alias) {
    return guarded([&] {
        nnqm::Theory& t = given(theory, "theory").value;
        check_inputs(t, 1);
        nnqm::Chain chain;
        chain.dt = dt;
        chain.states = static_cast<int>(between(1, states, 65536, "states"));
        chain.grids = width(grids, "grids");
        const std::int64_t rows = grids * states;
        chain.values = copy(values, rows, "values");
        chain.start_threshold = copy(start_threshold, rows, "start_threshold");
        chain.start_alias = copy(start_alias, rows, "start_alias");
        chain.threshold = copy(threshold, rows * states, "threshold");
        chain.alias = copy(alias, rows * states, "alias");
        t.sources.push_back(std::move(chain));
    });
}

std::int32_t nnqm_theory_add_periodic_chain(nnqm_theory* theory, double dt, std::int64_t states, std::int64_t grids,
                                            std::int64_t n_times, const double* values,
                                            const std::uint32_t* start_threshold, const std::uint32_t* start_alias,
                                            const std::uint32_t* step_weights, const std::uint32_t* remaining) {
    return guarded([&] {
        nnqm::Theory& t = given(theory, "theory").value;
        check_inputs(t, 1);
        nnqm::PeriodicChain chain;
        chain.dt = dt;
        chain.states = static_cast<int>(between(1, states, 65536, "states"));
        chain.grids = width(grids, "grids");
        chain.steps = static_cast<int>(between(1, n_times, largest_times, "n_times"));
        const std::int64_t rows = grids * states;
        if (n_times > 1 && rows > largest_index / states / (n_times - 1))
            refuse("remaining: the size overflows 64 bits");
        chain.values = copy(values, rows, "values");
        chain.start_threshold = copy(start_threshold, rows, "start_threshold");
        chain.start_alias = copy(start_alias, rows, "start_alias");
        chain.step_weights = copy(step_weights, rows * states, "step_weights");
        chain.remaining = copy(remaining, rows * states * (n_times - 1), "remaining");
        t.sources.push_back(std::move(chain));
    });
}

std::int32_t nnqm_theory_add_linear(nnqm_theory* theory, std::int64_t modes, std::int64_t n_times, const double* mean,
                                    const double* basis, std::int32_t kind, double nu, std::int64_t n_rows,
                                    const double* rows, std::int32_t independent) {
    return guarded([&] {
        nnqm::Theory& t = given(theory, "theory").value;
        check_inputs(t, 1);
        nnqm::Linear linear;
        linear.modes = width(modes, "modes");
        between(1, n_times, largest_times, "n_times");
        between(0, n_rows, largest_times, "n_rows");
        linear.mean = copy(mean, n_times, "mean");
        linear.basis = copy(basis, modes * n_times, "basis");
        linear.density = density(kind, nu);
        linear.rows = copy(rows, n_rows * modes, "rows");
        linear.independent = flag(independent, "independent");
        t.sources.push_back(std::move(linear));
    });
}

std::int32_t nnqm_theory_add_times(nnqm_theory* theory, std::int32_t reflected) {
    return guarded([&] {
        nnqm::Theory& t = given(theory, "theory").value;
        check_inputs(t, 1);
        t.sources.push_back(nnqm::Times{flag(reflected, "reflected")});
    });
}

std::int32_t nnqm_theory_add_modes(nnqm_theory* theory, std::int64_t modes, const double* omega, std::int64_t n_points,
                                   const double* matrix) {
    return guarded([&] {
        nnqm::Theory& t = given(theory, "theory").value;
        check_inputs(t, width(n_points, "n_points"));
        const std::int64_t rates = width(modes, "modes");
        t.sources.push_back(nnqm::Modes{copy(omega, rates, "omega"), copy(matrix, n_points * rates, "matrix")});
    });
}

std::int32_t nnqm_theory_add_random_waves(nnqm_theory* theory, std::int64_t neurons, std::int64_t n_points,
                                          std::int64_t space, const double* points, std::int32_t oscillators,
                                          const double* radius, const double* ratio, double mass, double amplitude,
                                          double power, std::int64_t group) {
    return guarded([&] {
        nnqm::Theory& t = given(theory, "theory").value;
        check_inputs(t, width(n_points, "n_points"));
        nnqm::RandomWaves waves;
        waves.neurons = width(neurons, "neurons");
        waves.n_points = static_cast<int>(n_points);
        waves.space = static_cast<int>(between(0, space, 1024, "space"));
        waves.points = copy(points, n_points * space, "points");
        waves.oscillators = flag(oscillators, "oscillators");
        if (radius) waves.radius.coefficients = copy(radius, NNQM_QUANTILES, "radius");
        if (ratio) waves.ratio.coefficients = copy(ratio, NNQM_QUANTILES, "ratio");
        waves.mass = mass;
        waves.amplitude = amplitude;
        waves.power = power;
        waves.group = between(1, group, largest_group, "group");
        t.sources.push_back(std::move(waves));
    });
}

std::int32_t nnqm_theory_add_layer(nnqm_theory* theory, std::int64_t inputs, std::int64_t outputs,
                                   const double* weights, const double* biases, const char* activation) {
    return guarded([&] {
        nnqm::Network& network = given(theory, "theory").value.network;
        nnqm::Network more = network;
        more.table = nullptr;
        more.layers.push_back(layer(inputs, outputs, weights, biases, activation));
        if (network.random()) complete_draws(more);
        network = std::move(more);
    });
}

std::int32_t nnqm_theory_draw_layer(nnqm_theory* theory, std::int32_t weight_density, double weight_nu,
                                    const double* weight_scales, std::int32_t bias_density, double bias_nu,
                                    const double* bias_scales, std::int32_t shared) {
    return guarded([&] {
        nnqm::Network& network = given(theory, "theory").value.network;
        if (network.layers.empty()) refuse("the network has no layers; add the layer first");
        const nnqm::Layer& last = network.layers.back();
        nnqm::Drawn drawn;
        drawn.weight_density = density(weight_density, weight_nu);
        drawn.bias_density = density(bias_density, bias_nu);
        drawn.weight_scales = copy(weight_scales, static_cast<std::int64_t>(last.weights.size()), "weight_scales");
        drawn.bias_scales = copy(bias_scales, static_cast<std::int64_t>(last.biases.size()), "bias_scales");
        drawn.shared = flag(shared, "shared");
        network.table = nullptr;
        complete_draws(network);
        network.drawn.back() = std::move(drawn);
    });
}

std::int32_t nnqm_theory_set_group(nnqm_theory* theory, std::int64_t group, std::int32_t split) {
    return guarded([&] {
        nnqm::Network& network = given(theory, "theory").value.network;
        const bool two_sides = flag(split, "split");
        network.group = between(1, group, largest_group, "group");
        network.split = two_sides;
    });
}

std::int32_t nnqm_theory_set_training(nnqm_theory* theory, std::int64_t n_points, std::int64_t inputs,
                                      const double* points, std::int64_t outputs, const double* targets,
                                      const double* weights, double rate, std::int64_t steps, std::int32_t last_layer,
                                      std::int32_t unit_draws) {
    return guarded([&] {
        nnqm::Network& network = given(theory, "theory").value.network;
        nnqm::Training training;
        training.steps = between(0, steps, largest_index, "steps");
        if (steps > 0) {
            between(1, n_points, largest_times, "n_points");
            training.points = copy(points, n_points * width(inputs, "inputs"), "points");
            training.targets = copy(targets, n_points * width(outputs, "outputs"), "targets");
            training.weights = weights ? copy(weights, n_points, "weights")
                                       : std::vector<double>(static_cast<std::size_t>(n_points), 1.0);
            training.rate = rate;
            training.last_layer = flag(last_layer, "last_layer");
            training.unit_draws = flag(unit_draws, "unit_draws");
        }
        network.training = std::move(training);
    });
}

std::int32_t nnqm_theory_compile(nnqm_theory* theory, std::int32_t precision, std::int32_t* compiled) {
    return guarded([&] {
        nnqm::Network& network = given(theory, "theory").value.network;
        network.table = precision == 0 ? nullptr : nnqm::compile(network, precision_of(precision));
        if (compiled) *compiled = network.table ? 1 : 0;
    });
}

std::int32_t nnqm_theory_size(const nnqm_theory* theory, std::int64_t* inputs, std::int64_t* channels) {
    return guarded([&] {
        const nnqm::Theory& t = given(theory, "theory").value;
        if (inputs) *inputs = t.inputs();
        if (channels) *channels = t.channels();
    });
}

}  // extern "C"
