// Tests of the library through its public header: random numbers, paths, networks and sums against plain loops in
// double precision, and the independence of bits from threads, cuts and ranges. NNQM_LEVEL selects the level.
#include "plain.hpp"

namespace {

// Two sources with 2 and 1 inputs. The odd widths give every remainder of the register blocks.
nnqm::Theory deep_theory() {
    Words words{7};
    nnqm::Theory theory;
    theory.sources.push_back(nnqm::OrnsteinUhlenbeck{{1.0, 2.5}, {1.0, 0.7}});
    theory.sources.push_back(nnqm::OrnsteinUhlenbeck{{0.3}, {1.9}});
    theory.network.layers = {random_layer(3, 5, "tanh", 1.0, words), random_layer(5, 7, "gelu", 0.8, words),
                             random_layer(7, 3, "sin", 0.8, words), random_layer(3, 2, "identity", 1.0, words)};
    return theory;
}

nnqm::Theory one_input() {
    nnqm::Theory theory;
    theory.sources.push_back(nnqm::OrnsteinUhlenbeck{{1.3}, {0.9}});
    return theory;
}

// A chain of three states on two grids, with tables written by hand, after a process on channel 0.
nnqm::Theory chain_theory() {
    nnqm::Theory theory = one_input();
    nnqm::Chain chain;
    chain.dt = 0.1;
    chain.states = 3;
    chain.grids = 2;
    chain.values = {-1.0, 0.25, 2.0, -1.5, 0.0, 1.5};
    chain.start_threshold = {0x80000000U, 0xffffffffU, 0x40000000U, 0xffffffffU, 0x11111111U, 0x77777777U};
    chain.start_alias = {1, 1, 0, 0, 2, 0};
    Words words{23};
    for (int i = 0; i < 18; ++i) {
        chain.threshold.push_back(static_cast<std::uint32_t>(words.uniform(0, 4294967295.0)));
        chain.alias.push_back(static_cast<std::uint32_t>(words.uniform(0, 3)));
    }
    theory.sources.push_back(chain);
    return theory;
}

// A measure with everything: an output, an input and another input, polynomials of two of them, neurons, and all sums.
nnqm::Measure full_measure(std::int64_t n_times) {
    Words words{11};
    nnqm::Measure measure;
    measure.channels = {4, 0, 2};
    measure.shift = {0.2, -0.1, 0.0};
    measure.scale = {0.7, 0.9, 2.4};
    measure.orders = {5, 1, 3};
    measure.neurons = random_layer(3, 6, "tanh", 1.5, words);
    measure.centres = {0.3, -0.2, 0.9, 0.0, -0.7, 0.1};
    measure.products = {{1, 3}, {2, 11}, {16, 4}};  // of channels, with a neuron, and of a product
    measure.lags = {0, 1, 4, n_times / 2, n_times - 1};
    measure.observable_lags = {0, 2, 3, n_times - 2};
    measure.increment_lags = {1, 3, n_times - 1};
    measure.moments = true;
    measure.two_time = 1;
    return measure;
}

template <class T>
void sums_equal_plain_loops() {
    // 5 tiles, the last with 21 paths, in 3 blocks of 2, 2 and 1 tiles.
    compare_advance<T>("every sum", deep_theory(), full_measure(13), make_run(4 * 64 + 21, 3, 13, precision_of<T>));

    // Windows of 16 times, with lags shorter than one window, longer than one, and longer than two.
    for (const std::int64_t most : {0, 3, 15, 16, 17, 33, 38}) {
        const std::string name = "windows, lags to " + std::to_string(most);
        compare_advance<T>(name.c_str(), one_input(), windowed_measure({0}, most, 1),
                           make_run(70, 1, 39, precision_of<T>));
    }
    compare_advance<T>("windows of a chain", chain_theory(), windowed_measure({1}, 33, 1),
                       make_run(70, 1, 39, precision_of<T>));
    compare_advance<T>("windows of a deep network", deep_theory(), windowed_measure({4, 0}, 17, 1, 1),
                       make_run(70, 1, 39, precision_of<T>));
    nnqm::Theory compiled = one_input();
    Words words{3};
    compiled.network.layers = {random_layer(1, 40, "tanh", 2.0, words), random_layer(40, 1, "identity", 0.2, words)};
    compiled.network.table = nnqm::compile(compiled.network, precision_of<T>);
    CHECK(compiled.network.table != nullptr, "no table");
    compare_advance<T>("windows of a table", compiled, windowed_measure({1}, 17, 1),
                       make_run(70, 1, 39, precision_of<T>));

    nnqm::Measure few;
    few.channels = {0};
    few.shift = {0.0};
    few.scale = {1.0};
    few.orders = {2};
    few.observable_lags = {1, 700};
    compare_advance<T>("many times", one_input(), few, make_run(3, 1, 1500, precision_of<T>));

    few.observable_lags.clear();
    few.moments = true;
    few.two_time = 0;
    nnqm::Run uneven = make_run(130, 2, 4, precision_of<T>);
    uneven.times = {-1.0, 0.25, 0.26, 7.5};
    compare_advance<T>("uneven times", one_input(), few, uneven);
    few.lags = {0};
    compare_advance<T>("one time", one_input(), few, make_run(65, 2, 1, precision_of<T>));
}

// ---- The random-number map and the exact transition.
template <class T>
void paths_follow_the_random_number_map() {
    const nnqm::Theory theory = deep_theory();
    const double omega[3] = {1.0, 2.5, 0.3}, sigma[3] = {1.0, 0.7, 1.9};
    nnqm::Run run = make_run(1, 1, 1, precision_of<T>);
    run.times = {0.0, 0.1, 0.2, 0.5, 2.5, 2.6};
    const std::int64_t far = (std::int64_t{1} << 32) - 30;  // the low word of the path index wraps within the range
    for (const std::int64_t first : {std::int64_t{0}, std::int64_t{37}, far}) {
        const std::int64_t n = 70;
        const std::vector<T> y = sampled<T>(theory, run, {first, first + n});
        double worst = 0;
        for (std::int64_t p = 0; p < n; ++p) {
            for (std::int64_t d = 0; d < 3; ++d) {
                double state = 0;
                for (std::int64_t t = 0; t < 6; ++t) {
                    const double s = sigma[d] / std::sqrt(2 * omega[d]);
                    const double rho = t == 0 ? 0 : std::exp(-omega[d] * (run.times[size(t)] - run.times[size(t - 1)]));
                    const double xi = normal(run.key, first + p, t, static_cast<std::uint32_t>(d));
                    state = rho * state + s * std::sqrt(1 - rho * rho) * xi;
                    worst = std::max(worst, std::fabs(state - static_cast<double>(y[size((p * 6 + t) * 3 + d)])) / s);
                }
            }
        }
        CHECK(worst <= (sizeof(T) == 4 ? 5e-6 : 1e-13), "%s: paths from %lld are off by %g", name_of<T>,
              static_cast<long long>(first), worst);
    }
}

template <class T>
void chains_follow_their_tables() {
    const nnqm::Theory theory = chain_theory();
    const auto& chain = std::get<nnqm::Chain>(theory.sources[1]);
    const std::int64_t first = (std::int64_t{1} << 32) - 29, n = 75, n_times = 11;
    const nnqm::Run run = make_run(1, 1, n_times, precision_of<T>);
    const std::vector<T> y = sampled<T>(theory, run, {first, first + n});
    std::int64_t wrong = 0;
    std::vector<int> visits(3);
    for (std::int64_t p = 0; p < n; ++p) {
        const std::int64_t grid = (first + p) % 2;
        std::uint32_t state = 0;
        for (std::int64_t t = 0; t < n_times; ++t) {
            std::uint32_t c[4] = {static_cast<std::uint32_t>(first + p), static_cast<std::uint32_t>((first + p) >> 32),
                                  static_cast<std::uint32_t>(t / 2), 65536 + 1};
            philox(c, run.key);
            const std::uint64_t column = (std::uint64_t{c[t % 2 * 2]} * 3) >> 32;
            const std::size_t at =
                static_cast<std::size_t>(grid * (t == 0 ? 3 : 9) + (t == 0 ? 0 : 3 * state)) + column;
            const auto& threshold = t == 0 ? chain.start_threshold : chain.threshold;
            const auto& alias = t == 0 ? chain.start_alias : chain.alias;
            state = c[t % 2 * 2 + 1] < threshold[at] ? static_cast<std::uint32_t>(column) : alias[at];
            ++visits[state];
            wrong += y[size((p * n_times + t) * 2 + 1)] != static_cast<T>(chain.values[size(grid * 3) + state]);
        }
    }
    CHECK(wrong == 0, "%s: %lld values of the chain are wrong", name_of<T>, static_cast<long long>(wrong));
    CHECK(*std::min_element(visits.begin(), visits.end()) > 0, "%s: a state is never visited", name_of<T>);
}

void broken_chains_are_refused() {
    const auto refuse = [](const char* what, const std::function<void(nnqm::Chain&, nnqm::Run&)>& spoil) {
        nnqm::Theory theory = chain_theory();
        nnqm::Run run = make_run(64, 1, 4, Precision::float64);
        spoil(std::get<nnqm::Chain>(theory.sources[1]), run);
        CHECK(refused([&] { sampled<double>(theory, run, {0, 1}); }), "chain: %s was accepted", what);
    };
    refuse("another time step", [](nnqm::Chain& c, nnqm::Run&) { c.dt = 0.2; });
    refuse("uneven times", [](nnqm::Chain&, nnqm::Run& r) { r.times[3] = 0.4; });
    refuse("no time step", [](nnqm::Chain& c, nnqm::Run&) { c.dt = 0; });
    refuse("an alias that is no state", [](nnqm::Chain& c, nnqm::Run&) { c.alias[4] = 3; });
    refuse("a start that is no state", [](nnqm::Chain& c, nnqm::Run&) { c.start_alias[4] = 3; });
    refuse("too few thresholds", [](nnqm::Chain& c, nnqm::Run&) { c.threshold.pop_back(); });
    refuse("too many values", [](nnqm::Chain& c, nnqm::Run&) { c.values.push_back(1); });
    refuse("no grid", [](nnqm::Chain& c, nnqm::Run&) { c.grids = 0; });
    refuse("a value that is not finite", [](nnqm::Chain& c, nnqm::Run&) { c.values[2] = std::nan(""); });
}

template <class T>
void paths_do_not_depend_on_range_or_threads() {
    const nnqm::Theory theory = deep_theory();
    nnqm::Run run = make_run(300, 1, 9, precision_of<T>);
    const std::vector<T> all = sampled<T>(theory, run, {0, 300});
    for (const nnqm::Range range : {nnqm::Range{0, 1}, {63, 65}, {64, 128}, {17, 299}}) {
        const std::vector<T> part = sampled<T>(theory, run, range);
        CHECK(std::memcmp(part.data(), all.data() + range.begin * 27, part.size() * sizeof(T)) == 0,
              "%s: paths %d to %d", name_of<T>, static_cast<int>(range.begin), static_cast<int>(range.end));
    }
    run.n_threads = 7;
    CHECK(sampled<T>(theory, run, {0, 300}) == all, "%s: seven threads", name_of<T>);
    const std::vector<T> x = applied(theory.network, all, 300, 9);
    for (const std::int64_t first : {1, 13, 64, 250}) {
        const std::vector<T> part(all.begin() + first * 27, all.end());
        const std::vector<T> out = applied(theory.network, part, 300 - first, 9);
        CHECK(std::memcmp(out.data(), x.data() + first * 18, out.size() * sizeof(T)) == 0, "%s: outputs from path %d",
              name_of<T>, static_cast<int>(first));
    }
}

template <class T>
void networks_equal_plain_loops() {
    Words words{5};
    const std::vector<std::string> names = nnqm::activations();
    CHECK(names.size() == 9, "%d activations", static_cast<int>(names.size()));
    for (const std::string& name : names) {
        for (const int width : {1, 2, 3, 4, 5, 7, 16}) {
            nnqm::Network network;
            network.layers = {random_layer(3, width, name, 1.5, words),
                              random_layer(width, width, name, 1.0 / width, words),
                              random_layer(width, 2, "identity", 1.0, words)};
            std::vector<T> y;
            const std::int64_t n = 67;
            for (std::int64_t i = 0; i < n * 2 * 3; ++i) y.push_back(static_cast<T>(words.uniform(-3, 3)));
            const std::vector<T> x = applied(network, y, n, 2);
            double worst = 0;
            for (std::int64_t i = 0; i < n * 2; ++i) {
                Doubles value(y.begin() + i * 3, y.begin() + (i + 1) * 3);
                for (const nnqm::Layer& layer : network.layers) value = run_layer(layer, value);
                for (std::int64_t c = 0; c < 2; ++c)
                    worst = std::max(worst, std::fabs(value[size(c)] - static_cast<double>(x[size(i * 2 + c)])));
            }
            CHECK(worst <= (sizeof(T) == 4 ? 1e-5 : 2e-14), "%s %s width %d: off by %g", name_of<T>, name.c_str(),
                  width, worst);
        }
    }
}

// ---- Bits.

template <class T>
void bits_do_not_depend_on_threads_or_cuts() {
    const nnqm::Theory theory = deep_theory();
    const nnqm::Measure measure = full_measure(11);
    const std::int64_t n_blocks = 9;
    nnqm::Run run = make_run(40 * 64 + 5, n_blocks, 11, precision_of<T>);  // 41 tiles: 5 rounds, the last of 5 tiles
    run.n_threads = 1;
    nnqm::SumsBuffer reference_buffer(measure, 11, 0, n_blocks);
    nnqm::Sums reference = reference_buffer.view();
    CHECK(nnqm::advance(theory, measure, run, {0, n_blocks}, {0, 5}, reference) == 1, "one thread");
    CHECK(reference.paths[0] == 5 * 64 && reference.paths[4] == 4 * 64 + 5 && reference.paths[8] == 4 * 64,
          "paths of blocks");
    const auto compare = [&](const char* what, const std::function<void(nnqm::Sums&)>& fill) {
        nnqm::SumsBuffer buffer(measure, 11, 0, n_blocks);
        nnqm::Sums sums = buffer.view();
        fill(sums);
        check_equal_bits(what, measure, 11, sums, reference);
    };
    const bool openmp = nnqm::build_info().openmp;
    for (const int n_threads : {2, 3, 7, 64}) {
        compare("threads", [&](nnqm::Sums& sums) {
            run.n_threads = n_threads;
            const int worked = nnqm::advance(theory, measure, run, {0, n_blocks}, {0, 5}, sums);
            const int expected = openmp ? std::min(n_threads, static_cast<int>(n_blocks)) : 1;
            CHECK(worked == expected, "%d of %d threads did work", worked, n_threads);
        });
    }
    run.n_threads = 2;
    compare("rounds cut in two", [&](nnqm::Sums& sums) {
        nnqm::advance(theory, measure, run, {0, n_blocks}, {0, 2}, sums);
        nnqm::advance(theory, measure, run, {0, n_blocks}, {2, 5}, sums);
    });
    compare("rounds beyond the end", [&](nnqm::Sums& sums) {
        nnqm::advance(theory, measure, run, {0, n_blocks}, {0, 1000}, sums);
        nnqm::advance(theory, measure, run, {0, n_blocks}, {5, 7}, sums);
    });
    compare("blocks cut in two", [&](nnqm::Sums& sums) {
        nnqm::advance(theory, measure, run, {4, n_blocks}, {0, 5}, sums);
        nnqm::advance(theory, measure, run, {0, 4}, {0, 5}, sums);
    });
    compare("a longer run's first rounds", [&](nnqm::Sums& sums) {
        nnqm::Run longer = run;
        longer.n_paths = 64 * n_blocks * 4;
        nnqm::advance(theory, measure, longer, {0, n_blocks}, {0, 4}, sums);
        nnqm::advance(theory, measure, run, {0, n_blocks}, {4, 5}, sums);
    });

    // A worker with the blocks 6, 7 and 8 only.
    nnqm::SumsBuffer part_buffer(measure, 11, 6, 3), whole_buffer(measure, 11, 0, n_blocks);
    nnqm::Sums part = part_buffer.view(), whole = whole_buffer.view();
    nnqm::advance(theory, measure, run, {6, 9}, {0, 5}, part);
    nnqm::advance(theory, measure, run, {0, 6}, {0, 5}, whole);
    const auto from = arrays(measure, 11, part), to = arrays(measure, 11, whole);
    for (std::size_t i = 0; i < from.size(); ++i)
        std::copy(from[i].data, from[i].data + 3 * from[i].size, const_cast<double*>(to[i].data) + 6 * to[i].size);
    std::copy(part.paths, part.paths + 3, whole.paths + 6);
    check_equal_bits("two workers", measure, 11, whole, reference);

    // The separate stages give the bits of the fused call: block b contains the tiles b, b + 9, ...
    const std::vector<T> paths = all_channels<T>(theory, run);
    nnqm::SumsBuffer staged_buffer(measure, 11, 0, n_blocks);
    nnqm::Sums staged = staged_buffer.view();
    const std::int64_t row = 11 * theory.channels();
    for (std::int64_t tile = 0; tile * 64 < run.n_paths; ++tile) {
        const std::int64_t begin = tile * 64, end = std::min(run.n_paths, begin + 64);
        const std::vector<T> chunk(paths.begin() + begin * row, paths.begin() + end * row);
        Integers offsets;
        for (std::int64_t b = 0; b <= n_blocks; ++b) offsets.push_back(b > tile % n_blocks ? end - begin : 0);
        nnqm::accumulate(view_of(chunk, end - begin, 11, theory.channels()), measure, offsets, begin, 3, staged);
    }
    check_equal_bits("staged", measure, 11, staged, reference);
}

// ---- Paths of the caller: strides of any sign, offsets, and values that are not finite.

template <class T>
void user_paths(const nnqm::Measure& measure, std::int64_t n_times) {
    Words words{23};
    const std::int64_t n = 150, channels = 2;
    std::vector<T> data;
    for (std::int64_t i = 0; i < n * n_times * channels; ++i) data.push_back(static_cast<T>(words.uniform(-2, 2)));
    const Integers offsets = {0, 70, 70, 149};  // an empty block, and a last path that belongs to no block
    const auto block_of = [&](std::int64_t p) { return p < 70 ? 0 : p < 149 ? 2 : -1; };
    nnqm::SumsBuffer buffer(measure, n_times, 0, 3);
    nnqm::Sums sums = buffer.view();
    const nnqm::ArrayView view = view_of(data, n, n_times, channels);
    nnqm::accumulate(view, measure, offsets, 0, 2, sums);
    check_against_loops("user paths", measure, n_times, channels, data, sums, block_of);

    // The same numbers, reversed in time and transposed to (channel, time, path) in memory.
    std::vector<T> other(data.size());
    for (std::int64_t p = 0; p < n; ++p)
        for (std::int64_t t = 0; t < n_times; ++t)
            for (std::int64_t c = 0; c < channels; ++c)
                other[size((c * n_times + n_times - 1 - t) * n + p)] = data[size((p * n_times + t) * channels + c)];
    constexpr auto item = static_cast<std::int64_t>(sizeof(T));
    const nnqm::ArrayView strided = {other.data() + (n_times - 1) * n,
                                     precision_of<T>,
                                     {n, n_times, channels},
                                     {item, -n * item, n_times * n * item}};
    nnqm::SumsBuffer strided_buffer(measure, n_times, 0, 3);
    nnqm::Sums strided_sums = strided_buffer.view();
    nnqm::accumulate(strided, measure, offsets, 0, 1, strided_sums);
    check_equal_bits("strides", measure, n_times, strided_sums, sums);

    const T bad[2] = {std::numeric_limits<T>::quiet_NaN(), -std::numeric_limits<T>::infinity()};
    std::vector<T> broken = data;
    broken[size((133 * n_times + 1) * channels)] = bad[0];  // in the tile of the next one, at an earlier time
    broken[size((101 * n_times + n_times - 2) * channels + 1)] = bad[1];
    broken[size((149 * n_times + 3) * channels + 1)] = bad[0];  // belongs to no block
    nnqm::SumsBuffer broken_buffer(measure, n_times, 0, 3);
    nnqm::Sums broken_sums = broken_buffer.view();
    nnqm::accumulate(view_of(broken, n, n_times, channels), measure, offsets, 1000, 2, broken_sums);
    CHECK(broken_sums.first_bad[0] == -1 && broken_sums.first_bad[1] == -1, "a good block was found bad");
    CHECK(broken_sums.first_bad[2] == 1101, "first_bad = %d", static_cast<int>(broken_sums.first_bad[2]));
}

// Paths with the weights 0, 1, 2 have the sums of paths that are left out, given once and given twice.
template <class T>
void weighted_paths(const nnqm::Measure& measure, std::int64_t n_times) {
    Words words{29};
    const std::int64_t n = 150, row = n_times * 2;
    std::vector<T> data, repeated;
    std::vector<double> weights;
    for (std::int64_t i = 0; i < n * row; ++i) data.push_back(static_cast<T>(words.uniform(-2, 2)));
    for (std::int64_t p = 0; p < n; ++p) {
        weights.push_back(static_cast<double>(p % 3));
        for (std::int64_t k = 0; k < p % 3; ++k)
            repeated.insert(repeated.end(), data.begin() + p * row, data.begin() + (p + 1) * row);
    }
    nnqm::SumsBuffer buffer(measure, n_times, 0, 2), plain_buffer(measure, n_times, 0, 2);
    nnqm::Sums sums = buffer.view(), plain = plain_buffer.view();
    nnqm::accumulate(view_of(data, n, n_times, 2), measure, {0, 60, 150}, 0, 2, sums, weights.data());
    nnqm::accumulate(view_of(repeated, n, n_times, 2), measure, {0, 60, 150}, 0, 2, plain);
    CHECK(sums.paths[0] == 60 && sums.paths[1] == 90, "weighted paths were not counted");
    const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
    const auto found = arrays(measure, n_times, sums), expected = arrays(measure, n_times, plain);
    for (std::size_t k = 0; k < found.size(); ++k)
        for (std::int64_t i = 0; found[k].data && i < 2 * found[k].size; ++i) {
            const double a = found[k].data[i], b = expected[k].data[i];
            CHECK(std::abs(a - b) <= tolerance * (static_cast<double>(16 * n * n_times) + std::abs(b)),
                  "array %d, entry %d: %g, expected %g", static_cast<int>(k), static_cast<int>(i), a, b);
        }
    for (const double bad : {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        weights[149] = bad;
        bool refused = false;
        try {
            nnqm::accumulate(view_of(data, n, n_times, 2), measure, {0, 60, 150}, 0, 2, sums, weights.data());
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        CHECK(refused, "the weight %g was taken", bad);
    }
}

void overflow_is_reported() {
    nnqm::Theory theory = one_input();
    nnqm::Layer layer;
    layer.inputs = layer.outputs = 1;
    layer.weights = {2e38};  // overflows in float32 at three standard deviations
    layer.biases = {0};
    layer.activation = "identity";
    theory.network.layers = {layer};
    nnqm::Measure measure;
    measure.channels = {1};
    measure.shift = {0};
    measure.scale = {1e38};
    measure.orders = {1};
    measure.moments = true;
    for (const Precision precision : {Precision::float32, Precision::float64}) {
        const nnqm::Run run = make_run(20 * 64 + 3, 4, 5, precision);
        nnqm::SumsBuffer buffer(measure, 5, 0, 4);
        nnqm::Sums sums = buffer.view();
        nnqm::advance(theory, measure, run, {0, 4}, {0, 6}, sums);
        Integers expected(4, -1);
        if (precision == Precision::float32) {
            const std::vector<float> paths = all_channels<float>(theory, run);
            for (std::int64_t i = static_cast<std::int64_t>(paths.size()) - 1; i >= 0; --i)
                if (!std::isfinite(paths[size(i)])) expected[size(i / 10 / 64 % 4)] = i / 10;
            CHECK(*std::max_element(expected.begin(), expected.end()) >= 0, "the weight is too small for the test");
        }
        for (std::size_t b = 0; b < 4; ++b)
            CHECK(sums.first_bad[b] == expected[b], "block %d: %d, expected %d", static_cast<int>(b),
                  static_cast<int>(sums.first_bad[b]), static_cast<int>(expected[b]));
    }
}

// ---- Invalid arguments.

void refusals() {
    constexpr int n_times = 10;
    struct Arguments {
        nnqm::Theory theory = deep_theory();
        nnqm::Measure measure = full_measure(n_times);
        nnqm::Run run = make_run(200, 3, n_times, Precision::float64);
        nnqm::Range blocks{0, 3}, rounds{0, 2};
    };
    const auto refuse = [](const char* what, const std::function<void(Arguments&, nnqm::Sums&)>& spoil) {
        Arguments a;
        nnqm::SumsBuffer buffer(a.measure, n_times, 0, 3);
        nnqm::Sums sums = buffer.view();
        spoil(a, sums);
        CHECK(refused([&] { nnqm::advance(a.theory, a.measure, a.run, a.blocks, a.rounds, sums); }), "%s was accepted",
              what);
        if (sums.paths) CHECK(std::count(sums.paths, sums.paths + 3, 0) == 3, "%s: work was done", what);
    };
    const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
    const auto source = [](Arguments& a) -> nnqm::OrnsteinUhlenbeck& {
        return std::get<nnqm::OrnsteinUhlenbeck>(a.theory.sources[0]);
    };
    const auto layer = [](Arguments& a) -> nnqm::Layer& { return a.theory.network.layers[1]; };

    // The arguments before they are spoilt below are accepted.
    Arguments valid;
    nnqm::SumsBuffer filled(valid.measure, n_times, 0, 3);
    nnqm::Sums all = filled.view();
    nnqm::advance(valid.theory, valid.measure, valid.run, valid.blocks, valid.rounds, all);

    refuse("no source", [](Arguments& a, nnqm::Sums&) { a.theory.sources.clear(); });
    for (const double value : {0.0, -1.0, nan, inf}) {
        refuse("omega", [&](Arguments& a, nnqm::Sums&) { source(a).omega[1] = value; });
        refuse("sigma", [&](Arguments& a, nnqm::Sums&) { source(a).sigma[0] = value; });
        refuse("scale", [&](Arguments& a, nnqm::Sums&) { a.measure.scale[0] = value; });
    }
    refuse("lengths of omega and sigma", [&](Arguments& a, nnqm::Sums&) { source(a).omega.push_back(1); });
    refuse("inputs of the network", [&](Arguments& a, nnqm::Sums&) { a.theory.sources.pop_back(); });
    refuse("a chain of widths",
           [&](Arguments& a, nnqm::Sums&) { a.theory.network.layers.erase(a.theory.network.layers.begin() + 1); });
    refuse("number of weights", [&](Arguments& a, nnqm::Sums&) { layer(a).weights.pop_back(); });
    refuse("number of biases", [&](Arguments& a, nnqm::Sums&) { layer(a).biases.push_back(0); });
    refuse("activation", [&](Arguments& a, nnqm::Sums&) { layer(a).activation = "tahn"; });
    refuse("layer without outputs", [&](Arguments& a, nnqm::Sums&) { layer(a).outputs = 0; });
    refuse("no times", [](Arguments& a, nnqm::Sums&) { a.run.times.clear(); });
    refuse("equal times", [](Arguments& a, nnqm::Sums&) { a.run.times[3] = a.run.times[2]; });
    refuse("infinite time", [&](Arguments& a, nnqm::Sums&) { a.run.times[5] = inf; });
    refuse("no paths", [](Arguments& a, nnqm::Sums&) { a.run.n_paths = 0; });
    refuse("too many paths",
           [](Arguments& a, nnqm::Sums&) { a.run.n_paths = std::numeric_limits<std::int64_t>::max(); });
    refuse("too many blocks",
           [](Arguments& a, nnqm::Sums&) { a.run.n_blocks = std::numeric_limits<std::int64_t>::max(); });
    refuse("no blocks", [](Arguments& a, nnqm::Sums&) { a.run.n_blocks = 0; });
    refuse("blocks beyond the run", [](Arguments& a, nnqm::Sums&) { a.run.n_blocks = 2; });
    refuse("blocks beyond the sums", [](Arguments& a, nnqm::Sums& s) {
        a.run.n_blocks = 4;
        a.blocks.end = 4;
        s.n_blocks = 3;
    });
    refuse("blocks before the sums", [](Arguments&, nnqm::Sums& s) { s.first_block = 1; });
    refuse("no block", [](Arguments& a, nnqm::Sums&) { a.blocks = {1, 1}; });
    refuse("negative round", [](Arguments& a, nnqm::Sums&) { a.rounds.begin = -1; });
    refuse("reversed rounds", [](Arguments& a, nnqm::Sums&) { a.rounds = {2, 1}; });
    refuse("no channels", [](Arguments& a, nnqm::Sums&) { a.measure.channels.clear(); });
    refuse("channel that does not exist", [](Arguments& a, nnqm::Sums&) { a.measure.channels[0] = 5; });
    refuse("negative channel", [](Arguments& a, nnqm::Sums&) { a.measure.channels[0] = -1; });
    refuse("length of shift", [](Arguments& a, nnqm::Sums&) { a.measure.shift.pop_back(); });
    refuse("shift", [&](Arguments& a, nnqm::Sums&) { a.measure.shift[0] = nan; });
    refuse("order 0", [](Arguments& a, nnqm::Sums&) { a.measure.orders[0] = 0; });
    refuse("order 65", [](Arguments& a, nnqm::Sums&) { a.measure.orders[0] = 65; });
    refuse("product with the constant", [](Arguments& a, nnqm::Sums&) { a.measure.products[0][0] = 0; });
    refuse("product with a later one", [](Arguments& a, nnqm::Sums&) { a.measure.products[0][1] = 17; });
    refuse("centres of the neurons", [](Arguments& a, nnqm::Sums&) { a.measure.centres.pop_back(); });
    refuse("inputs of the neurons", [](Arguments& a, nnqm::Sums&) {
        a.measure.neurons.inputs = 2;
        a.measure.neurons.weights.resize(12);
    });
    refuse("lag beyond the path", [](Arguments& a, nnqm::Sums&) { a.measure.lags.back() = n_times; });
    refuse("negative lag", [](Arguments& a, nnqm::Sums&) { a.measure.lags.front() = -1; });
    refuse("lags out of order",
           [](Arguments& a, nnqm::Sums&) { std::swap(a.measure.observable_lags[0], a.measure.observable_lags[1]); });
    refuse("increment at lag 0", [](Arguments& a, nnqm::Sums&) { a.measure.increment_lags.front() = 0; });
    refuse("two_time channel", [](Arguments& a, nnqm::Sums&) { a.measure.two_time = 3; });
    refuse("lag sums missing", [](Arguments&, nnqm::Sums& s) { s.lags = nullptr; });
    refuse("moments missing", [](Arguments&, nnqm::Sums& s) { s.moments = nullptr; });
    refuse("moments not asked for", [](Arguments& a, nnqm::Sums&) { a.measure.moments = false; });
    refuse("paths missing", [](Arguments&, nnqm::Sums& s) { s.paths = nullptr; });

    const auto throws = [](const char* what, const std::function<void()>& call) {
        CHECK(refused(call), "%s was accepted", what);
    };
    const nnqm::Theory theory = deep_theory();
    const nnqm::Run run = make_run(10, 1, 4, Precision::float64);
    Doubles y(10 * 4 * 3), x(10 * 4 * 2);
    throws("sample: shape", [&] { nnqm::sample(theory, run, {0, 10}, {y.data(), Precision::float64, {10, 4, 2}}); });
    throws("sample: precision",
           [&] { nnqm::sample(theory, run, {0, 10}, {y.data(), Precision::float32, {10, 4, 3}}); });
    throws("sample: empty range",
           [&] { nnqm::sample(theory, run, {5, 5}, {y.data(), Precision::float64, {0, 4, 3}}); });
    throws("sample: negative path",
           [&] { nnqm::sample(theory, run, {-1, 9}, {y.data(), Precision::float64, {10, 4, 3}}); });
    const std::int64_t last = std::numeric_limits<std::int64_t>::max();
    throws("sample: beyond all paths",
           [&] { nnqm::sample(theory, run, {last - 10, last}, {y.data(), Precision::float64, {10, 4, 3}}); });
    throws("apply: beyond all paths", [&] {
        nnqm::apply(theory.network, run, last - 10, view_of(y, 10, 4, 3), {x.data(), Precision::float64, {10, 4, 2}});
    });
    throws("apply: no layers",
           [&] { nnqm::apply({}, view_of(y, 10, 4, 3), {x.data(), Precision::float64, {10, 4, 2}}, 1); });
    throws("apply: inputs",
           [&] { nnqm::apply(theory.network, view_of(y, 15, 4, 2), {x.data(), Precision::float64, {10, 4, 2}}, 1); });
    throws("apply: outputs",
           [&] { nnqm::apply(theory.network, view_of(y, 10, 4, 3), {x.data(), Precision::float64, {10, 4, 1}}, 1); });
    throws("apply: precision",
           [&] { nnqm::apply(theory.network, view_of(y, 10, 4, 3), {x.data(), Precision::float32, {10, 4, 2}}, 1); });
    nnqm::Measure measure;
    measure.channels = {0};
    measure.shift = {0};
    measure.scale = {1};
    measure.orders = {1};
    measure.moments = true;
    nnqm::SumsBuffer buffer(measure, 4, 0, 2);
    nnqm::Sums sums = buffer.view();
    for (const Integers& offsets : {Integers{0, 10}, {0, 6, 5}, {0, 5, 11}, {-1, 5, 10}})
        throws("accumulate: offsets", [&] { nnqm::accumulate(view_of(y, 10, 4, 3), measure, offsets, 0, 1, sums); });
    throws("accumulate: beyond all paths",
           [&] { nnqm::accumulate(view_of(y, 10, 4, 3), measure, {0, 5, 10}, last - 10, 1, sums); });
    throws("accumulate: empty", [&] { nnqm::accumulate(view_of(y, 10, 0, 3), measure, {0, 5, 10}, 0, 1, sums); });
}

template <class T>
void both_precisions() {
    paths_follow_the_random_number_map<T>();
    chains_follow_their_tables<T>();
    paths_do_not_depend_on_range_or_threads<T>();
    networks_equal_plain_loops<T>();
    sums_equal_plain_loops<T>();
    bits_do_not_depend_on_threads_or_cuts<T>();
    nnqm::Measure measure;
    measure.channels = {1, 0};
    measure.shift = {0.5, 0.0};
    measure.scale = {1.5, 1.0};
    measure.orders = {2, 2};
    measure.lags = {0, 1, 5};
    measure.observable_lags = {1};
    measure.increment_lags = {1};
    measure.moments = true;
    measure.two_time = 0;
    user_paths<T>(measure, 7);
    weighted_paths<T>(measure, 7);
    weighted_paths<T>(windowed_measure({1, 0}, 17, 1, 0), 39);
    weighted_paths<T>(windowed_measure({1}, 17, 1, 0), 39);
    user_paths<T>(windowed_measure({1, 0}, 17, 1, 0), 39);
}

}  // namespace

int main() {
    return run_tests([] {
        both_precisions<float>();
        both_precisions<double>();
        overflow_is_reported();
        refusals();
        broken_chains_are_refused();
    });
}
