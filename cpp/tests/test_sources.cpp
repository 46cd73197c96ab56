// Tests of linear sources, times and periodic chains, and of windows of time, against plain loops in double precision.
// NNQM_LEVEL selects the level.
#include "drawn_networks.hpp"

namespace {

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
                Word c[4] = {static_cast<Word>(first + p), static_cast<Word>((first + p) >> 32),
                             static_cast<Word>(step / 4), purpose};
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
                worst =
                    std::max(worst, std::fabs(sum - static_cast<double>(y[size((p * n_times + t) * 2 + 1)])) / terms);
            }
        }
        CHECK(worst <= (sizeof(T) == 4 ? 3e-6 : 1e-13), "%s: linear source, %s, %d modes: off by %g", name_of<T>, what,
              linear.modes, worst);
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
        CHECK(y[i] == static_cast<T>(i % 2 == 0 ? t : std::fabs(t)), "%s: input %d of time %g", name_of<T>,
              static_cast<int>(i % 2), t);
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
    // Small weights, whose sums have no digits above 2^32, and the largest weights.
    for (const auto& [states, largest_weight] :
         {std::pair{1, 2147483647.0}, {3, 2147483647.0}, {20, 2147483647.0}, {5, 1e6}}) {
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
                Word c[4] = {static_cast<Word>(first + p), static_cast<Word>((first + p) >> 32),
                             static_cast<Word>(t / 2), 65536 + 1};
                philox(c, run.key);
                const std::uint64_t word = c[t % 2 * 2];
                if (t == 0) {
                    const auto column = static_cast<std::int64_t>((word * static_cast<std::uint64_t>(states)) >> 32);
                    const std::size_t at = size(grid * s + column);
                    start = state =
                        c[1] < chain.start_threshold[at] ? column : static_cast<std::int64_t>(chain.start_alias[at]);
                } else {
                    std::vector<std::uint64_t> weights;
                    Wide total = 0;
                    for (std::int64_t j = 0; j < s; ++j) {
                        const std::uint64_t forth = chain.step_weights[size((grid * s + state) * s + j)];
                        const std::uint64_t back =
                            chain.remaining[size(((grid * (steps - 1) + t - 1) * s + start) * s + j)];
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

// With the weights of the bridge of a symmetric kernel, the probability of a closed path is the product of its steps,
// up to normalisation.
void periodic_chains_are_bridges() {
    const int s = 3, steps = 4;
    const double kernel[3][3] = {{0.9, 0.4, 0.05}, {0.4, 1.1, 0.3}, {0.05, 0.3, 0.6}};
    double power[5][3][3] = {};  // powers of the kernel
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
    // The alias table of this start is simple, because the start is nearly uniform: only the middle state has a
    // probability above 1/3.
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
    // 80 degrees of freedom; exceeded with probability 1e-8.
    CHECK(chi_squared < 168, "chi-squared of closed paths %g", chi_squared);
}

// ---- Windows of time: results cut into windows of 16 times equal results that are not cut.

template <class T>
void windows_join() {
    const std::int64_t n_times = 39, n = 70;
    nnqm::Theory sources;
    sources.sources = {nnqm::OrnsteinUhlenbeck{{1.3, 0.4}, {0.9, 1.1}}, periodic_chain(3, 2, n_times),
                       linear_source(4, n_times, {}, 0, false), linear_source(3, n_times, {}, 5, true),
                       nnqm::Times{false}};
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
        for (std::int64_t c = 0; c < inputs; ++c)
            wrong += y[size(i * inputs + c)] != wide[size(i * (inputs + 150) + c)];
    CHECK(wrong == 0, "%s: %lld inputs differ between windows", name_of<T>, static_cast<long long>(wrong));

    for (const std::int64_t group : {1, 8, 128}) {
        nnqm::Theory theory;
        theory.sources.push_back(nnqm::OrnsteinUhlenbeck{{1.3}, {0.9}});
        theory.network = random_network(1, {3, 1}, "tanh", group);
        const std::string name = "windows of groups of " + std::to_string(group);
        compare_advance<T>(name.c_str(), theory, windowed_measure({1}, 17, group),
                           make_run(128, 1, n_times, precision_of<T>));
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
        const std::vector<T> t = sampled<T>(theory, shifted, {0, n}),
                             whole = applied_to(network, shifted, 0, t, n, n_times);
        for (const nnqm::Range range : {nnqm::Range{0, 5}, {5, 21}, {21, 39}}) {
            nnqm::Run part = shifted;
            part.times.assign(shifted.times.begin() + range.begin, shifted.times.begin() + range.end);
            const std::vector<T> x =
                applied_to(network, part, 0, sampled<T>(theory, part, {0, n}), n, range.end - range.begin);
            const std::int64_t row = 150 * (range.end - range.begin);
            for (std::int64_t p = 0; p < n; ++p)
                CHECK(std::memcmp(x.data() + p * row, whole.data() + (p * n_times + range.begin) * 150,
                                  size(row) * sizeof(T)) == 0,
                      "%s: outputs of path %d differ between windows", name_of<T>, static_cast<int>(p));
        }
    }
}

// ---- Invalid arguments.

void refusals() {
    const auto nan = std::numeric_limits<double>::quiet_NaN();
    const auto refuse_source = [](const char* what, const nnqm::Source& good,
                                  const std::function<void(nnqm::Source&, nnqm::Run&)>& spoil) {
        nnqm::Theory theory;
        theory.sources = {good};
        nnqm::Run run = make_run(64, 1, 5, Precision::float64);
        sampled<double>(theory, run, {0, 1});
        spoil(theory.sources[0], run);
        CHECK(refused([&] { sampled<double>(theory, run, {0, 1}); }), "%s was accepted", what);
    };
    const auto refuse_linear = [&](const char* what, const std::function<void(nnqm::Linear&, nnqm::Run&)>& spoil) {
        refuse_source(what, linear_source(3, 5, {}, 4, false),
                      [&](nnqm::Source& s, nnqm::Run& r) { spoil(std::get<nnqm::Linear>(s), r); });
    };
    refuse_linear("another number of times", [](nnqm::Linear&, nnqm::Run& r) { r.times.pop_back(); });
    refuse_linear("no modes", [](nnqm::Linear& l, nnqm::Run&) { l.modes = 0; });
    refuse_linear("size of the basis", [](nnqm::Linear& l, nnqm::Run&) { l.basis.pop_back(); });
    refuse_linear("size of the rows", [](nnqm::Linear& l, nnqm::Run&) { l.rows.pop_back(); });
    refuse_linear("a basis that is not finite", [&](nnqm::Linear& l, nnqm::Run&) { l.basis[2] = nan; });
    refuse_linear("a mean that is not finite", [&](nnqm::Linear& l, nnqm::Run&) { l.mean[2] = nan; });
    refuse_linear("rows that are not finite", [&](nnqm::Linear& l, nnqm::Run&) { l.rows[2] = nan; });
    refuse_linear("nu of the coefficients",
                  [](nnqm::Linear& l, nnqm::Run&) { l.density = {DensityKind::student_t, 0}; });

    const auto refuse_chain = [&](const char* what,
                                  const std::function<void(nnqm::PeriodicChain&, nnqm::Run&)>& spoil) {
        refuse_source(what, periodic_chain(3, 2, 5),
                      [&](nnqm::Source& s, nnqm::Run& r) { spoil(std::get<nnqm::PeriodicChain>(s), r); });
    };
    refuse_chain("a periodic chain of other times", [](nnqm::PeriodicChain&, nnqm::Run& r) { r.times.pop_back(); });
    refuse_chain("a periodic chain of another step", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.dt = 0.2; });
    refuse_chain("no steps", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.steps = 0; });
    refuse_chain("steps that differ from the tables", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.steps = 4; });
    refuse_chain("a weight of 2^31", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.step_weights[3] = 0x80000000U; });
    refuse_chain("a remaining weight of 2^31",
                 [](nnqm::PeriodicChain& c, nnqm::Run&) { c.remaining[3] = 0xffffffffU; });
    refuse_chain("too few weights", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.step_weights.pop_back(); });
    refuse_chain("too many remaining weights", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.remaining.push_back(1); });
    refuse_chain("a start that is no state", [](nnqm::PeriodicChain& c, nnqm::Run&) { c.start_alias[4] = 3; });
}

template <class T>
void both_precisions() {
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
        periodic_chains_are_bridges();
        refusals();
    });
}
