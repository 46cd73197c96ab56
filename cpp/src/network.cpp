// Evaluates the network on a window of a tile: with fixed parameters, with the parameters of each group of paths, or by
// a table of polynomials.
#include "draws.hpp"
#include "layers.hpp"
#include "math.hpp"
#include "stages.hpp"
#include "training.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

std::uint32_t parameter_purpose(bool negative, int layer, bool biases) {
    return (negative ? std::uint32_t{3} : std::uint32_t{2}) * 65536U + 2U * static_cast<std::uint32_t>(layer) +
           (biases ? 1U : 0U);
}

template <class T>
void draw_groups(const detail::NetworkPlan<T>& plan, std::uint64_t key, const std::int64_t* groups, bool negative,
                 T* out) {
    for (int i = 0; i < plan.n_layers; ++i) {
        const detail::DrawnPlan<T>& drawn = plan.drawn[i];
        const bool other = negative && plan.split && !drawn.shared;
        draw_lanes(drawn.weights, key, groups, parameter_purpose(other, i, false), out);
        out += drawn.weights.count * lanes;
        draw_lanes(drawn.biases, key, groups, parameter_purpose(other && i + 1 < plan.n_layers, i, true), out);
        out += drawn.biases.count * lanes;
    }
}

// The parameters of the paths of a tile in its lanes. If they are trained, each group is trained once.
template <class T>
void draw_paths(const detail::NetworkPlan<T>& plan, std::uint64_t key, std::int64_t first_path, bool negative,
                const detail::Scratch<T>& scratch) {
    const bool trained = plan.training.steps > 0;
    const auto group = static_cast<int>(plan.group), n = lanes / group;
    alignas(64) std::int64_t groups[lanes];
    for (int l = 0; l < lanes; ++l)
        groups[l] = trained ? first_path / group + (l < n ? l : n - 1) : (first_path + l) / group;
    draw_groups(plan, key, groups, negative, scratch.parameters);
    if (!trained) return;
    train_lanes(plan, n, scratch.parameters, scratch.training);
    if (group == 1) return;
    for (std::int64_t i = 0; i < plan.parameters; ++i) {
        T* row = scratch.parameters + i * lanes;
        for (int l = lanes - 1; l > 0; --l) row[l] = row[l / group];
    }
}

// The parameters that all paths of a tile share, kept for the next tile.
template <class T>
void draw_shared(const detail::NetworkPlan<T>& plan, std::uint64_t key, std::int64_t group,
                 const detail::Scratch<T>& scratch) {
    T* parameters = scratch.parameters;
    for (int i = 0; i < plan.n_layers; ++i) {
        draw_one(plan.drawn[i].weights, key, group, parameter_purpose(false, i, false), parameters);
        parameters += plan.drawn[i].weights.count;
        draw_one(plan.drawn[i].biases, key, group, parameter_purpose(false, i, true), parameters);
        parameters += plan.drawn[i].biases.count;
    }
    if (plan.training.steps > 0) train_one(plan, scratch.parameters, scratch.training);
    *scratch.group = group;
}

// Number of outputs of a layer whose sums, at times_at_once times, stay in registers when each lane has its own
// weights.
inline constexpr int lane_outputs = vector_registers == 32 ? 4 : 2;

// O outputs of a layer and their activation, at one vector of lanes and times_at_once times, with weights of each lane.
// Inputs and outputs are stored one vector after another: all times of one input, then the next input.
template <class T, int O>
inline void lane_block(const T* weights, const T* biases, int inputs, int activation, const T* in, T* out) {
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

// The network at one vector of lanes and n <= times_at_once times, with parameters of each lane. A single vector keeps
// the values between the layers in the first-level cache. The n-th time is repeated up to times_at_once.
template <class T>
void lane_network(const detail::NetworkPlan<T>& plan, const T* parameters, int n, T* hidden, const T* inputs,
                  T* outputs, std::int64_t stride) {
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
        for (; o + lane_outputs <= size; o += lane_outputs, weights += lane_outputs * from * lanes)
            lane_block<T, lane_outputs>(weights, biases + o * lanes, from, activation, in, out + o * step);
        for (; o < size; ++o, weights += from * lanes)
            lane_block<T, 1>(weights, biases + o * lanes, from, activation, in, out + o * step);
        T* const next = in;
        in = out;
        out = next;
    }
    for (int r = 0; r < n; ++r)
        for (int o = 0; o < plan.outputs; ++o)
            *reinterpret_cast<Vector<T>*>(outputs + r * stride + o * lanes) = vector_load(in + o * step + r * width<T>);
}

// The network at all lanes and n_rows times, with parameters of each lane.
template <class T>
void lane_times(const detail::NetworkPlan<T>& plan, std::int64_t n_rows, int channels,
                const detail::Scratch<T>& scratch, T* tile) {
    const std::int64_t stride = static_cast<std::int64_t>(channels) * lanes;
    for (int v = 0; v < lanes; v += width<T>)
        for (std::int64_t t = 0; t < n_rows; t += detail::times_at_once) {
            const int n = n_rows - t < detail::times_at_once ? static_cast<int>(n_rows - t) : detail::times_at_once;
            T* row = tile + t * stride + v;
            lane_network(plan, scratch.parameters + v, n, scratch.hidden, row, row + plan.inputs * lanes, stride);
        }
}

// Subtracts W h(0) from the biases of the last layer, so that the output at 0 is these biases.
template <class T>
void anchor(const detail::NetworkPlan<T>& plan, const detail::Scratch<T>& scratch, T* at_zero) {
    alignas(64) const T zero[lanes] = {};
    for (int v = 0; v < lanes; v += width<T>)
        lane_network(plan, scratch.parameters + v, 1, scratch.hidden, zero + v, at_zero + v, 0);
    T* biases = scratch.parameters + (plan.parameters - plan.outputs) * lanes;
    for (int i = 0; i < plan.outputs * lanes; ++i) biases[i] += biases[i] - at_zero[i];
}

// The network at one time, with the same parameters for all lanes: fixed ones from the layers, drawn ones from
// `parameters`, layer after layer.
template <class T>
void shared_row(const detail::NetworkPlan<T>& plan, const T* parameters, const detail::Scratch<T>& scratch, const T* in,
                T* outputs) {
    for (int i = 0; i < plan.n_layers; ++i) {
        T* out =
            i + 1 == plan.n_layers ? outputs : scratch.hidden + static_cast<std::int64_t>(i % 2) * plan.widest * lanes;
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

// Loads the coefficients of the cells that begin at `at`, one per lane, as vectors. Blocks of 16 bytes are loaded whole
// and transposed, in half the time of gathering the coefficients one by one.
#if defined(__AVX512F__)
inline __m512 blocks(const float* a, const float* b, const float* c, const float* d) noexcept {
    const __m512 low = _mm512_insertf32x4(_mm512_castps128_ps512(_mm_loadu_ps(a)), _mm_loadu_ps(b), 1);
    return _mm512_insertf32x4(_mm512_insertf32x4(low, _mm_loadu_ps(c), 2), _mm_loadu_ps(d), 3);
}

inline void cell_terms(const float* table, const std::int32_t* at, Vector<float>* c) noexcept {
    __m512 row[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r)
        row[r] = blocks(table + at[r], table + at[4 + r], table + at[8 + r], table + at[12 + r]);
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(row[0], row[1])),
                  b = _mm512_castps_pd(_mm512_unpacklo_ps(row[2], row[3]));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(row[0], row[1])),
                  e = _mm512_castps_pd(_mm512_unpackhi_ps(row[2], row[3]));
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
        row[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(table + at[r])),
                                      _mm_loadu_ps(table + at[4 + r]), 1);
    const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(row[0], row[1])),
                  b = _mm256_castps_pd(_mm256_unpacklo_ps(row[2], row[3]));
    const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(row[0], row[1])),
                  e = _mm256_castps_pd(_mm256_unpackhi_ps(row[2], row[3]));
    c[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
    c[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    c[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(d, e));
    c[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(d, e));
}

inline void cell_terms(const double* table, const std::int32_t* at, Vector<double>* c) noexcept {
#pragma GCC unroll 4
    for (int k = 0; k < 8; k += 2) {
        const double* from = table + k;
        const __m256d even =
            _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(from + at[0])), _mm_loadu_pd(from + at[2]), 1);
        const __m256d odd =
            _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(from + at[1])), _mm_loadu_pd(from + at[3]), 1);
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

// The network at one time by its table. The cell of each input and its position in the cell are exact, because the
// spacing is a power of two.
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

}  // namespace

template <class T>
void draw(const detail::NetworkPlan<T>& plan, std::uint64_t key, std::int64_t first_group, int n, bool negative,
          T* parameters, T* training) {
    alignas(64) std::int64_t groups[lanes];
    for (int l = 0; l < lanes; ++l) groups[l] = first_group + l;
    draw_groups(plan, key, groups, negative, parameters);
    if (plan.training.steps > 0) train_lanes(plan, n, parameters, training);
}

template <class T>
void forward(const detail::NetworkPlan<T>& plan, std::uint64_t key, std::int64_t first_path,
             const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile) {
    const std::int64_t stride = static_cast<std::int64_t>(channels) * lanes;
    if (plan.drawn && plan.group < lanes) {
        const std::int64_t n_negative = plan.split ? plan.n_negative : 0;
        for (int side = n_negative > 0 ? 1 : 0; side >= 0; --side) {
            const std::int64_t first = side ? 0 : n_negative, last = side ? n_negative : window.n_times;
            const std::int64_t begin = first > window.begin ? first : window.begin,
                               end = last < window.end ? last : window.end;
            if (begin >= end) continue;
            T* rows = tile + (begin - window.begin) * stride;
            if (begin == first) {
                draw_paths(plan, key, first_path, side == 1, scratch);
                // The outputs of the first time are written later; until then their memory stores the outputs at 0.
                if (plan.split) anchor(plan, scratch, rows + plan.inputs * lanes);
            }
            lane_times(plan, end - begin, channels, scratch, rows);
        }
        return;
    }
    if (plan.drawn && first_path / plan.group != *scratch.group)
        draw_shared(plan, key, first_path / plan.group, scratch);
    for (std::int64_t t = 0; t < window.end - window.begin; ++t) {
        T* row = tile + t * stride;
        if (plan.table.coefficients) table_row(plan, scratch, row, row + plan.inputs * lanes);
        else shared_row<T>(plan, scratch.parameters, scratch, row, row + plan.inputs * lanes);
    }
}

#define NNQM_INSTANTIATE(T)                                                                                       \
    template void draw(const detail::NetworkPlan<T>&, std::uint64_t, std::int64_t, int, bool, T*, T*);            \
    template void forward(const detail::NetworkPlan<T>&, std::uint64_t, std::int64_t, const detail::Window&, int, \
                          const detail::Scratch<T>&, T*);
NNQM_INSTANTIATE(float)
NNQM_INSTANTIATE(double)
#undef NNQM_INSTANTIATE

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
