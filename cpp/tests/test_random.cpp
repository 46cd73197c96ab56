// Drawn parameters, groups of paths that share them, split networks, and the sources that are not stationary processes, against
// plain loops in double precision. NNQM_LEVEL chooses the level.
#include "plain.hpp"

namespace {

using nnqm::DensityKind;
using Word = std::uint32_t;
__extension__ typedef unsigned __int128 Wide;

constexpr double pi = 3.14159265358979323846;

// ---- Draws of every density, from the random-number map as nnqm.hpp has it.

double draw_of(const nnqm::Density& density, std::uint64_t key, std::int64_t index, std::int64_t step, Word purpose) {
    if (density.kind == DensityKind::gaussian) return normal(key, index, step, purpose);
    Word c[4] = {static_cast<Word>(index), static_cast<Word>(index >> 32), static_cast<Word>(step / 2), purpose};
    philox(c, key);
    const Word a = c[step % 2 * 2], b = c[step % 2 * 2 + 1];
    const double u = (a + ((b & 255U) + 0.5) / 256) / 4294967296.0;
    switch (density.kind) {
    case DensityKind::uniform: {
        // The word as a signed number, of which there are as many on either side of zero.
        const double centred = a < 0x80000000U ? a + 0.5 : a + 0.5 - 4294967296.0;
        return std::sqrt(12.0) * centred / 4294967296.0;
    }
    case DensityKind::laplace: return (b < 0x80000000U ? -1 : 1) * std::log(u) / std::sqrt(2.0);
    case DensityKind::rademacher: return a < 0x80000000U ? 1 : -1;
    default: break;
    }
    // Bailey: sqrt(nu (u^(-2/nu) - 1)) cos(angle) has Student's distribution, with the variance nu / (nu - 2).
    const double nu = density.nu, angle = 2 * pi * ((b >> 8) + 0.5) / 16777216.0;
    return std::sqrt(nu * std::expm1(-2 / nu * std::log(u))) * std::cos(angle) / (nu > 2 ? std::sqrt(nu / (nu - 2)) : 1);
}

const std::vector<nnqm::Density> densities = {{DensityKind::gaussian, 0},  {DensityKind::uniform, 0},    {DensityKind::laplace, 0},
                                              {DensityKind::rademacher, 0}, {DensityKind::student_t, 7.5}, {DensityKind::student_t, 1}};

nnqm::Drawn drawn_layer(const nnqm::Layer& layer, const nnqm::Density& weights, const nnqm::Density& biases, Words& words) {
    nnqm::Drawn drawn;
    drawn.weight_density = weights;
    drawn.bias_density = biases;
    for (std::size_t i = 0; i < layer.weights.size(); ++i) drawn.weight_scales.push_back(i == 1 ? 0.0 : words.uniform(0.1, 0.8));
    for (std::size_t i = 0; i < layer.biases.size(); ++i) drawn.bias_scales.push_back(words.uniform(0, 0.5));
    return drawn;
}

// Odd widths, and densities that differ between layers, weights and biases.
nnqm::Network random_network(int inputs, const std::vector<int>& widths, const std::string& activation, std::int64_t group,
                             const nnqm::Density& density = {DensityKind::gaussian, 0}) {
    Words words{static_cast<std::uint64_t>(inputs) + 31 * widths.size()};
    nnqm::Network network;
    network.group = group;
    for (std::size_t i = 0; i < widths.size(); ++i) {
        const bool last = i + 1 == widths.size();
        network.layers.push_back(random_layer(i == 0 ? inputs : widths[i - 1], widths[i], last ? "identity" : activation, 0.5, words));
        network.drawn.push_back(drawn_layer(network.layers.back(), density, densities[i % 3], words));
    }
    return network;
}

// The parameters of one group, in the order of draw().
Doubles expected_parameters(const nnqm::Network& network, std::uint64_t key, std::int64_t group, bool negative) {
    Doubles all;
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
        const nnqm::Layer& layer = network.layers[i];
        const nnqm::Drawn& drawn = network.drawn[i];
        const bool last = i + 1 == network.layers.size();
        for (const bool biases : {false, true}) {
            // A split network's last biases are always shared.
            const bool other = negative && network.split && !drawn.shared && !(biases && last);
            const Word purpose = (other ? 3U : 2U) * 65536U + 2U * static_cast<Word>(i) + (biases ? 1U : 0U);
            const Doubles &location = biases ? layer.biases : layer.weights, &scale = biases ? drawn.bias_scales : drawn.weight_scales;
            for (std::size_t k = 0; k < location.size(); ++k)
                all.push_back(location[k] + scale[k] * draw_of(biases ? drawn.bias_density : drawn.weight_density, key, group,
                                                               static_cast<std::int64_t>(k), purpose));
        }
    }
    return all;
}

template <class T>
std::vector<T> drawn_parameters(const nnqm::Network& network, std::uint64_t key, bool negative, nnqm::Range groups) {
    std::vector<T> out(size((groups.end - groups.begin) * network.parameters()));
    nnqm::draw(network, key, negative, groups, {out.data(), precision_of<T>, {groups.end - groups.begin, 1, network.parameters()}});
    return out;
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
                            worst = std::max(worst, std::fabs(static_cast<double>(got[size(g * each) + k]) - expected[k]) /
                                                        std::max(1.0, std::fabs(expected[k])));
                    }
                    // An angle of 2^-24 of a turn near a zero of the cosine, in the tails of Cauchy's density.
                    CHECK(worst <= (sizeof(T) == 4 ? 3e-6 : 1e-13), "%s density %d: draws are off by %g", name_of<T>,
                          static_cast<int>(density.kind), worst);
                }
            }
        }
    }
}

// The densities are what their names say, standardised as documented: Kolmogorov and Smirnov's distance of 2^17 draws.
void draws_have_their_densities() {
    const auto normal_cdf = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
    const auto laplace_cdf = [](double x) { return x < 0 ? 0.5 * std::exp(std::sqrt(2.0) * x) : 1 - 0.5 * std::exp(-std::sqrt(2.0) * x); };
    const auto uniform_cdf = [](double x) { return std::min(1.0, std::max(0.0, 0.5 + x / std::sqrt(12.0))); };
    const auto cauchy_cdf = [](double x) { return 0.5 + std::atan(x) / pi; };
    const auto student_4_cdf = [](double x) {
        const double t = x * std::sqrt(2.0), s = t / std::sqrt(4 + t * t);  // variance 2 scaled to 1
        return 0.5 + 0.75 * (s - s * s * s / 3);
    };
    const std::vector<std::pair<nnqm::Density, std::function<double(double)>>> cases = {{{DensityKind::gaussian, 0}, normal_cdf},
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
        // One in 1e8 exceeds it.
        CHECK(distance * std::sqrt(n) < 3.1, "density %d: Kolmogorov distance %g", static_cast<int>(density.kind), distance);
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

template <class T>
std::vector<T> applied_to(const nnqm::Network& network, const nnqm::Run& run, std::int64_t first_path, const std::vector<T>& y,
                          std::int64_t n, std::int64_t n_times) {
    const std::int64_t d = network.layers.front().inputs, c = network.layers.back().outputs;
    std::vector<T> x(size(n * n_times * c));
    nnqm::apply(network, run, first_path, view_of(y, n, n_times, d), {x.data(), precision_of<T>, {n, n_times, c}});
    return x;
}

// The outputs use the parameters of draw(), for every way of sharing them; widths and numbers of times leave every remainder.
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
                const Doubles parameters = drawn_parameters<double>(network, run.key, false, {first_group, last_group + 1});
                double worst = 0;
                for (std::int64_t p = 0; p < n; ++p) {
                    const double* own = parameters.data() + ((first + p) / group - first_group) * network.parameters();
                    for (std::int64_t t = 0; t < n_times; ++t) {
                        const std::int64_t at = p * n_times + t;
                        const Doubles out = run_network(network, own, {static_cast<double>(y[size(2 * at)]), static_cast<double>(y[size(2 * at + 1)])});
                        for (std::int64_t c = 0; c < 3; ++c)
                            worst = std::max(worst, std::fabs(out[size(c)] - static_cast<double>(x[size(at * 3 + c)])));
                    }
                }
                CHECK(worst <= (sizeof(T) == 4 ? 5e-6 : 1e-14), "%s: groups of %d, %d times, width %d: off by %g", name_of<T>,
                      static_cast<int>(group), static_cast<int>(n_times), width, worst);
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
            CHECK(std::memcmp(out.data(), x.data() + skip * 18, out.size() * sizeof(T)) == 0, "%s: groups of %d from path %d",
                  name_of<T>, static_cast<int>(group), static_cast<int>(skip));
        }
        CHECK(applied_to(network, run, 356, y, 300, 9) != x, "%s: other paths draw other parameters", name_of<T>);
        run.key += 1;
        CHECK(applied_to(network, run, 100, y, 300, 9) != x, "%s: another key draws other parameters", name_of<T>);
    }
}

// ---- Split networks.

nnqm::Theory split_theory() {
    nnqm::Theory theory;
    theory.sources = {nnqm::Times{true}};
    theory.network = random_network(1, {5, 3, 2}, "tanh", 1);
    theory.network.split = true;
    theory.network.drawn[1].shared = theory.network.drawn[2].shared = false;
    return theory;
}

template <class T>
void split_networks_equal_plain_loops() {
    const nnqm::Theory theory = split_theory();
    const nnqm::Network& network = theory.network;
    for (const double first : {-1.0, -0.4, 0.0, 0.3}) {
        nnqm::Run run = make_run(70, 1, 11, precision_of<T>);
        for (std::size_t t = 0; t < run.times.size(); ++t) run.times[t] = first + 0.1 * (static_cast<double>(t) + (first > 0 ? 0.5 : 0));
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
                const Doubles there = run_network(network, own, {std::fabs(time)}), zero = run_network(network, own, {0.0});
                for (std::int64_t c = 0; c < 2; ++c) {
                    const double bias = sides[0][size((p + 1) * each - 2 + c)];
                    const double expected = there[size(c)] - zero[size(c)] + bias;
                    const auto got = static_cast<double>(all[size((p * 11 + t) * channels + 1 + c)]);
                    worst = std::max(worst, std::fabs(got - expected));
                    if (time == 0) CHECK(std::fabs(got - bias) <= (sizeof(T) == 4 ? 2e-6 : 1e-14), "x(0) = %g, bias %g", got, bias);
                }
                CHECK(static_cast<T>(std::fabs(time)) == all[size((p * 11 + t) * channels)], "%s: |t| at %g", name_of<T>, time);
            }
        }
        CHECK(worst <= (sizeof(T) == 4 ? 5e-6 : 1e-14), "%s: split network from t = %g: off by %g", name_of<T>, first, worst);
    }
}

// ---- Fused sums of theories with random parameters: groups stay in one block and the third matrix is that of plain loops.

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
        check_against_loops(name.c_str(), measure, n_times, 2, paths, sums, [&](std::int64_t p) { return p / unit % n_blocks; });

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
                nnqm::accumulate(view_of(chunk, end - begin, n_times, 2), measure, {0, second ? 0 : end - begin, end - begin}, begin, 2, other);
            }
        });
    }

    // Several groups of several tiles in each block.
    Words words{9};
    std::vector<T> data;
    for (std::int64_t i = 0; i < 512 * n_times * 2; ++i) data.push_back(static_cast<T>(words.uniform(-2, 2)));
    const nnqm::Measure measure = group_measure(128, 1);
    nnqm::SumsBuffer buffer(measure, n_times, 0, 2);
    nnqm::Sums sums = buffer.view();
    nnqm::accumulate(view_of(data, 512, n_times, 2), measure, {0, 384, 512}, 0, 2, sums);
    check_against_loops("two tiles a group", measure, n_times, 2, data, sums, [](std::int64_t p) { return p < 384 ? 0 : 1; });
}

// ---- Linear sources.

nnqm::Linear linear_source(int modes, std::int64_t n_times, const nnqm::Density& density, int rows, bool independent) {
    Words words{static_cast<std::uint64_t>(modes * 100 + rows)};
    nnqm::Linear linear;
    linear.modes = modes;
    linear.density = density;
    linear.independent = independent;
    for (std::int64_t t = 0; t < n_times; ++t) linear.mean.push_back(words.uniform(-1, 1));
    for (std::int64_t i = 0; i < modes * n_times; ++i) linear.basis.push_back(words.uniform(-1, 1));
    for (int i = 0; i < rows * modes; ++i) linear.rows.push_back(words.uniform(-2, 2));
    return linear;
}

template <class T>
void linear_sources_equal_plain_sums() {
    const std::int64_t n_times = 7, n = 75, first = (std::int64_t{1} << 32) - 29;
    const nnqm::Run run = make_run(1, 1, n_times, precision_of<T>);
    const auto compare = [&](const nnqm::Linear& linear, const char* what) {
        nnqm::Theory theory;
        theory.sources.push_back(nnqm::OrnsteinUhlenbeck{{1.3}, {0.9}});
        theory.sources.push_back(linear);
        const std::vector<T> y = sampled<T>(theory, run, {first, first + n});
        const auto n_rows = static_cast<std::uint64_t>(linear.rows.size()) / static_cast<std::uint64_t>(linear.modes);
        double worst = 0;
        for (std::int64_t p = 0; p < n; ++p) {
            Doubles coefficients;
            for (std::int64_t k = 0; k < linear.modes; ++k) {
                const Word purpose = 4 * 65536 + 1;
                if (n_rows == 0) {
                    coefficients.push_back(draw_of(linear.density, run.key, first + p, k, purpose));
                    continue;
                }
                const std::int64_t step = linear.independent ? k : 0;
                Word c[4] = {static_cast<Word>(first + p), static_cast<Word>((first + p) >> 32), static_cast<Word>(step / 4), purpose};
                philox(c, run.key);
                const std::uint64_t row = (std::uint64_t{c[step % 4]} * n_rows) >> 32;
                coefficients.push_back(linear.rows[static_cast<std::size_t>(row) * size(linear.modes) + size(k)]);
            }
            for (std::int64_t t = 0; t < n_times; ++t) {
                double sum = linear.mean[size(t)], terms = std::fabs(sum);
                for (std::int64_t k = 0; k < linear.modes; ++k) {
                    const double term = coefficients[size(k)] * linear.basis[size(k * n_times + t)];
                    sum += term;
                    terms += std::fabs(term);
                }
                worst = std::max(worst, std::fabs(sum - static_cast<double>(y[size((p * n_times + t) * 2 + 1)])) / terms);
            }
        }
        CHECK(worst <= (sizeof(T) == 4 ? 3e-6 : 1e-13), "%s: linear source, %s, %d modes: off by %g", name_of<T>, what, linear.modes, worst);
    };
    for (const nnqm::Density& density : densities) compare(linear_source(6, n_times, density, 0, false), "drawn");
    for (const int modes : {1, 3, 9}) {
        compare(linear_source(modes, n_times, {}, 0, false), "drawn");
        compare(linear_source(modes, n_times, {}, 5, false), "whole rows");
        compare(linear_source(modes, n_times, {}, 5, true), "independent rows");
    }
}

template <class T>
void times_are_inputs() {
    nnqm::Theory theory;
    theory.sources = {nnqm::Times{false}, nnqm::Times{true}};
    nnqm::Run run = make_run(1, 1, 1, precision_of<T>);
    run.times = {-2.5, -0.1, 0.0, 0.3, 7.0};
    const std::vector<T> y = sampled<T>(theory, run, {5, 75});
    for (std::size_t i = 0; i < y.size(); ++i) {
        const double t = run.times[i / 2 % 5];
        CHECK(y[i] == static_cast<T>(i % 2 == 0 ? t : std::fabs(t)), "%s: input %d of time %g", name_of<T>, static_cast<int>(i % 2), t);
    }
}

// ---- Periodic chains.

nnqm::PeriodicChain periodic_chain(int states, int grids, int steps, double largest_weight = 2147483647.0) {
    Words words{static_cast<std::uint64_t>(states)};
    nnqm::PeriodicChain chain;
    chain.dt = 0.1;
    chain.states = states;
    chain.grids = grids;
    chain.steps = steps;
    const auto random = [&](std::vector<Word>& table, int n, double largest) {
        for (int i = 0; i < n; ++i) table.push_back(static_cast<Word>(words.uniform(0, largest)));
    };
    for (int i = 0; i < grids * states; ++i) chain.values.push_back(words.uniform(-2, 2));
    random(chain.start_threshold, grids * states, 4294967295.0);
    random(chain.start_alias, grids * states, states);
    random(chain.step_weights, grids * states * states, largest_weight);
    random(chain.remaining, grids * (steps - 1) * states * states, largest_weight);
    return chain;
}

template <class T>
void periodic_chains_follow_their_tables() {
    // Small weights, whose sums have no digits above 2^32, and the largest.
    for (const auto& [states, largest_weight] : {std::pair{1, 2147483647.0}, {3, 2147483647.0}, {20, 2147483647.0}, {5, 1e6}}) {
        const int steps = 9, grids = 2;
        nnqm::Theory theory;
        theory.sources.push_back(nnqm::OrnsteinUhlenbeck{{1.3}, {0.9}});
        theory.sources.push_back(periodic_chain(states, grids, steps, largest_weight));
        const auto& chain = std::get<nnqm::PeriodicChain>(theory.sources[1]);
        const nnqm::Run run = make_run(1, 1, steps, precision_of<T>);
        const std::int64_t first = (std::int64_t{1} << 32) - 29, n = 175;
        const std::vector<T> y = sampled<T>(theory, run, {first, first + n});
        std::int64_t wrong = 0;
        for (std::int64_t p = 0; p < n; ++p) {
            const std::int64_t grid = (first + p) % grids, s = states;
            std::int64_t start = 0, state = 0;
            for (std::int64_t t = 0; t < steps; ++t) {
                Word c[4] = {static_cast<Word>(first + p), static_cast<Word>((first + p) >> 32), static_cast<Word>(t / 2), 65536 + 1};
                philox(c, run.key);
                const std::uint64_t word = c[t % 2 * 2];
                if (t == 0) {
                    const auto column = static_cast<std::int64_t>((word * static_cast<std::uint64_t>(states)) >> 32);
                    const std::size_t at = size(grid * s + column);
                    start = state = c[1] < chain.start_threshold[at] ? column : static_cast<std::int64_t>(chain.start_alias[at]);
                } else {
                    std::vector<std::uint64_t> weights;
                    Wide total = 0;
                    for (std::int64_t j = 0; j < s; ++j) {
                        const std::uint64_t forth = chain.step_weights[size((grid * s + state) * s + j)];
                        const std::uint64_t back = chain.remaining[size(((grid * (steps - 1) + t - 1) * s + start) * s + j)];
                        weights.push_back((forth * back) >> 16);
                        total += weights.back();
                    }
                    const auto target = static_cast<std::uint64_t>((total * word) >> 32);
                    std::uint64_t sum = 0;
                    for (state = 0; state < s; ++state) {
                        sum += weights[size(state)];
                        if (sum > target) break;
                    }
                }
                wrong += y[size((p * steps + t) * 2 + 1)] != static_cast<T>(chain.values[size(grid * s + state)]);
            }
        }
        CHECK(wrong == 0, "%s: %lld values of the periodic chain are wrong", name_of<T>, static_cast<long long>(wrong));
    }
}

// With the weights of the bridge of a symmetric kernel, closed paths have the probability of the product of their steps.
void periodic_chains_are_bridges() {
    const int s = 3, steps = 4;
    const double kernel[3][3] = {{0.9, 0.4, 0.05}, {0.4, 1.1, 0.3}, {0.05, 0.3, 0.6}};
    double power[5][3][3] = {};  // of the kernel
    for (int i = 0; i < s; ++i) power[0][i][i] = 1;
    for (int m = 0; m < steps; ++m)
        for (int i = 0; i < s; ++i)
            for (int j = 0; j < s; ++j)
                for (int k = 0; k < s; ++k) power[m + 1][i][j] += kernel[i][k] * power[m][k][j];
    nnqm::PeriodicChain chain;
    chain.dt = 0.1;
    chain.states = s;
    chain.steps = steps;
    chain.values = {0, 1, 2};
    double trace = 0;
    for (int i = 0; i < s; ++i) trace += power[steps][i][i];
    // Two columns suffice for an alias table of this start: it is nearly uniform, so that only the middle state has more than 1/3.
    for (int i = 0; i < s; ++i) {
        const double share = s * power[steps][i][i] / trace;
        chain.start_threshold.push_back(share >= 1 ? 0xffffffffU : static_cast<Word>(share * 4294967296.0));
        chain.start_alias.push_back(1);
        if (i != 1) CHECK(share < 1, "the start of the test chain has no such table");
    }
    for (int i = 0; i < s; ++i)
        for (int j = 0; j < s; ++j) chain.step_weights.push_back(static_cast<Word>(kernel[i][j] * 1.5e9));
    for (int t = 1; t < steps; ++t)
        for (int start = 0; start < s; ++start)
            for (int j = 0; j < s; ++j) chain.remaining.push_back(static_cast<Word>(power[steps - t][j][start] * 3e8));
    nnqm::Theory theory;
    theory.sources = {chain};
    const nnqm::Run run = make_run(1, 1, steps, Precision::float32);
    const std::int64_t n = 1 << 17;
    const std::vector<float> y = sampled<float>(theory, run, {0, n});
    std::vector<std::int64_t> counts(81);
    for (std::int64_t p = 0; p < n; ++p) {
        std::size_t path = 0;
        for (std::int64_t t = 0; t < steps; ++t) path = 3 * path + static_cast<std::size_t>(y[size(p * steps + t)]);
        ++counts[path];
    }
    double chi_squared = 0;
    for (int path = 0; path < 81; ++path) {
        const int x[4] = {path / 27, path / 9 % 3, path / 3 % 3, path % 3};
        double expected = static_cast<double>(n) / trace;
        for (int t = 0; t < steps; ++t) expected *= kernel[x[t]][x[(t + 1) % steps]];
        chi_squared += std::pow(static_cast<double>(counts[size(path)]) - expected, 2) / expected;
    }
    // 80 degrees of freedom; one in 1e8 exceeds it.
    CHECK(chi_squared < 168, "chi-squared of closed paths %g", chi_squared);
}

// ---- Windows of time: what is cut into windows of 16 times equals what is not.

template <class T>
void windows_join() {
    const std::int64_t n_times = 39, n = 70;
    nnqm::Theory sources;
    sources.sources = {nnqm::OrnsteinUhlenbeck{{1.3, 0.4}, {0.9, 1.1}}, periodic_chain(3, 2, n_times),
                       linear_source(4, n_times, {}, 0, false), linear_source(3, n_times, {}, 5, true), nnqm::Times{false}};
    const int inputs = sources.inputs();
    const nnqm::Run run = make_run(n, 1, n_times, precision_of<T>);
    for (int c = 0; c < inputs; ++c) {
        const std::string name = "windows of input " + std::to_string(c);
        compare_advance<T>(name.c_str(), sources, windowed_measure({c}, 17, 1), run);
    }
    nnqm::Theory many = sources;
    many.sources.push_back(nnqm::OrnsteinUhlenbeck{Doubles(150, 1.0), Doubles(150, 1.0)});
    const std::vector<T> y = sampled<T>(sources, run, {0, n}), wide = sampled<T>(many, run, {0, n});
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < n * n_times; ++i)
        for (std::int64_t c = 0; c < inputs; ++c) wrong += y[size(i * inputs + c)] != wide[size(i * (inputs + 150) + c)];
    CHECK(wrong == 0, "%s: %lld inputs differ between windows", name_of<T>, static_cast<long long>(wrong));

    for (const std::int64_t group : {1, 8, 128}) {
        nnqm::Theory theory;
        theory.sources.push_back(nnqm::OrnsteinUhlenbeck{{1.3}, {0.9}});
        theory.network = random_network(1, {3, 1}, "tanh", group);
        const std::string name = "windows of groups of " + std::to_string(group);
        compare_advance<T>(name.c_str(), theory, windowed_measure({1}, 17, group), make_run(128, 1, n_times, precision_of<T>));
    }
    for (const std::int64_t n_negative : {0, 16, 21, 39}) {
        nnqm::Run shifted = run;
        for (double& t : shifted.times) t -= 0.1 * static_cast<double>(n_negative) - 0.05;
        compare_advance<T>("windows of a split network", split_theory(), windowed_measure({1}, 17, 1), shifted);
        nnqm::Network network = random_network(1, {5, 150}, "tanh", 1);
        network.split = true;
        network.drawn[0].shared = false;
        nnqm::Theory theory;
        theory.sources = {nnqm::Times{true}};
        const std::vector<T> t = sampled<T>(theory, shifted, {0, n}), whole = applied_to(network, shifted, 0, t, n, n_times);
        for (const nnqm::Range range : {nnqm::Range{0, 5}, {5, 21}, {21, 39}}) {
            nnqm::Run part = shifted;
            part.times.assign(shifted.times.begin() + range.begin, shifted.times.begin() + range.end);
            const std::vector<T> x = applied_to(network, part, 0, sampled<T>(theory, part, {0, n}), n, range.end - range.begin);
            const std::int64_t row = 150 * (range.end - range.begin);
            for (std::int64_t p = 0; p < n; ++p)
                CHECK(std::memcmp(x.data() + p * row, whole.data() + (p * n_times + range.begin) * 150, size(row) * sizeof(T)) == 0,
                      "%s: outputs of path %d differ between windows", name_of<T>, static_cast<int>(p));
        }
    }
}

// ---- Arguments that are not valid.

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
        CHECK(refused([&] { drawn_parameters<double>(theory.network, 1, false, {0, 1}); }), "%s was accepted by draw", what);
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
    refuse_network("split with a last layer that is not linear", true, [](nnqm::Network& n) { n.layers.back().activation = "tanh"; });

    const auto refuse_theory = [](const char* what, const std::function<void(nnqm::Theory&, nnqm::Measure&, nnqm::Run&)>& spoil) {
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
    refuse_theory("a group for fixed parameters", [](nnqm::Theory& t, nnqm::Measure&, nnqm::Run&) { t.network.drawn.clear(); });
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
    const auto throws = [](const char* what, const std::function<void()>& call) { CHECK(refused(call), "%s was accepted", what); };
    throws("drawn parameters without a run", [&] { nnqm::apply(random, view_of(y, 4, 5, 1), {x.data(), Precision::float64, {4, 5, 1}}, 1); });
    throws("negative first path", [&] { applied_to(random, make_run(1, 1, 5, Precision::float64), -1, y, 4, 5); });
    throws("times of a split network", [&] { applied_to(split_theory().network, make_run(1, 1, 4, Precision::float64), 0, y, 4, 5); });
    nnqm::Network fixed = random;
    fixed.drawn.clear();
    throws("draws of fixed parameters", [&] { drawn_parameters<double>(fixed, 1, false, {0, 2}); });
    throws("no groups", [&] { drawn_parameters<double>(random, 1, false, {2, 2}); });
    throws("negative groups", [&] { drawn_parameters<double>(random, 1, false, {-1, 1}); });
    throws("shape of parameters", [&] { nnqm::draw(random, 1, false, {0, 2}, {x.data(), Precision::float64, {2, 1, 9}}); });

    const auto refuse_source = [](const char* what, const nnqm::Source& good, const std::function<void(nnqm::Source&, nnqm::Run&)>& spoil) {
        nnqm::Theory theory;
        theory.sources = {good};
        nnqm::Run run = make_run(64, 1, 5, Precision::float64);
        sampled<double>(theory, run, {0, 1});
        spoil(theory.sources[0], run);
        CHECK(refused([&] { sampled<double>(theory, run, {0, 1}); }), "%s was accepted", what);
    };
    const auto refuse_linear = [&](const char* what, const std::function<void(nnqm::Linear&, nnqm::Run&)>& spoil) {
        refuse_source(what, linear_source(3, 5, {}, 4, false), [&](nnqm::Source& s, nnqm::Run& r) { spoil(std::get<nnqm::Linear>(s), r); });
    };
    refuse_linear("another number of times", [](nnqm::Linear&, nnqm::Run& r) { r.times.pop_back(); });
    refuse_linear("no modes", [](nnqm::Linear& l, nnqm::Run&) { l.modes = 0; });
    refuse_linear("size of the basis", [](nnqm::Linear& l, nnqm::Run&) { l.basis.pop_back(); });
    refuse_linear("size of the rows", [](nnqm::Linear& l, nnqm::Run&) { l.rows.pop_back(); });
    refuse_linear("a basis that is not finite", [&](nnqm::Linear& l, nnqm::Run&) { l.basis[2] = nan; });
    refuse_linear("a mean that is not finite", [&](nnqm::Linear& l, nnqm::Run&) { l.mean[2] = nan; });
    refuse_linear("rows that are not finite", [&](nnqm::Linear& l, nnqm::Run&) { l.rows[2] = nan; });
    refuse_linear("nu of the coefficients", [](nnqm::Linear& l, nnqm::Run&) { l.density = {DensityKind::student_t, 0}; });

    const auto refuse_chain = [&](const char* what, const std::function<void(nnqm::PeriodicChain&, nnqm::Run&)>& spoil) {
        refuse_source(what, periodic_chain(3, 2, 5), [&](nnqm::Source& s, nnqm::Run& r) { spoil(std::get<nnqm::PeriodicChain>(s), r); });
    };
    refuse_chain("a periodic chain of other times", [](nnqm::PeriodicChain&, nnqm::Run& r) { r.times.pop_back(); });
    refuse_chain("a periodic chain of another step", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.dt = 0.2; });
    refuse_chain("no steps", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.steps = 0; });
    refuse_chain("steps that differ from the tables", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.steps = 4; });
    refuse_chain("a weight of 2^31", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.step_weights[3] = 0x80000000U; });
    refuse_chain("a remaining weight of 2^31", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.remaining[3] = 0xffffffffU; });
    refuse_chain("too few weights", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.step_weights.pop_back(); });
    refuse_chain("too many remaining weights", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.remaining.push_back(1); });
    refuse_chain("a start that is no state", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.start_alias[4] = 3; });
}

template <class T>
void both_precisions() {
    draws_follow_the_random_number_map<T>();
    paths_use_the_draws<T>();
    drawn_bits_do_not_depend_on_ranges_or_threads<T>();
    split_networks_equal_plain_loops<T>();
    groups_equal_plain_loops<T>();
    linear_sources_equal_plain_sums<T>();
    times_are_inputs<T>();
    periodic_chains_follow_their_tables<T>();
    windows_join<T>();
}

}  // namespace

int main() {
    return run_tests([] {
        both_precisions<float>();
        both_precisions<double>();
        draws_have_their_densities();
        periodic_chains_are_bridges();
        refusals();
    });
}
