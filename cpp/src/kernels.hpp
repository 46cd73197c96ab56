// The interface between the pipeline and one instruction-set level: plain structs and function pointers. The files
// compiled per level use no template of the standard library, because the linker would keep one copy of it for every
// processor.
//
// A tile contains one window of the times of tile_paths paths as [time][channel][lane], 64-byte aligned.
#pragma once

#include <array>
#include <cstdint>

#include "dense.hpp"
#include "nnqm/density_kind.hpp"
#include "nnqm/quantile_cells.hpp"

namespace nnqm {
namespace detail {

inline constexpr int lanes = 64;

// The times begin .. end - 1 of the n_times of a path. The windows of a path use the same tile one after another. All
// but the last have `size` times, a multiple of 16, so the row size - 1 of the tile still contains the last time of a
// window when the next one is written.
struct Window {
    std::int64_t begin, end, size, n_times;
};

// In a run with futures n, path i takes the draws of the first time from path i / n.
template <class T>
struct OuPlan {
    int first_channel, n;
    std::int64_t futures;
    const T* decay;  // (n, T): factor of the previous value; 0 at the first time
    const T* noise;  // (n, T): standard deviation of the step; stationary at the first time
};

template <class T>
struct ChainPlan {
    int channel, states, grids;
    std::int64_t futures;
    const T* values;
    const std::uint32_t *start_threshold, *start_alias, *threshold, *alias;
};

template <class T>
struct PeriodicChainPlan {
    int channel, states, grids, steps;
    const T* values;
    const std::uint32_t *start_threshold, *start_alias, *step_weights, *remaining;
};

// `count` numbers location + scale * draw.
template <class T>
struct DrawPlan {
    DensityKind kind;
    double nu;
    std::int64_t count;
    const T* location;
    const T* scale;
};

template <class T>
struct LinearPlan {
    int channel, modes;
    std::int64_t rows;  // 0: coefficients are drawn
    bool independent;
    std::int64_t first_coefficient;  // position in the coefficients of all linear sources
    DrawPlan<T> coefficients;
    const T* mean;              // (T)
    const T* basis;             // (T, modes)
    const T* coefficient_rows;  // (rows, modes)
};

// Number of times for which the processes of waves are computed together: one block of normals. Groups of at least
// wave_chunk paths have one matrix per group; smaller ones have a matrix of each lane.
inline constexpr int wave_times = 4, wave_chunk = 8;

// Sums of processes with a matrix: modes, whose matrix is given, or random waves.
template <class T>
struct WavePlan {
    int first_channel, points, processes;  // points S; processes J, twice the neurons for random waves
    std::uint32_t first_process;           // channel of the noise of process 0
    std::int64_t futures;
    // Modes.
    const T* matrix;  // (S, J); null: random waves
    const T* decay;   // (J, T), as in OuPlan
    const T* noise;   // (J, T)
    // Random waves.
    int space, radial;  // components of space, and of the momenta whose magnitude has the quantiles `radius`
    bool oscillators;
    const double *radius, *ratio;  // null: none
    const double* turns;           // (S, space): points divided by 2 pi
    const double* times;           // (T): divided by 2 pi for cosines
    const double* steps;           // (T): time since the time before; nominal on a uniform grid
    double mass_squared, amplitude, power;
    std::int64_t group;
    // Positions in the scratch memory of all waves.
    std::int64_t first_number, first_rate;
    int index;
    int neurons() const { return processes / 2; }
    bool by_lanes() const { return !matrix && group < wave_chunk; }
    bool shared() const { return matrix || group >= lanes; }  // whether all lanes have one matrix
    int groups() const { return shared() ? 1 : static_cast<int>(lanes / group); }
    // The group of a lane.
    int group_of(int lane) const { return shared() ? 0 : static_cast<int>(lane / group); }
    // Matrices, of random waves, and rates: (S, J, lanes) and (neurons, lanes) by lanes, and otherwise (groups, S, J)
    // and (neurons, groups).
    std::int64_t copies() const { return by_lanes() ? lanes : groups(); }
    // Sizes of the scratch memory: the matrices of random waves; the processes at wave_times times and now; the decay
    // and noise of wave_times steps.
    std::int64_t matrix_size() const { return matrix ? 0 : static_cast<std::int64_t>(points) * processes * copies(); }
    std::int64_t row_size() const { return static_cast<std::int64_t>(processes) * lanes; }
    std::int64_t step_size() const { return matrix ? 0 : static_cast<std::int64_t>(neurons()) * copies(); }
    std::int64_t numbers() const {
        return padded(matrix_size()) + (wave_times + 1) * row_size() + 2 * wave_times * padded(step_size());
    }
    std::int64_t rates() const { return padded(step_size()) + lanes; }
    static std::int64_t padded(std::int64_t n) { return (n + lanes - 1) / lanes * lanes; }
};

template <class T>
struct LayerPlan {
    int inputs, outputs, activation;
    const T* weights;
    const T* biases;
};

template <class T>
struct DrawnPlan {
    DrawPlan<T> weights, biases;
    bool shared;
};

// Cells of a table. Their centres are the multiples of the spacing from -half_cells to half_cells; inputs beyond are
// evaluated through the layers.
inline constexpr int half_cells = 512;
template <class T>
inline constexpr int table_terms = sizeof(T) == 4 ? 4 : 8;  // of each polynomial; whole blocks of 16 bytes

template <class T>
struct TablePlan {
    T inverse_spacing;
    const T* coefficients;  // (2 half_cells + 1, outputs, table_terms), 16-byte aligned
};

// Positions in the arrays of a network that is trained: of the first weight of a layer among the parameters, of its
// inputs and outputs among the values, and of its outputs among the gradients.
struct TrainedLayer {
    std::int64_t parameters, in, out, deltas;
};

template <class T>
struct TrainingPlan {
    std::int64_t steps;             // 0: the parameters stay as they are drawn
    int first;                      // first layer that is trained
    std::int64_t n_points, points;  // points: padded to a multiple of times_at_once
    const T* inputs;                // (inputs, points)
    const T* targets;               // (outputs, points)
    const T* weights;               // (points)
    const T* rates;                 // (parameters): minus the rate, in the drawn parameters
    const TrainedLayer* layers;     // (n_layers)
    std::int64_t values, memory;    // sizes: of the values of all layers, of all arrays
    T size, growth, largest;        // a network diverges if its loss exceeds min(growth (first loss + size), largest)
};

template <class T>
struct NetworkPlan {
    int n_layers, inputs, outputs, widest;  // widest: maximum over the inputs and all layers
    const LayerPlan<T>* layers;
    const DrawnPlan<T>* drawn;  // null: fixed parameters
    std::int64_t parameters;    // number of parameters
    std::int64_t group;
    bool split;
    std::int64_t n_negative;  // split network: number of negative times
    TablePlan<T> table;       // coefficients null: no table
    TrainingPlan<T> training;
};

// Number of times at which a network with drawn parameters is evaluated together, so that each parameter is loaded once
// for all of them.
inline constexpr int times_at_once = 4;

// Lags, and stretches of time within which each of them gives sum A A^T + B B^T one weight per time (0, 1 or 2).
struct LagPlan {
    int n_lags, size, parts;
    const std::int64_t* lags;  // (n_lags)
    int n_stretches;
    const std::int64_t* bounds;    // (n_stretches + 1)
    const unsigned char* weights;  // (n_stretches, n_lags)
};

// Rows of earlier times that are kept before the rows of a window. Windows use `turns` places one after another before
// the last `rows` rows are copied to the front, so no row is copied more than once.
struct History {
    std::int64_t rows, turns;
};

template <class T>
struct MeasurePlan {
    int n_channels;
    const int* channels;
    const T* shift;
    const T* inverse_scale;
    const int* orders;
    LayerPlan<T> neurons;
    const T* centres;
    int n_products;
    const std::array<int, 2>* products;
    LagPlan linear_lags, observable_lags;
    int n_increment_lags;
    const std::int64_t* increment_lags;
    int two_time;
    std::int64_t group;
    History linear, observables;
};

// The number of times in two-time products is padded to a multiple of this, itself a multiple of the panel width of
// every level.
inline constexpr int panel = 32;

// Per-path sums for the third matrix of the lag sums, of one tile and, for groups of several tiles, of the group so
// far.
struct GroupScratch {
    double* cumulative;  // (size, lanes): sums over the times so far
    double* marks;       // (2 n_lags, size, lanes): cumulative before the times lag and T - lag
    double* totals;      // (n_lags, 2, size): sums over the group, earlier and later times
};

template <class T>
struct Scratch {
    // (2, widest layer, lanes); with drawn parameters, times_at_once times of one vector replace the lanes.
    T* hidden;
    T* parameters;              // (parameters, lanes)
    T* training;                // arrays of one vector of networks during their training
    std::int64_t* group;        // group of the parameters, if the lanes share one; -1 at first
    T* coefficients;            // (modes, lanes)
    T* waves;                   // matrices, processes and steps of waves
    double* wave_rates;         // of each source of waves: the steps in use (lanes), then rates or frequencies
    std::int64_t* wave_groups;  // per source of waves: the group of the momenta, if the lanes share one; -1 at first
    std::uint32_t* states;      // (inputs, 2, lanes): states of a chain, now and at the first time
    T* linear;                  // (history and turns, 1 + n_channels, lanes)
    T* observables;             // (history and turns, size, lanes)
    T* panels;                  // (lanes, T padded to a multiple of panel)
    double* products;           // (size, size)
    double* before;             // (T + 1): sums of one channel over all earlier times
    GroupScratch linear_groups, observable_groups;
    T* weights;   // (2, lanes): weights of the paths and their square roots; null: every path counts once
    T* weighted;  // (window, size, lanes): rows times weights
};

// Pointers to the sums of one block; null: not requested.
struct BlockSums {
    double *lags, *observable_lags, *increments, *moments, *time_sums, *two_time;
};

// A network with fixed parameters and its gradients at the points of a tile. The forward pass computes streams, each
// with a number per neuron and lane: stream 0 has the values, and, with D inputs, stream 1 + d the first derivatives
// with respect to input d and stream 1 + D + d the second ones. `order` says how many of them: 0, 1 or 2.
template <class T>
struct GradientPlan {
    int n_layers, inputs, outputs, widest, order;
    const LayerPlan<T>* layers;
    const T* const* transposed;  // per layer, (inputs, outputs)
    const T* zeros;              // (widest)
    int streams() const { return 1 + order * inputs; }
};

// Layers with a narrow side have their weight gradients summed lane by lane, all others by panels of inputs.
inline constexpr int narrow = 4;

template <class T>
struct GradientScratch {
    // Per layer its input streams, the streams before its activation except stream 0, and `order` + 1 derivatives of
    // its activation; then the output streams. Each stream is (neurons, lanes).
    T* tape;
    T* cotangents;  // (2, streams, widest, lanes): the output streams come first
    T* panels;      // (streams, widest padded to a multiple of panel, lanes)
    T* sums;        // of the parameters; gradients.cpp defines their order
};

template <class T>
struct Kernels {
    // Sample one source into a tile with `channels` channels. Windows come in order: scratch and tile keep the state
    // that the next window needs.
    void (*sample_ou)(const OuPlan<T>&, std::uint64_t key, std::int64_t first_path, const Window&, int channels,
                      T* tile);
    void (*sample_chain)(const ChainPlan<T>&, std::uint64_t key, std::int64_t first_path, const Window&, int channels,
                         const Scratch<T>&, T* tile);
    void (*sample_periodic_chain)(const PeriodicChainPlan<T>&, std::uint64_t key, std::int64_t first_path,
                                  const Window&, int channels, const Scratch<T>&, T* tile);
    void (*sample_linear)(const LinearPlan<T>&, std::uint64_t key, std::int64_t first_path, const Window&, int channels,
                          const Scratch<T>&, T* tile);
    void (*sample_waves)(const WavePlan<T>&, std::uint64_t key, std::int64_t first_path, const Window&, int channels,
                         const Scratch<T>&, T* tile);
    // Reads the channels 0 .. inputs - 1 and writes the channels that follow.
    void (*forward)(const NetworkPlan<T>&, std::uint64_t key, std::int64_t first_path, const Window&, int channels,
                    const Scratch<T>&, T* tile);
    // Writes the parameters (parameters, lanes) of the groups first_group .. first_group + lanes - 1; for t < 0 if
    // `negative`. If they are trained, only the first n are.
    void (*draw)(const NetworkPlan<T>&, std::uint64_t key, std::int64_t first_group, int n, bool negative,
                 T* parameters, T* training);
    // Adds the first n_valid lanes to the sums. Returns the first lane with a value that is not finite, or -1.
    // begins_group and ends_group: whether this tile is the first and the last of its group.
    int (*accumulate)(const MeasurePlan<T>&, const Window&, int channels, const T* tile, int n_valid, bool begins_group,
                      bool ends_group, const Scratch<T>&, const BlockSums&);
    // Computes the streams from the inputs (inputs, lanes) at the beginning of the tape, with this number of
    // derivatives of the activations. Returns the output streams.
    const T* (*differentiate)(const GradientPlan<T>&, int slopes, T* tape);
    // Pulls the cotangents of the output streams back, after a forward pass with order + 1 derivatives: adds the
    // gradient to the sums of the parameters. Returns the cotangents of the inputs, (inputs, lanes).
    const T* (*pull_back)(const GradientPlan<T>&, const GradientScratch<T>&);
    // Adds the sums to totals (parameters) and sets them to zero.
    void (*add_sums)(const GradientPlan<T>&, T* sums, double* totals);
};

struct Level {
    const char* name;
    Kernels<float> float32;
    Kernels<double> float64;
    Dense dense;
    template <class T>
    const Kernels<T>& kernels() const {
        if constexpr (sizeof(T) == 4) return float32;
        else return float64;
    }
};

// The level in use: the highest that the processor supports, or the one named by the environment variable NNQM_LEVEL.
const Level& level();

}  // namespace detail
}  // namespace nnqm
