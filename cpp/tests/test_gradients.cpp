// Tests of derivatives of networks and of their pullbacks, against a plain forward pass in long double and its finite
// differences. NNQM_LEVEL selects the level.
#include "drawn_networks.hpp"

namespace {

using Real = long double;
using Reals = std::vector<Real>;

// Value and first two derivatives.
struct Jet {
    Real value, first, second;
};

Jet activation(const std::string& name, Real z) {
    const Real root_pi = 1.772453850905516027298167483341145183L, root_two = std::sqrt(2.0L);
    if (name == "tanh") {
        const Real t = std::tanh(z), d = 1 / (std::cosh(z) * std::cosh(z));
        return {t, d, -2 * t * d};
    }
    if (name == "relu") return {std::max(z, 0.0L), z > 0 ? 1.0L : 0.0L, 0};
    if (name == "sin") return {std::sin(z), std::cos(z), -std::sin(z)};
    if (name == "cos") return {std::cos(z), -std::sin(z), -std::cos(z)};
    if (name == "erf") {
        const Real d = 2 / root_pi * std::exp(-z * z);
        return {std::erf(z), d, -2 * z * d};
    }
    if (name == "gelu") {
        const Real c = std::erfc(-z / root_two) / 2, d = std::exp(-z * z / 2) / (root_pi * root_two);
        return {z * c, c + z * d, (2 - z * z) * d};
    }
    const Real s = 1 / (1 + std::exp(-z)), d = s * (1 - s);
    if (name == "sigmoid") return {s, d, d * (1 - 2 * s)};
    if (name == "softplus") return {std::log1p(std::exp(z)), s, d};
    return {z, 1, 0};
}

// The outputs at one point with their derivatives along the input d; parameters in the order of draw().
std::vector<Jet> plain(const nnqm::Network& network, const Reals& parameters, const Reals& y, std::size_t d) {
    std::vector<Jet> h;
    for (std::size_t i = 0; i < y.size(); ++i) h.push_back({y[i], i == d ? 1.0L : 0.0L, 0});
    const Real* at = parameters.data();
    for (const nnqm::Layer& layer : network.layers) {
        const Real* biases = at + layer.weights.size();
        std::vector<Jet> next;
        for (int o = 0; o < layer.outputs; ++o) {
            Jet z{biases[o], 0, 0};
            for (const Jet& x : h) {
                z.value += *at * x.value;
                z.first += *at * x.first;
                z.second += *at++ * x.second;
            }
            const Jet a = activation(layer.activation, z.value);
            next.push_back({a.value, a.first * z.first, a.second * z.first * z.first + a.first * z.second});
        }
        at = biases + layer.outputs;
        h = next;
    }
    return h;
}

// A network, points and weights of the values and derivatives at them.
template <class T>
struct Case {
    nnqm::Network network;
    std::int64_t n, inputs, outputs;
    std::vector<T> y, u, v, w;

    Case(nnqm::Network net, std::int64_t n_points, std::uint64_t seed)
        : network(std::move(net)),
          n(n_points),
          inputs(network.layers.front().inputs),
          outputs(network.layers.back().outputs) {
        Words words{seed};
        for (std::int64_t i = 0; i < n * inputs; ++i) y.push_back(static_cast<T>(words.uniform(-1.5, 1.5)));
        for (std::int64_t i = 0; i < n * outputs; ++i) u.push_back(static_cast<T>(words.uniform(-1, 1)));
        for (auto* weights : {&v, &w})
            for (std::int64_t i = 0; i < n * outputs * inputs; ++i)
                weights->push_back(static_cast<T>(words.uniform(-1, 1)));
    }

    nnqm::Cotangents cotangents(int order, std::int64_t n_times = 1) const {
        nnqm::Cotangents result;
        result.values = view_of(u, n / n_times, n_times, outputs);
        if (order > 0) result.first = view_of(v, n / n_times, n_times, outputs * inputs);
        if (order > 1) result.second = view_of(w, n / n_times, n_times, outputs * inputs);
        return result;
    }

    // The weighted sum over the points begin .. end - 1.
    Real sum(const Reals& parameters, const Reals& points, int order, std::int64_t begin, std::int64_t end) const {
        Real total = 0;
        for (std::int64_t q = begin; q < end; ++q) {
            const Reals point(points.begin() + q * inputs, points.begin() + (q + 1) * inputs);
            for (std::int64_t d = 0; d < inputs; ++d) {
                const std::vector<Jet> f = plain(network, parameters, point, size(d));
                for (std::int64_t c = 0; c < outputs; ++c) {
                    const std::size_t at = size((q * outputs + c) * inputs + d);
                    if (d == 0) total += static_cast<Real>(u[size(q * outputs + c)]) * f[size(c)].value;
                    if (order > 0) total += static_cast<Real>(v[at]) * f[size(c)].first;
                    if (order > 1) total += static_cast<Real>(w[at]) * f[size(c)].second;
                }
            }
        }
        return total;
    }
};

// Fourth-order central difference in x[i].
template <class F>
Real slope(Reals x, std::size_t i, const F& f) {
    const Real h = 1e-3L, at = x[i];
    const auto value = [&](Real shift) {
        x[i] = at + shift * h;
        return f(x);
    };
    return (8 * (value(1) - value(-1)) - (value(2) - value(-2))) / (12 * h);
}

Reals fixed_parameters(const nnqm::Network& network) {
    Reals all;
    for (const nnqm::Layer& layer : network.layers) {
        all.insert(all.end(), layer.weights.begin(), layer.weights.end());
        all.insert(all.end(), layer.biases.begin(), layer.biases.end());
    }
    return all;
}

nnqm::Network fixed_network(int inputs, const std::vector<int>& widths, const std::string& name, std::uint64_t seed) {
    Words words{seed};
    nnqm::Network network;
    for (std::size_t i = 0; i < widths.size(); ++i)
        network.layers.push_back(random_layer(i == 0 ? inputs : widths[i - 1], widths[i],
                                              i + 1 == widths.size() ? "identity" : name, 0.7, words));
    return network;
}

template <class T>
std::vector<T> gradient(const Case<T>& one, int order, int n_threads, std::vector<T>* by_input = nullptr) {
    std::vector<T> parameters(size(one.network.parameters()));
    nnqm::ArrayOut to_inputs;
    if (by_input) {
        by_input->resize(one.y.size());
        to_inputs = {by_input->data(), precision_of<T>, {one.n, 1, one.inputs}};
    }
    nnqm::pullback(one.network, view_of(one.y, one.n, 1, one.inputs), one.cotangents(order),
                   {parameters.data(), precision_of<T>, {1, 1, one.network.parameters()}}, to_inputs, n_threads);
    return parameters;
}

// Largest difference relative to the largest entry.
template <class T>
double difference(const std::vector<T>& got, const Reals& right) {
    Real worst = 0, largest = 1e-3L;
    for (std::size_t i = 0; i < right.size(); ++i) {
        worst = std::max(worst, std::fabs(static_cast<Real>(got[i]) - right[i]));
        largest = std::max(largest, std::fabs(right[i]));
    }
    return static_cast<double>(worst / largest);
}

template <class T>
constexpr double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-10;

const std::vector<std::vector<int>> shapes = {{1}, {4, 1}, {6, 7, 2}, {5, 9, 6, 1}};

template <class T>
void derivatives_are_those_of_plain_loops() {
    for (const std::string& name : nnqm::activations())
        for (std::size_t s = 0; s < shapes.size(); ++s) {
            const int inputs = 1 + static_cast<int>(s % 3);
            const Case<T> one(fixed_network(inputs, shapes[s], name, 7 + s), 71, 3);
            std::vector<T> f(size(one.n * one.outputs)), first(f.size() * size(inputs)), second(first.size());
            const auto out = [&](std::vector<T>& to, std::int64_t last) {
                return nnqm::ArrayOut{to.data(), precision_of<T>, {one.n, 1, last}};
            };
            const std::int64_t full = one.outputs * inputs;
            nnqm::differentiate(one.network, view_of(one.y, one.n, 1, inputs), out(f, one.outputs), out(first, full),
                                out(second, full), 2);
            const Reals parameters = fixed_parameters(one.network);
            Reals right[3];
            for (std::int64_t q = 0; q < one.n; ++q) {
                const Reals point(one.y.begin() + q * inputs, one.y.begin() + (q + 1) * inputs);
                for (std::int64_t c = 0; c < one.outputs; ++c)
                    for (std::int64_t d = 0; d < inputs; ++d) {
                        const Jet jet = plain(one.network, parameters, point, size(d))[size(c)];
                        if (d == 0) right[0].push_back(jet.value);
                        right[1].push_back(jet.first);
                        right[2].push_back(jet.second);
                    }
            }
            const double worst =
                std::max({difference(f, right[0]), difference(first, right[1]), difference(second, right[2])});
            CHECK(worst < tolerance<T> / 5, "%s %s: derivatives are off by %g", name_of<T>, name.c_str(), worst);
        }
}

template <class T>
void gradients_are_finite_differences() {
    for (const std::string& name : nnqm::activations())
        for (std::size_t s = 0; s < shapes.size(); ++s)
            for (int order = 0; order < 3; ++order) {
                const Case<T> one(fixed_network(1 + static_cast<int>(s % 3), shapes[s], name, 7 + s), 3, 5);
                std::vector<T> by_input;
                const std::vector<T> got = gradient(one, order, 1, &by_input);
                const Reals parameters = fixed_parameters(one.network), points(one.y.begin(), one.y.end());
                Reals right, right_inputs;
                for (std::size_t i = 0; i < parameters.size(); ++i)
                    right.push_back(
                        slope(parameters, i, [&](const Reals& x) { return one.sum(x, points, order, 0, one.n); }));
                for (std::size_t i = 0; i < points.size(); ++i)
                    right_inputs.push_back(
                        slope(points, i, [&](const Reals& x) { return one.sum(parameters, x, order, 0, one.n); }));
                const double worst = std::max(difference(got, right), difference(by_input, right_inputs));
                CHECK(worst < tolerance<T>, "%s %s, order %d: the gradient is off by %g", name_of<T>, name.c_str(),
                      order, worst);
            }
}

template <class T>
void bits_are_those_of_one_thread() {
    for (const std::int64_t n : {1, 64, 65, 1000, 5000}) {
        const Case<T> one(fixed_network(2, {33, 17, 3}, "tanh", 1), n, 9);
        std::vector<T> inputs_1, inputs_n;
        const std::vector<T> right = gradient(one, 2, 1, &inputs_1);
        for (const int n_threads : {2, 3, 8}) {
            const std::vector<T> got = gradient(one, 2, n_threads, &inputs_n);
            CHECK(got == right && inputs_1 == inputs_n, "%s: %d points, %d threads", name_of<T>, static_cast<int>(n),
                  n_threads);
        }
        CHECK(gradient(one, 2, 2) == right, "without the gradient in the inputs");
    }
}

// Each group has the gradient of its own network, whatever the threads and the first path.
template <class T>
void drawn_networks_have_their_gradients() {
    for (const std::int64_t group : {1, 4, 64, 128}) {
        const std::int64_t n_paths = group == 128 ? 256 : 70 / group * group + group, n_times = 3, first = 2 * group;
        const Case<T> one(random_network(2, {5, 1}, "tanh", group), n_paths * n_times, 4);
        nnqm::Run run = make_run(n_paths, 1, n_times, precision_of<T>);
        const std::int64_t groups = n_paths / group, each = one.network.parameters();
        std::vector<T> rows(size(groups * each)), by_input(one.y.size()), again(rows.size());
        const nnqm::ArrayView y = view_of(one.y, n_paths, n_times, 2);
        nnqm::pullback(one.network, run, first, y, one.cotangents(1, n_times),
                       {rows.data(), precision_of<T>, {groups, 1, each}},
                       {by_input.data(), precision_of<T>, {n_paths, n_times, 2}});
        run.n_threads = 3;
        nnqm::pullback(one.network, run, first, y, one.cotangents(1, n_times),
                       {again.data(), precision_of<T>, {groups, 1, each}}, {});
        CHECK(rows == again, "%s, group %d: bits depend on the threads", name_of<T>, static_cast<int>(group));
        const std::vector<T> drawn = drawn_parameters<T>(one.network, run.key, false, {2, 2 + groups});
        const Reals points(one.y.begin(), one.y.end());
        double worst = 0;
        for (const std::int64_t g : {std::int64_t{0}, groups - 1}) {
            const Reals parameters(drawn.begin() + g * each, drawn.begin() + (g + 1) * each);
            const std::int64_t begin = g * group * n_times, end = begin + group * n_times;
            Reals right;
            for (std::size_t i = 0; i < parameters.size(); ++i)
                right.push_back(
                    slope(parameters, i, [&](const Reals& x) { return one.sum(x, points, 1, begin, end); }));
            const std::vector<T> row(rows.begin() + g * each, rows.begin() + (g + 1) * each);
            worst = std::max(worst, difference(row, right));
        }
        CHECK(worst < tolerance<T>, "%s, group %d: gradients are off by %g", name_of<T>, static_cast<int>(group),
              worst);
    }
}

// Strided and reversed arrays of points give the results of contiguous ones.
void strides() {
    const Case<double> one(fixed_network(2, {5, 1}, "gelu", 2), 90, 6);
    Doubles spread(one.y.size() * 3), expected_inputs, got_inputs(one.y.size());
    for (std::size_t i = 0; i < one.y.size(); ++i) spread[3 * (one.y.size() - 1 - i)] = one.y[i];
    nnqm::ArrayView y = view_of(one.y, one.n, 1, 2);
    y.data = spread.data() + 3 * (one.y.size() - 1);
    for (std::int64_t& stride : y.strides) stride *= -3;
    const Doubles expected = gradient(one, 2, 1, &expected_inputs);
    Doubles got(expected.size());
    nnqm::pullback(one.network, y, one.cotangents(2),
                   {got.data(), Precision::float64, {1, 1, one.network.parameters()}},
                   {got_inputs.data(), Precision::float64, {one.n, 1, 2}}, 1);
    CHECK(got == expected && got_inputs == expected_inputs, "a reversed array");
}

template <class F>
void refused(const char* part, const F& call) {
    try {
        call();
        CHECK(false, "\"%s\" was not refused", part);
    } catch (const std::invalid_argument& error) {
        CHECK(std::strstr(error.what(), part), "\"%s\" lacks \"%s\"", error.what(), part);
    }
}

void refusals() {
    const Case<double> one(fixed_network(2, {3, 1}, "tanh", 2), 5, 6);
    const std::int64_t each = one.network.parameters();
    Doubles memory(100);
    const nnqm::ArrayView y = view_of(one.y, 5, 1, 2);
    const nnqm::ArrayOut to{memory.data(), Precision::float64, {1, 1, each}};
    const auto call = [&](const nnqm::ArrayView& inputs, const nnqm::Cotangents& given,
                          const nnqm::ArrayOut& parameters, const nnqm::ArrayOut& by_input) {
        nnqm::pullback(one.network, inputs, given, parameters, by_input, 1);
    };
    refused("values must", [&] { call(y, {}, to, {}); });
    refused("inputs must", [&] { call(view_of(one.y, 10, 1, 1), one.cotangents(0), to, {}); });
    refused("inputs must", [&] { call({}, one.cotangents(0), to, {}); });
    refused("parameters must", [&] { call(y, one.cotangents(0), {}, {}); });
    refused("parameters must",
            [&] { call(y, one.cotangents(0), {memory.data(), Precision::float64, {1, 1, each + 1}}, {}); });
    refused("input_gradients must",
            [&] { call(y, one.cotangents(0), to, {memory.data(), Precision::float64, {5, 1, 1}}); });
    nnqm::Cotangents wrong = one.cotangents(2);
    wrong.second.shape[2] = 3;
    refused("second must", [&] { call(y, wrong, to, {}); });
    wrong = one.cotangents(1);
    wrong.first.precision = Precision::float32;
    refused("first must", [&] { call(y, wrong, to, {}); });
    const nnqm::ArrayOut values{memory.data(), Precision::float64, {5, 1, 1}};
    const nnqm::ArrayOut second{memory.data(), Precision::float64, {5, 1, 2}};
    refused("second needs first", [&] { nnqm::differentiate(one.network, y, values, {}, second, 1); });
    const nnqm::Run run = make_run(5, 1, 1, Precision::float64);
    refused("fixed", [&] { nnqm::pullback(one.network, run, 0, y, one.cotangents(0), to, {}); });
    const nnqm::Network drawn = random_network(2, {3, 1}, "tanh", 1);
    refused("needs a run", [&] { nnqm::pullback(drawn, y, one.cotangents(0), to, {}, 1); });
    refused("drawn", [&] { nnqm::differentiate(drawn, y, values, {}, {}, 1); });
    refused("parameters must", [&] { nnqm::pullback(drawn, run, 0, y, one.cotangents(0), to, {}); });
    refused("first_path", [&] { nnqm::pullback(drawn, run, -1, y, one.cotangents(0), to, {}); });
    refused("split", [&] { nnqm::pullback(split_theory().network, run, 0, y, one.cotangents(0), to, {}); });
}

template <class T>
void all() {
    derivatives_are_those_of_plain_loops<T>();
    gradients_are_finite_differences<T>();
    bits_are_those_of_one_thread<T>();
    drawn_networks_have_their_gradients<T>();
}

}  // namespace

int main() {
    return run_tests([] {
        all<float>();
        all<double>();
        strides();
        refusals();
    });
}
