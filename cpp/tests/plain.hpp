// Tools of the core tests: paths through the stages, and references for networks, sums and random numbers as plain
// loops in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "nnqm/nnqm.hpp"

#include "check.hpp"

using nnqm::Precision;
using nnqm::tile_paths;
using Integers = std::vector<std::int64_t>;
using Doubles = std::vector<double>;

template <class T>
constexpr Precision precision_of = sizeof(T) == 4 ? Precision::float32 : Precision::float64;
template <class T>
constexpr const char* name_of = sizeof(T) == 4 ? "float32" : "float64";

inline std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

inline nnqm::Layer random_layer(int inputs, int outputs, const std::string& activation, double spread, Words& words) {
    nnqm::Layer layer;
    layer.inputs = inputs;
    layer.outputs = outputs;
    layer.activation = activation;
    for (int i = 0; i < inputs * outputs; ++i) layer.weights.push_back(words.uniform(-spread, spread));
    for (int i = 0; i < outputs; ++i) layer.biases.push_back(words.uniform(-0.5, 0.5));
    return layer;
}

inline nnqm::Run make_run(std::int64_t n_paths, std::int64_t n_blocks, std::int64_t n_times, Precision precision) {
    nnqm::Run run;
    run.key = 0x0123456789abcdefU;
    for (std::int64_t t = 0; t < n_times; ++t) run.times.push_back(0.1 * static_cast<double>(t));
    run.n_paths = n_paths;
    run.n_blocks = n_blocks;
    run.precision = precision;
    run.n_threads = 2;
    return run;
}

// ---- The arrays of sums. Their sizes are written out here, independently of sum_shapes().

struct NamedArray {
    const char* name;
    const double* data;
    std::int64_t size;  // per block
};

inline std::vector<NamedArray> arrays(const nnqm::Measure& m, std::int64_t n_times, const nnqm::Sums& sums) {
    const auto length = [](const Integers& v) { return static_cast<std::int64_t>(v.size()); };
    const auto n = static_cast<std::int64_t>(m.channels.size());
    const std::int64_t g = m.linear_size(), f = m.size();
    return {{"lags", sums.lags, length(m.lags) * m.parts() * g * g},
            {"observable_lags", sums.observable_lags, length(m.observable_lags) * m.parts() * f * f},
            {"increments", sums.increments, n * length(m.increment_lags) * 2},
            {"moments", sums.moments, n * 4},
            {"time_sums", sums.time_sums, n_times},
            {"two_time", sums.two_time, n_times * (n_times + 1) / 2}};
}

inline void check_equal_bits(const char* what, const nnqm::Measure& measure, std::int64_t n_times, const nnqm::Sums& a,
                             const nnqm::Sums& b) {
    const auto x = arrays(measure, n_times, a), y = arrays(measure, n_times, b);
    for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK((x[i].data == nullptr) == (y[i].data == nullptr), "%s: %s", what, x[i].name);
        if (!x[i].data || !y[i].data) continue;
        const std::size_t bytes = size(a.n_blocks * x[i].size) * sizeof(double);
        CHECK(std::memcmp(x[i].data, y[i].data, bytes) == 0, "%s: %s differs", what, x[i].name);
    }
    const std::size_t bytes = size(a.n_blocks) * sizeof(std::int64_t);
    CHECK(std::memcmp(a.paths, b.paths, bytes) == 0, "%s: paths differ", what);
    CHECK(std::memcmp(a.first_bad, b.first_bad, bytes) == 0, "%s: first_bad differs", what);
}

// ---- Paths, through the stages.

template <class T>
std::vector<T> sampled(const nnqm::Theory& theory, const nnqm::Run& run, nnqm::Range range) {
    const auto n_times = static_cast<std::int64_t>(run.times.size());
    const std::int64_t n = range.end - range.begin, d = theory.inputs();
    std::vector<T> y(size(n * n_times * d));
    nnqm::sample(theory, run, range, {y.data(), precision_of<T>, {n, n_times, d}});
    return y;
}

template <class T>
nnqm::ArrayView view_of(const std::vector<T>& data, std::int64_t n, std::int64_t n_times, std::int64_t channels) {
    constexpr auto item = static_cast<std::int64_t>(sizeof(T));
    return {data.data(), precision_of<T>, {n, n_times, channels}, {n_times * channels * item, channels * item, item}};
}

template <class T>
std::vector<T> applied(const nnqm::Network& network, const std::vector<T>& y, std::int64_t n, std::int64_t n_times) {
    const std::int64_t d = network.layers.front().inputs, c = network.layers.back().outputs;
    std::vector<T> x(size(n * n_times * c));
    nnqm::apply(network, view_of(y, n, n_times, d), {x.data(), precision_of<T>, {n, n_times, c}}, 2);
    return x;
}

// All channels (path, time, channel): the inputs, then the outputs.
template <class T>
std::vector<T> all_channels(const nnqm::Theory& theory, const nnqm::Run& run) {
    const auto n_times = static_cast<std::int64_t>(run.times.size());
    const std::vector<T> y = sampled<T>(theory, run, {0, run.n_paths});
    if (theory.network.layers.empty()) return y;
    const std::int64_t d = theory.inputs(), c = theory.channels() - d;
    std::vector<T> x(size(run.n_paths * n_times * c));
    nnqm::apply(theory.network, run, 0, view_of(y, run.n_paths, n_times, d),
                {x.data(), precision_of<T>, {run.n_paths, n_times, c}});
    std::vector<T> both;
    for (std::int64_t p = 0; p < run.n_paths * n_times; ++p) {
        both.insert(both.end(), y.begin() + p * d, y.begin() + (p + 1) * d);
        both.insert(both.end(), x.begin() + p * c, x.begin() + (p + 1) * c);
    }
    return both;
}

// ---- The plain loops.

inline double act(const std::string& name, double x) {
    if (name == "identity") return x;
    if (name == "tanh") return std::tanh(x);
    if (name == "relu") return x > 0 ? x : 0;
    if (name == "sin") return std::sin(x);
    if (name == "cos") return std::cos(x);
    if (name == "erf") return std::erf(x);
    if (name == "gelu") return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    if (name == "sigmoid") return 1 / (1 + std::exp(-x));
    if (name == "softplus") return std::log1p(std::exp(-std::fabs(x))) + (x > 0 ? x : 0);
    CHECK(false, "activation %s has no reference", name.c_str());
    return 0;
}

inline Doubles run_layer(const nnqm::Layer& layer, const Doubles& in) {
    Doubles out;
    for (int o = 0; o < layer.outputs; ++o) {
        double sum = layer.biases[size(o)];
        for (int i = 0; i < layer.inputs; ++i) sum += layer.weights[size(o * layer.inputs + i)] * in[size(i)];
        out.push_back(act(layer.activation, sum));
    }
    return out;
}

inline Doubles observables(const nnqm::Measure& m, const Doubles& z) {
    Doubles f = {1};
    f.insert(f.end(), z.begin(), z.end());
    for (std::size_t c = 0; c < z.size(); ++c) {
        double before = 1, last = z[c], factorial = 1;  // He_0, He_1
        for (int k = 2; k <= m.orders[c]; ++k) {
            const double next = z[c] * last - (k - 1) * before;
            before = last;
            last = next;
            factorial *= k;
            f.push_back(last / std::sqrt(factorial));
        }
    }
    if (m.neurons.outputs > 0) {
        const Doubles neurons = run_layer(m.neurons, z);
        for (std::size_t k = 0; k < neurons.size(); ++k) f.push_back(neurons[k] - m.centres[k]);
    }
    for (const auto& factors : m.products) f.push_back(f[size(factors[0])] * f[size(factors[1])]);
    return f;
}

// Sums of one block, and the sums of the absolute values of their terms, which bound the rounding errors.
struct Naive {
    // In the order of arrays(). In double, tens of thousands of terms would lose digits.
    std::vector<std::vector<long double>> sum;
    std::vector<Doubles> size_of_terms;
    std::int64_t paths = 0, first_bad = -1;
};

// Adds terms to successive entries of one array, from the entry `next` on.
struct Adder {
    Naive& out;
    std::size_t which, next = 0;
    void add(double term) { add(term, std::fabs(term)); }
    void add(double term, double size_of_term) {
        out.sum[which][next] += term;
        out.size_of_terms[which][next] += size_of_term;
        ++next;
    }
};

// Computes the observable vector at every time; value(time, channel) gives the channels.
template <class Value>
std::vector<Doubles> observable_rows(const nnqm::Measure& m, std::int64_t n_times, const Value& value) {
    std::vector<Doubles> full;
    for (std::int64_t t = 0; t < n_times; ++t) {
        Doubles z;
        for (std::size_t c = 0; c < m.channels.size(); ++c)
            z.push_back((value(t, m.channels[c]) - m.shift[c]) / m.scale[c]);
        full.push_back(observables(m, z));
    }
    return full;
}

inline void add_path(const nnqm::Measure& m, const std::vector<Doubles>& full, Naive& out) {
    const auto n_times = static_cast<std::int64_t>(full.size());
    std::vector<Doubles> z, linear;
    for (const Doubles& row : full) {
        linear.push_back({row.begin(), row.begin() + m.linear_size()});
        z.push_back({row.begin() + 1, row.begin() + m.linear_size()});
    }
    const auto parts = static_cast<std::size_t>(m.parts());
    const auto add_lags = [&](std::size_t which, const Integers& lags, const std::vector<Doubles>& rows) {
        const std::size_t f = rows[0].size();
        for (std::size_t k = 0; k < lags.size(); ++k) {
            for (std::int64_t t = 0; t + lags[k] < n_times; ++t) {
                const Doubles &a = rows[size(t)], &b = rows[size(t + lags[k])];
                Adder cross{out, which, k * parts * f * f}, equal{out, which, (parts * k + 1) * f * f};
                for (std::size_t i = 0; i < f; ++i) {
                    for (std::size_t j = 0; j < f; ++j) {
                        cross.add(a[i] * b[j]);
                        equal.add(a[i] * a[j] + b[i] * b[j]);
                    }
                }
            }
        }
    };
    add_lags(0, m.lags, linear);
    add_lags(1, m.observable_lags, full);
    for (std::size_t c = 0; c < m.channels.size(); ++c) {
        for (std::size_t k = 0; k < m.increment_lags.size(); ++k) {
            for (std::int64_t t = m.increment_lags[k]; t < n_times; ++t) {
                const double step = z[size(t)][c] - z[size(t - m.increment_lags[k])][c];
                Adder adder{out, 2, 2 * (c * m.increment_lags.size() + k)};
                adder.add(step * step);
                adder.add(std::pow(step, 4));
            }
        }
        for (std::int64_t t = 0; m.moments && t < n_times; ++t) {
            Adder adder{out, 3, 4 * c};
            for (int power = 1; power <= 4; ++power) adder.add(std::pow(z[size(t)][c], power));
        }
    }
    if (m.two_time >= 0) {
        Adder means{out, 4}, pairs{out, 5};
        for (std::int64_t t = 0; t < n_times; ++t) {
            means.add(z[size(t)][size(m.two_time)]);
            for (std::int64_t s = 0; s <= t; ++s)
                pairs.add(z[size(t)][size(m.two_time)] * z[size(s)][size(m.two_time)]);
        }
    }
    ++out.paths;
}

// Adds sum_{p != q} a_p b_q^T over the paths of one group; members are the observable vectors of each path.
inline void add_group(const nnqm::Measure& m, std::int64_t n_times, const std::vector<std::vector<Doubles>>& members,
                      Naive& out) {
    const auto parts = static_cast<std::size_t>(m.parts());
    const auto add_lags = [&](std::size_t which, const Integers& lags, int length) {
        const auto f = size(length);
        for (std::size_t k = 0; k < lags.size(); ++k) {
            // Sums over time, and sums of the absolute values.
            std::vector<Doubles> a, b, a_size, b_size;
            for (const std::vector<Doubles>& rows : members) {
                for (auto* sums : {&a, &b, &a_size, &b_size}) sums->emplace_back(f);
                for (std::int64_t t = 0; t + lags[k] < n_times; ++t)
                    for (std::size_t i = 0; i < f; ++i) {
                        const double earlier = rows[size(t)][i], later = rows[size(t + lags[k])][i];
                        a.back()[i] += earlier;
                        b.back()[i] += later;
                        a_size.back()[i] += std::fabs(earlier);
                        b_size.back()[i] += std::fabs(later);
                    }
            }
            for (std::size_t p = 0; p < a.size(); ++p)
                for (std::size_t q = 0; q < a.size(); ++q) {
                    if (p == q) continue;
                    Adder adder{out, which, (parts * k + 2) * f * f};
                    for (std::size_t i = 0; i < f; ++i)
                        for (std::size_t j = 0; j < f; ++j) adder.add(a[p][i] * b[q][j], a_size[p][i] * b_size[q][j]);
                }
        }
    };
    add_lags(0, m.lags, m.linear_size());
    add_lags(1, m.observable_lags, m.size());
}

// Computes the sums over the paths with block_of(path) = block.
template <class T, class BlockOf>
Naive naive_block(const nnqm::Measure& m, std::int64_t n_times, std::int64_t channels, const std::vector<T>& paths,
                  const nnqm::Sums& shape, std::int64_t block, const BlockOf& block_of) {
    Naive out;
    for (const NamedArray& array : arrays(m, n_times, shape)) {
        out.sum.emplace_back(size(array.data ? array.size : 0));
        out.size_of_terms.emplace_back(out.sum.back().size());
    }
    const std::int64_t n_paths = static_cast<std::int64_t>(paths.size()) / (n_times * channels);
    std::vector<std::vector<Doubles>> members;
    for (std::int64_t p = 0; p < n_paths; ++p) {
        if (block_of(p) != block) continue;
        members.push_back(observable_rows(m, n_times, [&](std::int64_t t, int c) {
            return static_cast<double>(paths[size((p * n_times + t) * channels + c)]);
        }));
        add_path(m, members.back(), out);
        if (static_cast<std::int64_t>(members.size()) < m.group) continue;
        if (m.group > 1) add_group(m, n_times, members, out);
        members.clear();
    }
    return out;
}

template <class T, class BlockOf>
void check_against_loops(const char* what, const nnqm::Measure& m, std::int64_t n_times, std::int64_t channels,
                         const std::vector<T>& paths, const nnqm::Sums& sums, const BlockOf& block_of) {
    // Relative to the sum of the absolute values of the terms. In float32 a tile is summed in float32, and the terms of
    // polynomials cancel.
    constexpr double tolerance = sizeof(T) == 4 ? 3e-6 : 5e-14;
    double worst = 0;
    for (std::int64_t i = 0; i < sums.n_blocks; ++i) {
        const Naive naive = naive_block(m, n_times, channels, paths, sums, sums.first_block + i, block_of);
        CHECK(sums.paths[i] == naive.paths, "%s: block %d has %d paths", what, static_cast<int>(i),
              static_cast<int>(sums.paths[i]));
        const auto all = arrays(m, n_times, sums);
        for (std::size_t a = 0; a < all.size(); ++a) {
            for (std::size_t k = 0; k < naive.sum[a].size(); ++k) {
                const double got = all[a].data[size(i * all[a].size) + k];
                const auto expected = static_cast<double>(naive.sum[a][k]);
                const double error = std::fabs(got - expected) / std::max(naive.size_of_terms[a][k], 1e-30);
                worst = std::max(worst, error);
                CHECK(error <= tolerance, "%s %s: block %d, %s[%d] = %.15g, expected %.15g", what, name_of<T>,
                      static_cast<int>(i), all[a].name, static_cast<int>(k), got, expected);
                if (failures > 20) return;
            }
        }
    }
    std::printf("%-36s %s  within %.1e of the plain loops\n", what, name_of<T>, worst);
}

// Philox4x32-10, written from the paper.
inline void philox(std::uint32_t c[4], std::uint64_t key) {
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t{0xd2511f53U} * c[0], b = std::uint64_t{0xcd9e8d57U} * c[2];
        const std::uint32_t next[4] = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(b),
                                       static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(a)};
        std::copy(next, next + 4, c);
        k0 += 0x9e3779b9U;
        k1 += 0xbb67ae85U;
    }
}

// The normal draw of kind 0 of the random-number map. With `channel` as the whole purpose it is also the Gaussian draw
// of the kinds 2 to 4.
inline double normal(std::uint64_t key, std::int64_t path, std::int64_t step, std::uint32_t channel) {
    std::uint32_t c[4] = {static_cast<std::uint32_t>(path), static_cast<std::uint32_t>(path >> 32),
                          static_cast<std::uint32_t>(step / 4), channel};
    philox(c, key);
    const std::uint32_t a = c[step % 4 / 2 * 2], b = c[step % 4 / 2 * 2 + 1];
    const double u = (a + ((b & 255U) + 0.5) / 256) / 4294967296.0;
    const double angle = 2 * std::acos(-1.0) * ((b >> 8) + 0.5) / 16777216.0;
    return std::sqrt(-2 * std::log(u)) * (step % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

// Whether the call throws std::invalid_argument with a message.
inline bool refused(const std::function<void()>& call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return std::strlen(error.what()) > 0;
    }
    return false;
}

// Runs the tests at the level named by NNQM_LEVEL and returns the exit code of the test program.
inline int run_tests(const std::function<void()>& tests) {
    constexpr int skipped = 77;
    const char* forced = std::getenv("NNQM_LEVEL");
    try {
        std::printf("level %s\n", nnqm::build_info().level.c_str());
    } catch (const std::invalid_argument& error) {
        // A level that the build does not have at all is a failure; a level that this processor lacks is skipped.
        const std::vector<std::string> known = {"v2", "v3", "v4", "native"};
        std::printf("%s\n", error.what());
        return std::find(known.begin(), known.end(), std::string(forced)) == known.end() ? 1 : skipped;
    }
    tests();
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}

// Compares the sums of a run with the plain loops, block by block.
template <class T>
void compare_advance(const char* what, const nnqm::Theory& theory, const nnqm::Measure& measure, const nnqm::Run& run) {
    const auto n_times = static_cast<std::int64_t>(run.times.size());
    const std::int64_t unit = std::max<std::int64_t>(tile_paths, measure.group);
    nnqm::SumsBuffer buffer(measure, n_times, 0, run.n_blocks);
    nnqm::Sums sums = buffer.view();
    nnqm::advance(theory, measure, run, {0, run.n_blocks}, {0, run.n_paths / unit + 1}, sums);
    check_against_loops(what, measure, n_times, theory.channels(), all_channels<T>(theory, run), sums,
                        [&](std::int64_t p) { return p / unit % run.n_blocks; });
}

// A measure with lags up to `most` and enough observables to make a window 16 times long.
inline nnqm::Measure windowed_measure(const std::vector<int>& channels, std::int64_t most, std::int64_t group,
                                      int two_time = -1) {
    Words words{3};
    const auto n = static_cast<int>(channels.size());
    nnqm::Measure measure;
    measure.channels = channels;
    measure.shift.assign(size(n), 0.1);
    measure.scale.assign(size(n), 0.8);
    measure.orders.assign(size(n), 3);
    measure.neurons = random_layer(n, 64, "tanh", 2.0, words);
    measure.centres.assign(64, 0.25);
    for (const std::int64_t lag : {0, 3, 15, 16, 17, 33, 38})
        if (lag <= most) measure.lags.push_back(lag);
    measure.observable_lags = {most};
    if (most > 0) measure.increment_lags = {1 + most / 2};
    measure.moments = true;
    measure.group = group;
    measure.two_time = two_time;
    return measure;
}
