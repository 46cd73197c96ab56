// Networks with drawn parameters, and their draws as plain loops over the random-number map that nnqm.hpp defines.
#pragma once

#include "plain.hpp"

namespace {

using nnqm::DensityKind;
using Word = std::uint32_t;
__extension__ typedef unsigned __int128 Wide;

constexpr double pi = 3.14159265358979323846;

// The draw of any density.
[[maybe_unused]] double draw_of(const nnqm::Density& density, std::uint64_t key, std::int64_t index, std::int64_t step,
                                Word purpose) {
    if (density.kind == DensityKind::gaussian) return normal(key, index, step, purpose);
    Word c[4] = {static_cast<Word>(index), static_cast<Word>(index >> 32), static_cast<Word>(step / 2), purpose};
    philox(c, key);
    const Word a = c[step % 2 * 2], b = c[step % 2 * 2 + 1];
    const double u = (a + ((b & 255U) + 0.5) / 256) / 4294967296.0;
    switch (density.kind) {
    case DensityKind::uniform: {
        // The word as a signed number, symmetric about zero.
        const double centred = a < 0x80000000U ? a + 0.5 : a + 0.5 - 4294967296.0;
        return std::sqrt(12.0) * centred / 4294967296.0;
    }
    case DensityKind::laplace: return (b < 0x80000000U ? -1 : 1) * std::log(u) / std::sqrt(2.0);
    case DensityKind::rademacher: return a < 0x80000000U ? 1 : -1;
    default: break;
    }
    // Bailey: sqrt(nu (u^(-2/nu) - 1)) cos(angle) has Student's distribution, with variance nu / (nu - 2).
    const double nu = density.nu, angle = 2 * pi * ((b >> 8) + 0.5) / 16777216.0;
    return std::sqrt(nu * std::expm1(-2 / nu * std::log(u))) * std::cos(angle) /
           (nu > 2 ? std::sqrt(nu / (nu - 2)) : 1);
}

const std::vector<nnqm::Density> densities = {{DensityKind::gaussian, 0},    {DensityKind::uniform, 0},
                                              {DensityKind::laplace, 0},     {DensityKind::rademacher, 0},
                                              {DensityKind::student_t, 7.5}, {DensityKind::student_t, 1}};

nnqm::Drawn drawn_layer(const nnqm::Layer& layer, const nnqm::Density& weights, const nnqm::Density& biases,
                        Words& words) {
    nnqm::Drawn drawn;
    drawn.weight_density = weights;
    drawn.bias_density = biases;
    for (std::size_t i = 0; i < layer.weights.size(); ++i)
        drawn.weight_scales.push_back(i == 1 ? 0.0 : words.uniform(0.1, 0.8));
    for (std::size_t i = 0; i < layer.biases.size(); ++i) drawn.bias_scales.push_back(words.uniform(0, 0.5));
    return drawn;
}

// A network whose densities differ between layers, weights and biases.
nnqm::Network random_network(int inputs, const std::vector<int>& widths, const std::string& activation,
                             std::int64_t group, const nnqm::Density& density = {DensityKind::gaussian, 0}) {
    Words words{static_cast<std::uint64_t>(inputs) + 31 * widths.size()};
    nnqm::Network network;
    network.group = group;
    for (std::size_t i = 0; i < widths.size(); ++i) {
        const bool last = i + 1 == widths.size();
        network.layers.push_back(
            random_layer(i == 0 ? inputs : widths[i - 1], widths[i], last ? "identity" : activation, 0.5, words));
        network.drawn.push_back(drawn_layer(network.layers.back(), density, densities[i % 3], words));
    }
    return network;
}

template <class T>
std::vector<T> drawn_parameters(const nnqm::Network& network, std::uint64_t key, bool negative, nnqm::Range groups) {
    std::vector<T> out(size((groups.end - groups.begin) * network.parameters()));
    nnqm::draw(network, key, negative, groups,
               {out.data(), precision_of<T>, {groups.end - groups.begin, 1, network.parameters()}});
    return out;
}

[[maybe_unused]] nnqm::Theory split_theory() {
    nnqm::Theory theory;
    theory.sources = {nnqm::Times{true}};
    theory.network = random_network(1, {5, 3, 2}, "tanh", 1);
    theory.network.split = true;
    theory.network.drawn[1].shared = theory.network.drawn[2].shared = false;
    return theory;
}

template <class T>
std::vector<T> applied_to(const nnqm::Network& network, const nnqm::Run& run, std::int64_t first_path,
                          const std::vector<T>& y, std::int64_t n, std::int64_t n_times) {
    const std::int64_t d = network.layers.front().inputs, c = network.layers.back().outputs;
    std::vector<T> x(size(n * n_times * c));
    nnqm::apply(network, run, first_path, view_of(y, n, n_times, d), {x.data(), precision_of<T>, {n, n_times, c}});
    return x;
}

}  // namespace
