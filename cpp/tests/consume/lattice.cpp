// A Metropolis simulation of the harmonic oscillator on a periodic lattice. nnqm sums x and the outputs of a network of
// x. Every checked quantity has an exact value on the lattice.
//
// The action is S = sum_i (x_{i+1} - x_i)^2 / (2 a) + a w^2 x_i^2 / 2 (hbar = mass = 1), so that x is Gaussian with
//     <x_i x_{i+k}> = (1/N) sum_q cos(2 pi q k / N) / ((2 - 2 cos(2 pi q / N)) / a + a w^2),
// which decays with the gap E of the lattice, cosh(a E) = 1 + a^2 w^2 / 2, up to exp(-N a E).
#include <nnqm/nnqm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <random>
#include <vector>

namespace {

constexpr int n_sites = 64, n_paths = 25600, n_blocks = 64, sweeps_between_paths = 10, thermalisation = 1000;
constexpr double a = 0.5, w = 1;
constexpr double pi = 3.14159265358979323846;

int failures = 0;

std::size_t size(std::int64_t i) { return static_cast<std::size_t>(i); }

// Returns paths (path, time), far enough apart in the Markov chain that different blocks are almost independent.
std::vector<double> metropolis() {
    std::mt19937_64 generator(20240607);
    // std::uniform_real_distribution is not used, because its numbers differ between standard libraries.
    const auto uniform = [&] { return static_cast<double>(generator() >> 11) * 0x1p-53; };
    std::vector<double> x(n_sites, 0.0), paths;
    paths.reserve(size(n_paths) * n_sites);
    const double step = 1.6;
    for (int sweep = 1 - thermalisation; sweep <= n_paths * sweeps_between_paths; ++sweep) {
        for (int i = 0; i < n_sites; ++i) {
            const double left = x[size((i + n_sites - 1) % n_sites)], right = x[size((i + 1) % n_sites)];
            const double old = x[size(i)], next = old + step * (uniform() - 0.5);
            const double change = (next - old) * ((next + old - left - right) / a + a * w * w * (next + old) / 2);
            if (change <= 0 || uniform() < std::exp(-change)) x[size(i)] = next;
        }
        if (sweep > 0 && sweep % sweeps_between_paths == 0) paths.insert(paths.end(), x.begin(), x.end());
    }
    return paths;
}

double lattice_two_point(int k) {
    double sum = 0;
    for (int q = 0; q < n_sites; ++q)
        sum += std::cos(2 * pi * q * k / n_sites) / ((2 - 2 * std::cos(2 * pi * q / n_sites)) / a + a * w * w);
    return sum / n_sites;
}

// f(x) = sum_j v_j tanh(w_j x + b_j) + c.
constexpr int width = 8;
const std::vector<double> in_weights = {0.5, -1.2, 0.8, 1.7, -0.4, 1.1, -2.0, 0.3};
const std::vector<double> in_biases = {0.0, 0.3, -0.6, 0.9, -0.2, 0.5, 0.1, -1.0};
const std::vector<double> out_weights = {1.0, 0.4, -0.7, 0.6, 0.9, -0.3, 0.5, 0.8};
constexpr double out_bias = 1.0;

double network_by_hand(double x) {
    double sum = out_bias;
    for (int j = 0; j < width; ++j)
        sum += out_weights[size(j)] * std::tanh(in_weights[size(j)] * x + in_biases[size(j)]);
    return sum;
}

nnqm::Network make_network() {
    nnqm::Layer hidden, output;
    hidden.inputs = 1;
    hidden.outputs = width;
    hidden.weights = in_weights;
    hidden.biases = in_biases;
    hidden.activation = "tanh";
    output.inputs = width;
    output.outputs = 1;
    output.weights = out_weights;
    output.biases = {out_bias};
    output.activation = "identity";
    return {{hidden, output}};
}

// <f(x)^power> under the exact, Gaussian law of x; the trapezoid rule converges beyond double precision.
double network_moment(int power) {
    const double s = std::sqrt(lattice_two_point(0)), h = 24.0 / 400;
    double sum = 0;
    for (int i = -200; i <= 200; ++i) {
        const double z = i * h;
        sum += h * std::exp(-z * z / 2) / std::sqrt(2 * pi) * std::pow(network_by_hand(s * z), power);
    }
    return sum;
}

// Compares a function of block sums with the exact value and returns its delete-one jackknife error.
template <class Function>
double compare(const char* what, const std::vector<std::vector<double>>& blocks, double exact,
               const Function& function) {
    std::vector<double> total(blocks.front().size(), 0.0);
    for (const auto& block : blocks)
        for (std::size_t i = 0; i < total.size(); ++i) total[i] += block[i];
    const double value = function(total);
    std::vector<double> replicas, weights;
    for (const auto& block : blocks) {
        std::vector<double> rest = total;
        for (std::size_t i = 0; i < rest.size(); ++i) rest[i] -= block[i];
        replicas.push_back(function(rest));
        weights.push_back(total[0] / block[0]);
    }
    double variance = 0;
    nnqm::jackknife_variances(&value, replicas.data(), weights.data(), static_cast<std::int64_t>(blocks.size()), 1,
                              &variance);
    const double error = std::sqrt(variance), pull = (value - exact) / error;
    const bool good = std::abs(pull) < 5 && error < 0.02 * std::abs(exact);
    std::printf("%-10s %10.6f +- %.6f   exact %10.6f   pull %+5.2f%s\n", what, value, error, exact, pull,
                good ? "" : "   WRONG");
    failures += !good;
    return error;
}

void check(bool good, const char* what) {
    if (!good) std::printf("WRONG: %s\n", what);
    failures += !good;
}

void run() {
    const std::vector<double> x = metropolis();

    // The network on all paths in one call: (path, time, channel) with one channel in and one out.
    std::vector<double> f(x.size());
    const nnqm::ArrayView inputs = {x.data(),
                                    nnqm::Precision::float64,
                                    {n_paths, n_sites, 1},
                                    {n_sites * sizeof(double), sizeof(double), sizeof(double)}};
    nnqm::apply(make_network(), inputs, {f.data(), nnqm::Precision::float64, {n_paths, n_sites, 1}}, 2);
    double difference = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
        difference = std::max(difference, std::abs(f[i] - network_by_hand(x[i])));
    check(difference < 1e-13, "the network differs from plain loops");

    // x and f(x) as two channels of one array, summed block by block.
    std::vector<double> channels(2 * x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        channels[2 * i] = x[i];
        channels[2 * i + 1] = f[i];
    }
    nnqm::Measure measure;
    measure.channels = {0, 1};
    measure.shift = {0, 0};
    measure.scale = {1, 1};
    measure.orders = {1, 1};
    measure.lags = {0, 1};
    measure.moments = true;
    std::vector<std::int64_t> offsets;
    for (int b = 0; b <= n_blocks; ++b) offsets.push_back(std::int64_t{b} * n_paths / n_blocks);
    const nnqm::ArrayView view = {channels.data(),
                                  nnqm::Precision::float64,
                                  {n_paths, n_sites, 2},
                                  {2 * n_sites * sizeof(double), 2 * sizeof(double), sizeof(double)}};
    nnqm::SumsBuffer buffer(measure, n_sites, 0, n_blocks);
    nnqm::Sums sums = buffer.view();
    nnqm::accumulate(view, measure, offsets, 0, 2, sums);

    // Per block: x^2, f, f^2 per point, then x_t x_t and x_t x_{t+1} per window.
    const std::int64_t g = measure.linear_size();
    std::vector<std::vector<double>> blocks;
    std::int64_t n_summed = 0;
    for (std::int64_t b = 0; b < n_blocks; ++b) {
        const double* moments = sums.moments + b * 2 * 4;
        const auto x_x = [&](std::int64_t lag) { return sums.lags[((b * 2 + lag) * 2 * g + 1) * g + 1]; };
        const auto paths = static_cast<double>(sums.paths[b]);
        blocks.push_back({paths, moments[1], moments[4], moments[5], x_x(0), x_x(1)});
        n_summed += sums.paths[b];
        check(sums.first_bad[b] == -1, "a value is not finite");
    }
    check(n_summed == n_paths, "paths are missing from the sums");

    const double exact = lattice_two_point(0);
    const double error = compare("<x^2>", blocks, exact, [](const auto& s) { return s[1] / (s[0] * n_sites); });
    check(std::abs(exact - 0.5 / w) > 10 * error, "the errors are too large to tell the lattice from the continuum");
    compare("<f(x)>", blocks, network_moment(1), [](const auto& s) { return s[2] / (s[0] * n_sites); });
    compare("<f(x)^2>", blocks, network_moment(2), [](const auto& s) { return s[3] / (s[0] * n_sites); });
    compare("first gap", blocks, std::acosh(1 + a * a * w * w / 2) / a,
            [](const auto& s) { return -std::log(s[5] / (n_sites - 1) / (s[4] / n_sites)) / a; });
    // The exact decay agrees with the gap up to exp(-N a E): both formulas above belong to the same lattice.
    check(std::abs(std::log(exact / lattice_two_point(1)) - std::acosh(1 + a * a * w * w / 2)) < 1e-12,
          "the lattice formulas differ");
}

}  // namespace

int main() {
    try {
        std::printf("nnqm %s, level %s\n", nnqm::build_info().version.c_str(), nnqm::build_info().level.c_str());
        run();
    } catch (const std::exception& error) {
        std::printf("%s\n", error.what());
        return 1;
    }
    return failures != 0;
}
