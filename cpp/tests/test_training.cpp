// Tests of trained parameters against plain loops in double precision. NNQM_LEVEL selects the level.
#include <cstring>

#include "drawn_networks.hpp"

namespace {

double slope(const std::string& activation, double z) {
    if (activation == "tanh") return 1 - std::tanh(z) * std::tanh(z);
    if (activation == "relu") return z > 0 ? 1 : 0;
    if (activation == "sin") return std::cos(z);
    if (activation == "erf") return 2 / std::sqrt(pi) * std::exp(-z * z);
    if (activation == "sigmoid") return act("sigmoid", z) * (1 - act("sigmoid", z));
    return 1;
}

// The layers of a network, and its values at one point.
struct Plain {
    std::vector<nnqm::Layer> layers;
    std::vector<Doubles> sums, values;

    Plain(const nnqm::Network& network, const double* parameters) : layers(network.layers) {
        for (nnqm::Layer& layer : layers) {
            std::copy(parameters, parameters + layer.weights.size(), layer.weights.begin());
            parameters += layer.weights.size();
            std::copy(parameters, parameters + layer.biases.size(), layer.biases.begin());
            parameters += layer.biases.size();
        }
    }

    const Doubles& run(const Doubles& input) {
        values = {input};
        sums.clear();
        for (const nnqm::Layer& layer : layers) {
            Doubles z = layer.biases, x;
            for (std::size_t o = 0; o < z.size(); ++o) {
                for (std::size_t i = 0; i < values.back().size(); ++i)
                    z[o] += layer.weights[o * values.back().size() + i] * values.back()[i];
                x.push_back(act(layer.activation, z[o]));
            }
            sums.push_back(z);
            values.push_back(x);
        }
        return values.back();
    }

    // Adds the derivatives of sum_c pull[c] f_c at one point, in the order of draw().
    void add_gradient(const Doubles& input, Doubles pull, Doubles& gradient) {
        run(input);
        std::int64_t end = static_cast<std::int64_t>(gradient.size());
        for (std::size_t l = layers.size(); l-- > 0;) {
            const std::size_t n = values[l].size();
            Doubles below(n);
            end -= static_cast<std::int64_t>((n + 1) * pull.size());
            double *weights = gradient.data() + end, *biases = weights + n * pull.size();
            for (std::size_t o = 0; o < pull.size(); ++o) {
                const double delta = pull[o] * slope(layers[l].activation, sums[l][o]);
                for (std::size_t i = 0; i < n; ++i) {
                    weights[o * n + i] += delta * values[l][i];
                    below[i] += layers[l].weights[o * n + i] * delta;
                }
                biases[o] += delta;
            }
            pull = below;
        }
    }
};

Doubles trained_plainly(const nnqm::Network& network, const double* start) {
    const nnqm::Training& training = network.training;
    Doubles parameters(start, start + network.parameters());
    const std::size_t n = training.weights.size(), d = training.points.size() / n, c = training.targets.size() / n;
    for (std::int64_t s = 0; s < training.steps; ++s) {
        Plain plain(network, parameters.data());
        Doubles gradient(parameters.size()), total(c);
        const Doubles zero(d);
        for (std::size_t p = 0; p < n; ++p) {
            const Doubles point(training.points.begin() + static_cast<std::ptrdiff_t>(p * d),
                                training.points.begin() + static_cast<std::ptrdiff_t>((p + 1) * d));
            Doubles pull = plain.run(point);
            const Doubles at_zero = plain.run(zero);
            for (std::size_t k = 0; k < c; ++k) {
                if (network.split) pull[k] += plain.layers.back().biases[k] - at_zero[k];
                pull[k] = training.weights[p] * (pull[k] - training.targets[p * c + k]);
                total[k] -= pull[k];
            }
            plain.add_gradient(point, pull, gradient);
        }
        if (network.split) plain.add_gradient(zero, total, gradient);
        std::size_t at = 0;
        for (std::size_t l = 0; l < network.layers.size(); ++l) {
            const bool last = l + 1 == network.layers.size();
            for (const bool biases : {false, true}) {
                const bool fixed =
                    (training.last_layer && !last) || (network.split && (network.drawn[l].shared || (last && biases)));
                for (const double scale : biases ? network.drawn[l].bias_scales : network.drawn[l].weight_scales) {
                    const double factor = training.unit_draws ? scale * scale : 1;
                    parameters[at] -= fixed ? 0 : training.rate * factor * gradient[at];
                    ++at;
                }
            }
        }
    }
    return parameters;
}

nnqm::Training random_training(int n, int inputs, int outputs, std::int64_t steps, bool positive = false) {
    Words words{91};
    nnqm::Training training;
    for (int i = 0; i < n * inputs; ++i) training.points.push_back(words.uniform(positive ? 0 : -1, 1));
    for (int i = 0; i < n * outputs; ++i) training.targets.push_back(words.uniform(-1, 1));
    for (int i = 0; i < n; ++i) training.weights.push_back(words.uniform(0.2, 1));
    training.rate = 0.1;
    training.steps = steps;
    return training;
}

template <class T>
double worst_difference(const nnqm::Network& network, bool negative, std::int64_t n) {
    nnqm::Network untrained = network;
    untrained.training = {};
    const Doubles start = drawn_parameters<double>(untrained, 3, negative, {5, 5 + n});
    const std::vector<T> got = drawn_parameters<T>(network, 3, negative, {5, 5 + n});
    double worst = 0, moved = 0;
    for (std::int64_t g = 0; g < n; ++g) {
        const double* from = start.data() + g * network.parameters();
        const Doubles expected = trained_plainly(network, from);
        for (std::size_t k = 0; k < expected.size(); ++k) {
            worst =
                std::max(worst, std::fabs(static_cast<double>(got[size(g * network.parameters()) + k]) - expected[k]));
            moved = std::max(moved, std::fabs(expected[k] - from[k]));
        }
    }
    CHECK(network.training.steps == 0 || moved > 1e-3, "the training moves the parameters by %g", moved);
    return worst;
}

template <class T>
void training_equals_plain_loops() {
    for (const char* activation : {"tanh", "relu", "sin", "erf", "sigmoid", "identity"})
        for (const std::vector<int>& widths : {std::vector<int>{2}, {5, 3}, {4, 9, 1}, {3, 5, 6, 2}})
            for (const int points : {1, 4, 16, 19})
                for (const bool last_layer : {false, true})
                    for (const bool unit_draws : {false, true}) {
                        nnqm::Network network = random_network(2, widths, activation, 1);
                        network.training = random_training(points, 2, widths.back(), 5);
                        network.training.last_layer = last_layer;
                        network.training.unit_draws = unit_draws;
                        // Far below the largest stable rate: rounding errors do not grow.
                        network.training.rate = (unit_draws ? 0.2 : 0.05) / points;
                        const double worst = worst_difference<T>(network, false, 3);
                        CHECK(worst <= (sizeof(T) == 4 ? 1e-5 : 1e-13), "%s: %s, %d layers, %d points: off by %g",
                              name_of<T>, activation, static_cast<int>(widths.size()), points, worst);
                    }
}

template <class T>
void each_side_of_a_split_network_is_trained() {
    nnqm::Network network = split_theory().network;
    for (const std::size_t own : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
        for (std::size_t l = 0; l < 3; ++l) network.drawn[l].shared = l != own;
        network.training = random_training(7, 1, 2, 6, true);
        for (const bool negative : {false, true}) {
            const double worst = worst_difference<T>(network, negative, 5);
            CHECK(worst <= (sizeof(T) == 4 ? 1e-5 : 1e-13), "%s: layer %d: off by %g", name_of<T>,
                  static_cast<int>(own), worst);
        }
    }
}

// The bits of a trained network do not depend on its group, its lane, the range and the threads.
template <class T>
void trained_bits_do_not_depend_on_the_route() {
    nnqm::Network network = random_network(1, {5, 6, 2}, "tanh", 1);
    network.training = random_training(6, 1, 2, 4);
    const std::int64_t n = 140, each = network.parameters();
    const std::vector<T> all = drawn_parameters<T>(network, 3, false, {0, n});
    std::vector<T> threads(all.size());
    nnqm::draw(network, 3, false, {0, n}, {threads.data(), precision_of<T>, {n, 1, each}}, 3);
    CHECK(threads == all, "%s: three threads", name_of<T>);
    for (const std::int64_t first : {1, 63, 100}) {
        const std::vector<T> part = drawn_parameters<T>(network, 3, false, {first, n});
        CHECK(std::memcmp(part.data(), all.data() + first * each, part.size() * sizeof(T)) == 0, "%s: from %d",
              name_of<T>, static_cast<int>(first));
    }
    nnqm::Run run = make_run(1, 1, 3, precision_of<T>);
    const std::vector<T> y = {T(-1), T(0.3), T(2)};
    std::vector<T> by_group[4];
    int i = 0;
    for (const std::int64_t group : {1, 8, 64, 256}) {
        network.group = group;
        for (const std::int64_t g : {0, 1, 7}) {
            const std::vector<T> x = applied_to(network, run, g * group, y, 1, 3);
            by_group[i].insert(by_group[i].end(), x.begin(), x.end());
        }
        CHECK(by_group[i] == by_group[0], "%s: groups of %d", name_of<T>, static_cast<int>(group));
        ++i;
    }
    // Windows of time do not train again or differently.
    network.group = 1;
    const std::vector<T> many(20000, T(0.3));
    run = make_run(1, 1, 20000, precision_of<T>);
    const std::vector<T> x = applied_to(network, run, 0, many, 1, 20000);
    CHECK(x[0] == by_group[0][2] && x[39998] == by_group[0][2], "%s: windows", name_of<T>);
}

// A network that diverges has parameters of NaN, its neighbours are unchanged, and its path is recorded.
template <class T>
void divergence_is_recorded() {
    nnqm::Theory theory;
    theory.sources = {nnqm::Times{}};
    theory.network = random_network(1, {9, 1}, "tanh", 1);
    nnqm::Training training = random_training(4, 1, 1, 50);
    training.last_layer = true;
    const auto finite = [&](double rate) {
        training.rate = rate;
        theory.network.training = training;
        std::vector<T> all = drawn_parameters<T>(theory.network, 0x0123456789abcdefU, false, {0, 256});
        std::vector<bool> result;
        for (std::int64_t g = 0; g < 256; ++g) {
            int good = 0;
            for (std::int64_t k = 0; k < theory.network.parameters(); ++k)
                good += std::isfinite(all[size(g * theory.network.parameters() + k)]) ? 1 : 0;
            CHECK(good == 0 || good == theory.network.parameters(), "network %d is NaN in part", static_cast<int>(g));
            result.push_back(good > 0);
        }
        return result;
    };
    double rate = 0.1;
    std::vector<bool> good = finite(rate);
    while (std::count(good.begin(), good.end(), true) > 200) good = finite(rate *= 1.3);
    const auto n_good = std::count(good.begin(), good.end(), true);
    CHECK(n_good > 0, "all diverge at rate %g", rate);
    const auto first = std::find(good.begin(), good.end(), false) - good.begin();
    nnqm::Run run = make_run(256, 1, 3, precision_of<T>);
    nnqm::Measure measure;
    measure.channels = {1};
    measure.shift = {0};
    measure.scale = {1};
    measure.orders = {1};
    measure.moments = true;
    nnqm::SumsBuffer buffer(measure, 3, 0, 1);
    nnqm::Sums sums = buffer.view();
    nnqm::advance(theory, measure, run, {0, 1}, {0, 100}, sums);
    CHECK(sums.first_bad[0] == first, "%s: first bad path is %d, network %d diverges", name_of<T>,
          static_cast<int>(sums.first_bad[0]), static_cast<int>(first));
}

void wrong_trainings_are_refused() {
    const auto refused = [](const char* what, const nnqm::Network& network) {
        try {
            drawn_parameters<double>(network, 1, false, {0, 1});
        } catch (const std::invalid_argument& error) {
            CHECK(std::strstr(error.what(), what), "message is %s", error.what());
            return;
        }
        CHECK(false, "%s is not refused", what);
    };
    const auto with = [](const std::function<void(nnqm::Training&)>& change) {
        nnqm::Network network = random_network(1, {3, 2}, "tanh", 1);
        network.training = random_training(4, 1, 2, 5);
        change(network.training);
        return network;
    };
    refused("steps", with([](nnqm::Training& t) { t.steps = -1; }));
    refused("rate", with([](nnqm::Training& t) { t.rate = 0; }));
    refused("rate", with([](nnqm::Training& t) { t.rate = HUGE_VAL; }));
    refused("finite", with([](nnqm::Training& t) { t.targets[1] = NAN; }));
    refused("negative", with([](nnqm::Training& t) { t.weights[1] = -1; }));
    refused("shapes", with([](nnqm::Training& t) { t.points.pop_back(); }));
    refused("shapes", with([](nnqm::Training& t) { t.targets.pop_back(); }));
    refused("shapes", with([](nnqm::Training& t) { t = {{}, {}, {}, 0.1, 1}; }));
    nnqm::Network split = split_theory().network;
    split.training = random_training(4, 1, 2, 5);
    split.training.points[0] = -1;
    refused("|t|", split);
    split.training.points = {0, 1, 2, 3};
    for (nnqm::Drawn& drawn : split.drawn) drawn.shared = true;
    refused("changes no parameter", split);
    nnqm::Network fixed = random_network(1, {3, 2}, "tanh", 1);
    fixed.drawn.clear();
    fixed.training = random_training(4, 1, 2, 5);
    const std::vector<double> y = {1};
    try {
        applied_to(fixed, make_run(1, 1, 1, nnqm::Precision::float64), 0, y, 1, 1);
        CHECK(false, "a training of fixed parameters is not refused");
    } catch (const std::invalid_argument&) {}
}

template <class T>
void run_all() {
    training_equals_plain_loops<T>();
    each_side_of_a_split_network_is_trained<T>();
    trained_bits_do_not_depend_on_the_route<T>();
    divergence_is_recorded<T>();
}

}  // namespace

int main() {
    return run_tests([] {
        run_all<float>();
        run_all<double>();
        wrong_trainings_are_refused();
    });
}
