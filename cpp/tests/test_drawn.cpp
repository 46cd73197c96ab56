// Tests of drawn parameters, groups of paths that share them, and split networks, against plain loops in double
// precision. NNQM_LEVEL selects the level.
#include "drawn_networks.hpp"

namespace {

// The parameters of one group in the order of draw().
Doubles expected_parameters(const nnqm::Network& network, std::uint64_t key, std::int64_t group, bool negative) {
    Doubles all;
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
        const nnqm::Layer& layer = network.layers[i];
        const nnqm::Drawn& drawn = network.drawn[i];
        const bool last = i + 1 == network.layers.size();
        for (const bool biases : {false, true}) {
            // The biases of the last layer of a split network are always shared.
            const bool other = negative && network.split && !drawn.shared && !(biases && last);
            const Word purpose = (other ? 3U : 2U) * 65536U + 2U * static_cast<Word>(i) + (biases ? 1U : 0U);
            const Doubles &location = biases ? layer.biases : layer.weights,
                          &scale = biases ? drawn.bias_scales : drawn.weight_scales;
            for (std::size_t k = 0; k < location.size(); ++k)
                all.push_back(location[k] + scale[k] * draw_of(biases ? drawn.bias_density : drawn.weight_density, key,
                                                               group, static_cast<std::int64_t>(k), purpose));
        }
    }
    return all;
}

template <class T>
void draws_follow_the_random_number_map() {
    const std::uint64_t key = 0xfedcba9876543210U;
    for (const nnqm::Density& density : densities) {
        for (const bool split : {false, true}) {
            nnqm::Network network = random_network(1, {5, 3, 1}, "tanh", 1, density);
            network.split = split;
            network.drawn[1].shared = network.drawn[2].shared = false;
            for (const bool negative : {false, true}) {
                for (const std::int64_t first : {std::int64_t{0}, std::int64_t{37}, (std::int64_t{1} << 32) - 30}) {
                    const std::int64_t n = 67, each = network.parameters();
                    const std::vector<T> got = drawn_parameters<T>(network, key, negative, {first, first + n});
                    double worst = 0;
                    for (std::int64_t g = 0; g < n; ++g) {
                        const Doubles expected = expected_parameters(network, key, first + g, negative);
                        CHECK(expected.size() == size(each), "%d parameters", static_cast<int>(each));
                        for (std::size_t k = 0; k < expected.size(); ++k)
                            worst =
                                std::max(worst, std::fabs(static_cast<double>(got[size(g * each) + k]) - expected[k]) /
                                                    std::max(1.0, std::fabs(expected[k])));
                    }
                    // The tolerance allows for an angle of 2^-24 of a turn near a zero of the cosine, in the tails of
                    // the Cauchy density.
                    CHECK(worst <= (sizeof(T) == 4 ? 3e-6 : 1e-13), "%s density %d: draws are off by %g", name_of<T>,
                          static_cast<int>(density.kind), worst);
                }
            }
        }
    }
}

// The draws have the named densities, standardised as documented: Kolmogorov-Smirnov distance of 2^17 draws.
void draws_have_their_densities() {
    const auto normal_cdf = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
    const auto laplace_cdf = [](double x) {
        return x < 0 ? 0.5 * std::exp(std::sqrt(2.0) * x) : 1 - 0.5 * std::exp(-std::sqrt(2.0) * x);
    };
    const auto uniform_cdf = [](double x) { return std::min(1.0, std::max(0.0, 0.5 + x / std::sqrt(12.0))); };
    const auto cauchy_cdf = [](double x) { return 0.5 + std::atan(x) / pi; };
    const auto student_4_cdf = [](double x) {
        const double t = x * std::sqrt(2.0), s = t / std::sqrt(4 + t * t);  // variance 2 scaled to 1
        return 0.5 + 0.75 * (s - s * s * s / 3);
    };
    const std::vector<std::pair<nnqm::Density, std::function<double(double)>>> cases = {
        {{DensityKind::gaussian, 0}, normal_cdf},
        {{DensityKind::laplace, 0}, laplace_cdf},
        {{DensityKind::uniform, 0}, uniform_cdf},
        {{DensityKind::student_t, 1}, cauchy_cdf},
        {{DensityKind::student_t, 4}, student_4_cdf}};
    for (const auto& [density, cdf] : cases) {
        nnqm::Network network;
        nnqm::Layer layer;
        layer.inputs = 64;
        layer.outputs = 1;
        layer.weights.assign(64, 0);
        layer.biases = {0};
        layer.activation = "identity";
        network.layers = {layer};
        network.drawn = {{density, density, Doubles(64, 1.0), {1.0}, true}};
        Doubles draws = drawn_parameters<double>(network, 5, false, {0, 2048});
        std::sort(draws.begin(), draws.end());
        const auto n = static_cast<double>(draws.size());
        double distance = 0;
        for (std::size_t i = 0; i < draws.size(); ++i)
            distance = std::max(distance, std::fabs(cdf(draws[i]) - (static_cast<double>(i) + 0.5) / n));
        // Exceeded with probability 1e-8.
        CHECK(distance * std::sqrt(n) < 3.1, "density %d: Kolmogorov distance %g", static_cast<int>(density.kind),
              distance);
    }
}

// ---- Networks with these parameters.

Doubles run_network(const nnqm::Network& network, const double* parameters, Doubles value) {
    for (nnqm::Layer layer : network.layers) {
        std::copy(parameters, parameters + layer.weights.size(), layer.weights.begin());
        parameters += layer.weights.size();
        std::copy(parameters, parameters + layer.biases.size(), layer.biases.begin());
        parameters += layer.biases.size();
        value = run_layer(layer, value);
    }
    return value;
}

// The outputs use the parameters of draw(), for every way of sharing them. The widths and numbers of times give every
// remainder.
template <class T>
void paths_use_the_draws() {
    Words words{77};
    for (const std::int64_t group : {1, 2, 8, 64, 256}) {
        for (const std::int64_t n_times : {1, 5, 8, 19}) {
            for (const int width : {1, 2, 5, 7}) {
                const nnqm::Network network = random_network(2, {width, width + 1, 3}, "tanh", group);
                const nnqm::Run run = make_run(1, 1, n_times, precision_of<T>);
                const std::int64_t first = group == 1 ? (std::int64_t{1} << 32) - 50 : 37, n = 131;
                std::vector<T> y;
                for (std::int64_t i = 0; i < n * n_times * 2; ++i) y.push_back(static_cast<T>(words.uniform(-2, 2)));
                const std::vector<T> x = applied_to(network, run, first, y, n, n_times);
                const std::int64_t first_group = first / group, last_group = (first + n - 1) / group;
                const Doubles parameters =
                    drawn_parameters<double>(network, run.key, false, {first_group, last_group + 1});
                double worst = 0;
                for (std::int64_t p = 0; p < n; ++p) {
                    const double* own = parameters.data() + ((first + p) / group - first_group) * network.parameters();
                    for (std::int64_t t = 0; t < n_times; ++t) {
                        const std::int64_t at = p * n_times + t;
                        const Doubles out = run_network(
                            network, own,
                            {static_cast<double>(y[size(2 * at)]), static_cast<double>(y[size(2 * at + 1)])});
                        for (std::int64_t c = 0; c < 3; ++c)
                            worst = std::max(worst, std::fabs(out[size(c)] - static_cast<double>(x[size(at * 3 + c)])));
                    }
                }
                CHECK(worst <= (sizeof(T) == 4 ? 5e-6 : 1e-14), "%s: groups of %d, %d times, width %d: off by %g",
                      name_of<T>, static_cast<int>(group), static_cast<int>(n_times), width, worst);
            }
        }
    }
}

template <class T>
void drawn_bits_do_not_depend_on_ranges_or_threads() {
    for (const std::int64_t group : {1, 8, 64, 256}) {
        const nnqm::Network network = random_network(1, {5, 3, 2}, "gelu", group, {DensityKind::laplace, 0});
        nnqm::Run run = make_run(1, 1, 9, precision_of<T>);
        Words words{5};
        std::vector<T> y;
        for (int i = 0; i < 300 * 9; ++i) y.push_back(static_cast<T>(words.uniform(-2, 2)));
        const std::vector<T> x = applied_to(network, run, 100, y, 300, 9);
        run.n_threads = 5;
        CHECK(applied_to(network, run, 100, y, 300, 9) == x, "%s: five threads", name_of<T>);
        for (const std::int64_t skip : {1, 28, 64, 250}) {
            const std::vector<T> part(y.begin() + skip * 9, y.end());
            const std::vector<T> out = applied_to(network, run, 100 + skip, part, 300 - skip, 9);
            CHECK(std::memcmp(out.data(), x.data() + skip * 18, out.size() * sizeof(T)) == 0,
                  "%s: groups of %d from path %d", name_of<T>, static_cast<int>(group), static_cast<int>(skip));
        }
        CHECK(applied_to(network, run, 356, y, 300, 9) != x, "%s: other paths draw other parameters", name_of<T>);
        run.key += 1;
        CHECK(applied_to(network, run, 100, y, 300, 9) != x, "%s: another key draws other parameters", name_of<T>);
    }
}

// ---- Split networks.

template <class T>
void split_networks_equal_plain_loops() {
    const nnqm::Theory theory = split_theory();
    const nnqm::Network& network = theory.network;
    for (const double first : {-1.0, -0.4, 0.0, 0.3}) {
        nnqm::Run run = make_run(70, 1, 11, precision_of<T>);
        for (std::size_t t = 0; t < run.times.size(); ++t)
            run.times[t] = first + 0.1 * (static_cast<double>(t) + (first > 0 ? 0.5 : 0));
        if (first == -1.0 || first == -0.4) run.times[first == -1.0 ? 10 : 4] = 0;
        const std::vector<T> all = all_channels<T>(theory, run);
        const std::int64_t each = network.parameters(), channels = theory.channels();
        const Doubles sides[2] = {drawn_parameters<double>(network, run.key, false, {0, 70}),
                                  drawn_parameters<double>(network, run.key, true, {0, 70})};
        CHECK(sides[0] != sides[1], "the two sides draw the same");
        double worst = 0;
        for (std::int64_t p = 0; p < 70; ++p) {
            for (std::int64_t t = 0; t < 11; ++t) {
                const double time = run.times[size(t)];
                const double* own = sides[time < 0].data() + p * each;
                const Doubles there = run_network(network, own, {std::fabs(time)}),
                              zero = run_network(network, own, {0.0});
                for (std::int64_t c = 0; c < 2; ++c) {
                    const double bias = sides[0][size((p + 1) * each - 2 + c)];
                    const double expected = there[size(c)] - zero[size(c)] + bias;
                    const auto got = static_cast<double>(all[size((p * 11 + t) * channels + 1 + c)]);
                    worst = std::max(worst, std::fabs(got - expected));
                    if (time == 0)
                        CHECK(std::fabs(got - bias) <= (sizeof(T) == 4 ? 2e-6 : 1e-14), "x(0) = %g, bias %g", got,
                              bias);
                }
                CHECK(static_cast<T>(std::fabs(time)) == all[size((p * 11 + t) * channels)], "%s: |t| at %g",
                      name_of<T>, time);
            }
        }
        CHECK(worst <= (sizeof(T) == 4 ? 5e-6 : 1e-14), "%s: split network from t = %g: off by %g", name_of<T>, first,
              worst);
    }
}

// ---- Fused sums of theories with random parameters: groups stay in one block, and the third matrix agrees with plain
// loops.

nnqm::Measure group_measure(std::int64_t group, int channel) {
    Words words{17};
    nnqm::Measure measure;
    measure.channels = {channel, 0};
    measure.shift = {0.1, 0.0};
    measure.scale = {0.8, 0.7};
    measure.orders = {2, 1};
    measure.neurons = random_layer(2, 2, "tanh", 1.0, words);
    measure.centres = {0.1, -0.2};
    measure.lags = {0, 1, 6};
    measure.observable_lags = {2, 6};
    measure.increment_lags = {1};
    measure.moments = true;
    measure.two_time = 0;
    measure.group = group;
    return measure;
}

template <class T>
void groups_equal_plain_loops() {
    const std::int64_t n_times = 7;
    for (const std::int64_t group : {1, 2, 8, 64, 128, 256}) {
        nnqm::Theory theory;
        theory.sources.push_back(nnqm::OrnsteinUhlenbeck{{1.3}, {0.9}});
        theory.network = random_network(1, {3, 1}, "tanh", group);
        const std::int64_t unit = std::max<std::int64_t>(group, 64), n_blocks = 2;
        const nnqm::Run run = make_run(group < 64 ? 3 * 64 + 2 * group : 3 * unit, n_blocks, n_times, precision_of<T>);
        const nnqm::Measure measure = group_measure(group, 1);
        nnqm::SumsBuffer buffer(measure, n_times, 0, n_blocks);
        nnqm::Sums sums = buffer.view();
        nnqm::advance(theory, measure, run, {0, n_blocks}, {0, 100}, sums);
        const std::vector<T> paths = all_channels<T>(theory, run);
        const std::string name = "groups of " + std::to_string(group);
        check_against_loops(name.c_str(), measure, n_times, 2, paths, sums,
                            [&](std::int64_t p) { return p / unit % n_blocks; });

        const auto compare = [&](const char* what, const std::function<void(nnqm::Sums&)>& fill) {
            nnqm::SumsBuffer other_buffer(measure, n_times, 0, n_blocks);
            nnqm::Sums other = other_buffer.view();
            fill(other);
            check_equal_bits((name + ": " + what).c_str(), measure, n_times, other, sums);
        };
        compare("rounds cut, one thread", [&](nnqm::Sums& other) {
            nnqm::Run slow = run;
            slow.n_threads = 1;
            nnqm::advance(theory, measure, slow, {1, 2}, {0, 1}, other);
            nnqm::advance(theory, measure, slow, {0, 1}, {0, 1}, other);
            nnqm::advance(theory, measure, run, {0, n_blocks}, {1, std::numeric_limits<std::int64_t>::max()}, other);
        });
        compare("staged", [&](nnqm::Sums& other) {
            const std::int64_t row = n_times * 2;
            for (std::int64_t begin = 0; begin < run.n_paths; begin += unit) {
                const std::int64_t end = std::min(run.n_paths, begin + unit);
                const std::vector<T> chunk(paths.begin() + begin * row, paths.begin() + end * row);
                const bool second = begin / unit % n_blocks == 1;
                nnqm::accumulate(view_of(chunk, end - begin, n_times, 2), measure,
                                 {0, second ? 0 : end - begin, end - begin}, begin, 2, other);
            }
        });
    }

    // Several groups per block, each of several tiles.
    Words words{9};
    std::vector<T> data;
    for (std::int64_t i = 0; i < 512 * n_times * 2; ++i) data.push_back(static_cast<T>(words.uniform(-2, 2)));
    const nnqm::Measure measure = group_measure(128, 1);
    nnqm::SumsBuffer buffer(measure, n_times, 0, 2);
    nnqm::Sums sums = buffer.view();
    nnqm::accumulate(view_of(data, 512, n_times, 2), measure, {0, 384, 512}, 0, 2, sums);
    check_against_loops("two tiles a group", measure, n_times, 2, data, sums,
                        [](std::int64_t p) { return p < 384 ? 0 : 1; });
}

// ---- Invalid arguments.

void refusals() {
    const auto nan = std::numeric_limits<double>::quiet_NaN();
    const auto refuse_network = [](const char* what, bool split, const std::function<void(nnqm::Network&)>& spoil) {
        nnqm::Theory theory = split_theory();
        if (!split) {
            theory.sources = {nnqm::OrnsteinUhlenbeck{{1.0}, {1.0}}};
            theory.network = random_network(1, {3, 2}, "tanh", 8);
        }
        nnqm::Run run = make_run(128, 1, 3, Precision::float64);
        Doubles y(size(3)), x(size(6));
        const auto apply = [&] {
            nnqm::apply(theory.network, run, 0, view_of(y, 1, 3, 1), {x.data(), Precision::float64, {1, 3, 2}});
        };
        apply();
        spoil(theory.network);
        CHECK(refused(apply), "%s was accepted", what);
        CHECK(refused([&] { drawn_parameters<double>(theory.network, 1, false, {0, 1}); }), "%s was accepted by draw",
              what);
    };
    refuse_network("no drawn layers for some", false, [](nnqm::Network& n) { n.drawn.pop_back(); });
    for (const std::int64_t group : {0, -1, 3, 65, 96})
        refuse_network("group", false, [&](nnqm::Network& n) { n.group = group; });
    refuse_network("weight scales", false, [](nnqm::Network& n) { n.drawn[0].weight_scales.pop_back(); });
    refuse_network("bias scales", false, [](nnqm::Network& n) { n.drawn[1].bias_scales.push_back(1); });
    for (const double scale : {-1.0, nan, std::numeric_limits<double>::infinity()})
        refuse_network("scale", false, [&](nnqm::Network& n) { n.drawn[1].weight_scales[0] = scale; });
    for (const double nu : {0.0, -1.0, nan})
        refuse_network("nu", false, [&](nnqm::Network& n) { n.drawn[0].bias_density = {DensityKind::student_t, nu}; });
    refuse_network("split groups", true, [](nnqm::Network& n) { n.group = 8; });
    refuse_network("split with a last layer that is not linear", true,
                   [](nnqm::Network& n) { n.layers.back().activation = "tanh"; });

    const auto refuse_theory = [](const char* what,
                                  const std::function<void(nnqm::Theory&, nnqm::Measure&, nnqm::Run&)>& spoil) {
        nnqm::Theory theory;
        theory.sources = {nnqm::OrnsteinUhlenbeck{{1.0}, {1.0}}};
        theory.network = random_network(1, {3, 1}, "tanh", 8);
        nnqm::Measure measure = group_measure(8, 1);
        nnqm::Run run = make_run(128, 1, 7, Precision::float64);
        const auto advance = [&] {
            nnqm::SumsBuffer buffer(measure, 7, 0, 1);
            nnqm::Sums sums = buffer.view();
            nnqm::advance(theory, measure, run, {0, 1}, {0, 2}, sums);
        };
        advance();
        spoil(theory, measure, run);
        CHECK(refused(advance), "%s was accepted", what);
    };
    refuse_theory("another group", [](nnqm::Theory&, nnqm::Measure& m, nnqm::Run&) { m.group = 16; });
    refuse_theory("a group for fixed parameters",
                  [](nnqm::Theory& t, nnqm::Measure&, nnqm::Run&) { t.network.drawn.clear(); });
    refuse_theory("part of a group", [](nnqm::Theory&, nnqm::Measure&, nnqm::Run& r) { r.n_paths = 127; });
    refuse_theory("split without times", [](nnqm::Theory& t, nnqm::Measure& m, nnqm::Run&) {
        t.network.split = true;
        t.network.group = m.group = 1;
    });
    refuse_theory("split without drawn parameters", [](nnqm::Theory& t, nnqm::Measure& m, nnqm::Run&) {
        t.sources = {nnqm::Times{true}};
        t.network.split = true;
        t.network.drawn.clear();
        m.group = 1;
    });
    refuse_theory("split at times that are not reflected", [](nnqm::Theory& t, nnqm::Measure& m, nnqm::Run&) {
        t.sources = {nnqm::Times{false}};
        t.network.split = true;
        t.network.group = m.group = 1;
    });

    const nnqm::Network random = random_network(1, {3, 1}, "tanh", 8);
    Doubles y(20), x(20);
    const auto throws = [](const char* what, const std::function<void()>& call) {
        CHECK(refused(call), "%s was accepted", what);
    };
    throws("drawn parameters without a run",
           [&] { nnqm::apply(random, view_of(y, 4, 5, 1), {x.data(), Precision::float64, {4, 5, 1}}, 1); });
    throws("negative first path", [&] { applied_to(random, make_run(1, 1, 5, Precision::float64), -1, y, 4, 5); });
    throws("times of a split network",
           [&] { applied_to(split_theory().network, make_run(1, 1, 4, Precision::float64), 0, y, 4, 5); });
    nnqm::Network fixed = random;
    fixed.drawn.clear();
    throws("draws of fixed parameters", [&] { drawn_parameters<double>(fixed, 1, false, {0, 2}); });
    throws("no groups", [&] { drawn_parameters<double>(random, 1, false, {2, 2}); });
    throws("negative groups", [&] { drawn_parameters<double>(random, 1, false, {-1, 1}); });
    throws("shape of parameters",
           [&] { nnqm::draw(random, 1, false, {0, 2}, {x.data(), Precision::float64, {2, 1, 9}}); });
}

template <class T>
void both_precisions() {
    draws_follow_the_random_number_map<T>();
    paths_use_the_draws<T>();
    drawn_bits_do_not_depend_on_ranges_or_threads<T>();
    split_networks_equal_plain_loops<T>();
    groups_equal_plain_loops<T>();
}

}  // namespace

int main() {
    return run_tests([] {
        both_precisions<float>();
        both_precisions<double>();
        draws_have_their_densities();
        refusals();
    });
}
