// Computes the observables of a window of a tile and adds them to the sums.
#include "layers.hpp"
#include "products.hpp"
#include "stages.hpp"
#include "two_time.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

namespace {

// Rows of (size, lanes) of the times of a window: as they are, behind the rows of earlier times, and times the weights
// of the paths, if there are any.
template <class T>
struct Rows {
    const T *plain, *weighted;
};

// Returns the rows of a window with their weights; `size` is the number of entries of a row.
template <class T>
Rows<T> weighted_rows(const T* rows, std::int64_t n_rows, int size, const detail::Scratch<T>& scratch) {
    if (!scratch.weights) return {rows, rows};
    for (std::int64_t i = 0; i < n_rows * size; ++i)
        for (int l = 0; l < lanes; ++l) scratch.weighted[i * lanes + l] = scratch.weights[l] * rows[i * lanes + l];
    return {rows, scratch.weighted};
}

// Returns the sum over the lanes of x, each times the weight of its path, if there are any.
template <class T>
double weighted_sum(const T* x, const T* weights) {
    if (!weights) return lane_sum(x);
    alignas(64) T product[lanes];
    for (int l = 0; l < lanes; ++l) product[l] = weights[l] * x[l];
    return lane_sum(product);
}

// Adds the terms of sum A A^T + B B^T of each lag at the times begin .. end - 1; `rows` are the observable vectors from
// the time `begin` on.
template <class T>
void add_equal_times(const detail::LagPlan& plan, std::int64_t begin, std::int64_t end, const Rows<T>& rows,
                     double* products, double* sums) {
    const int size = plan.size, square = size * size;
    const std::int64_t stride = static_cast<std::int64_t>(size) * lanes;
    for (int s = 0; s < plan.n_stretches; ++s) {
        const std::int64_t from = begin > plan.bounds[s] ? begin : plan.bounds[s];
        const std::int64_t to = end < plan.bounds[s + 1] ? end : plan.bounds[s + 1];
        if (from >= to) continue;
        for (int i = 0; i < square; ++i) products[i] = 0;
        const std::int64_t first = (from - begin) * stride;
        add_products(rows.plain + first, rows.weighted + first, to - from, stride, true, size, products);
        for (int k = 0; k < plan.n_lags; ++k) {
            const double weight = plan.weights[s * plan.n_lags + k];
            double* out = sums + (plan.parts * k + 1) * square;
            for (int i = 0; i < square; ++i) out[i] += weight * products[i];
        }
    }
}

// Adds the terms of the lag sums whose later time is one of begin .. end - 1. The rows of earlier times, up to the
// largest lag, precede the plain rows.
template <class T>
void add_lag_sums(const detail::LagPlan& plan, std::int64_t begin, std::int64_t end, const Rows<T>& rows,
                  double* products, double* sums) {
    const int size = plan.size, square = size * size;
    const std::int64_t stride = static_cast<std::int64_t>(size) * lanes;
    for (int k = 0; k < plan.n_lags; ++k) {
        const std::int64_t first = begin > plan.lags[k] ? begin : plan.lags[k];
        const std::int64_t later = (first - begin) * stride;
        add_products(rows.plain + later - plan.lags[k] * stride, rows.weighted + later, end - first, stride, false,
                     size, sums + plan.parts * k * square);
    }
    add_equal_times(plan, begin, end, rows, products, sums);
}

// Adds the lag sums of one channel, rows (1, z). Only z z' needs products; the other entries are sums over ranges of
// times.
template <class T>
void add_channel_lags(const detail::LagPlan& plan, const detail::Window& window, int n_valid, const T* linear,
                      const detail::Scratch<T>& scratch, double* sums) {
    constexpr std::int64_t stride = 2 * lanes;
    const T* z = linear + lanes;
    double* before = scratch.before;
    before[0] = 0;
    for (std::int64_t t = window.begin; t < window.end; ++t)
        before[t + 1] = before[t] + lane_sum(z + (t - window.begin) * stride);
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
    add_equal_times(plan, window.begin, window.end, Rows<T>{linear, linear}, scratch.products, sums);
}

// Adds the observables of a window to the running sums of each lane, and copies these to `marks` where the earlier
// times of a lag end and where its later times begin.
template <class T>
void cumulate(const detail::LagPlan& plan, const detail::Window& window, const T* rows,
              const detail::GroupScratch& scratch) {
    const int n = plan.size * lanes;
    if (window.begin == 0)
        for (int i = 0; i < n; ++i) scratch.cumulative[i] = 0;
    for (std::int64_t t = window.begin; t <= window.end; ++t) {
        if (t == window.end && t < window.n_times) break;  // this time belongs to the next window
        for (int k = 0; k < plan.n_lags; ++k) {
            const std::size_t bytes = sizeof(double) * static_cast<std::size_t>(n);
            if (t == plan.lags[k]) std::memcpy(scratch.marks + 2 * k * n, scratch.cumulative, bytes);
            if (t == window.n_times - plan.lags[k])
                std::memcpy(scratch.marks + (2 * k + 1) * n, scratch.cumulative, bytes);
        }
        if (t == window.end) break;
        const T* row = rows + (t - window.begin) * n;
        for (int i = 0; i < n; ++i) scratch.cumulative[i] += static_cast<double>(row[i]);
    }
}

// out (size, size) += sign * sum of a b^T over n columns, `step` apart.
void add_outer(const double* a, const double* b, int size, std::int64_t step, int n, double sign, double* out) {
    for (int i = 0; i < size; ++i)
        for (int j = 0; j < size; ++j) {
            double sum = 0;
            for (int l = 0; l < n; ++l) sum += a[i * step + l] * b[j * step + l];
            out[i * size + j] += sign * sum;
        }
}

// Adds the third matrix of each lag: over distinct paths of a group, the products of the sums over earlier times and
// over later times.
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

// Zeroes the lanes without a path.
template <class T>
void clear_padding(int rows, int n_valid, T* x) {
    for (int i = 0; i < rows; ++i)
        for (int l = n_valid; l < lanes; ++l) x[i * lanes + l] = 0;
}

// Returns the place for the rows of a window, each of `stride` numbers, behind the rows of earlier times.
template <class T>
T* window_rows(const detail::History& history, const detail::Window& window, std::int64_t stride, T* buffer) {
    const std::int64_t turn = window.begin / window.size % history.turns;
    if (turn == 0 && window.begin > 0)
        std::memcpy(buffer, buffer + history.turns * window.size * stride,
                    sizeof(T) * static_cast<std::size_t>(history.rows * stride));
    return buffer + (history.rows + turn * window.size) * stride;
}

// Computes (1, z_1 .. z_n) at every time.
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

// Computes the whole observable vector at one time from (1, z_1 .. z_n).
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
        next += plan.neurons.outputs * lanes;
    }
    for (int k = 0; k < plan.n_products; ++k, next += lanes) {
        const T* left = out + plan.products[k][0] * lanes;
        const T* right = out + plan.products[k][1] * lanes;
        for (int l = 0; l < lanes; ++l) next[l] = left[l] * right[l];
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
    add_lag_sums(plan.observable_lags, window.begin, window.end,
                 weighted_rows(rows, window.end - window.begin, plan.observable_lags.size, scratch), scratch.products,
                 sums);
    if (plan.group == 1) return;
    cumulate(plan.observable_lags, window, rows, scratch.observable_groups);
    if (window.end == window.n_times)
        add_group_products(plan.observable_lags, plan.group, begins_group, ends_group, scratch.observable_groups, sums);
}

template <class T>
void add_moments(int n_channels, std::int64_t n_rows, const T* linear, const T* weights, double* sums) {
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
            for (int k = 0; k < 4; ++k) sums[4 * c + k] += weighted_sum(power[k], weights);
        }
    }
}

template <class T>
void add_increments(const detail::MeasurePlan<T>& plan, const detail::Window& window, const T* linear, const T* weights,
                    double* sums) {
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
                out[0] += weighted_sum(second, weights);
                out[1] += weighted_sum(fourth, weights);
            }
        }
    }
}

// Adds the sums over pairs of times of one channel z, rows `stride` apart.
template <class T>
void add_pairs(const detail::Window& window, const T* z, std::int64_t stride, const detail::Scratch<T>& scratch,
               const detail::BlockSums& sums) {
    const std::int64_t n_rows = window.end - window.begin;
    for (std::int64_t t = 0; t < n_rows; ++t)
        sums.time_sums[window.begin + t] += weighted_sum(z + t * stride, scratch.weights);
    if (scratch.weights) {  // each factor of a product has the root of the weight
        for (std::int64_t t = 0; t < n_rows; ++t)
            for (int l = 0; l < lanes; ++l)
                scratch.weighted[t * lanes + l] = scratch.weights[lanes + l] * z[t * stride + l];
        z = scratch.weighted;
        stride = lanes;
    }
    fill_panels(z, window.begin, window.end, stride, scratch.panels);
    if (window.end == window.n_times) add_two_time(window.n_times, scratch.panels, sums.two_time);
}

// Returns the first lane with a value that is not finite, or -1.
template <class T>
int first_not_finite(std::int64_t n_rows, const T* tile, int n_valid) {
    alignas(64) T trace[lanes] = {};
    for (std::int64_t r = 0; r < n_rows; ++r)
        for (int l = 0; l < lanes; ++l) trace[l] = fma(tile[r * lanes + l], T(0), trace[l]);
    for (int l = 0; l < n_valid; ++l)
        if (!(trace[l] == T(0))) return l;
    return -1;
}

}  // namespace

template <class T>
int accumulate(const detail::MeasurePlan<T>& plan, const detail::Window& window, int channels, const T* tile,
               int n_valid, bool begins_group, bool ends_group, const detail::Scratch<T>& scratch,
               const detail::BlockSums& sums) {
    const std::int64_t n_rows = window.end - window.begin,
                       stride = static_cast<std::int64_t>(1 + plan.n_channels) * lanes;
    const int bad = first_not_finite(n_rows * channels, tile, n_valid);
    T* linear = window_rows(plan.linear, window, stride, scratch.linear);
    fill_linear(plan, n_rows, channels, tile, n_valid, linear);
    if (sums.lags) {
        if (plan.n_channels == 1 && !scratch.weights)
            add_channel_lags(plan.linear_lags, window, n_valid, linear, scratch, sums.lags);
        else
            add_lag_sums(plan.linear_lags, window.begin, window.end,
                         weighted_rows(linear, n_rows, 1 + plan.n_channels, scratch), scratch.products, sums.lags);
        if (plan.group > 1) {
            cumulate(plan.linear_lags, window, linear, scratch.linear_groups);
            if (window.end == window.n_times)
                add_group_products(plan.linear_lags, plan.group, begins_group, ends_group, scratch.linear_groups,
                                   sums.lags);
        }
    }
    if (sums.observable_lags)
        add_observable_lags(plan, window, linear, n_valid, begins_group, ends_group, scratch, sums.observable_lags);
    if (sums.moments) add_moments(plan.n_channels, n_rows, linear, scratch.weights, sums.moments);
    if (sums.increments) add_increments(plan, window, linear, scratch.weights, sums.increments);
    if (sums.two_time) add_pairs(window, linear + (1 + plan.two_time) * lanes, stride, scratch, sums);
    return bad;
}

template int accumulate(const detail::MeasurePlan<float>&, const detail::Window&, int, const float*, int, bool, bool,
                        const detail::Scratch<float>&, const detail::BlockSums&);
template int accumulate(const detail::MeasurePlan<double>&, const detail::Window&, int, const double*, int, bool, bool,
                        const detail::Scratch<double>&, const detail::BlockSums&);

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
