// The kernels of one instruction-set level: noise, exact transitions, network, observables and sums over one tile.
#include "kernels.hpp"

#include "activations.hpp"
#include "philox.hpp"
#include "two_time.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

using detail::lanes;

namespace {

template <class T>
inline constexpr int width = static_cast<int>(vector_bytes / sizeof(T));  // elements of a vector
template <class T>
inline constexpr int row_vectors = lanes / width<T>;
// Terms that a running sum takes before it is put away. Rounding is random where values are; where they are discrete it has a
// direction, and grows with the number of terms.
inline constexpr int run_length = 64;
// Rows of products that are summed in one run: 16 terms, because longer ones lose the small eigenvalues of a correlator matrix.
template <class T>
inline constexpr int stretch = row_vectors<T> < 16 ? 16 / row_vectors<T> : 1;

// One Philox block for each path of a tile, whose first path is a multiple of its size: adding a lane never carries into the
// high word.
void draw_words(std::uint64_t key, std::int64_t first_path, std::int64_t step, std::uint32_t purpose,
                std::uint32_t (*words)[lanes]) {
    const auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    const auto path = static_cast<std::uint64_t>(first_path);
    const auto path_low = static_cast<std::uint32_t>(path), path_high = static_cast<std::uint32_t>(path >> 32);
#if defined(__AVX2__) && !defined(__AVX512DQ__)
    const __m256i high = _mm256_set1_epi64x(path_high), c2 = _mm256_set1_epi64x(static_cast<std::uint32_t>(step)),
                  c3 = _mm256_set1_epi64x(purpose);
    for (int l = 0; l < lanes; l += 8) {
        const __m256i low = _mm256_set1_epi64x(path_low + static_cast<std::uint32_t>(l));
        __m256i x[4][2] = {{_mm256_add_epi64(low, _mm256_setr_epi64x(0, 2, 4, 6)), _mm256_add_epi64(low, _mm256_setr_epi64x(1, 3, 5, 7))},
                           {high, high},
                           {c2, c2},
                           {c3, c3}};
        philox_eight(x, k0, k1, {words[0] + l, words[1] + l, words[2] + l, words[3] + l});
    }
#else
    for (int l = 0; l < lanes; ++l) {
        std::uint32_t c0 = path_low + static_cast<std::uint32_t>(l), c1 = path_high, c2 = static_cast<std::uint32_t>(step),
                      c3 = purpose;
        philox4x32(c0, c1, c2, c3, k0, k1);
        words[0][l] = c0;
        words[1][l] = c1;
        words[2][l] = c2;
        words[3][l] = c3;
    }
#endif
}

// The same for any index (path or group) and step per lane.
void draw_words_at(std::uint64_t key, const std::int64_t* index, const std::int64_t* step, std::uint32_t purpose,
                   std::uint32_t (*words)[lanes]) {
    const auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
#if defined(__AVX2__) && !defined(__AVX512DQ__)
    const auto split = [](const std::int64_t* from, __m256i& even, __m256i& odd) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 4));
        even = _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(low, high), 0xd8);
        odd = _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(low, high), 0xd8);
    };
    const __m256i c3 = _mm256_set1_epi64x(purpose);
    for (int l = 0; l < lanes; l += 8) {
        __m256i x[4][2];
        split(index + l, x[0][0], x[0][1]);
        split(step + l, x[2][0], x[2][1]);
        for (int half = 0; half < 2; ++half) {
            x[1][half] = _mm256_srli_epi64(x[0][half], 32);
            x[3][half] = c3;
        }
        philox_eight(x, k0, k1, {words[0] + l, words[1] + l, words[2] + l, words[3] + l});
    }
#else
    for (int l = 0; l < lanes; ++l) {
        const auto wide = static_cast<std::uint64_t>(index[l]);
        std::uint32_t c0 = static_cast<std::uint32_t>(wide), c1 = static_cast<std::uint32_t>(wide >> 32),
                      c2 = static_cast<std::uint32_t>(step[l]), c3 = purpose;
        philox4x32(c0, c1, c2, c3, k0, k1);
        words[0][l] = c0;
        words[1][l] = c1;
        words[2][l] = c2;
        words[3][l] = c3;
    }
#endif
}

template <class T>
void fill_normals(const std::uint32_t (*words)[lanes], T (*normals)[lanes]) {
    for (int pair = 0; pair < 4; pair += 2) {
        for (int l = 0; l < lanes; ++l) {
            T z0, z1;
            normal_pair(words[pair][l], words[pair + 1][l], z0, z1);
            normals[pair][l] = z0;
            normals[pair + 1][l] = z1;
        }
    }
}

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
            alignas(64) std::uint32_t words[4][lanes];
            alignas(64) T normals[4][lanes];
            draw_words(key, first_path, group, purpose, words);
            fill_normals(words, normals);
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
void sample_chain(const detail::ChainPlan<T>& plan, std::uint64_t key, std::int64_t first_path, const detail::Window& window,
                  int channels, const detail::Scratch<T>& scratch, T* tile) {
    const auto purpose = (std::uint32_t{1} << 16) + static_cast<std::uint32_t>(plan.channel);
    const auto states = static_cast<std::uint64_t>(plan.states);
    const auto square = static_cast<std::int64_t>(plan.states) * plan.states;
    T* out = tile + plan.channel * lanes;
    std::uint32_t* states_now = scratch.states + 2 * plan.channel * lanes;
    std::uint32_t state[lanes] = {};
    if (window.begin > 0) std::memcpy(state, states_now, sizeof state);
    std::int64_t grid[lanes];
    for (int l = 0; l < lanes; ++l) grid[l] = (first_path + l) % plan.grids;
    for (std::int64_t group = window.begin / 2; 2 * group < window.end; ++group) {
        alignas(64) std::uint32_t words[4][lanes];
        draw_words(key, first_path, group, purpose, words);
        for (int s = 0; s < 2 && 2 * group + s < window.end; ++s) {
            const std::int64_t t = 2 * group + s;
            T* row = out + (t - window.begin) * channels * lanes;
            for (int l = 0; l < lanes; ++l) {
                const std::int64_t first = t == 0 ? grid[l] * plan.states : grid[l] * square + state[l] * plan.states;
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
                    const std::uint32_t* back = plan.remaining + ((grid * (plan.steps - 1) + t - 1) * states + start[l]) * states;
                    // Products of 62 bits, cut to 46 so that a sum of 65536 of them fits.
                    std::uint64_t total = 0;
                    for (std::int64_t j = 0; j < states; ++j) total += (std::uint64_t{forth[j]} * back[j]) >> 16;
                    // word / 2^32 of the total, from its two halves
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

template <class F>
inline void for_pairs(const std::uint32_t (*words)[lanes], const F& value) {
    for (int pair = 0; pair < 2; ++pair)
        for (int l = 0; l < lanes; ++l) value(pair, l, words[2 * pair][l], words[2 * pair + 1][l]);
}

// Draws from four words in each lane; returns how many, 4 or 2. All but Gaussians are computed in double.
template <class T>
int fill_draws(detail::Draw kind, double nu, const std::uint32_t (*words)[lanes], T (*values)[lanes]) {
    constexpr double root_half = 0.70710678118654752, root_12 = 3.4641016151377546, unit = 1.0 / 4294967296.0;
    switch (kind) {
    case detail::Draw::gaussian: fill_normals(words, values); return 4;
    case detail::Draw::uniform:
        for_pairs(words, [&](int p, int l, std::uint32_t a, std::uint32_t) {
            values[p][l] = static_cast<T>(root_12 * unit * (static_cast<double>(static_cast<std::int32_t>(a)) + 0.5));
        });
        return 2;
    case detail::Draw::laplace:
        for_pairs(words, [&](int p, int l, std::uint32_t a, std::uint32_t b) {
            const double size = -root_half * log_uniform<double>(a, b);
            values[p][l] = static_cast<T>((b >> 31) != 0 ? -size : size);
        });
        return 2;
    case detail::Draw::rademacher:
        for_pairs(words, [&](int p, int l, std::uint32_t a, std::uint32_t) { values[p][l] = (a >> 31) != 0 ? T(-1) : T(1); });
        return 2;
    case detail::Draw::student_t: break;
    }
    // Bailey's polar method (Math. Comp. 62, 779 (1994)): one cosine, because the sine is not independent of it.
    const double size = nu > 2 ? square_root(nu - 2) : square_root(nu);
    for_pairs(words, [&](int p, int l, std::uint32_t a, std::uint32_t b) {
        const double angle = 6.2831853071795865 / 16777216.0 * (static_cast<double>(static_cast<std::int32_t>(b >> 8)) + 0.5);
        values[p][l] = static_cast<T>(size * square_root(expm1(-2.0 / nu * log_uniform<double>(a, b))) * cos(angle));
    });
    return 2;
}

// plan.count draws, (count, lanes), of the indices (paths or groups) of the lanes.
template <class T>
void draw_lanes(const detail::DrawPlan<T>& plan, std::uint64_t key, const std::int64_t* index, std::uint32_t purpose, T* out) {
    for (std::int64_t i = 0, step = 0; i < plan.count; ++step) {
        alignas(64) std::uint32_t words[4][lanes];
        alignas(64) T values[4][lanes];
        alignas(64) std::int64_t steps[lanes];
        for (int l = 0; l < lanes; ++l) steps[l] = step;
        draw_words_at(key, index, steps, purpose, words);
        const int n = fill_draws(plan.kind, plan.nu, words, values);
        for (int k = 0; k < n && i < plan.count; ++k, ++i)
            for (int l = 0; l < lanes; ++l) out[i * lanes + l] = fma(plan.scale[i], values[k][l], plan.location[i]);
    }
}

// plan.count draws of one index: the lanes take successive steps.
template <class T>
void draw_one(const detail::DrawPlan<T>& plan, std::uint64_t key, std::int64_t index, std::uint32_t purpose, T* out) {
    alignas(64) std::int64_t indices[lanes], steps[lanes];
    for (int l = 0; l < lanes; ++l) indices[l] = index;
    for (std::int64_t first = 0, n = 1; first * n < plan.count; first += lanes) {
        alignas(64) std::uint32_t words[4][lanes];
        alignas(64) T values[4][lanes];
        for (int l = 0; l < lanes; ++l) steps[l] = first + l;
        draw_words_at(key, indices, steps, purpose, words);
        n = fill_draws(plan.kind, plan.nu, words, values);
        for (int l = 0; l < lanes; ++l)
            for (int k = 0; k < n; ++k) {
                const std::int64_t i = n * (first + l) + k;
                if (i < plan.count) out[i] = fma(plan.scale[i], values[k][l], plan.location[i]);
            }
    }
}

std::uint32_t parameter_purpose(bool negative, int layer, bool biases) {
    return (negative ? std::uint32_t{3} : std::uint32_t{2}) * 65536U + 2U * static_cast<std::uint32_t>(layer) + (biases ? 1U : 0U);
}

template <class T>
void draw_groups(const detail::NetworkPlan<T>& plan, std::uint64_t key, const std::int64_t* groups, bool negative, T* out) {
    for (int i = 0; i < plan.n_layers; ++i) {
        const detail::DrawnPlan<T>& drawn = plan.drawn[i];
        const bool other = negative && plan.split && !drawn.shared;
        draw_lanes(drawn.weights, key, groups, parameter_purpose(other, i, false), out);
        out += drawn.weights.count * lanes;
        draw_lanes(drawn.biases, key, groups, parameter_purpose(other && i + 1 < plan.n_layers, i, true), out);
        out += drawn.biases.count * lanes;
    }
}

template <class T>
void draw(const detail::NetworkPlan<T>& plan, std::uint64_t key, std::int64_t first_group, bool negative, T* parameters) {
    alignas(64) std::int64_t groups[lanes];
    for (int l = 0; l < lanes; ++l) groups[l] = first_group + l;
    draw_groups(plan, key, groups, negative, parameters);
}

// R outputs of a layer on V vectors of lanes, in registers; output rows lie `stride` apart.
template <class T, int R, int V>
inline void layer_block(const T* weights, const T* biases, int inputs, const T* in, T* out, std::int64_t stride) {
    // Unrolled on request: an array that is indexed in a loop would be kept in memory.
    Vector<T> sum[R][V];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[r][v] = vector_set(biases[r]);
    for (int i = 0; i < inputs; ++i) {
        Vector<T> x[V];
        for (int v = 0; v < V; ++v) x[v] = vector_load(in + i * lanes + v * width<T>);
        for (int r = 0; r < R; ++r) {
            const Vector<T> w = vector_set(weights[r * inputs + i]);
            for (int v = 0; v < V; ++v) sum[r][v] = vector_fma<T>(w, x[v], sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) *reinterpret_cast<Vector<T>*>(out + r * stride + v * width<T>) = sum[r][v];
}

template <class T, int R>
inline void layer_rows(const T* weights, const T* biases, int inputs, const T* in, T* out, std::int64_t stride) {
    constexpr int v = vector_registers == 32 ? 4 : 2;
    for (int first = 0; first < row_vectors<T>; first += v)
        layer_block<T, R, v>(weights, biases, inputs, in + first * width<T>, out + first * width<T>, stride);
}

// out (outputs, lanes), rows `stride` apart, = biases + weights (outputs, inputs) in (inputs, lanes). Each lane's operations and
// their order are the same in every position of the tile.
template <class T>
void affine(const T* weights, const T* biases, std::int64_t outputs, int inputs, const T* in, T* out, std::int64_t stride) {
    std::int64_t o = 0;
    for (; o + 4 <= outputs; o += 4) layer_rows<T, 4>(weights + o * inputs, biases + o, inputs, in, out + o * stride, stride);
    const T *w = weights + o * inputs, *b = biases + o;
    switch (outputs - o) {
    case 1: layer_rows<T, 1>(w, b, inputs, in, out + o * stride, stride); break;
    case 2: layer_rows<T, 2>(w, b, inputs, in, out + o * stride, stride); break;
    case 3: layer_rows<T, 3>(w, b, inputs, in, out + o * stride, stride); break;
    default: break;
    }
}

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

template <class T>
void sample_linear(const detail::LinearPlan<T>& plan, std::uint64_t key, std::int64_t first_path, const detail::Window& window,
                   int channels, const detail::Scratch<T>& scratch, T* tile) {
    T* coefficients = scratch.coefficients + plan.first_coefficient * lanes;
    if (window.begin == 0) draw_coefficients(plan, key, first_path, coefficients);
    affine(plan.basis + window.begin * plan.modes, plan.mean + window.begin, window.end - window.begin, plan.modes, coefficients,
           tile + plan.channel * lanes, static_cast<std::int64_t>(channels) * lanes);
}

enum Activation {
#define NNQM_NAME(name) activation_##name,
    NNQM_ACTIVATIONS(NNQM_NAME)
#undef NNQM_NAME
};

template <class T>
__attribute__((noinline)) void activate(int activation, std::int64_t n, T* x) {
    if constexpr (sizeof(T) == 4) {
        // Those with a form for whole vectors, which is twice as fast as the vectorised loop.
        const auto each = [n, x](const auto& f) {
            for (std::int64_t i = 0; i < n; i += width<T>) *reinterpret_cast<Vector<T>*>(x + i) = f(vector_load(x + i));
        };
        if (activation == activation_tanh) return each([](Vector<T> v) { return tanh(v); });
        if (activation == activation_erf) return each([](Vector<T> v) { return erf(v); });
    }
    switch (activation) {
#define NNQM_CASE(name)                                             \
    case activation_##name:                                         \
        for (std::int64_t i = 0; i < n; ++i) x[i] = name(x[i]);     \
        break;
        NNQM_ACTIVATIONS(NNQM_CASE)
#undef NNQM_CASE
    default: break;
    }
}

// (inputs, lanes) -> (outputs, lanes)
template <class T>
void layer(const detail::LayerPlan<T>& plan, const T* in, T* out) {
    affine(plan.weights, plan.biases, plan.outputs, plan.inputs, in, out, lanes);
    activate(plan.activation, static_cast<std::int64_t>(plan.outputs) * lanes, out);
}

// Outputs of a layer, and times, whose sums stay in registers where each lane has weights of its own.
inline constexpr int own_outputs = vector_registers == 32 ? 4 : 2;

// O outputs of a layer at one vector of lanes and all times of `in`, then its activation. Inputs and outputs lie one vector after
// the other, all times of one first.
template <class T, int O>
inline void own_block(const T* weights, const T* biases, int inputs, int activation, const T* in, T* out) {
    constexpr int times = detail::times_at_once;
    Vector<T> sum[O][times];
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o)
#pragma GCC unroll 4
        for (int r = 0; r < times; ++r) sum[o][r] = vector_load(biases + o * lanes);
    for (int i = 0; i < inputs; ++i) {
        Vector<T> x[times];
#pragma GCC unroll 4
        for (int r = 0; r < times; ++r) x[r] = vector_load(in + (i * times + r) * width<T>);
#pragma GCC unroll 4
        for (int o = 0; o < O; ++o) {
            const Vector<T> w = vector_load(weights + (o * inputs + i) * lanes);
#pragma GCC unroll 4
            for (int r = 0; r < times; ++r) sum[o][r] = vector_fma<T>(w, x[r], sum[o][r]);
        }
    }
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o)
#pragma GCC unroll 4
        for (int r = 0; r < times; ++r) *reinterpret_cast<Vector<T>*>(out + (o * times + r) * width<T>) = sum[o][r];
    activate(activation, O * times * width<T>, out);
}

// One vector of lanes at n <= times_at_once times through the network, with parameters of its own for each lane. One vector at a
// time, so that what lies between the layers stays in the first-level cache. Times beyond the n-th repeat it.
template <class T>
void own_network(const detail::NetworkPlan<T>& plan, const T* parameters, int n, T* hidden, const T* inputs, T* outputs,
                 std::int64_t stride) {
    constexpr int times = detail::times_at_once;
    constexpr std::int64_t step = times * width<T>;
    static_assert(step <= lanes);
    T *in = hidden, *out = hidden + plan.widest * step;
    for (int i = 0; i < plan.inputs; ++i)
        for (int r = 0; r < times; ++r)
            *reinterpret_cast<Vector<T>*>(in + i * step + r * width<T>) =
                vector_load(inputs + (r < n ? r : n - 1) * stride + i * lanes);
    for (int k = 0; k < plan.n_layers; ++k) {
        const int size = plan.layers[k].outputs, from = plan.layers[k].inputs, activation = plan.layers[k].activation;
        const T *weights = parameters, *biases = parameters + static_cast<std::int64_t>(size) * from * lanes;
        parameters = biases + size * lanes;
        int o = 0;
        for (; o + own_outputs <= size; o += own_outputs, weights += own_outputs * from * lanes)
            own_block<T, own_outputs>(weights, biases + o * lanes, from, activation, in, out + o * step);
        for (; o < size; ++o, weights += from * lanes) own_block<T, 1>(weights, biases + o * lanes, from, activation, in, out + o * step);
        T* const next = in;
        in = out;
        out = next;
    }
    for (int r = 0; r < n; ++r)
        for (int o = 0; o < plan.outputs; ++o)
            *reinterpret_cast<Vector<T>*>(outputs + r * stride + o * lanes) = vector_load(in + o * step + r * width<T>);
}

template <class T>
void own_times(const detail::NetworkPlan<T>& plan, std::int64_t n_rows, int channels, const detail::Scratch<T>& scratch,
               T* tile) {
    const std::int64_t stride = static_cast<std::int64_t>(channels) * lanes;
    for (int v = 0; v < lanes; v += width<T>)
        for (std::int64_t t = 0; t < n_rows; t += detail::times_at_once) {
            const int n = n_rows - t < detail::times_at_once ? static_cast<int>(n_rows - t) : detail::times_at_once;
            T* row = tile + t * stride + v;
            own_network(plan, scratch.parameters + v, n, scratch.hidden, row, row + plan.inputs * lanes, stride);
        }
}

// Takes W h(0) from the biases of the last layer, so that the output at 0 is these biases.
template <class T>
void anchor(const detail::NetworkPlan<T>& plan, const detail::Scratch<T>& scratch, T* at_zero) {
    alignas(64) const T zero[lanes] = {};
    for (int v = 0; v < lanes; v += width<T>) own_network(plan, scratch.parameters + v, 1, scratch.hidden, zero + v, at_zero + v, 0);
    T* biases = scratch.parameters + (plan.parameters - plan.outputs) * lanes;
    for (int i = 0; i < plan.outputs * lanes; ++i) biases[i] += biases[i] - at_zero[i];
}

// One time, all lanes with the same parameters, which lie in the layers or, if drawn, one after the other.
template <class T>
void shared_row(const detail::NetworkPlan<T>& plan, const T* parameters, const detail::Scratch<T>& scratch, const T* in, T* outputs) {
    for (int i = 0; i < plan.n_layers; ++i) {
        T* out = i + 1 == plan.n_layers ? outputs : scratch.hidden + static_cast<std::int64_t>(i % 2) * plan.widest * lanes;
        detail::LayerPlan<T> now = plan.layers[i];
        if (plan.drawn) {
            now.weights = parameters;
            now.biases = parameters + plan.drawn[i].weights.count;
            parameters += plan.drawn[i].weights.count + plan.drawn[i].biases.count;
        }
        layer(now, in, out);
        in = out;
    }
}

// Coefficients of the cells that begin at `at`, one lane each, in vectors. Blocks of 16 bytes are loaded whole and transposed, which
// takes half the time of gathering the coefficients one by one.
#if defined(__AVX512F__)
inline __m512 blocks(const float* a, const float* b, const float* c, const float* d) noexcept {
    const __m512 low = _mm512_insertf32x4(_mm512_castps128_ps512(_mm_loadu_ps(a)), _mm_loadu_ps(b), 1);
    return _mm512_insertf32x4(_mm512_insertf32x4(low, _mm_loadu_ps(c), 2), _mm_loadu_ps(d), 3);
}

inline void cell_terms(const float* table, const std::int32_t* at, Vector<float>* c) noexcept {
    __m512 row[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) row[r] = blocks(table + at[r], table + at[4 + r], table + at[8 + r], table + at[12 + r]);
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(row[0], row[1])), b = _mm512_castps_pd(_mm512_unpacklo_ps(row[2], row[3]));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(row[0], row[1])), e = _mm512_castps_pd(_mm512_unpackhi_ps(row[2], row[3]));
    c[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
    c[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    c[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(d, e));
    c[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(d, e));
}

inline __m512d blocks(const double* a, const double* b, const double* c, const double* d) noexcept {
    const __m512d low = _mm512_insertf64x2(_mm512_castpd128_pd512(_mm_loadu_pd(a)), _mm_loadu_pd(b), 1);
    return _mm512_insertf64x2(_mm512_insertf64x2(low, _mm_loadu_pd(c), 2), _mm_loadu_pd(d), 3);
}

inline void cell_terms(const double* table, const std::int32_t* at, Vector<double>* c) noexcept {
#pragma GCC unroll 4
    for (int k = 0; k < 8; k += 2) {
        const double* from = table + k;
        const __m512d even = blocks(from + at[0], from + at[2], from + at[4], from + at[6]);
        const __m512d odd = blocks(from + at[1], from + at[3], from + at[5], from + at[7]);
        c[k] = _mm512_unpacklo_pd(even, odd);
        c[k + 1] = _mm512_unpackhi_pd(even, odd);
    }
}
#elif defined(__AVX2__)
inline void cell_terms(const float* table, const std::int32_t* at, Vector<float>* c) noexcept {
    __m256 row[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r)
        row[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(table + at[r])), _mm_loadu_ps(table + at[4 + r]), 1);
    const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(row[0], row[1])), b = _mm256_castps_pd(_mm256_unpacklo_ps(row[2], row[3]));
    const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(row[0], row[1])), e = _mm256_castps_pd(_mm256_unpackhi_ps(row[2], row[3]));
    c[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
    c[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    c[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(d, e));
    c[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(d, e));
}

inline void cell_terms(const double* table, const std::int32_t* at, Vector<double>* c) noexcept {
#pragma GCC unroll 4
    for (int k = 0; k < 8; k += 2) {
        const double* from = table + k;
        const __m256d even = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(from + at[0])), _mm_loadu_pd(from + at[2]), 1);
        const __m256d odd = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(from + at[1])), _mm_loadu_pd(from + at[3]), 1);
        c[k] = _mm256_unpacklo_pd(even, odd);
        c[k + 1] = _mm256_unpackhi_pd(even, odd);
    }
}
#else
template <class T>
inline void cell_terms(const T* table, const std::int32_t* at, Vector<T>* c) noexcept {
    for (int l = 0; l < width<T>; ++l)
        for (int k = 0; k < detail::table_terms<T>; ++k) c[k][l] = table[at[l] + k];
}
#endif

// One time by the table: each lane's cell and its place in it are exact, because the spacing is a power of two.
template <class T>
void table_row(const detail::NetworkPlan<T>& plan, const detail::Scratch<T>& scratch, const T* in, T* outputs) {
    constexpr int terms = detail::table_terms<T>;
    constexpr auto half = static_cast<T>(detail::half_cells);
    alignas(64) T place[lanes];
    alignas(64) std::int32_t at[lanes];
    const std::int32_t step = plan.outputs * terms;
    int n_beyond = 0;
    for (int l = 0; l < lanes; ++l) {
        const T s = in[l] * plan.table.inverse_spacing;
        const bool within = absolute(s) < half;
        const T inside = within ? s : T(0);
        const T rounded = inside + layout<T>::magic, k = rounded - layout<T>::magic;
        place[l] = inside - k;
        at[l] = (static_cast<std::int32_t>(bits_of(rounded) - bits_of(layout<T>::magic)) + detail::half_cells) * step;
        n_beyond += within ? 0 : 1;
    }
    for (int v = 0; v < lanes; v += width<T>) {
        const Vector<T> x = vector_load(place + v);
        for (int o = 0; o < plan.outputs; ++o) {
            Vector<T> c[terms];
            cell_terms(plan.table.coefficients + o * terms, at + v, c);
            Vector<T> y = c[terms - 1];
#pragma GCC unroll 8
            for (int k = terms - 2; k >= 0; --k) y = vector_fma<T>(x, y, c[k]);
            *reinterpret_cast<Vector<T>*>(outputs + o * lanes + v) = y;
        }
    }
    if (n_beyond == 0) return;
    T* direct = scratch.hidden + static_cast<std::int64_t>((plan.n_layers + 1) % 2) * plan.widest * lanes;
    shared_row<T>(plan, nullptr, scratch, in, direct);
    for (int l = 0; l < lanes; ++l)
        if (!(absolute(in[l] * plan.table.inverse_spacing) < half))
            for (int o = 0; o < plan.outputs; ++o) outputs[o * lanes + l] = direct[o * lanes + l];
}

template <class T>
void forward(const detail::NetworkPlan<T>& plan, std::uint64_t key, std::int64_t first_path, const detail::Window& window,
             int channels, const detail::Scratch<T>& scratch, T* tile) {
    const std::int64_t stride = static_cast<std::int64_t>(channels) * lanes;
    if (plan.drawn && plan.group < lanes) {
        alignas(64) std::int64_t groups[lanes];
        for (int l = 0; l < lanes; ++l) groups[l] = (first_path + l) / plan.group;
        const std::int64_t n_negative = plan.split ? plan.n_negative : 0;
        for (int side = n_negative > 0 ? 1 : 0; side >= 0; --side) {
            const std::int64_t first = side ? 0 : n_negative, last = side ? n_negative : window.n_times;
            const std::int64_t begin = first > window.begin ? first : window.begin, end = last < window.end ? last : window.end;
            if (begin >= end) continue;
            T* rows = tile + (begin - window.begin) * stride;
            if (begin == first) {
                draw_groups(plan, key, groups, side == 1, scratch.parameters);
                // The outputs of the first time are written after this, so that their place serves.
                if (plan.split) anchor(plan, scratch, rows + plan.inputs * lanes);
            }
            own_times(plan, end - begin, channels, scratch, rows);
        }
        return;
    }
    if (plan.drawn && window.begin == 0) {
        T* parameters = scratch.parameters;
        for (int i = 0; i < plan.n_layers; ++i) {
            draw_one(plan.drawn[i].weights, key, first_path / plan.group, parameter_purpose(false, i, false), parameters);
            parameters += plan.drawn[i].weights.count;
            draw_one(plan.drawn[i].biases, key, first_path / plan.group, parameter_purpose(false, i, true), parameters);
            parameters += plan.drawn[i].biases.count;
        }
    }
    for (std::int64_t t = 0; t < window.end - window.begin; ++t) {
        T* row = tile + t * stride;
        if (plan.table.coefficients) table_row(plan, scratch, row, row + plan.inputs * lanes);
        else shared_row<T>(plan, scratch.parameters, scratch, row, row + plan.inputs * lanes);
    }
}

template <class T>
double lane_sum(const T* x) {
    // Several sums, because additions of one wait for each other.
    constexpr int chains = 16;
    double part[chains] = {};
    for (int l = 0; l < lanes; l += chains)
        for (int k = 0; k < chains; ++k) part[k] += static_cast<double>(x[l + k]);
    for (int half = chains / 2; half >= 1; half /= 2)
        for (int k = 0; k < half; ++k) part[k] += part[k + half];
    return part[0];
}

template <class T>
double vector_sum(Vector<T> x) {
    alignas(vector_bytes) T part[width<T>];
    *reinterpret_cast<Vector<T>*>(part) = x;
    for (int half = width<T> / 2; half >= 1; half /= 2)
        for (int k = 0; k < half; ++k) part[k] += part[k + half];
    return static_cast<double>(part[0]);
}

// RA x RB entries of sum over rows and lanes of a b^T, added to out; in a symmetric product the entries below the diagonal are
// mirrored from those above.
template <class T, int RA, int RB>
void product_block(const T* a, const T* b, std::int64_t rows, std::int64_t stride, bool symmetric, int i, int j, int size,
                   double* out) {
    Vector<T> total[RA][RB];
    for (int p = 0; p < RA; ++p)
        for (int q = 0; q < RB; ++q) total[p][q] = vector_set(T(0));
    for (std::int64_t from = 0; from < rows; from += stretch<T>) {
        const std::int64_t to = from + stretch<T> < rows ? from + stretch<T> : rows;
        Vector<T> sum[RA][RB];
        for (int p = 0; p < RA; ++p)
            for (int q = 0; q < RB; ++q) sum[p][q] = vector_set(T(0));
        for (std::int64_t r = from; r < to; ++r) {
            for (int v = 0; v < lanes; v += width<T>) {
                Vector<T> x[RA], y[RB];
                for (int p = 0; p < RA; ++p) x[p] = vector_load(a + r * stride + (i + p) * lanes + v);
                for (int q = 0; q < RB; ++q) y[q] = vector_load(b + r * stride + (j + q) * lanes + v);
                for (int p = 0; p < RA; ++p)
                    for (int q = 0; q < RB; ++q) sum[p][q] = vector_fma<T>(x[p], y[q], sum[p][q]);
            }
        }
        for (int p = 0; p < RA; ++p)
            for (int q = 0; q < RB; ++q) total[p][q] += sum[p][q];
    }
    for (int p = 0; p < RA; ++p) {
        for (int q = 0; q < RB; ++q) {
            const int row = i + p, column = j + q;
            if (symmetric && row > column) continue;
            const double s = vector_sum<T>(total[p][q]);
            out[row * size + column] += s;
            if (symmetric && row != column) out[column * size + row] += s;
        }
    }
}

// Entries of a product that are summed at once: with fewer registers fewer rows, which then leave one for a factor.
inline constexpr int block_rows = vector_registers == 32 ? 4 : 3, block_columns = 4;

template <class T, int RA>
void product_rows(const T* a, const T* b, std::int64_t rows, std::int64_t stride, bool symmetric, int i, int size,
                  double* out) {
    for (int j = 0; j < size; j += block_columns) {
        if (symmetric && j + block_columns <= i) continue;
        switch (size - j) {
        case 1: product_block<T, RA, 1>(a, b, rows, stride, symmetric, i, j, size, out); break;
        case 2: product_block<T, RA, 2>(a, b, rows, stride, symmetric, i, j, size, out); break;
        case 3: product_block<T, RA, 3>(a, b, rows, stride, symmetric, i, j, size, out); break;
        default: product_block<T, RA, block_columns>(a, b, rows, stride, symmetric, i, j, size, out); break;
        }
    }
}

// Rows of a product that are taken together: few, so that those of some observables stay in the first-level cache while they meet
// all others, or many, where vectors are so wide that the sums over their lanes at the end would cost more.
inline constexpr int product_rows_at_once = vector_registers == 32 ? 64 : 8;

// out (size, size) += sum over rows and lanes of a b^T; a row is (size, lanes), rows lie `stride` apart.
template <class T>
void add_products(const T* a, const T* b, std::int64_t rows, std::int64_t stride, bool symmetric, int size, double* out) {
    while (rows > 0) {
        const std::int64_t n = rows < product_rows_at_once ? rows : product_rows_at_once;
        int i = 0;
        for (; i + block_rows <= size; i += block_rows) product_rows<T, block_rows>(a, b, n, stride, symmetric, i, size, out);
        switch (size - i) {
        case 1: product_rows<T, 1>(a, b, n, stride, symmetric, i, size, out); break;
        case 2: product_rows<T, 2>(a, b, n, stride, symmetric, i, size, out); break;
        case 3: product_rows<T, 3>(a, b, n, stride, symmetric, i, size, out); break;
        default: break;
        }
        rows -= n;
        a += n * stride;
        b += n * stride;
    }
}

// The terms of sum A A^T + B B^T of each lag that lie in begin .. end - 1; `rows` is the observable vector at time `begin`.
template <class T>
void add_equal_times(const detail::LagPlan& plan, std::int64_t begin, std::int64_t end, const T* rows, double* products,
                     double* sums) {
    const int size = plan.size, square = size * size;
    const std::int64_t stride = static_cast<std::int64_t>(size) * lanes;
    for (int s = 0; s < plan.n_stretches; ++s) {
        const std::int64_t from = begin > plan.bounds[s] ? begin : plan.bounds[s];
        const std::int64_t to = end < plan.bounds[s + 1] ? end : plan.bounds[s + 1];
        if (from >= to) continue;
        for (int i = 0; i < square; ++i) products[i] = 0;
        const T* first = rows + (from - begin) * stride;
        add_products(first, first, to - from, stride, true, size, products);
        for (int k = 0; k < plan.n_lags; ++k) {
            const double weight = plan.weights[s * plan.n_lags + k];
            double* out = sums + (plan.parts * k + 1) * square;
            for (int i = 0; i < square; ++i) out[i] += weight * products[i];
        }
    }
}

// The terms of the lag sums whose later time lies in begin .. end - 1; rows of earlier times, as far back as the largest lag,
// lie before `rows`.
template <class T>
void add_lag_sums(const detail::LagPlan& plan, std::int64_t begin, std::int64_t end, const T* rows, double* products,
                  double* sums) {
    const int size = plan.size, square = size * size;
    const std::int64_t stride = static_cast<std::int64_t>(size) * lanes;
    for (int k = 0; k < plan.n_lags; ++k) {
        const std::int64_t first = begin > plan.lags[k] ? begin : plan.lags[k];
        const T* later = rows + (first - begin) * stride;
        add_products(later - plan.lags[k] * stride, later, end - first, stride, false, size, sums + plan.parts * k * square);
    }
    add_equal_times(plan, begin, end, rows, products, sums);
}

// Times whose products are taken at all lags before later ones, while they are near.
template <class T>
inline constexpr int dot_chains = row_vectors<T> < 4 ? row_vectors<T> : 4;
template <class T>
inline constexpr int dot_rows = run_length * dot_chains<T> / row_vectors<T>;

// Sum over at most dot_rows rows, and lanes, of a b; rows lie `stride` apart.
template <class T>
double dot(const T* a, const T* b, std::int64_t rows, std::int64_t stride) {
    constexpr int chains = dot_chains<T>;
    Vector<T> sum[chains];
    for (int c = 0; c < chains; ++c) sum[c] = vector_set(T(0));
    for (std::int64_t r = 0; r < rows; ++r) {
        const T *x = a + r * stride, *y = b + r * stride;
#pragma GCC unroll 16
        for (int v = 0; v < row_vectors<T>; ++v)
            sum[v % chains] = vector_fma<T>(vector_load(x + v * width<T>), vector_load(y + v * width<T>), sum[v % chains]);
    }
    for (int c = 1; c < chains; ++c) sum[0] += sum[c];
    return vector_sum<T>(sum[0]);
}

// The lag sums of one channel, rows (1, z): only z z' needs products, the others are sums over stretches of time.
template <class T>
void add_channel_lags(const detail::LagPlan& plan, const detail::Window& window, int n_valid, const T* linear,
                      const detail::Scratch<T>& scratch, double* sums) {
    constexpr std::int64_t stride = 2 * lanes;
    const T* z = linear + lanes;
    double* before = scratch.before;
    before[0] = 0;
    for (std::int64_t t = window.begin; t < window.end; ++t) before[t + 1] = before[t] + lane_sum(z + (t - window.begin) * stride);
    for (int k = 0; window.end == window.n_times && k < plan.n_lags; ++k) {
        const std::int64_t rows = window.n_times - plan.lags[k];
        double* out = sums + 4 * plan.parts * k;
        out[0] += static_cast<double>(n_valid * rows);
        out[1] += before[window.n_times] - before[plan.lags[k]];
        out[2] += before[rows];
    }
    for (std::int64_t begin = window.begin; begin < window.end; begin += dot_rows<T>) {
        const std::int64_t end = begin + dot_rows<T> < window.end ? begin + dot_rows<T> : window.end;
        for (int k = 0; k < plan.n_lags; ++k) {
            const std::int64_t lag = plan.lags[k], first = begin > lag ? begin : lag;
            const T* later = z + (first - window.begin) * stride;
            sums[4 * plan.parts * k + 3] += dot(later - lag * stride, later, end - first, stride);
        }
    }
    add_equal_times(plan, window.begin, window.end, linear, scratch.products, sums);
}

// Adds the observables of a window to the running sums of each lane, and marks them where the earlier and later times of the lags
// begin and end.
template <class T>
void cumulate(const detail::LagPlan& plan, const detail::Window& window, const T* rows, const detail::GroupScratch& scratch) {
    const int n = plan.size * lanes;
    if (window.begin == 0)
        for (int i = 0; i < n; ++i) scratch.cumulative[i] = 0;
    for (std::int64_t t = window.begin; t <= window.end; ++t) {
        if (t == window.end && t < window.n_times) break;  // the next window begins there
        for (int k = 0; k < plan.n_lags; ++k) {
            const std::size_t bytes = sizeof(double) * static_cast<std::size_t>(n);
            if (t == plan.lags[k]) std::memcpy(scratch.marks + 2 * k * n, scratch.cumulative, bytes);
            if (t == window.n_times - plan.lags[k]) std::memcpy(scratch.marks + (2 * k + 1) * n, scratch.cumulative, bytes);
        }
        if (t == window.end) break;
        const T* row = rows + (t - window.begin) * n;
        for (int i = 0; i < n; ++i) scratch.cumulative[i] += static_cast<double>(row[i]);
    }
}

// out (size, size) += sign * sum of a b^T over n columns `step` apart.
void add_outer(const double* a, const double* b, int size, std::int64_t step, int n, double sign, double* out) {
    for (int i = 0; i < size; ++i)
        for (int j = 0; j < size; ++j) {
            double sum = 0;
            for (int l = 0; l < n; ++l) sum += a[i * step + l] * b[j * step + l];
            out[i * size + j] += sign * sum;
        }
}

// The third matrix of each lag: products of the sums over distinct paths of a group, over its earlier and over its later times.
void add_group_products(const detail::LagPlan& plan, std::int64_t group, bool begins, bool ends,
                        const detail::GroupScratch& scratch, double* sums) {
    const int size = plan.size, n = size * lanes, square = size * size;
    const int members = group < lanes ? static_cast<int>(group) : lanes;
    for (int k = 0; k < plan.n_lags; ++k) {
        double* later = scratch.marks + 2 * k * n;  // sums over the later times
        const double* earlier = scratch.marks + (2 * k + 1) * n;
        for (int i = 0; i < n; ++i) later[i] = scratch.cumulative[i] - later[i];
        double* out = sums + (plan.parts * k + 2) * square;
        add_outer(earlier, later, size, lanes, lanes, -1, out);
        double* totals = scratch.totals + 2 * k * size;
        for (int first = 0; first < lanes; first += members) {
            if (begins)
                for (int i = 0; i < 2 * size; ++i) totals[i] = 0;
            for (int i = 0; i < size; ++i)
                for (int l = first; l < first + members; ++l) {
                    totals[i] += earlier[i * lanes + l];
                    totals[size + i] += later[i * lanes + l];
                }
            if (ends) add_outer(totals, totals + size, size, 1, 1, 1, out);
        }
    }
}

template <class T>
void clear_padding(int rows, int n_valid, T* x) {
    for (int i = 0; i < rows; ++i)
        for (int l = n_valid; l < lanes; ++l) x[i * lanes + l] = 0;
}

// The place of the rows of a window, each of `stride` numbers, with those of earlier times before it.
template <class T>
T* window_rows(const detail::History& history, const detail::Window& window, std::int64_t stride, T* buffer) {
    const std::int64_t turn = window.begin / window.size % history.turns;
    if (turn == 0 && window.begin > 0)
        std::memcpy(buffer, buffer + history.turns * window.size * stride, sizeof(T) * static_cast<std::size_t>(history.rows * stride));
    return buffer + (history.rows + turn * window.size) * stride;
}

// (1, z_1 .. z_n) at every time.
template <class T>
void fill_linear(const detail::MeasurePlan<T>& plan, std::int64_t n_rows, int channels, const T* tile, int n_valid,
                 T* linear) {
    const int size = 1 + plan.n_channels;
    for (std::int64_t t = 0; t < n_rows; ++t) {
        T* out = linear + t * size * lanes;
        for (int l = 0; l < lanes; ++l) out[l] = 1;
        for (int c = 0; c < plan.n_channels; ++c) {
            const T* x = tile + (t * channels + plan.channels[c]) * lanes;
            const T shift = plan.shift[c], inverse_scale = plan.inverse_scale[c];
            for (int l = 0; l < lanes; ++l) out[(1 + c) * lanes + l] = (x[l] - shift) * inverse_scale;
        }
        if (n_valid < lanes) clear_padding(size, n_valid, out);
    }
}

// The whole observable vector at one time, from (1, z_1 .. z_n).
template <class T>
void fill_observables(const detail::MeasurePlan<T>& plan, const T* linear, int n_valid, T* out) {
    const int n = plan.n_channels;
    std::memcpy(out, linear, sizeof(T) * static_cast<std::size_t>(1 + n) * lanes);
    T* next = out + (1 + n) * lanes;
    for (int c = 0; c < n; ++c) {
        const T* z = linear + (1 + c) * lanes;
        for (int order = 2; order <= plan.orders[c]; ++order) {
            // h_{k+1} = (z h_k - sqrt(k) h_{k-1}) / sqrt(k + 1), h_0 = 1
            const T* last = order == 2 ? z : next - lanes;
            const T* before = order == 2 ? linear : order == 3 ? z : next - 2 * lanes;
            const T norm = T(1) / static_cast<T>(__builtin_sqrt(static_cast<double>(order)));
            const T factor = static_cast<T>(__builtin_sqrt(static_cast<double>(order - 1)));
            for (int l = 0; l < lanes; ++l) next[l] = (z[l] * last[l] - factor * before[l]) * norm;
            next += lanes;
        }
    }
    if (plan.neurons.outputs > 0) {
        layer(plan.neurons, linear + lanes, next);
        for (int k = 0; k < plan.neurons.outputs; ++k)
            for (int l = 0; l < lanes; ++l) next[k * lanes + l] -= plan.centres[k];
        if (n_valid < lanes) clear_padding(plan.neurons.outputs, n_valid, next);
    }
}

template <class T>
void add_observable_lags(const detail::MeasurePlan<T>& plan, const detail::Window& window, const T* linear, int n_valid,
                         bool begins_group, bool ends_group, const detail::Scratch<T>& scratch, double* sums) {
    const std::int64_t stride = static_cast<std::int64_t>(plan.observable_lags.size) * lanes;
    const std::int64_t linear_stride = static_cast<std::int64_t>(1 + plan.n_channels) * lanes;
    T* rows = window_rows(plan.observables, window, stride, scratch.observables);
    for (std::int64_t t = 0; t < window.end - window.begin; ++t)
        fill_observables(plan, linear + t * linear_stride, n_valid, rows + t * stride);
    add_lag_sums(plan.observable_lags, window.begin, window.end, rows, scratch.products, sums);
    if (plan.group == 1) return;
    cumulate(plan.observable_lags, window, rows, scratch.observable_groups);
    if (window.end == window.n_times)
        add_group_products(plan.observable_lags, plan.group, begins_group, ends_group, scratch.observable_groups, sums);
}

template <class T>
void add_moments(int n_channels, std::int64_t n_rows, const T* linear, double* sums) {
    for (int c = 0; c < n_channels; ++c) {
        for (std::int64_t from = 0; from < n_rows; from += run_length) {
            const std::int64_t to = from + run_length < n_rows ? from + run_length : n_rows;
            alignas(64) T power[4][lanes] = {};
            for (std::int64_t t = from; t < to; ++t) {
                const T* z = linear + (t * (1 + n_channels) + 1 + c) * lanes;
                for (int l = 0; l < lanes; ++l) {
                    const T square = z[l] * z[l];
                    power[0][l] += z[l];
                    power[1][l] += square;
                    power[2][l] = fma(square, z[l], power[2][l]);
                    power[3][l] = fma(square, square, power[3][l]);
                }
            }
            for (int k = 0; k < 4; ++k) sums[4 * c + k] += lane_sum(power[k]);
        }
    }
}

template <class T>
void add_increments(const detail::MeasurePlan<T>& plan, const detail::Window& window, const T* linear, double* sums) {
    const std::int64_t stride = static_cast<std::int64_t>(1 + plan.n_channels) * lanes;
    for (int c = 0; c < plan.n_channels; ++c) {
        for (int k = 0; k < plan.n_increment_lags; ++k) {
            const std::int64_t lag = plan.increment_lags[k];
            double* out = sums + 2 * (c * plan.n_increment_lags + k);
            for (std::int64_t from = lag > window.begin ? lag : window.begin; from < window.end; from += run_length) {
                const std::int64_t to = from + run_length < window.end ? from + run_length : window.end;
                alignas(64) T second[lanes] = {}, fourth[lanes] = {};
                for (std::int64_t t = from; t < to; ++t) {
                    const T* z = linear + (t - window.begin) * stride + (1 + c) * lanes;
                    const T* before = z - lag * stride;
                    for (int l = 0; l < lanes; ++l) {
                        const T step = z[l] - before[l], square = step * step;
                        second[l] += square;
                        fourth[l] = fma(square, square, fourth[l]);
                    }
                }
                out[0] += lane_sum(second);
                out[1] += lane_sum(fourth);
            }
        }
    }
}

template <class T>
int first_not_finite(std::int64_t n_rows, const T* tile, int n_valid) {
    alignas(64) T trace[lanes] = {};
    for (std::int64_t r = 0; r < n_rows; ++r)
        for (int l = 0; l < lanes; ++l) trace[l] = fma(tile[r * lanes + l], T(0), trace[l]);
    for (int l = 0; l < n_valid; ++l)
        if (!(trace[l] == T(0))) return l;
    return -1;
}

template <class T>
int accumulate(const detail::MeasurePlan<T>& plan, const detail::Window& window, int channels, const T* tile, int n_valid,
               bool begins_group, bool ends_group, const detail::Scratch<T>& scratch, const detail::BlockSums& sums) {
    const std::int64_t n_rows = window.end - window.begin, stride = static_cast<std::int64_t>(1 + plan.n_channels) * lanes;
    const int bad = first_not_finite(n_rows * channels, tile, n_valid);
    T* linear = window_rows(plan.linear, window, stride, scratch.linear);
    fill_linear(plan, n_rows, channels, tile, n_valid, linear);
    if (sums.lags) {
        if (plan.n_channels == 1) add_channel_lags(plan.linear_lags, window, n_valid, linear, scratch, sums.lags);
        else add_lag_sums(plan.linear_lags, window.begin, window.end, linear, scratch.products, sums.lags);
        if (plan.group > 1) {
            cumulate(plan.linear_lags, window, linear, scratch.linear_groups);
            if (window.end == window.n_times)
                add_group_products(plan.linear_lags, plan.group, begins_group, ends_group, scratch.linear_groups, sums.lags);
        }
    }
    if (sums.observable_lags)
        add_observable_lags(plan, window, linear, n_valid, begins_group, ends_group, scratch, sums.observable_lags);
    if (sums.moments) add_moments(plan.n_channels, n_rows, linear, sums.moments);
    if (sums.increments) add_increments(plan, window, linear, sums.increments);
    if (sums.two_time) {
        const T* z = linear + (1 + plan.two_time) * lanes;
        for (std::int64_t t = 0; t < n_rows; ++t) sums.time_sums[window.begin + t] += lane_sum(z + t * stride);
        fill_panels(z, window.begin, window.end, stride, scratch.panels);
        if (window.end == window.n_times) add_two_time(window.n_times, scratch.panels, sums.two_time);
    }
    return bad;
}

}  // namespace

#define NNQM_STRING_(x) #x
#define NNQM_STRING(x) NNQM_STRING_(x)

extern const detail::Level table;
const detail::Level table = {
    NNQM_STRING(NNQM_LEVEL),
    {sample_ou<float>, sample_chain<float>, sample_periodic_chain<float>, sample_linear<float>, forward<float>, draw<float>,
     accumulate<float>},
    {sample_ou<double>, sample_chain<double>, sample_periodic_chain<double>, sample_linear<double>, forward<double>, draw<double>,
     accumulate<double>},
};

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
