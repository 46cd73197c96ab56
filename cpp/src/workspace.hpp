// Working memory of one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "plans.hpp"

namespace nnqm::detail {

// 64-byte aligned memory, zeroed unless the first use is a write.
template <class T>
class Buffer {
public:
    explicit Buffer(std::int64_t n, bool zeroed = true) {
        const std::size_t bytes = std::max<std::size_t>(static_cast<std::size_t>(n) * sizeof(T), 64);
        data_ = static_cast<T*>(::operator new(bytes, std::align_val_t{64}));
        if (zeroed) std::memset(data_, 0, bytes);
    }
    Buffer(Buffer&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer& operator=(Buffer&&) = delete;
    ~Buffer() { ::operator delete(data_, std::align_val_t{64}); }
    T* data() const { return data_; }

private:
    T* data_;
};

// Memory of a GroupScratch.
struct GroupBuffers {
    Buffer<double> cumulative, marks, totals;
    GroupBuffers(bool wanted, int size, std::size_t n_lags)
        : cumulative(wanted ? product({size, lanes}, "observables") : 0),
          marks(wanted ? product({2, static_cast<std::int64_t>(n_lags), size, lanes}, "observables") : 0),
          totals(wanted ? product({2, static_cast<std::int64_t>(n_lags), size}, "observables") : 0) {}
    GroupScratch scratch() const { return {cumulative.data(), marks.data(), totals.data()}; }
};

// Working memory of one thread. Without a theory the channels are given by the caller; without a measure nothing is
// summed.
template <class T>
struct Workspace {
    Buffer<T> tile, hidden, parameters, training, coefficients, waves, linear, observables, panels;
    Buffer<std::uint32_t> states;
    Buffer<std::int64_t> group, wave_groups;
    Buffer<double> wave_rates, products, before;
    GroupBuffers linear_groups, observable_groups;
    bool has_weights;
    Buffer<T> weights, weighted;
    Workspace(std::int64_t n_times, std::int64_t window, int channels, const TheoryPlan<T>* theory,
              const Measure* measure, const FullMeasurePlan<T>* full, bool with_weights)
        : tile(product({window, channels, lanes}, "tile")),
          hidden(theory ? theory->hidden_scratch() : 0),
          parameters(theory ? theory->parameter_scratch() : 0),
          training(theory ? theory->training_scratch() : 0),
          coefficients(theory ? product({theory->modes, lanes}, "modes") : 0),
          waves(theory ? theory->wave_numbers : 0),
          linear(measure ? product({full->rows(full->plan.linear), measure->linear_size(), lanes}, "channels") : 0),
          observables(measure && !measure->observable_lags.empty()
                          ? product({full->rows(full->plan.observables), measure->size(), lanes}, "observables")
                          : 0),
          panels(measure && measure->two_time >= 0 ? product({n_times + panel, lanes}, "two_time") : 0),
          states(theory ? product({theory->inputs, 2, lanes}, "sources") : 0),
          group(1),
          wave_groups(theory ? static_cast<std::int64_t>(theory->waves.size()) : 0),
          wave_rates(theory ? theory->wave_rates : 0),
          products(measure ? product({measure->size(), measure->size()}, "observables") : 0),
          before(measure && !measure->lags.empty() ? n_times + 1 : 0),
          linear_groups(measure && measure->group > 1, measure ? measure->linear_size() : 0,
                        measure ? measure->lags.size() : 0),
          observable_groups(measure && measure->group > 1, measure ? measure->size() : 0,
                            measure ? measure->observable_lags.size() : 0),
          has_weights(with_weights),
          weights(with_weights ? 2 * lanes : 0),
          weighted(with_weights ? product({window, measure->size(), lanes}, "observables") : 0) {
        *group.data() = -1;
        if (theory) std::fill_n(wave_groups.data(), theory->waves.size(), std::int64_t{-1});
    }
    Scratch<T> scratch() const {
        return {hidden.data(),
                parameters.data(),
                training.data(),
                group.data(),
                coefficients.data(),
                waves.data(),
                wave_rates.data(),
                wave_groups.data(),
                states.data(),
                linear.data(),
                observables.data(),
                panels.data(),
                products.data(),
                before.data(),
                linear_groups.scratch(),
                observable_groups.scratch(),
                has_weights ? weights.data() : nullptr,
                weighted.data()};
    }
};

template <class T>
std::vector<Workspace<T>> workspaces(int n, std::int64_t n_times, std::int64_t window, int channels,
                                     const TheoryPlan<T>* theory, const Measure* measure = nullptr,
                                     const FullMeasurePlan<T>* full = nullptr, bool with_weights = false) {
    std::vector<Workspace<T>> result;
    result.reserve(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) result.emplace_back(n_times, window, channels, theory, measure, full, with_weights);
    return result;
}

}  // namespace nnqm::detail
