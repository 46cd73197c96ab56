// Samples modes and random waves into a window of a tile: processes in time, times a matrix of the points of space.
#include "draws.hpp"
#include "math.hpp"
#include "stages.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

constexpr std::uint32_t momenta_kind = 5U * 65536U, noise_kind = 6U * 65536U;

// Working memory of one source of waves. The processes at wave_times times are (times, J, lanes) by lanes, and
// otherwise (J, lanes / wave_chunk, times, wave_chunk): the columns of a chunk of lanes lie side by side.
template <class T>
struct WaveMemory {
    T *matrix, *rows, *state, *decay, *noise;
    double *steps, *rates;
    std::int64_t step_stride;  // between the steps in decay and noise
    WaveMemory(const detail::WavePlan<T>& plan, const detail::Scratch<T>& scratch) {
        matrix = scratch.waves + plan.first_number;
        rows = matrix + plan.padded(plan.matrix_size());
        state = rows + detail::wave_times * plan.row_size();
        decay = state + plan.row_size();
        step_stride = plan.padded(plan.step_size());
        noise = decay + detail::wave_times * step_stride;
        steps = scratch.wave_rates + plan.first_rate;
        rates = steps + lanes;
    }
    // Stores process j at the i-th time.
    void store(const detail::WavePlan<T>& plan, int i, std::int64_t j, const T* __restrict values) const {
        constexpr int chunk = detail::wave_chunk, times = detail::wave_times;
        if (plan.by_lanes()) {
            std::memcpy(rows + i * plan.row_size() + j * lanes, values, lanes * sizeof(T));
            return;
        }
        T* __restrict to = rows + j * times * lanes + i * chunk;
        for (int c = 0; c < lanes / chunk; ++c)
            std::memcpy(to + c * times * chunk, values + c * chunk, chunk * sizeof(T));
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

// Neurons that the lanes draw together: the groups of the tile, and `at_once` neurons of each from the first one on.
struct DrawnLanes {
    int at_once, first;
    alignas(64) std::int64_t group[lanes], neuron[lanes];
    template <class T>
    DrawnLanes(const detail::WavePlan<T>& plan, std::int64_t first_path) : at_once(lanes / plan.groups()) {
        for (int l = 0; l < lanes; ++l) group[l] = first_path / plan.group + l / at_once;
    }
    void from(int n) {
        first = n;
        for (int l = 0; l < lanes; ++l) neuron[l] = n + l % at_once;
    }
};

// Writes a number of each neuron and group: to (neurons, lanes), or with the given strides of groups and neurons.
template <class T, class From>
inline void scatter(const detail::WavePlan<T>& plan, const DrawnLanes& drawn, const From* values, From* to,
                    std::int64_t of_group, std::int64_t of_neuron) {
    const int n = plan.neurons() - drawn.first < drawn.at_once ? plan.neurons() - drawn.first : drawn.at_once;
    if (plan.by_lanes()) {
        for (int r = 0; r < n; ++r)
            for (int l = 0; l < lanes; ++l)
                to[(drawn.first + r) * lanes + l] = values[plan.group_of(l) * drawn.at_once + r];
        return;
    }
    for (int q = 0; q < plan.groups(); ++q)
        for (int r = 0; r < n; ++r) to[q * of_group + (drawn.first + r) * of_neuron] = values[q * drawn.at_once + r];
}

// Draws the neurons of the lanes, and writes their columns of the matrices and their rates.
template <class T>
void draw_neurons(const detail::WavePlan<T>& plan, std::uint64_t key, const DrawnLanes& drawn,
                  const WaveMemory<T>& memory) {
    const std::int64_t *group = drawn.group, *neuron = drawn.neuron;
    const std::uint32_t purpose = momenta_kind + static_cast<std::uint32_t>(plan.first_channel);
    const std::int64_t blocks = 2 + (plan.radial + 3) / 4;
    const std::int64_t one = plan.by_lanes() ? lanes : 1, row = plan.processes * one, sines = plan.neurons() * one;
    const std::int64_t stride = static_cast<std::int64_t>(plan.points) * plan.processes;
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
        for (int l = 0; l < lanes; ++l) {
            c[l] *= static_cast<T>(amplitude[l]);
            s[l] *= static_cast<T>(plan.oscillators ? amplitude[l] : -amplitude[l]);
        }
        scatter(plan, drawn, c, memory.matrix + p * row, stride, 1);
        scatter(plan, drawn, s, memory.matrix + p * row + sines, stride, 1);
    }
    if (time_first) {
        if (plan.radial > 4) {
            for (int l = 0; l < lanes; ++l) step[l] = neuron[l] * blocks + 2;
            draw_normals_at(key, group, step, purpose, normals);
        }
        for (int l = 0; l < lanes; ++l) frequency[l] = scale[l] * normals[0][l];
    }
    if (plan.oscillators)
        for (int l = 0; l < lanes; ++l) frequency[l] = square_root(energy[l]);
    scatter(plan, drawn, frequency, memory.rates, 1, plan.copies());
}

// The momenta of the paths of a tile. If all paths share them, they are kept for the next tile.
template <class T>
void draw_waves(const detail::WavePlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                const detail::Scratch<T>& scratch, const WaveMemory<T>& memory) {
    DrawnLanes drawn(plan, first_path);
    std::int64_t& kept = scratch.wave_groups[plan.index];
    if (plan.shared() && kept == drawn.group[0]) return;
    kept = plan.shared() ? drawn.group[0] : -1;
    for (int k = 0; k < detail::wave_times; ++k) memory.steps[k] = -1;
    for (int n = 0; n < plan.neurons(); n += drawn.at_once) {
        drawn.from(n);
        draw_neurons(plan, key, drawn, memory);
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

// One step of a process of all lanes. a and b have the decay and the noise of each group of lanes, or of each lane if
// there are as many groups as lanes.
template <class T>
inline void step_lanes(int groups, const T* __restrict a, const T* __restrict b, const T* __restrict normals,
                       T* __restrict state) {
    constexpr int chunk = detail::wave_chunk;
    if (groups == lanes) {
        for (int l = 0; l < lanes; ++l) state[l] = fma(a[l], state[l], b[l] * normals[l]);
        return;
    }
    for (int c = 0; c < lanes / chunk; ++c) {
        const T decay = a[c * groups * chunk / lanes], noise = b[c * groups * chunk / lanes];
        for (int l = c * chunk; l < (c + 1) * chunk; ++l) state[l] = fma(decay, state[l], noise * normals[l]);
    }
}

// The oscillators at `n` times from `first` on.
template <class T>
void step_oscillators(const detail::WavePlan<T>& plan, std::uint64_t key, std::int64_t first_path, std::int64_t first,
                      int n, std::int64_t n_times, const WaveMemory<T>& memory) {
    int places[detail::wave_times] = {};
    if (!plan.matrix) prepare_steps(plan, first, n, memory, places);
    const auto copies = static_cast<int>(plan.copies());
    for (int j = 0; j < plan.processes; ++j) {
        alignas(64) T normals[4][lanes];
        const std::uint32_t purpose = noise_kind + plan.first_process + static_cast<std::uint32_t>(j);
        draw_normals(key, first_path, first / 4, purpose, normals);
        if (first == 0 && plan.futures > 1) share_first_normals(key, first_path, plan.futures, purpose, normals);
        T* state = memory.state + j * lanes;
        const std::int64_t neuron = j < plan.neurons() ? j : j - plan.neurons();
        for (int i = 0; i < n; ++i) {
            if (first + i == 0) {
                std::memcpy(state, normals[0], sizeof normals[0]);
            } else if (plan.matrix) {
                const std::int64_t at = j * n_times + first + i;
                step_lanes(1, plan.decay + at, plan.noise + at, normals[i], state);
            } else {
                const std::int64_t at = places[i] * memory.step_stride + neuron * copies;
                step_lanes(copies, memory.decay + at, memory.noise + at, normals[i], state);
            }
            memory.store(plan, i, j, state);
        }
    }
}

// cos and sin of the frequencies at `n` times from `first` on.
template <class T>
void rotate(const detail::WavePlan<T>& plan, std::int64_t first, int n, const WaveMemory<T>& memory) {
    alignas(64) double frequency[lanes], angle[lanes];
    alignas(64) T c[lanes], s[lanes];
    for (int j = 0; j < plan.neurons(); ++j) {
        for (int l = 0; l < lanes; ++l)
            frequency[l] = memory.rates[j * plan.copies() + (plan.by_lanes() ? l : plan.group_of(l))];
        for (int i = 0; i < n; ++i) {
            const double time = plan.times[first + i];
            for (int l = 0; l < lanes; ++l) angle[l] = frequency[l] * time;
            circle(angle, c, s);
            memory.store(plan, i, j, c);
            memory.store(plan, i, plan.neurons() + j, s);
        }
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

// Vectors of the columns of a chunk, and points, whose sums stay in registers.
template <class T>
inline constexpr int chunk_vectors = detail::wave_chunk * detail::wave_times / width<T>;
template <class T>
inline constexpr int vectors_at_once = chunk_vectors<T> < 4 ? chunk_vectors<T> : 4;
template <class T>
inline constexpr int chunk_points_at_once = (vector_registers == 32 ? 16 : 8) / vectors_at_once<T>;

// P points at the columns of a chunk; the lanes of the chunk have one matrix. rows: (processes) of stride row_stride.
template <class T, int P>
inline void chunk_points(const T* matrix, int processes, const T* rows, std::int64_t row_stride,
                         T (*sums)[detail::wave_times * detail::wave_chunk]) {
    constexpr int vectors = vectors_at_once<T>;
    for (int first = 0; first < chunk_vectors<T>; first += vectors) {
        Vector<T> sum[P][vectors];
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) sum[p][v] = vector_set(T(0));
        for (int j = 0; j < processes; ++j) {
            Vector<T> y[vectors];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) y[v] = vector_load(rows + j * row_stride + (first + v) * width<T>);
#pragma GCC unroll 8
            for (int p = 0; p < P; ++p) {
                const Vector<T> w = vector_set(matrix[static_cast<std::int64_t>(p) * processes + j]);
#pragma GCC unroll 4
                for (int v = 0; v < vectors; ++v) sum[p][v] = vector_fma<T>(w, y[v], sum[p][v]);
            }
        }
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v)
                *reinterpret_cast<Vector<T>*>(sums[p] + (first + v) * width<T>) = sum[p][v];
    }
}

// The points p .. p + chunk_points_at_once - 1, if there are so many, of the lanes of chunk c at n times.
template <class T>
void multiply_chunk(const detail::WavePlan<T>& plan, int p, int c, int n, const WaveMemory<T>& memory, T* out,
                    std::int64_t stride) {
    constexpr int chunk = detail::wave_chunk, times = detail::wave_times, most = chunk_points_at_once<T>;
    const std::int64_t size = static_cast<std::int64_t>(plan.points) * plan.processes;
    const T* matrix = (plan.matrix ? plan.matrix : memory.matrix + plan.group_of(c * chunk) * size) +
                      static_cast<std::int64_t>(p) * plan.processes;
    const T* rows = memory.rows + c * times * chunk;
    const int count = plan.points - p < most ? plan.points - p : most;
    alignas(64) T sums[most][times * chunk];
    if (count == most) chunk_points<T, most>(matrix, plan.processes, rows, times * lanes, sums);
    else
        for (int k = 0; k < count; ++k)
            chunk_points<T, 1>(matrix + static_cast<std::int64_t>(k) * plan.processes, plan.processes, rows,
                               times * lanes, sums + k);
    for (int k = 0; k < count; ++k)
        for (int i = 0; i < n; ++i)
            std::memcpy(out + i * stride + (p + k) * lanes + c * chunk, sums[k] + i * chunk, chunk * sizeof(T));
}

// All points at n times, with one matrix of each group of at least wave_chunk lanes.
template <class T>
void multiply_chunks(const detail::WavePlan<T>& plan, int n, const WaveMemory<T>& memory, T* out, std::int64_t stride) {
    constexpr int chunks = lanes / detail::wave_chunk, most = chunk_points_at_once<T>;
    // A small matrix and the processes of one chunk stay in the cache of the first level; of a large matrix some rows.
    constexpr std::int64_t small = std::int64_t{1} << 15;
    if (static_cast<std::int64_t>(sizeof(T)) * plan.points * plan.processes <= small) {
        for (int c = 0; c < chunks; ++c)
            for (int p = 0; p < plan.points; p += most) multiply_chunk(plan, p, c, n, memory, out, stride);
        return;
    }
    for (int p = 0; p < plan.points; p += most)
        for (int c = 0; c < chunks; ++c) multiply_chunk(plan, p, c, n, memory, out, stride);
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
        if (plan.by_lanes()) multiply_lanes(plan, n, memory, out, stride);
        else multiply_chunks(plan, n, memory, out, stride);
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
