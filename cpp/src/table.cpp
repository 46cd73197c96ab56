// Tables of polynomials for networks with one input and fixed parameters.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "checks.hpp"
#include "kernels.hpp"
#include "nnqm/nnqm.hpp"

namespace nnqm {

namespace {

using Doubles = std::vector<double>;

// Spacings of cells, tried from the widest down: a table with a wider spacing covers a larger range of inputs.
constexpr double widest_spacing = 0.25, narrowest_spacing = 0.0078125;

// Whether a look-up is cheaper than a pass through the layers. In units of one multiplication of a matrix product, an
// activation costs about 25 and a look-up about 40 per output (measured with tanh at every level).
bool worth_a_table(const Network& network) {
    double cost = 0;
    for (const Layer& layer : network.layers)
        cost += static_cast<double>(layer.outputs) * (layer.inputs + (layer.activation == "identity" ? 0 : 25));
    return cost > 60.0 * network.layers.back().outputs;
}

// Evaluates the network at the points in double: outputs (points, outputs).
Doubles evaluate(const Network& network, const Doubles& points) {
    const auto n = static_cast<std::int64_t>(points.size()),
               c = static_cast<std::int64_t>(network.layers.back().outputs);
    Doubles values(points.size() * static_cast<std::size_t>(c));
    apply(network, {points.data(), Precision::float64, {n, 1, 1}, {8, 8, 8}},
          {values.data(), Precision::float64, {n, 1, c}}, 1);
    return values;
}

// Lobatto nodes of a cell, in units of its width. They include its two ends, so neighbouring polynomials meet.
Doubles lobatto(int n) {
    Doubles nodes;
    for (int j = 0; j < n; ++j) nodes.push_back(-0.5 * std::cos(std::acos(-1.0) * j / (n - 1)));
    return nodes;
}

// Returns result[k][j], the coefficient of u^k in the j-th Lagrange polynomial of the nodes.
std::vector<std::vector<long double>> lagrange(const Doubles& nodes) {
    const std::size_t n = nodes.size();
    std::vector<std::vector<long double>> result(n, std::vector<long double>(n));
    for (std::size_t j = 0; j < n; ++j) {
        std::vector<long double> product(n);
        product[0] = 1;
        for (std::size_t i = 0, degree = 0; i < n; ++i) {
            if (i == j) continue;
            ++degree;
            for (std::size_t k = degree + 1; k-- > 0;)
                product[k] = ((k > 0 ? product[k - 1] : 0) - static_cast<long double>(nodes[i]) * product[k]) /
                             (static_cast<long double>(nodes[j]) - static_cast<long double>(nodes[i]));
        }
        for (std::size_t k = 0; k < n; ++k) result[k][j] = product[k];
    }
    return result;
}

// Points (k + offset) * spacing for all cells k and offsets.
Doubles points_of_cells(const std::vector<int>& cells, const Doubles& offsets, double spacing) {
    Doubles points;
    for (const int k : cells)
        for (const double u : offsets) points.push_back((k + u) * spacing);
    return points;
}

// Fits every `stride`-th cell of a table and computes its error.
Table fit(const Network& network, Precision precision, double spacing, int stride) {
    Table table;
    table.precision = precision;
    table.spacing = spacing;
    table.half_cells = detail::half_cells;
    table.reach = detail::half_cells * spacing;
    table.terms = precision == Precision::float32 ? detail::table_terms<float> : detail::table_terms<double>;
    const auto terms = static_cast<std::size_t>(table.terms),
               outputs = static_cast<std::size_t>(network.layers.back().outputs);
    std::vector<int> cells;
    for (int k = -detail::half_cells; k <= detail::half_cells; k += stride) cells.push_back(k);
    const Doubles nodes = lobatto(table.terms);
    const Doubles values = evaluate(network, points_of_cells(cells, nodes, spacing));
    const auto coefficient = lagrange(nodes);
    for (std::size_t cell = 0; cell < cells.size(); ++cell)
        for (std::size_t o = 0; o < outputs; ++o)
            for (std::size_t k = 0; k < terms; ++k) {
                long double sum = 0;
                for (std::size_t j = 0; j < terms; ++j)
                    sum += coefficient[k][j] * values[(cell * terms + j) * outputs + o];
                table.coefficients.push_back(static_cast<double>(sum));
            }

    // Points of comparison, between the nodes, where the difference is largest, and elsewhere.
    Doubles between;
    const int n = 3 * table.terms + 1;
    for (int i = 0; i < n; ++i) between.push_back((i + 0.5) / n - 0.5);
    const Doubles points = points_of_cells(cells, between, spacing), exact = evaluate(network, points);
    // Sorted by |y|: the running scale is then the largest output at inputs of at most this |y|.
    std::vector<std::size_t> order(points.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return std::abs(points[a]) < std::abs(points[b]); });
    for (std::size_t o = 0; o < outputs; ++o) {
        double scale = 0;
        for (const std::size_t i : order)
            if (std::abs(points[i]) <= 1) scale = std::max(scale, std::abs(exact[i * outputs + o]));
        for (const std::size_t i : order) {
            const double value = exact[i * outputs + o];
            const double* c = table.coefficients.data() + (i / between.size() * outputs + o) * terms;
            double y = 0;
            for (std::size_t k = terms; k-- > 0;) y = y * between[i % between.size()] + c[k];
            scale = std::max(scale, std::abs(value));
            const double difference = std::abs(y - value);
            // A difference that is not finite counts as an error of 1. Without any difference (a network that is zero)
            // the scale may be zero.
            if (!(difference == 0))
                table.error = std::isfinite(difference) ? std::max(table.error, difference / scale) : 1;
        }
    }
    return table;
}

}  // namespace

std::shared_ptr<const Table> compile(const Network& network, Precision precision) {
    Network layers = network;
    layers.table = nullptr;
    detail::check_network(layers);
    if (layers.random() || layers.layers.empty() || layers.layers.front().inputs != 1 || !worth_a_table(layers))
        return nullptr;
    const double tolerance = precision == Precision::float32 ? 1e-7 : 1e-13;
    for (double spacing = widest_spacing; spacing >= narrowest_spacing; spacing /= 2) {
        // A few cells suffice to reject most spacings.
        if (!(fit(layers, precision, spacing, 16).error < tolerance)) continue;
        Table table = fit(layers, precision, spacing, 1);
        if (table.error < tolerance) return std::make_shared<const Table>(std::move(table));
    }
    return nullptr;
}

}  // namespace nnqm
