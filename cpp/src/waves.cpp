// Samples modes and random waves into a window of a tile: processes in time, times a matrix of the points of space.
#include "draws.hpp"
#include "layers.hpp"
#include "math.hpp"
#include "stages.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

constexpr std::uint32_t momenta_kind = 5U * 65536U, noise_kind = 6U * 65536U;

// Working memory of one source of waves.
template <class T>
struct WaveMemory {
    T *matrix, *rows, *state, *decay, *noise;
    double *steps, *rates;
    std::int64_t step_stride;  // between the steps in decay and noise
    WaveMemory(const detail::WavePlan<T>& plan, const detail::Scratch<T>& scratch) {
        const auto padded = [](std::int64_t n) { return (n + lanes - 1) / lanes * lanes; };
        matrix = scratch.waves + plan.first_number;
        rows = matrix + padded(plan.matrix_size());
        state = rows + detail::wave_times * plan.row_size();
        decay = state + plan.row_size();
        step_stride = padded(plan.step_size());
        noise = decay + detail::wave_times * step_stride;
        steps = scratch.wave_rates + plan.first_rate;
        rates = steps + lanes;
    }
};

// c + i s = exp(2 pi i u) of a row of angles in full turns. An angle beyond 2^49 has no digits of the turn left.
template <class T>
inline void circle(const double* __restrict u, T* __restrict c, T* __restrict s) {
    alignas(64) T y[lanes];
    alignas(64) word_of<T> quadrant[lanes];
    for (int l = 0; l < lanes; ++l) {
        const double t = fma(u[l], 4.0, layout<double>::magic);
        const double rest = fma(u[l], 4.0, layout<double>::magic - t);
        y[l] = static_cast<T>(at_most(at_least(rest, -0.5), 0.5));
        quadrant[l] = static_cast<word_of<T>>(bits_of(t));
    }
    for (int l = 0; l < lanes; ++l) {
        const T z = y[l] * y[l];
        const T sine = y[l] * fit::sin_quarter(z), cosine = fma(z, fit::cos_quarter(z), T(1));
        const bool odd = (quadrant[l] & 1U) != 0;
        const T x0 = odd ? sine : cosine, x1 = odd ? cosine : sine;
        c[l] = from_bits(bits_of(x0) ^ (((quadrant[l] + 1) & 2U) << (layout<T>::word_bits - 2)));
        s[l] = from_bits(bits_of(x1) ^ ((quadrant[l] & 2U) << (layout<T>::word_bits - 2)));
    }
}

// The quantile of the probability (a 2^32 + b + 1/2) / 2^64.
double quantile(const double* table, std::uint32_t a, std::uint32_t b) {
    const std::uint64_t word = (std::uint64_t{a} << 32) | b;
    const bool upper = (word >> 63) != 0;
    const std::uint64_t v = upper ? ~word : word;
    int octave = v == 0 ? quantile_octaves - 1 : __builtin_clzll(v) - 1;
    if (octave > quantile_octaves - 1) octave = quantile_octaves - 1;
    const bool last = octave == quantile_octaves - 1;
    // The place in the octave, from 0 to 1.
    const std::uint64_t start = last ? 0 : std::uint64_t{1} << (62 - octave);
    const std::uint64_t length = std::uint64_t{1} << (last ? 63 - octave : 62 - octave);
    const double place = (static_cast<double>(v - start) + 0.5) / static_cast<double>(length);
    int cell = static_cast<int>(place * quantile_cells);
    if (cell > quantile_cells - 1) cell = quantile_cells - 1;
    const double x = 2 * (place * quantile_cells - cell) - 1;
    const double* c = table + (((upper ? quantile_octaves : 0) + octave) * quantile_cells + cell) * quantile_terms;
    double value = c[quantile_terms - 1];
    for (int k = quantile_terms - 2; k >= 0; --k) value = fma(value, x, c[k]);
    return value;
}

// Draws one neuron per lane, and writes the first `count` of them to columns of the matrix, which are contiguous.
template <class T>
void draw_neurons(const detail::WavePlan<T>& plan, std::uint64_t key, const std::int64_t* group,
                  const std::int64_t* neuron, int count, T* columns, double* rates) {
    const std::uint32_t purpose = momenta_kind + static_cast<std::uint32_t>(plan.first_channel);
    const std::int64_t blocks = 2 + (plan.radial + 3) / 4;
    const std::int64_t stride = plan.columns(), sines = plan.neurons() * stride, row = plan.processes * stride;
    alignas(64) std::int64_t step[lanes];
    alignas(64) std::uint32_t words[4][lanes];
    alignas(64) double phase[lanes], square[lanes] = {}, energy[lanes], frequency[lanes] = {}, amplitude[lanes];
    alignas(64) double normals[4][lanes], scale[lanes], direction[lanes] = {}, angle[lanes];
    alignas(64) T c[lanes], s[lanes];
    for (int l = 0; l < lanes; ++l) step[l] = neuron[l] * blocks;
    draw_words_at(key, group, step, purpose, words);
    for (int l = 0; l < lanes; ++l) {
        phase[l] = plan.oscillators
                       ? 0
                       : (static_cast<double>(words[2][l]) + (words[3][l] + 0.5) / 4294967296.0) / 4294967296.0;
        scale[l] = plan.radius ? quantile(plan.radius, words[0][l], words[1][l]) : 0;
        square[l] = scale[l] * scale[l];
    }
    // The direction has the components of normals, divided by their root of the sum of squares.
    for (int k = 0; k < plan.radial; ++k) {
        for (int l = 0; l < lanes; ++l) step[l] = neuron[l] * blocks + 2 + k / 4;
        if (k % 4 == 0) draw_normals_at(key, group, step, purpose, normals);
        for (int l = 0; l < lanes; ++l) direction[l] = fma(normals[k % 4][l], normals[k % 4][l], direction[l]);
    }
    for (int l = 0; l < lanes; ++l) {
        if (plan.radial > 0) scale[l] /= square_root(direction[l]);
        energy[l] = square[l] + plan.mass_squared;
    }
    if (plan.ratio) {
        for (int l = 0; l < lanes; ++l) step[l] = neuron[l] * blocks + 1;
        draw_words_at(key, group, step, purpose, words);
        for (int l = 0; l < lanes; ++l) {
            frequency[l] = square_root(energy[l]) * quantile(plan.ratio, words[0][l], words[1][l]);
            energy[l] = fma(frequency[l], frequency[l], energy[l]);
        }
    }
    const bool time_first = !plan.oscillators && !plan.ratio && plan.radial > 0;
    for (int l = 0; l < lanes; ++l)
        amplitude[l] = plan.power == 0 ? plan.amplitude : plan.amplitude * exp(plan.power * log(energy[l]));
    for (int p = 0; p < plan.points; ++p) {
        for (int l = 0; l < lanes; ++l) angle[l] = phase[l];
        for (int k = 0; k < plan.radial; ++k) {
            if (k % 4 == 0 && (k > 0 || plan.radial > 4)) {
                for (int l = 0; l < lanes; ++l) step[l] = neuron[l] * blocks + 2 + k / 4;
                draw_normals_at(key, group, step, purpose, normals);
            }
            const int component = time_first ? k - 1 : k;
            if (component < 0) continue;
            const double x = plan.turns[p * plan.space + component];
            for (int l = 0; l < lanes; ++l) angle[l] = fma(scale[l] * normals[k % 4][l], x, angle[l]);
        }
        circle(angle, c, s);
        for (int l = 0; l < count; ++l) {
            columns[p * row + l] = static_cast<T>(amplitude[l]) * c[l];
            columns[p * row + sines + l] = static_cast<T>(plan.oscillators ? amplitude[l] : -amplitude[l]) * s[l];
        }
    }
    if (time_first) {
        if (plan.radial > 4) {
            for (int l = 0; l < lanes; ++l) step[l] = neuron[l] * blocks + 2;
            draw_normals_at(key, group, step, purpose, normals);
        }
        for (int l = 0; l < lanes; ++l) frequency[l] = scale[l] * normals[0][l];
    }
    for (int l = 0; l < count; ++l) rates[l] = plan.oscillators ? square_root(energy[l]) : frequency[l];
}

// The momenta of the paths of a tile. If all paths share them, the lanes draw successive neurons, and the momenta are
// kept for the next tile.
template <class T>
void draw_waves(const detail::WavePlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                const detail::Scratch<T>& scratch, const WaveMemory<T>& memory) {
    alignas(64) std::int64_t group[lanes], neuron[lanes];
    for (int l = 0; l < lanes; ++l) group[l] = (first_path + l) / plan.group;
    std::int64_t& kept = scratch.wave_groups[plan.index];
    if (plan.shared() && kept == group[0]) return;
    kept = plan.shared() ? group[0] : -1;
    for (int k = 0; k < detail::wave_times; ++k) memory.steps[k] = -1;
    const int at_once = plan.shared() ? lanes : 1;
    for (int n = 0; n < plan.neurons(); n += at_once) {
        for (int l = 0; l < lanes; ++l) neuron[l] = plan.shared() ? n + l : n;
        const int count = plan.shared() && plan.neurons() - n < lanes ? plan.neurons() - n : lanes;
        const std::int64_t at = n * plan.columns();
        draw_neurons(plan, key, group, neuron, count, memory.matrix + at, memory.rates + at);
    }
}

// The places in decay and noise of the steps to `n` times from `first` on. Steps that are not there replace others.
template <class T>
void prepare_steps(const detail::WavePlan<T>& plan, std::int64_t first, int n, const WaveMemory<T>& memory,
                   int* places) {
    bool used[detail::wave_times] = {};
    for (int i = 0; i < n; ++i) {
        const double step = plan.steps[first + i];
        int place = 0;
        while (place < detail::wave_times && memory.steps[place] != step) ++place;
        if (place == detail::wave_times) {
            place = 0;
            while (used[place]) ++place;
            memory.steps[place] = step;
            T *decay = memory.decay + place * memory.step_stride, *noise = memory.noise + place * memory.step_stride;
            for (std::int64_t k = 0; k < plan.step_size(); ++k) {
                const double a = memory.rates[k] * step;
                decay[k] = static_cast<T>(exp(-a));
                noise[k] = static_cast<T>(square_root(-expm1(-2 * a)));
            }
        }
        used[place] = true;
        places[i] = place;
    }
}

// The oscillators at `n` times from `first` on, a row (processes, lanes) per time.
template <class T>
void step_oscillators(const detail::WavePlan<T>& plan, std::uint64_t key, std::int64_t first_path, std::int64_t first,
                      int n, std::int64_t n_times, const WaveMemory<T>& memory) {
    int places[detail::wave_times] = {};
    if (!plan.matrix) prepare_steps(plan, first, n, memory, places);
    const std::int64_t columns = plan.columns();
    for (int j = 0; j < plan.processes; ++j) {
        alignas(64) T normals[4][lanes];
        const std::uint32_t purpose = noise_kind + plan.first_process + static_cast<std::uint32_t>(j);
        draw_normals(key, first_path, first / 4, purpose, normals);
        if (first == 0 && plan.futures > 1) share_first_normals(key, first_path, plan.futures, purpose, normals);
        T* state = memory.state + j * lanes;
        for (int i = 0; i < n; ++i) {
            T* row = memory.rows + i * plan.row_size() + j * lanes;
            if (first + i == 0) {
                for (int l = 0; l < lanes; ++l) row[l] = state[l] = normals[0][l];
            } else if (plan.shared()) {
                const std::int64_t k = j < plan.neurons() ? j : j - plan.neurons();
                const std::int64_t at = places[i] * memory.step_stride + k;
                const T a = plan.matrix ? plan.decay[j * n_times + first + i] : memory.decay[at],
                        b = plan.matrix ? plan.noise[j * n_times + first + i] : memory.noise[at];
                for (int l = 0; l < lanes; ++l) row[l] = state[l] = fma(a, state[l], b * normals[i][l]);
            } else {
                const std::int64_t k = j < plan.neurons() ? j : j - plan.neurons();
                const std::int64_t at = places[i] * memory.step_stride + k * columns;
                const T *a = memory.decay + at, *b = memory.noise + at;
                for (int l = 0; l < lanes; ++l) row[l] = state[l] = fma(a[l], state[l], b[l] * normals[i][l]);
            }
        }
    }
}

// cos and sin of the frequencies at `n` times from `first` on. Every path has its own momenta, unless all have.
template <class T>
void rotate(const detail::WavePlan<T>& plan, std::int64_t first, int n, const WaveMemory<T>& memory) {
    const std::int64_t half = static_cast<std::int64_t>(plan.neurons()) * lanes;
    alignas(64) double angle[lanes];
    for (int j = 0; j < plan.neurons(); ++j)
        for (int i = 0; i < n; ++i) {
            const double time = plan.times[first + i];
            for (int l = 0; l < lanes; ++l) angle[l] = memory.rates[plan.shared() ? j : j * lanes + l] * time;
            T* row = memory.rows + i * plan.row_size() + j * lanes;
            circle(angle, row, row + half);
        }
}

// Points whose sums, at wave_times times, stay in registers when each lane has its own matrix.
inline constexpr int points_at_once = vector_registers == 32 ? 4 : 2;

// P points at one vector of lanes and wave_times times, with a matrix of each lane.
template <class T, int P>
inline void lane_points(const T* matrix, int processes, const T* rows, std::int64_t row_size, int n, T* out,
                        std::int64_t stride) {
    constexpr int times = detail::wave_times;
    Vector<T> sum[P][times];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
        for (int i = 0; i < times; ++i) sum[p][i] = vector_set(T(0));
    for (int j = 0; j < processes; ++j) {
        Vector<T> y[times];
#pragma GCC unroll 4
        for (int i = 0; i < times; ++i) y[i] = vector_load(rows + i * row_size + j * lanes);
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) {
            const Vector<T> w = vector_load(matrix + (static_cast<std::int64_t>(p) * processes + j) * lanes);
#pragma GCC unroll 4
            for (int i = 0; i < times; ++i) sum[p][i] = vector_fma<T>(w, y[i], sum[p][i]);
        }
    }
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
        for (int i = 0; i < times; ++i)
            if (i < n) *reinterpret_cast<Vector<T>*>(out + i * stride + p * lanes) = sum[p][i];
}

// All points at n times, with a matrix of each lane.
template <class T>
void multiply_lanes(const detail::WavePlan<T>& plan, int n, const WaveMemory<T>& memory, T* out, std::int64_t stride) {
    const std::int64_t row = plan.row_size();
    for (int v = 0; v < lanes; v += width<T>) {
        const T *matrix = memory.matrix + v, *rows = memory.rows + v;
        int p = 0;
        for (; p + points_at_once <= plan.points; p += points_at_once)
            lane_points<T, points_at_once>(matrix + p * row, plan.processes, rows, row, n, out + p * lanes + v, stride);
        for (; p < plan.points; ++p)
            lane_points<T, 1>(matrix + p * row, plan.processes, rows, row, n, out + p * lanes + v, stride);
    }
}

}  // namespace

template <class T>
void sample_waves(const detail::WavePlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                  const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile) {
    const WaveMemory<T> memory(plan, scratch);
    if (window.begin == 0 && !plan.matrix) draw_waves(plan, key, first_path, scratch, memory);
    const std::int64_t stride = static_cast<std::int64_t>(channels) * lanes;
    for (std::int64_t first = window.begin; first < window.end; first += detail::wave_times) {
        const int n =
            window.end - first < detail::wave_times ? static_cast<int>(window.end - first) : detail::wave_times;
        if (plan.oscillators) step_oscillators(plan, key, first_path, first, n, window.n_times, memory);
        else rotate(plan, first, n, memory);
        T* out = tile + (first - window.begin) * stride + plan.first_channel * lanes;
        if (!plan.shared()) {
            multiply_lanes(plan, n, memory, out, stride);
            continue;
        }
        const T* matrix = plan.matrix ? plan.matrix : memory.matrix;
        for (int i = 0; i < n; ++i)
            affine(matrix, plan.zeros, plan.points, plan.processes, memory.rows + i * plan.row_size(), out + i * stride,
                   lanes);
    }
}

#define NNQM_INSTANTIATE(T)                                                                                         \
    template void sample_waves(const detail::WavePlan<T>&, std::uint64_t, std::int64_t, const detail::Window&, int, \
                               const detail::Scratch<T>&, T*);
NNQM_INSTANTIATE(float)
NNQM_INSTANTIATE(double)
#undef NNQM_INSTANTIATE

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
