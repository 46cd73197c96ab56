// The pipeline: divides the work among threads and runs the stages on tiles, one window after another.
#include <algorithm>
#include <cmath>

#include "checks.hpp"
#include "kernels.hpp"
#include "nnqm/nnqm.hpp"
#include "plans.hpp"
#include "threads.hpp"
#include "tiles.hpp"
#include "workspace.hpp"

namespace nnqm {

using namespace detail;
static_assert(lanes == tile_paths);

namespace {

// The sums of the i-th block of `sums`.
detail::BlockSums block_sums(const std::vector<SumShape>& shapes, const Sums& sums, std::int64_t i) {
    double* first[6] = {};
    for (std::size_t k = 0; k < shapes.size(); ++k)
        if (shapes[k].asked) first[k] = sums.*shapes[k].array + i * shapes[k].size();
    return {first[0], first[1], first[2], first[3], first[4], first[5]};
}

// Whether the products over all pairs of times contain the lag sums: they have the only channel.
bool has_lags_in_two_time(const Measure& measure) {
    return measure.two_time >= 0 && measure.channels.size() == 1 && measure.parts() == 2;
}

// The measure without the sums that are taken from others.
Measure summed(const Measure& measure) {
    Measure result = measure;
    if (has_lags_in_two_time(measure)) result.lags.clear();
    return result;
}

// Sets the lag sums of n_paths paths to sums over diagonals of their products over all pairs of times.
void set_lags(const Measure& measure, std::int64_t n_times, std::int64_t n_paths,
              const detail::BlockSums& sums) noexcept {
    double* const out = sums.lags;
    const auto n_lags = static_cast<std::int64_t>(measure.lags.size());
    const std::int64_t* lags = measure.lags.data();
    std::fill_n(out, 8 * n_lags, 0.0);
    const auto square = [&](std::int64_t t) { return sums.two_time[t * (t + 1) / 2 + t]; };
    double total = 0, squares = 0;
    const double* row = sums.two_time;
    for (std::int64_t t = 0; t < n_times; row += ++t) {
        total += sums.time_sums[t];
        squares += square(t);
        for (std::int64_t k = 0; k < n_lags && lags[k] <= t; ++k) out[8 * k + 3] += row[t - lags[k]];
    }
    // Sums over the times before each lag and over equally many at the end.
    double first = 0, last = 0, first_squares = 0, last_squares = 0;
    for (std::int64_t k = 0, t = 0; k < n_lags; ++k) {
        for (; t < lags[k]; ++t) {
            first += sums.time_sums[t];
            last += sums.time_sums[n_times - 1 - t];
            first_squares += square(t);
            last_squares += square(n_times - 1 - t);
        }
        double* of_lag = out + 8 * k;
        of_lag[0] = static_cast<double>(n_paths * (n_times - lags[k]));
        of_lag[1] = total - first;
        of_lag[2] = total - last;
        of_lag[4] = 2 * of_lag[0];
        of_lag[5] = of_lag[6] = of_lag[1] + of_lag[2];
        of_lag[7] = (squares - first_squares) + (squares - last_squares);
    }
}

// The smaller of two lanes; -1 stands for no lane.
int first_of(int a, int b) { return a < 0 || (b >= 0 && b < a) ? b : a; }

// Counts the paths of a tile and records its first path with a value that is not finite; bad is its lane or -1.
void record(const Sums& sums, std::int64_t i, std::int64_t first_path, int n_valid, int bad) {
    sums.paths[i] += n_valid;
    if (bad >= 0 && sums.first_bad[i] < 0) sums.first_bad[i] = first_path + bad;
}

// Samples all sources into the tile and, if `network`, evaluates the network.
template <class T>
void fill_tile(const TheoryPlan<T>& plan, std::uint64_t key, std::int64_t first_path, const detail::Window& window,
               const Workspace<T>& work, bool network) {
    const auto& kernels = detail::level().kernels<T>();
    for (const auto& process : plan.processes)
        kernels.sample_ou(process, key, first_path, window, plan.channels, work.tile.data());
    for (const auto& chain : plan.chains)
        kernels.sample_chain(chain, key, first_path, window, plan.channels, work.scratch(), work.tile.data());
    for (const auto& chain : plan.periodic_chains)
        kernels.sample_periodic_chain(chain, key, first_path, window, plan.channels, work.scratch(), work.tile.data());
    for (const auto& linear : plan.linears)
        kernels.sample_linear(linear, key, first_path, window, plan.channels, work.scratch(), work.tile.data());
    for (const auto& waves : plan.waves)
        kernels.sample_waves(waves, key, first_path, window, plan.channels, work.scratch(), work.tile.data());
    for (const auto& source : plan.times)
        for (std::int64_t t = window.begin; t < window.end; ++t)
            std::fill_n(work.tile.data() + ((t - window.begin) * plan.channels + source.channel) * lanes, lanes,
                        source.values[t]);
    if (network && plan.network.n_layers > 0)
        kernels.forward(plan.network, key, first_path, window, plan.channels, work.scratch(), work.tile.data());
}

template <class T>
int advance_as(const Theory& theory, const Measure& measure, const Run& run, Range blocks, Range rounds, Sums& sums) {
    const auto n_times = static_cast<std::int64_t>(run.times.size());
    const TheoryPlan<T> plan = plan_theory<T>(theory, run);
    const Measure kept = summed(measure);
    const FullMeasurePlan<T> full(kept, n_times);
    const std::vector<SumShape> shapes = sum_shapes(measure, n_times);
    const auto& kernels = detail::level().kernels<T>();
    const int n_threads = detail::thread_count(run.n_threads, blocks.end - blocks.begin);
    const auto works = workspaces<T>(n_threads, n_times, full.window, plan.channels, &plan, &kept, &full);
    const bool take_lags = sums.lags && has_lags_in_two_time(measure);
    const std::int64_t tiles = std::max<std::int64_t>(1, measure.group / lanes);
    return detail::for_each(blocks.end - blocks.begin, n_threads, [&](std::int64_t item, int thread) noexcept {
        const auto& work = works[static_cast<std::size_t>(thread)];
        const std::int64_t block = blocks.begin + item, i = block - sums.first_block;
        const detail::BlockSums all = block_sums(shapes, sums, i);
        detail::BlockSums out = all;
        if (take_lags) out.lags = nullptr;
        for (std::int64_t n = rounds.begin * tiles; n < rounds.end * tiles; ++n) {
            const std::int64_t unit = n / tiles * run.n_blocks + block, tile = n % tiles;
            const std::int64_t first_path = (unit * tiles + tile) * lanes;
            if (first_path >= run.n_paths) break;
            const int n_valid = static_cast<int>(std::min<std::int64_t>(lanes, run.n_paths - first_path));
            int bad = -1;
            for_windows(n_times, full.window, [&](const detail::Window& window) {
                fill_tile(plan, run.key, first_path, window, work, true);
                bad = first_of(bad, kernels.accumulate(full.plan, window, plan.channels, work.tile.data(), n_valid,
                                                       tile == 0, tile + 1 == tiles, work.scratch(), out));
            });
            record(sums, i, first_path, n_valid, bad);
        }
        if (take_lags) set_lags(measure, n_times, sums.paths[i], all);
    });
}

template <class T>
int sample_as(const Theory& theory, const Run& run, Range paths, const ArrayOut& out) {
    const auto n_times = static_cast<std::int64_t>(run.times.size());
    TheoryPlan<T> plan = plan_theory<T>(theory, run);
    const std::int64_t first_tile = paths.begin / lanes, n_tiles = (paths.end + lanes - 1) / lanes - first_tile;
    detail::level();  // throws for an impossible NNQM_LEVEL here, before any thread starts
    const int n_threads = detail::thread_count(run.n_threads, n_tiles);
    const std::int64_t size = window_size<T>(n_times, plan.channels);
    const auto works = workspaces<T>(n_threads, n_times, size, plan.channels, &plan);
    return detail::for_each(n_tiles, n_threads, [&](std::int64_t item, int thread) noexcept {
        const auto& work = works[static_cast<std::size_t>(thread)];
        const std::int64_t first_path = (first_tile + item) * lanes;
        const std::int64_t from = std::max(first_path, paths.begin), to = std::min(first_path + lanes, paths.end);
        for_windows(n_times, size, [&](const detail::Window& window) {
            fill_tile(plan, run.key, first_path, window, work, false);
            store_tile(work.tile.data(), window, from - paths.begin, static_cast<int>(to - from),
                       static_cast<int>(from - first_path), plan.channels, 0, out);
        });
    });
}

template <class T>
int apply_as(const Network& network, const Run& run, std::int64_t begin, const ArrayView& in, const ArrayOut& out) {
    const auto& kernels = detail::level().kernels<T>();
    TheoryPlan<T> plan;
    plan.inputs = static_cast<int>(in.shape[2]);
    plan.channels = plan.inputs + static_cast<int>(out.shape[2]);
    plan.add_network(network, run.times);
    const std::int64_t n_times = in.shape[1], end = begin + in.shape[0];
    const std::int64_t first_tile = begin / lanes, n_tiles = (end + lanes - 1) / lanes - first_tile;
    const int n_threads = detail::thread_count(run.n_threads, n_tiles);
    const std::int64_t size = window_size<T>(n_times, plan.channels);
    const auto works = workspaces<T>(n_threads, n_times, size, plan.channels, &plan);
    return detail::for_each(n_tiles, n_threads, [&](std::int64_t item, int thread) noexcept {
        const auto& work = works[static_cast<std::size_t>(thread)];
        const std::int64_t first_path = (first_tile + item) * lanes;
        const std::int64_t from = std::max(first_path, begin), to = std::min(first_path + lanes, end);
        const int n = static_cast<int>(to - from), skip = static_cast<int>(from - first_path);
        for_windows(n_times, size, [&](const detail::Window& window) {
            load_tile(in, window, from - begin, n, skip, plan.channels, work.tile.data());
            kernels.forward(plan.network, run.key, first_path, window, plan.channels, work.scratch(), work.tile.data());
            store_tile(work.tile.data(), window, from - begin, n, skip, plan.channels, plan.inputs, out);
        });
    });
}

template <class T>
void draw_as(const Network& network, std::uint64_t key, bool negative, Range groups, const ArrayOut& out, int threads) {
    const auto& kernels = detail::level().kernels<T>();
    TheoryPlan<T> plan;
    plan.inputs = network.layers.front().inputs;
    plan.channels = plan.inputs + network.layers.back().outputs;
    plan.add_network(network, {});
    const std::int64_t n = plan.network.parameters, n_tiles = (groups.end - groups.begin + lanes - 1) / lanes;
    const int n_threads = detail::thread_count(threads, n_tiles);
    std::vector<Buffer<T>> parameters, training;
    for (int i = 0; i < n_threads; ++i) {
        parameters.emplace_back(product({n, lanes}, "network"));
        training.emplace_back(plan.training_scratch());
    }
    detail::for_each(n_tiles, n_threads, [&](std::int64_t tile, int thread) noexcept {
        const std::int64_t first = groups.begin + tile * lanes;
        const int n_groups = static_cast<int>(std::min<std::int64_t>(lanes, groups.end - first));
        const T* drawn = parameters[static_cast<std::size_t>(thread)].data();
        kernels.draw(plan.network, key, first, n_groups, negative, parameters[static_cast<std::size_t>(thread)].data(),
                     training[static_cast<std::size_t>(thread)].data());
        T* base = static_cast<T*>(out.data) + tile * lanes * n;
        constexpr std::int64_t line = 64 / sizeof(T);  // parameters per visit of a network: whole cache lines
        for (std::int64_t i = 0; i < n; i += line)
            for (int g = 0; g < n_groups; ++g)
                for (std::int64_t k = i; k < std::min(n, i + line); ++k) base[g * n + k] = drawn[k * lanes + g];
    });
}

template <class T>
int accumulate_as(const ArrayView& view, const Measure& measure, const std::vector<std::int64_t>& offsets,
                  std::int64_t path_index, int threads, Sums& sums, const double* weights) {
    const auto& kernels = detail::level().kernels<T>();
    const std::int64_t n_times = view.shape[1];
    const int channels = static_cast<int>(view.shape[2]);
    // Lag sums that are taken from others count paths, not weights.
    const bool take_lags = sums.lags && !weights && has_lags_in_two_time(measure);
    const Measure kept = take_lags ? summed(measure) : measure;
    const FullMeasurePlan<T> full(kept, n_times);
    const std::vector<SumShape> shapes = sum_shapes(measure, n_times);
    const int n_threads = detail::thread_count(threads, sums.n_blocks);
    const auto works = workspaces<T>(n_threads, n_times, full.window, channels,
                                     static_cast<const TheoryPlan<T>*>(nullptr), &kept, &full, weights != nullptr);
    const std::int64_t tiles = std::max<std::int64_t>(1, measure.group / lanes);
    return detail::for_each(sums.n_blocks, n_threads, [&](std::int64_t b, int thread) noexcept {
        const auto& work = works[static_cast<std::size_t>(thread)];
        const detail::BlockSums all = block_sums(shapes, sums, b);
        detail::BlockSums out = all;
        if (take_lags) out.lags = nullptr;
        const std::int64_t end = offsets[static_cast<std::size_t>(b) + 1];
        std::int64_t tile = 0;
        for (std::int64_t first = offsets[static_cast<std::size_t>(b)]; first < end; first += lanes, ++tile) {
            const int n_valid = static_cast<int>(std::min<std::int64_t>(lanes, end - first));
            for (int l = 0; weights && l < lanes; ++l) {
                const double weight = l < n_valid ? weights[first + l] : 0;
                work.weights.data()[l] = static_cast<T>(weight);
                work.weights.data()[lanes + l] = static_cast<T>(std::sqrt(weight));
            }
            int bad = -1;
            for_windows(n_times, full.window, [&](const detail::Window& window) {
                load_tile(view, window, first, n_valid, 0, channels, work.tile.data());
                bad = first_of(
                    bad, kernels.accumulate(full.plan, window, channels, work.tile.data(), n_valid, tile % tiles == 0,
                                            tile % tiles + 1 == tiles, work.scratch(), out));
            });
            record(sums, b, path_index + first, n_valid, bad);
        }
        if (take_lags) set_lags(measure, n_times, sums.paths[b], all);
    });
}

}  // namespace

int advance(const Theory& theory, const Measure& measure, const Run& run, Range blocks, Range rounds, Sums& sums) {
    check_theory(theory);
    check_run(run);
    check_steps(theory, run.times);
    check_measure(measure, theory.channels(), static_cast<std::int64_t>(run.times.size()), sums);
    check_sums_range(sums, blocks);
    if (blocks.end > run.n_blocks)
        refuse("blocks must end at n_blocks = " + std::to_string(run.n_blocks) + " at most, got " +
               std::to_string(blocks.end));
    if (rounds.begin < 0 || rounds.begin > rounds.end)
        refuse("rounds must be a range from 0 upwards, got " + std::to_string(rounds.begin) + " .. " +
               std::to_string(rounds.end));
    if (measure.group != theory.group())
        refuse("group of the measure must be the group of the theory, " + std::to_string(theory.group()) + ", got " +
               std::to_string(measure.group));
    if (run.n_paths % measure.group != 0)
        refuse("n_paths must be a multiple of the group of " + std::to_string(measure.group) + ", got " +
               std::to_string(run.n_paths));
    check_table_precision(theory.network, run.precision);
    if (run.futures != 1) refuse("futures must be 1 for sums, got " + std::to_string(run.futures));
    // Rounds beyond the last path are empty, and any number of them may be requested.
    const std::int64_t unit = std::max<std::int64_t>(lanes, measure.group), n_units = (run.n_paths - 1) / unit + 1;
    product({run.n_blocks, unit}, "n_blocks * group");
    const std::int64_t n_rounds = (n_units - 1) / run.n_blocks + 1;
    rounds = {std::min(rounds.begin, n_rounds), std::min(rounds.end, n_rounds)};
    return run.precision == Precision::float32 ? advance_as<float>(theory, measure, run, blocks, rounds, sums)
                                               : advance_as<double>(theory, measure, run, blocks, rounds, sums);
}

int sample(const Theory& theory, const Run& run, Range paths, const ArrayOut& inputs) {
    check_theory(theory);
    check_times(run.times);
    check_steps(theory, run.times);
    check_futures(theory, run.futures);
    if (paths.begin < 0 || paths.end <= paths.begin || paths.end > max_size)
        refuse("paths must be a non-empty range between 0 and " + std::to_string(max_size) + ", got " +
               std::to_string(paths.begin) + " .. " + std::to_string(paths.end));
    if (inputs.shape[0] != paths.end - paths.begin || inputs.shape[1] != static_cast<std::int64_t>(run.times.size()) ||
        inputs.shape[2] != theory.inputs() || inputs.precision != run.precision || !inputs.data)
        refuse("the array for the inputs must have shape (paths, times, inputs) and the precision of the run");
    return run.precision == Precision::float32 ? sample_as<float>(theory, run, paths, inputs)
                                               : sample_as<double>(theory, run, paths, inputs);
}

int apply(const Network& network, const Run& run, std::int64_t first_path, const ArrayView& inputs,
          const ArrayOut& outputs) {
    check_network(network);
    if (network.layers.empty()) refuse("the network has no layers");
    if (inputs.shape[2] != network.layers.front().inputs || outputs.shape[2] != network.layers.back().outputs ||
        inputs.shape[0] != outputs.shape[0] || inputs.shape[1] != outputs.shape[1] ||
        inputs.precision != outputs.precision)
        refuse("inputs and outputs must have shapes (paths, times, inputs), (paths, times, outputs) and one precision");
    if (inputs.shape[0] < 1 || inputs.shape[1] < 1 || !inputs.data || !outputs.data)
        refuse("inputs and outputs must not be empty or null");
    check_first_path(first_path, inputs.shape[0]);
    check_table_precision(network, inputs.precision);
    if (network.split) {
        check_times(run.times);
        if (static_cast<std::int64_t>(run.times.size()) != inputs.shape[1])
            refuse("a split network needs a run with the times of the arrays: the run has " +
                   std::to_string(run.times.size()) + ", the arrays have " + std::to_string(inputs.shape[1]));
    }
    return inputs.precision == Precision::float32 ? apply_as<float>(network, run, first_path, inputs, outputs)
                                                  : apply_as<double>(network, run, first_path, inputs, outputs);
}

int apply(const Network& network, const ArrayView& inputs, const ArrayOut& outputs, int n_threads) {
    if (network.random()) refuse("a network with drawn parameters needs a run and a first path");
    Run run;
    run.n_threads = n_threads;
    return apply(network, run, 0, inputs, outputs);
}

void draw(const Network& network, std::uint64_t key, bool negative, Range groups, const ArrayOut& parameters,
          int n_threads) {
    check_network(network);
    if (!network.random()) refuse("the network must have drawn parameters; its parameters are fixed");
    if (groups.begin < 0 || groups.end <= groups.begin || groups.end > max_size)
        refuse("groups must be a non-empty range between 0 and " + std::to_string(max_size) + ", got " +
               std::to_string(groups.begin) + " .. " + std::to_string(groups.end));
    if (parameters.shape[0] != groups.end - groups.begin || parameters.shape[1] != 1 ||
        parameters.shape[2] != network.parameters() || !parameters.data)
        refuse("the array for the parameters must have shape (groups, 1, parameters)");
    parameters.precision == Precision::float32 ? draw_as<float>(network, key, negative, groups, parameters, n_threads)
                                               : draw_as<double>(network, key, negative, groups, parameters, n_threads);
}

int accumulate(const ArrayView& channels, const Measure& measure, const std::vector<std::int64_t>& offsets,
               std::int64_t first_path, int n_threads, Sums& sums, const double* weights) {
    if (channels.shape[1] < 1 || channels.shape[2] < 1 || !channels.data) refuse("channels must not be empty or null");
    check_measure(measure, static_cast<int>(channels.shape[2]), channels.shape[1], sums);
    check_first_path(first_path, channels.shape[0]);
    if (static_cast<std::int64_t>(offsets.size()) != sums.n_blocks + 1)
        refuse("offsets must have n_blocks + 1 = " + std::to_string(sums.n_blocks + 1) + " entries, got " +
               std::to_string(offsets.size()));
    for (std::size_t b = 0; b + 1 < offsets.size(); ++b)
        if (offsets[b] < 0 || offsets[b + 1] < offsets[b] || offsets[b + 1] > channels.shape[0])
            refuse("offsets must not decrease and must lie between 0 and the number of paths, " +
                   std::to_string(channels.shape[0]));
    for (const std::int64_t offset : offsets)
        if ((offset - offsets.front()) % measure.group != 0)
            refuse("blocks must contain whole groups of " + std::to_string(measure.group) + " paths");
    if (weights && measure.group > 1) refuse("weights need a group of 1, got " + std::to_string(measure.group));
    for (std::int64_t i = 0; weights && i < channels.shape[0]; ++i)
        if (!(weights[i] >= 0 && std::isfinite(weights[i])))
            refuse("weights must be finite and at least 0, got " + std::to_string(weights[i]) + " for path " +
                   std::to_string(first_path + i));
    return channels.precision == Precision::float32
               ? accumulate_as<float>(channels, measure, offsets, first_path, n_threads, sums, weights)
               : accumulate_as<double>(channels, measure, offsets, first_path, n_threads, sums, weights);
}

}  // namespace nnqm
