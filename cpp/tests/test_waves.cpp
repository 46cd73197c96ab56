// Tests of modes, random waves and runs with several futures against plain loops in double precision. NNQM_LEVEL
// selects the level.
#include "plain_waves.hpp"

namespace {

constexpr std::int64_t far_path = (std::int64_t{1} << 32) - 64;

nnqm::Modes modes_source(int processes, int points) {
    Words words{static_cast<std::uint64_t>(processes)};
    nnqm::Modes modes;
    for (int j = 0; j < processes; ++j) modes.omega.push_back(words.uniform(0.2, 3));
    for (int i = 0; i < points * processes; ++i) modes.matrix.push_back(words.uniform(-1, 1));
    return modes;
}

// The largest difference between sampled inputs and plain loops, over the sum of the absolute values of the terms.
template <class T>
double worst_error(const std::vector<nnqm::Source>& sources, const nnqm::Run& run, std::int64_t first, std::int64_t n) {
    nnqm::Theory theory;
    theory.sources = sources;
    const std::vector<T> y = sampled<T>(theory, run, {first, first + n});
    const auto n_times = static_cast<std::int64_t>(run.times.size()), inputs = std::int64_t{theory.inputs()};
    double worst = 0;
    for (std::int64_t p = 0; p < n; ++p) {
        std::int64_t channel = 0;
        Word process = 0;
        for (const nnqm::Source& source : sources) {
            const PlainField field = plain_field(source, run, first + p, static_cast<Word>(channel), process);
            for (std::int64_t t = 0; t < n_times; ++t)
                for (std::int64_t s = 0; s < field.points; ++s) {
                    const std::size_t at = size(t * field.points + s);
                    const auto got = static_cast<double>(y[size((p * n_times + t) * inputs + channel + s)]);
                    worst = std::max(worst, std::fabs(got - field.values[at]) / field.terms[at]);
                }
            channel += field.points;
            process += field.processes;
        }
    }
    return worst;
}

template <class T>
void check_sources(const std::vector<nnqm::Source>& sources, const nnqm::Run& run, std::int64_t n, const char* what) {
    const double worst = worst_error<T>(sources, run, far_path + 35, n);
    CHECK(worst <= (sizeof(T) == 4 ? 4e-6 : 1e-12), "%s: %s: off by %g", name_of<T>, what, worst);
}

template <class T>
void fields_equal_plain_sums() {
    nnqm::Run run = make_run(1, 1, 11, precision_of<T>);
    nnqm::Run uneven = run;
    for (std::size_t t = 0; t < 11; ++t) uneven.times[t] = 0.05 * static_cast<double>(t * t) - 1.3;
    check_sources<T>({modes_source(1, 1)}, run, 75, "one mode");
    check_sources<T>({modes_source(7, 5), modes_source(3, 9)}, uneven, 75, "two sources of modes");
    for (const std::int64_t group : {1, 2, 8, 64, 128})
        for (const int space : {0, 1, 2, 3, 5})
            for (const int neurons : {1, 3}) {
                const std::string name = "group " + std::to_string(group) + ", space " + std::to_string(space);
                const nnqm::Run& grid = neurons == 1 ? uneven : run;
                const int points = 1 + (space + 3 * neurons) % 6;
                check_sources<T>({waves_source(Waves::oscillators, neurons, space, points, group)}, grid, 75,
                                 (name + ", oscillators").c_str());
                check_sources<T>({waves_source(Waves::cosines, neurons, space, points, group)}, grid, 75,
                                 (name + ", cosines").c_str());
                if (space > 0)
                    check_sources<T>({waves_source(Waves::ratio, neurons, space, points, group)}, grid, 75,
                                     (name + ", cosines with a ratio").c_str());
            }
    for (const std::int64_t group : {1, 64})
        check_sources<T>(
            {waves_source(Waves::oscillators, 70, 2, 5, group), modes_source(4, 3),
             waves_source(Waves::cosines, 66, 1, 2, group), waves_source(Waves::oscillators, 2, 0, 1, group)},
            run, 130, "several sources");
    // More than four different steps, which replace each other, and steps that return.
    nnqm::Run steps = run;
    steps.times = {0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.1, 2.2, 2.4, 2.7, 3.1, 3.6, 4.2, 4.3};
    for (const std::int64_t group : {1, 64})
        check_sources<T>({waves_source(Waves::oscillators, 3, 1, 2, group)}, steps, 75, "many steps");
}

// The words of the quantiles reach every octave on both sides; the smallest and the largest words are the ends.
void quantiles_follow_their_table() {
    const nnqm::Quantiles table = quantiles_source(7);
    const auto check = [&](Word a, Word b) {
        CHECK(plain_octave(a, b) >= 0 && plain_octave(a, b) < nnqm::quantile_octaves, "octave of %x %x", a, b);
        CHECK(plain_quantile(table, a, b) > 0.1, "quantile of %x %x", a, b);
    };
    for (int bit = 0; bit < 64; ++bit) {
        const std::uint64_t word = std::uint64_t{1} << bit;
        for (const std::uint64_t w : {word, word - 1, ~word, ~(word - 1)})
            check(static_cast<Word>(w >> 32), static_cast<Word>(w));
    }
}

// ---- Windows of time.

template <class T>
void windows_join() {
    const std::int64_t n_times = 39, n = 70;
    for (const std::int64_t group : {1, 64}) {
        nnqm::Theory sources;
        sources.sources = {waves_source(Waves::oscillators, 3, 1, 3, group), modes_source(4, 2),
                           waves_source(Waves::cosines, 2, 1, 2, group)};
        const int inputs = sources.inputs();
        const nnqm::Run run = make_run(n, 1, n_times, precision_of<T>);
        nnqm::Theory many = sources;
        many.sources.push_back(nnqm::OrnsteinUhlenbeck{Doubles(150, 1.0), Doubles(150, 1.0)});
        const std::vector<T> y = sampled<T>(sources, run, {0, n}), wide = sampled<T>(many, run, {0, n});
        std::int64_t wrong = 0;
        for (std::int64_t i = 0; i < n * n_times; ++i)
            for (std::int64_t c = 0; c < inputs; ++c)
                wrong += y[size(i * inputs + c)] != wide[size(i * (inputs + 150) + c)];
        CHECK(wrong == 0, "%s: %lld inputs differ between windows", name_of<T>, static_cast<long long>(wrong));
        compare_advance<T>("windows of fields", sources, windowed_measure({0, 3, 6}, 17, group),
                           make_run(128, 1, n_times, precision_of<T>));
        nnqm::Theory theory = sources;
        theory.network = random_network(inputs, {3, 1}, "tanh", group);
        compare_advance<T>("a random network of fields", theory, windowed_measure({inputs}, 17, group),
                           make_run(128, 1, n_times, precision_of<T>));
    }
}

// The momenta do not depend on the precision, so float32 and float64 differ by rounding only.
void precisions_share_momenta() {
    for (const std::int64_t group : {1, 8, 64}) {
        nnqm::Theory theory;
        theory.sources = {waves_source(Waves::cosines, 5, 2, 3, group)};
        const std::vector<float> single = sampled<float>(theory, make_run(1, 1, 6, Precision::float32), {0, 70});
        const std::vector<double> full = sampled<double>(theory, make_run(1, 1, 6, Precision::float64), {0, 70});
        double worst = 0;
        for (std::size_t i = 0; i < full.size(); ++i)
            worst = std::max(worst, std::fabs(full[i] - static_cast<double>(single[i])));
        CHECK(worst < 5e-6, "float32 and float64 differ by %g", worst);
    }
}

// ---- Futures.

template <class T>
void futures_share_the_present() {
    nnqm::Run run = make_run(1, 1, 7, precision_of<T>);
    for (const std::int64_t futures : {2, 8, 64, 128}) {
        run.futures = futures;
        check_sources<T>({modes_source(3, 2), waves_source(Waves::oscillators, 3, 1, 3, 128)}, run, 150, "futures");
    }
    // Chains and Ornstein-Uhlenbeck processes: the first value is the one of path i / futures of a run without futures.
    nnqm::Chain chain;
    chain.dt = 0.1;
    chain.states = 3;
    chain.grids = 2;
    chain.values = {0, 1, 2, 10, 11, 12};
    chain.start_threshold = {0x40000000U, 0xc0000000U, 0x80000000U, 0x90000000U, 0x20000000U, 0xf0000000U};
    chain.start_alias = {1, 2, 0, 2, 0, 1};
    for (int row = 0; row < 6; ++row)
        for (int column = 0; column < 3; ++column) {
            chain.threshold.push_back(0x30000000U * static_cast<Word>(1 + row % 4));
            chain.alias.push_back(static_cast<Word>((row + column) % 3));
        }
    nnqm::Theory theory;
    theory.sources = {chain, nnqm::OrnsteinUhlenbeck{{1.3, 0.4}, {0.9, 1.1}}};
    nnqm::Run alone = run;
    alone.futures = 1;
    run.futures = 4;
    const std::int64_t first = 37, n = 150, n_times = 7;
    const std::vector<T> y = sampled<T>(theory, run, {first, first + n});
    const std::vector<T> present = sampled<T>(theory, alone, {0, first + n});
    for (std::int64_t p = 0; p < n; ++p) {
        const std::int64_t path = first + p, grid = path / 4 % 2;
        for (std::int64_t c = 0; c < 3; ++c)
            CHECK(y[size(p * n_times * 3 + c)] == present[size(path / 4 * n_times * 3 + c)],
                  "%s: present of path %d, input %d", name_of<T>, static_cast<int>(path), static_cast<int>(c));
        auto state = static_cast<std::int64_t>(y[size(p * n_times * 3)]) - 10 * grid;
        for (std::int64_t t = 1; t < n_times; ++t) {
            Word c[4] = {static_cast<Word>(path), static_cast<Word>(path >> 32), static_cast<Word>(t / 2), 65536};
            philox(c, run.key);
            const auto column = static_cast<std::int64_t>((std::uint64_t{c[t % 2 * 2]} * 3) >> 32);
            const std::size_t at = size((grid * 3 + state) * 3 + column);
            state = c[t % 2 * 2 + 1] < chain.threshold[at] ? column : static_cast<std::int64_t>(chain.alias[at]);
            CHECK(y[size((p * n_times + t) * 3)] == static_cast<T>(10 * grid + state), "%s: state of path %d, time %d",
                  name_of<T>, static_cast<int>(path), static_cast<int>(t));
            for (std::int64_t d = 0; d < 2; ++d) {
                const double rate = d == 0 ? 1.3 : 0.4, sigma = d == 0 ? 0.9 : 1.1, a = std::exp(-0.1 * rate);
                const double noise =
                    sigma * std::sqrt((1 - a * a) / (2 * rate)) * normal(run.key, path, t, static_cast<Word>(1 + d));
                const double expected = a * static_cast<double>(y[size((p * n_times + t - 1) * 3 + 1 + d)]) + noise;
                CHECK(std::fabs(static_cast<double>(y[size((p * n_times + t) * 3 + 1 + d)]) - expected) < 1e-5,
                      "%s: oscillator %d of path %d, time %d", name_of<T>, static_cast<int>(d), static_cast<int>(path),
                      static_cast<int>(t));
            }
        }
    }
}

// ---- Invalid arguments.

void refuse_source(const char* what, const nnqm::Source& good,
                   const std::function<void(nnqm::Theory&, nnqm::Run&)>& spoil) {
    nnqm::Theory theory;
    theory.sources = {good};
    nnqm::Run run = make_run(64, 1, 5, Precision::float64);
    sampled<double>(theory, run, {0, 1});
    spoil(theory, run);
    CHECK(refused([&] { sampled<double>(theory, run, {0, 1}); }), "%s was accepted", what);
}

void refusals() {
    const auto nan = std::numeric_limits<double>::quiet_NaN();
    const auto refuse_modes = [&](const char* what, const std::function<void(nnqm::Modes&)>& spoil) {
        refuse_source(what, modes_source(3, 2),
                      [&](nnqm::Theory& t, nnqm::Run&) { spoil(std::get<nnqm::Modes>(t.sources[0])); });
    };
    refuse_modes("no modes", [](nnqm::Modes& m) { m.omega.clear(); });
    refuse_modes("no points", [](nnqm::Modes& m) { m.matrix.clear(); });
    refuse_modes("size of the matrix", [](nnqm::Modes& m) { m.matrix.pop_back(); });
    refuse_modes("a rate of zero", [](nnqm::Modes& m) { m.omega[1] = 0; });
    refuse_modes("a rate that is not finite", [&](nnqm::Modes& m) { m.omega[1] = nan; });
    refuse_modes("a matrix that is not finite", [&](nnqm::Modes& m) { m.matrix[1] = nan; });
    const auto refuse_waves = [&](Waves kind, const char* what, const std::function<void(nnqm::RandomWaves&)>& spoil) {
        refuse_source(what, waves_source(kind, 3, 2, 2, 8),
                      [&](nnqm::Theory& t, nnqm::Run&) { spoil(std::get<nnqm::RandomWaves>(t.sources[0])); });
    };
    for (const Waves kind : {Waves::oscillators, Waves::cosines, Waves::ratio}) {
        refuse_waves(kind, "no neurons", [](nnqm::RandomWaves& w) { w.neurons = 0; });
        refuse_waves(kind, "too many neurons", [](nnqm::RandomWaves& w) { w.neurons = 1 << 25; });
        refuse_waves(kind, "negative space", [](nnqm::RandomWaves& w) { w.space = -1; });
        refuse_waves(kind, "another space", [](nnqm::RandomWaves& w) { w.space = 3; });
        refuse_waves(kind, "no points", [](nnqm::RandomWaves& w) { w.n_points = 0; });
        refuse_waves(kind, "a point that is not finite", [&](nnqm::RandomWaves& w) { w.points[1] = nan; });
        refuse_waves(kind, "no radius", [](nnqm::RandomWaves& w) { w.radius.coefficients.clear(); });
        refuse_waves(kind, "a short radius", [](nnqm::RandomWaves& w) { w.radius.coefficients.pop_back(); });
        refuse_waves(kind, "a radius that is not finite",
                     [&](nnqm::RandomWaves& w) { w.radius.coefficients[3] = nan; });
        refuse_waves(kind, "a negative mass", [](nnqm::RandomWaves& w) { w.mass = -1; });
        refuse_waves(kind, "an amplitude that is not finite", [&](nnqm::RandomWaves& w) { w.amplitude = nan; });
        refuse_waves(kind, "a power that is not finite", [&](nnqm::RandomWaves& w) { w.power = nan; });
        refuse_waves(kind, "a group of 3", [](nnqm::RandomWaves& w) { w.group = 3; });
    }
    refuse_waves(Waves::oscillators, "oscillators with a ratio",
                 [](nnqm::RandomWaves& w) { w.ratio = quantiles_source(1); });
    refuse_waves(Waves::oscillators, "too many processes", [](nnqm::RandomWaves& w) { w.neurons = 32769; });
    refuse_waves(Waves::ratio, "a short ratio", [](nnqm::RandomWaves& w) { w.ratio.coefficients.pop_back(); });
    refuse_waves(Waves::cosines, "too many words", [](nnqm::RandomWaves& w) {
        w.neurons = 1 << 24;
        w.space = 1024;
        w.points.assign(2048, 0.0);
    });
    refuse_source("a massless oscillator", waves_source(Waves::oscillators, 1, 0, 1, 8),
                  [](nnqm::Theory& t, nnqm::Run&) { std::get<nnqm::RandomWaves>(t.sources[0]).mass = 0; });
    const nnqm::Source waves = waves_source(Waves::oscillators, 3, 2, 2, 8);
    refuse_source("two groups of waves", waves, [](nnqm::Theory& t, nnqm::Run&) {
        t.sources.push_back(waves_source(Waves::oscillators, 3, 2, 2, 16));
    });
    refuse_source("another group of the network", waves,
                  [](nnqm::Theory& t, nnqm::Run&) { t.network = random_network(2, {3, 1}, "tanh", 16); });
    refuse_source("too many inputs before waves", modes_source(1, 65536),
                  [&](nnqm::Theory& t, nnqm::Run&) { t.sources.push_back(waves); });
    refuse_source("too many modes and waves", waves, [](nnqm::Theory& t, nnqm::Run&) {
        t.sources.push_back(nnqm::Modes{Doubles(65531, 1.0), Doubles(65531, 1.0)});
    });
    refuse_source("futures of 3", waves, [](nnqm::Theory&, nnqm::Run& r) { r.futures = 3; });
    refuse_source("no futures", waves, [](nnqm::Theory&, nnqm::Run& r) { r.futures = 0; });
    refuse_source("more futures than the group", waves, [](nnqm::Theory&, nnqm::Run& r) { r.futures = 16; });
    refuse_source("futures of cosines", waves_source(Waves::cosines, 3, 2, 2, 8),
                  [](nnqm::Theory&, nnqm::Run& r) { r.futures = 8; });
    refuse_source("futures of times", nnqm::Times{false}, [](nnqm::Theory&, nnqm::Run& r) { r.futures = 2; });
    refuse_source("futures of a random network of one path", nnqm::OrnsteinUhlenbeck{{1}, {1}},
                  [](nnqm::Theory& t, nnqm::Run& r) {
                      t.network = random_network(1, {3, 1}, "tanh", 1);
                      r.futures = 2;
                  });
    nnqm::Theory theory;
    theory.sources = {waves};
    nnqm::Run run = make_run(64, 1, 5, Precision::float64);
    run.futures = 8;
    nnqm::Measure measure = windowed_measure({0}, 3, 8);
    nnqm::SumsBuffer buffer(measure, 5, 0, 1);
    nnqm::Sums sums = buffer.view();
    CHECK(refused([&] { nnqm::advance(theory, measure, run, {0, 1}, {0, 1}, sums); }), "sums of futures");
    run.futures = 1;
    measure.group = 1;
    CHECK(refused([&] { nnqm::advance(theory, measure, run, {0, 1}, {0, 1}, sums); }), "another group of the measure");
}

template <class T>
void both_precisions() {
    fields_equal_plain_sums<T>();
    windows_join<T>();
    futures_share_the_present<T>();
}

}  // namespace

int main() {
    return run_tests([] {
        quantiles_follow_their_table();
        both_precisions<float>();
        both_precisions<double>();
        precisions_share_momenta();
        refusals();
    });
}
