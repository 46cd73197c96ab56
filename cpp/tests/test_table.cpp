// Tests of tables of polynomials for networks with one input, against the networks. NNQM_LEVEL selects the level.
#include "plain.hpp"

namespace {

nnqm::Network network_of(const std::vector<int>& widths, const std::string& activation, double spread = 1.2) {
    Words words{static_cast<std::uint64_t>(widths.size()) + 7};
    nnqm::Network network;
    for (std::size_t i = 0; i + 1 < widths.size(); ++i)
        network.layers.push_back(random_layer(widths[i], widths[i + 1], i + 2 < widths.size() ? activation : "identity",
                                              i == 0 ? spread : spread / std::sqrt(widths[i]), words));
    return network;
}

// Inputs: centres and borders of cells and their neighbours, the ends of the table, points beyond, and random numbers.
template <class T>
std::vector<T> inputs(const nnqm::Table& table) {
    std::vector<T> y = {T(0), -T(0), std::numeric_limits<T>::denorm_min(), -std::numeric_limits<T>::min(),
                        std::numeric_limits<T>::max()};
    const auto h = static_cast<T>(table.spacing);
    for (const int k : {-512, -511, -33, -1, 0, 1, 2, 100, 511, 512}) {
        for (const T offset : {T(0), T(0.5), T(-0.5)}) {
            const T x = (static_cast<T>(k) + offset) * h;
            for (const T to : {-std::numeric_limits<T>::max(), std::numeric_limits<T>::max()})
                y.push_back(std::nextafter(x, to));
            y.push_back(x);
        }
    }
    for (const double beyond : {1.0, 1.000001, 1.5, 10.0}) {
        y.push_back(static_cast<T>(beyond * table.reach));
        y.push_back(-y.back());
    }
    Words words{3};
    for (int i = 0; i < 4000; ++i) y.push_back(static_cast<T>(words.uniform(-1.02, 1.02) * table.reach));
    for (int i = 0; i < 4000; ++i) y.push_back(static_cast<T>(words.uniform(-3, 3)));
    return y;
}

template <class T>
void tables_equal_networks() {
    const std::vector<std::vector<int>> shapes = {{1, 3, 1}, {1, 16, 1}, {1, 9, 7, 3}, {1, 64, 64, 1}, {1, 5, 5, 5, 2}};
    double worst_error = 0, worst_stated = 0;
    for (const std::string name : {"tanh", "sin", "cos", "erf", "gelu", "sigmoid", "softplus"}) {
        for (const std::vector<int>& widths : shapes) {
            nnqm::Network network = network_of(widths, name);
            const auto table = nnqm::compile(network, precision_of<T>);
            CHECK(table != nullptr, "%s %s: no table", name_of<T>, name.c_str());
            if (!table) continue;
            const double tolerance = sizeof(T) == 4 ? 1e-7 : 1e-13;
            CHECK(table->error < tolerance && table->reach >= 4, "%s %s: error %g, reach %g", name_of<T>, name.c_str(),
                  table->error, table->reach);
            worst_stated = std::max(worst_stated, table->error);
            const std::vector<T> y = inputs<T>(*table);
            const auto n = static_cast<std::int64_t>(y.size()), c = static_cast<std::int64_t>(widths.back());
            const std::vector<T> direct = applied(network, y, n, 1);
            network.table = table;
            const std::vector<T> tabulated = applied(network, y, n, 1);
            const Doubles wide(y.begin(), y.end());
            std::vector<std::size_t> order(y.size());
            for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
            std::sort(order.begin(), order.end(),
                      [&](std::size_t a, std::size_t b) { return std::fabs(wide[a]) < std::fabs(wide[b]); });
            for (std::int64_t o = 0; o < c; ++o) {
                double scale = 0;
                for (const double x : wide) {
                    Doubles value = {x};
                    if (std::fabs(x) > 1) continue;
                    for (const nnqm::Layer& layer : network.layers) value = run_layer(layer, value);
                    scale = std::max(scale, std::fabs(value[size(o)]));
                }
                for (const std::size_t i : order) {
                    const std::size_t at = i * size(c) + size(o);
                    if (!(std::fabs(wide[i]) < table->reach)) {
                        CHECK(std::memcmp(&tabulated[at], &direct[at], sizeof(T)) == 0,
                              "%s %s: input %g is beyond the table", name_of<T>, name.c_str(), wide[i]);
                        continue;
                    }
                    Doubles value = {wide[i]};
                    for (const nnqm::Layer& layer : network.layers) value = run_layer(layer, value);
                    scale = std::max(scale, std::fabs(value[size(o)]));
                    const double error = std::fabs(static_cast<double>(tabulated[at]) - value[size(o)]) / scale;
                    worst_error = std::max(worst_error, error);
                    // In float32 two roundings are added: of the constant term and of the result.
                    CHECK(error < (sizeof(T) == 4 ? table->error + 1.4e-7 : 2e-13), "%s %s: f(%g) is off by %g",
                          name_of<T>, name.c_str(), wide[i], error);
                }
            }
        }
    }
    std::printf("tables: %s  within %.1e of the networks, interpolation alone %.1e\n", name_of<T>, worst_error,
                worst_stated);
}

template <class T>
void values_that_are_not_finite_pass_through() {
    nnqm::Network network = network_of({1, 16, 1}, "gelu");
    std::vector<T> y(70, T(0.5));
    y[3] = std::numeric_limits<T>::quiet_NaN();
    y[9] = std::numeric_limits<T>::infinity();
    y[66] = -std::numeric_limits<T>::infinity();
    const std::vector<T> direct = applied(network, y, 70, 1);
    network.table = nnqm::compile(network, precision_of<T>);
    const std::vector<T> tabulated = applied(network, y, 70, 1);
    for (const std::size_t i : {std::size_t{3}, std::size_t{9}, std::size_t{66}})
        CHECK(std::memcmp(&direct[i], &tabulated[i], sizeof(T)) == 0 ||
                  (std::isnan(direct[i]) && std::isnan(tabulated[i])),
              "%s: input %d", name_of<T>, static_cast<int>(i));
    CHECK(tabulated[4] == tabulated[69] && std::isfinite(tabulated[4]), "%s: a lane beside a NaN", name_of<T>);
}

// Increments over steps far below the width of a cell, also across borders: they determine the commutator.
void slopes_are_those_of_the_network() {
    nnqm::Network network = network_of({1, 32, 32, 1}, "tanh");
    network.table = nnqm::compile(network, Precision::float64);
    const double step = 1e-4;
    Doubles y, slope;
    for (int i = 0; i < 20000; ++i) {
        const double x = -4 + 4e-4 * i;
        y.insert(y.end(), {x, x + step});
        Doubles low = {x}, high = {x + step};
        for (const nnqm::Layer& layer : network.layers) {
            low = run_layer(layer, low);
            high = run_layer(layer, high);
        }
        slope.push_back((high[0] - low[0]) / step);
    }
    const Doubles f = applied(network, y, static_cast<std::int64_t>(y.size()), 1);
    double worst = 0, square = 0, expected = 0;
    for (std::size_t i = 0; i < slope.size(); ++i) {
        const double got = (f[2 * i + 1] - f[2 * i]) / step;
        worst = std::max(worst, std::fabs(got - slope[i]));
        square += got * got;
        expected += slope[i] * slope[i];
    }
    CHECK(worst < 1e-9, "slopes are off by %g", worst);
    CHECK(std::fabs(square / expected - 1) < 1e-9, "the mean square slope is off by %g", square / expected - 1);
}

template <class T>
void stages_and_threads_give_equal_bits() {
    nnqm::Theory theory;
    theory.sources = {nnqm::OrnsteinUhlenbeck{{1.0}, {4.0}}};
    theory.network = network_of({1, 8, 6, 2}, "tanh", 4.0);
    theory.network.table = nnqm::compile(theory.network, precision_of<T>);
    CHECK(theory.network.table != nullptr, "%s: no table", name_of<T>);
    // Some inputs must lie beyond the table.
    CHECK(theory.network.table->reach < 9, "%s: reach %g", name_of<T>, theory.network.table->reach);
    nnqm::Measure measure;
    measure.channels = {1, 2};
    measure.shift = {0, 0};
    measure.scale = {1, 1};
    measure.orders = {2, 2};
    measure.lags = {0, 1};
    measure.observable_lags = {1};
    measure.increment_lags = {1};
    measure.moments = true;
    measure.two_time = 0;
    const std::int64_t n_times = 9;
    nnqm::Run run = make_run(5 * 64 + 3, 3, n_times, precision_of<T>);
    const std::vector<T> all = all_channels<T>(theory, run);
    nnqm::SumsBuffer fused_buffer(measure, n_times, 0, 3), slow_buffer(measure, n_times, 0, 3);
    nnqm::Sums fused = fused_buffer.view(), slow = slow_buffer.view();
    nnqm::advance(theory, measure, run, {0, 3}, {0, 9}, fused);
    check_against_loops("tabulated", measure, n_times, 3, all, fused, [](std::int64_t p) { return p / 64 % 3; });
    run.n_threads = 1;
    nnqm::advance(theory, measure, run, {0, 3}, {0, 9}, slow);
    check_equal_bits("one thread", measure, n_times, fused, slow);
    theory.network.table = nullptr;
    nnqm::SumsBuffer direct_buffer(measure, n_times, 0, 3);
    nnqm::Sums direct = direct_buffer.view();
    nnqm::advance(theory, measure, run, {0, 3}, {0, 9}, direct);
    CHECK(std::memcmp(direct.moments, fused.moments, 8 * sizeof(double)) != 0, "%s: the table is not used", name_of<T>);
    CHECK(std::fabs(direct.moments[1] - fused.moments[1]) <= (sizeof(T) == 4 ? 1e-5 : 1e-11) * direct.moments[1],
          "%s: <x^2> %g, %g", name_of<T>, direct.moments[1], fused.moments[1]);
}

void networks_without_a_table() {
    const auto none = [](const char* what, const nnqm::Network& network) {
        for (const Precision precision : {Precision::float32, Precision::float64})
            CHECK(nnqm::compile(network, precision) == nullptr, "%s has a table", what);
    };
    none("relu", network_of({1, 16, 1}, "relu"));
    none("a network of two inputs", network_of({2, 16, 1}, "tanh"));
    none("one neuron", network_of({1, 1, 1}, "tanh"));
    none("a linear network", network_of({1, 1}, "tanh"));
    none("no layers", {});
    none("a step", network_of({1, 16, 1}, "tanh", 1e4));
    nnqm::Network overflowing = network_of({1, 16, 1}, "softplus");
    overflowing.layers[1].weights[2] = 1e308;
    none("a network that overflows", overflowing);
    nnqm::Network random = network_of({1, 16, 1}, "tanh");
    for (const nnqm::Layer& layer : random.layers)
        random.drawn.push_back({{}, {}, Doubles(layer.weights.size()), Doubles(layer.biases.size()), true});
    none("a network with drawn parameters", random);
    nnqm::Network zero = network_of({1, 16, 1}, "tanh");
    zero.layers[1].weights.assign(16, 0);
    zero.layers[1].biases = {0};
    const auto table = nnqm::compile(zero, Precision::float64);
    CHECK(table && table->error == 0, "a network that is zero");
}

void refusals() {
    nnqm::Network network = network_of({1, 16, 1}, "tanh");
    nnqm::Network broken = network;
    broken.layers[1].inputs = 3;
    CHECK(refused([&] { nnqm::compile(broken, Precision::float32); }), "layers that do not fit were compiled");
    network.table = nnqm::compile(network, Precision::float32);
    const std::vector<float> single(4);
    const Doubles twofold(4);
    const auto apply = [&](const nnqm::Network& net, bool wide) {
        if (wide) applied(net, twofold, 4, 1);
        else applied(net, single, 4, 1);
    };
    apply(network, false);
    CHECK(refused([&] { apply(network, true); }), "a table of another precision was used");
    nnqm::Theory theory;
    theory.sources = {nnqm::OrnsteinUhlenbeck{{1.0}, {1.0}}};
    theory.network = network;
    nnqm::Measure measure;
    measure.channels = {1};
    measure.shift = {0};
    measure.scale = {1};
    measure.orders = {1};
    measure.moments = true;
    nnqm::SumsBuffer buffer(measure, 3, 0, 1);
    nnqm::Sums sums = buffer.view();
    CHECK(
        refused([&] { nnqm::advance(theory, measure, make_run(64, 1, 3, Precision::float64), {0, 1}, {0, 1}, sums); }),
        "a table of another precision was used by advance");
    const auto spoiled = [&](const char* what, const std::function<void(nnqm::Table&)>& spoil) {
        nnqm::Table table = *network.table;
        spoil(table);
        nnqm::Network other = network;
        other.table = std::make_shared<const nnqm::Table>(table);
        CHECK(refused([&] { apply(other, false); }), "%s was accepted", what);
    };
    spoiled("a table cut short", [](nnqm::Table& t) { t.coefficients.pop_back(); });
    spoiled("other terms", [](nnqm::Table& t) { t.terms = 8; });
    spoiled("other cells", [](nnqm::Table& t) { t.half_cells = 100; });
    spoiled("no spacing", [](nnqm::Table& t) { t.spacing = 0; });
    nnqm::Network other = network_of({1, 16, 2}, "tanh");
    other.table = network.table;
    CHECK(refused([&] { apply(other, false); }), "the table of another network was used");
}

template <class T>
void both_precisions() {
    tables_equal_networks<T>();
    values_that_are_not_finite_pass_through<T>();
    stages_and_threads_give_equal_bits<T>();
}

}  // namespace

int main() {
    return run_tests([] {
        both_precisions<float>();
        both_precisions<double>();
        slopes_are_those_of_the_network();
        networks_without_a_table();
        refusals();
    });
}
