// Samples seed processes into a window of a tile.
#include "draws.hpp"
#include "layers.hpp"
#include "stages.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

template <class T>
void sample_ou(const detail::OuPlan<T>& plan, std::uint64_t key, std::int64_t first_path, const detail::Window& window,
               int channels, T* tile) {
    const std::int64_t stride = static_cast<std::int64_t>(channels) * lanes;
    for (int d = 0; d < plan.n; ++d) {
        const auto purpose = static_cast<std::uint32_t>(plan.first_channel + d);
        const T* decay = plan.decay + d * window.n_times;
        const T* noise = plan.noise + d * window.n_times;
        T* out = tile + (plan.first_channel + d) * lanes;
        alignas(64) T state[lanes] = {};
        if (window.begin > 0) std::memcpy(state, out + (window.size - 1) * stride, sizeof state);
        for (std::int64_t group = window.begin / 4; 4 * group < window.end; ++group) {
            alignas(64) T normals[4][lanes];
            draw_normals(key, first_path, group, purpose, normals);
            if (group == 0 && plan.futures > 1) share_first_normals(key, first_path, plan.futures, purpose, normals);
            for (int s = 0; s < 4 && 4 * group + s < window.end; ++s) {
                const std::int64_t t = 4 * group + s;
                const T a = decay[t], b = noise[t];
                T* row = out + (t - window.begin) * stride;
                for (int l = 0; l < lanes; ++l) {
                    state[l] = fma(a, state[l], b * normals[s][l]);
                    row[l] = state[l];
                }
            }
        }
    }
}

template <class T>
void sample_chain(const detail::ChainPlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                  const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile) {
    const auto purpose = (std::uint32_t{1} << 16) + static_cast<std::uint32_t>(plan.channel);
    const auto states = static_cast<std::uint64_t>(plan.states);
    const auto square = static_cast<std::int64_t>(plan.states) * plan.states;
    T* out = tile + plan.channel * lanes;
    std::uint32_t* states_now = scratch.states + 2 * plan.channel * lanes;
    std::uint32_t state[lanes] = {};
    if (window.begin > 0) std::memcpy(state, states_now, sizeof state);
    std::int64_t grid[lanes];
    for (int l = 0; l < lanes; ++l) grid[l] = (first_path + l) / plan.futures % plan.grids;
    for (std::int64_t group = window.begin / 2; 2 * group < window.end; ++group) {
        alignas(64) std::uint32_t words[4][lanes];
        draw_words(key, first_path, group, purpose, words);
        if (group == 0 && plan.futures > 1) {
            alignas(64) std::int64_t presents[lanes], steps[lanes] = {};
            alignas(64) std::uint32_t first[4][lanes];
            for (int l = 0; l < lanes; ++l) presents[l] = (first_path + l) / plan.futures;
            draw_words_at(key, presents, steps, purpose, first);
            std::memcpy(words, first, 2 * sizeof first[0]);
        }
        for (int s = 0; s < 2 && 2 * group + s < window.end; ++s) {
            const std::int64_t t = 2 * group + s;
            T* row = out + (t - window.begin) * channels * lanes;
            for (int l = 0; l < lanes; ++l) {
                const std::int64_t first = t == 0
                                               ? grid[l] * plan.states
                                               : grid[l] * square + static_cast<std::int64_t>(state[l]) * plan.states;
                const std::uint32_t* threshold = (t == 0 ? plan.start_threshold : plan.threshold) + first;
                const std::uint32_t* alias = (t == 0 ? plan.start_alias : plan.alias) + first;
                const auto column = static_cast<std::uint32_t>((words[2 * s][l] * states) >> 32);
                state[l] = words[2 * s + 1][l] < threshold[column] ? column : alias[column];
                row[l] = plan.values[grid[l] * plan.states + state[l]];
            }
        }
    }
    std::memcpy(states_now, state, sizeof state);
}

template <class T>
void sample_periodic_chain(const detail::PeriodicChainPlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                           const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile) {
    const auto purpose = (std::uint32_t{1} << 16) + static_cast<std::uint32_t>(plan.channel);
    const std::int64_t states = plan.states, square = states * states;
    T* out = tile + plan.channel * lanes;
    std::uint32_t *state = scratch.states + 2 * plan.channel * lanes, *start = state + lanes;
    for (std::int64_t group = window.begin / 2; 2 * group < window.end; ++group) {
        alignas(64) std::uint32_t words[4][lanes];
        draw_words(key, first_path, group, purpose, words);
        for (int s = 0; s < 2 && 2 * group + s < window.end; ++s) {
            const std::int64_t t = 2 * group + s;
            T* row = out + (t - window.begin) * channels * lanes;
            for (int l = 0; l < lanes; ++l) {
                const std::int64_t grid = (first_path + l) % plan.grids;
                const std::uint64_t word = words[2 * s][l];
                if (t == 0) {
                    const auto column = static_cast<std::int64_t>((word * static_cast<std::uint64_t>(states)) >> 32);
                    const std::int64_t at = grid * states + column;
                    start[l] = words[2 * s + 1][l] < plan.start_threshold[at] ? static_cast<std::uint32_t>(column)
                                                                              : plan.start_alias[at];
                    state[l] = start[l];
                } else {
                    const std::uint32_t* forth = plan.step_weights + grid * square + state[l] * states;
                    const std::uint32_t* back =
                        plan.remaining + ((grid * (plan.steps - 1) + t - 1) * states + start[l]) * states;
                    // The products have 62 bits. They are shifted to 46 bits, so that a sum of 65536 of them fits.
                    std::uint64_t total = 0;
                    for (std::int64_t j = 0; j < states; ++j) total += (std::uint64_t{forth[j]} * back[j]) >> 16;
                    // word / 2^32 times the total, computed from its two halves.
                    const std::uint64_t target = word * (total >> 32) + ((word * (total & 0xffffffffU)) >> 32);
                    std::uint64_t sum = 0;
                    std::int64_t j = 0;
                    for (; j + 1 < states; ++j) {
                        sum += (std::uint64_t{forth[j]} * back[j]) >> 16;
                        if (sum > target) break;
                    }
                    if (total > 0) state[l] = static_cast<std::uint32_t>(j);
                }
                row[l] = plan.values[grid * states + state[l]];
            }
        }
    }
}

namespace {

template <class T>
void draw_coefficients(const detail::LinearPlan<T>& plan, std::uint64_t key, std::int64_t first_path, T* coefficients) {
    const std::uint32_t purpose = 4U * 65536U + static_cast<std::uint32_t>(plan.channel);
    alignas(64) std::int64_t paths[lanes];
    for (int l = 0; l < lanes; ++l) paths[l] = first_path + l;
    if (plan.rows == 0) {
        draw_lanes(plan.coefficients, key, paths, purpose, coefficients);
    } else {
        const auto rows = static_cast<std::uint64_t>(plan.rows);
        alignas(64) std::uint32_t words[4][lanes];
        for (int k = 0; k < plan.modes; ++k) {
            if (k == 0 || (plan.independent && k % 4 == 0)) draw_words(key, first_path, k / 4, purpose, words);
            const std::uint32_t* word = words[plan.independent ? k % 4 : 0];
            for (int l = 0; l < lanes; ++l) {
                const auto row = static_cast<std::int64_t>((word[l] * rows) >> 32);
                coefficients[k * lanes + l] = plan.coefficient_rows[row * plan.modes + k];
            }
        }
    }
}

}  // namespace

template <class T>
void sample_linear(const detail::LinearPlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                   const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile) {
    T* coefficients = scratch.coefficients + plan.first_coefficient * lanes;
    if (window.begin == 0) draw_coefficients(plan, key, first_path, coefficients);
    affine(plan.basis + window.begin * plan.modes, plan.mean + window.begin, window.end - window.begin, plan.modes,
           coefficients, tile + plan.channel * lanes, static_cast<std::int64_t>(channels) * lanes);
}

#define NNQM_INSTANTIATE(T)                                                                                            \
    template void sample_ou(const detail::OuPlan<T>&, std::uint64_t, std::int64_t, const detail::Window&, int, T*);    \
    template void sample_chain(const detail::ChainPlan<T>&, std::uint64_t, std::int64_t, const detail::Window&, int,   \
                               const detail::Scratch<T>&, T*);                                                         \
    template void sample_periodic_chain(const detail::PeriodicChainPlan<T>&, std::uint64_t, std::int64_t,              \
                                        const detail::Window&, int, const detail::Scratch<T>&, T*);                    \
    template void sample_linear(const detail::LinearPlan<T>&, std::uint64_t, std::int64_t, const detail::Window&, int, \
                                const detail::Scratch<T>&, T*);
NNQM_INSTANTIATE(float)
NNQM_INSTANTIATE(double)
#undef NNQM_INSTANTIATE

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
