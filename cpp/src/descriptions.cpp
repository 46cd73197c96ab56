// Sizes derived from descriptions, and the storage of sums.
#include <algorithm>

#include "checks.hpp"
#include "nnqm/nnqm.hpp"
#include "plans.hpp"

namespace nnqm {

std::int64_t Network::parameters() const {
    std::int64_t n = 0;
    for (const Layer& layer : layers) n += (static_cast<std::int64_t>(layer.inputs) + 1) * layer.outputs;
    return n;
}

int Theory::inputs() const {
    int n = 0;
    for (const Source& source : sources) n += detail::inputs_of(source);
    return n;
}

std::int64_t Theory::group() const {
    std::int64_t group = network.random() ? network.group : 1;
    for (const Source& source : sources)
        if (const auto* waves = std::get_if<RandomWaves>(&source)) group = std::max(group, waves->group);
    return group;
}

int Theory::channels() const { return inputs() + (network.layers.empty() ? 0 : network.layers.back().outputs); }

int Measure::size() const {
    int n = linear_size() + std::max(neurons.outputs, 0) + static_cast<int>(products.size());
    for (const int order : orders) n += order - 1;
    return n;
}

std::int64_t SumShape::size() const {
    std::int64_t n = asked ? 1 : 0;
    for (const std::int64_t length : shape) n *= length;
    return n;
}

std::vector<SumShape> sum_shapes(const Measure& m, std::int64_t n_times) {
    if (n_times < 1 || n_times > (std::int64_t{1} << 31))
        detail::refuse("n_times must lie between 1 and 2^31, got " + std::to_string(n_times));
    const auto length = [](const auto& v) { return static_cast<std::int64_t>(v.size()); };
    const std::int64_t n = length(m.channels), parts = m.parts(), g = m.linear_size(), f = m.size();
    const bool two_time = m.two_time >= 0;
    std::vector<SumShape> shapes = {
        {"lags", &Sums::lags, !m.lags.empty(), {length(m.lags), parts, g, g}},
        {"observable_lags",
         &Sums::observable_lags,
         !m.observable_lags.empty(),
         {length(m.observable_lags), parts, f, f}},
        {"increments", &Sums::increments, !m.increment_lags.empty(), {n, length(m.increment_lags), 2}},
        {"moments", &Sums::moments, m.moments, {n, 4}},
        {"time_sums", &Sums::time_sums, two_time, {n_times}},
        {"two_time", &Sums::two_time, two_time, {n_times * (n_times + 1) / 2}},
    };
    for (const SumShape& one : shapes) {
        std::int64_t size = 1;
        for (const std::int64_t extent : one.shape) size = detail::product({size, extent}, "sums");
    }
    return shapes;
}

SumsBuffer::SumsBuffer(const Measure& m, std::int64_t n_times, std::int64_t first_block, std::int64_t n_blocks)
    : first_block_(first_block), n_blocks_(n_blocks) {
    if (n_blocks < 1) detail::refuse("n_blocks must be at least 1, got " + std::to_string(n_blocks));
    detail::check_orders(m.orders);
    shapes_ = sum_shapes(m, n_times);
    for (const SumShape& one : shapes_)
        arrays_.emplace_back(static_cast<std::size_t>(detail::product({n_blocks, one.size()}, "sums")));
    paths_.resize(static_cast<std::size_t>(n_blocks));
    first_bad_.resize(static_cast<std::size_t>(n_blocks), -1);
}

Sums SumsBuffer::view() {
    Sums sums;
    sums.first_block = first_block_;
    sums.n_blocks = n_blocks_;
    for (std::size_t i = 0; i < shapes_.size(); ++i)
        sums.*shapes_[i].array = shapes_[i].asked ? arrays_[i].data() : nullptr;
    sums.paths = paths_.data();
    sums.first_bad = first_bad_.data();
    return sums;
}

}  // namespace nnqm
