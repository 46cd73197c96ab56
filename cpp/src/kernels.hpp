// What the pipeline asks of one instruction-set level: plain structs and function pointers, so that the files compiled
// per level need no template of the standard library (the linker would keep one copy of it for every processor).
//
// A tile holds one window of the times of tile_paths paths as [time][channel][lane], 64-byte aligned.
#pragma once

#include <cstdint>

#include "nnqm/density_kind.hpp"

namespace nnqm {
namespace detail {

inline constexpr int lanes = 64;

// Times begin .. end - 1 of the n_times of a path. The windows of a path follow one another in the same tile; all but
// the last hold `size` times, a multiple of 16, so that the last time of a window is in the row size - 1 when the next
// one is written.
struct Window {
    std::int64_t begin, end, size, n_times;
};

template <class T>
struct OuPlan {
    int first_channel, n;
    const T* decay;  // (n, T): factor on the previous value; the first is 0
    const T* noise;  // (n, T): standard deviation of the step; the first is the stationary one
};

template <class T>
struct ChainPlan {
    int channel, states, grids;
    const T* values;
    const std::uint32_t *start_threshold, *start_alias, *threshold, *alias;
};

template <class T>
struct PeriodicChainPlan {
    int channel, states, grids, steps;
    const T* values;
    const std::uint32_t *start_threshold, *start_alias, *step_weights, *remaining;
};

// location + scale * draw, `count` of them.
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
    std::int64_t first_coefficient;  // in the scratch of all linear sources
    DrawPlan<T> coefficients;
    const T* mean;              // (T)
    const T* basis;             // (T, modes)
    const T* coefficient_rows;  // (rows, modes)
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

// Cells of a table: their centres are the multiples of a power of two, and inputs beyond half_cells of them go through
// the layers.
inline constexpr int half_cells = 512;
template <class T>
inline constexpr int table_terms = sizeof(T) == 4 ? 4 : 8;  // of the polynomial of a cell; whole blocks of 16 bytes

template <class T>
struct TablePlan {
    T inverse_spacing;
    const T* coefficients;  // (2 half_cells + 1, outputs, table_terms), 16-byte aligned
};

template <class T>
struct NetworkPlan {
    int n_layers, inputs, outputs, widest;  // of the inputs and all layers
    const LayerPlan<T>* layers;
    const DrawnPlan<T>* drawn;  // null: parameters are fixed
    std::int64_t parameters;    // how many there are
    std::int64_t group;
    bool split;
    std::int64_t n_negative;  // in a split network: how many of the times are negative
    TablePlan<T> table;       // coefficients null: none
};

// Times that a network with drawn parameters is evaluated at together, so that each parameter is loaded once for all of
// them.
inline constexpr int times_at_once = 4;

// Lags, and the stretches of time over which all of them give sum A A^T + B B^T the same weight (0, 1 or 2 per time).
struct LagPlan {
    int n_lags, size, parts;
    const std::int64_t* lags;  // (n_lags)
    int n_stretches;
    const std::int64_t* bounds;    // (n_stretches + 1)
    const unsigned char* weights;  // (n_stretches, n_lags)
};

// Rows of earlier times that are kept before those of a window. Windows take `turns` places one after the other before
// the last `rows` rows are copied to the front, so that no row is copied more than once.
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
    LagPlan linear_lags, observable_lags;
    int n_increment_lags;
    const std::int64_t* increment_lags;
    int two_time;
    std::int64_t group;
    History linear, observables;
};

// Times of the two-time products that are kept together; a multiple of what any level takes.
inline constexpr int panel = 32;

// Sums over the windows of each lag, of one tile and, for groups of several tiles, of the group so far.
struct GroupScratch {
    double* cumulative;  // (size, lanes)
    double* marks;       // (2 n_lags, size, lanes)
    double* totals;      // (n_lags, 2, size)
};

template <class T>
struct Scratch {
    T* hidden;  // (2, widest layer, lanes), or with drawn parameters a vector of lanes at times_at_once times instead
                // of all lanes
    T* parameters;          // (parameters, lanes)
    T* coefficients;        // (modes, lanes)
    std::uint32_t* states;  // (inputs, 2, lanes): of a chain, now and at the first time
    T* linear;              // (history and turns, 1 + n_channels, lanes)
    T* observables;         // (history and turns, size, lanes)
    T* panels;              // (lanes, T to the next multiple of panel)
    double* products;       // (size, size)
    double* before;         // (T + 1): sums of one channel over all earlier times
    GroupScratch linear_groups, observable_groups;
};

// Pointers to the sums of one block; null: not asked for.
struct BlockSums {
    double *lags, *observable_lags, *increments, *moments, *time_sums, *two_time;
};

template <class T>
struct Kernels {
    // One source; the tile has `channels` channels. Windows come in order: scratch and tile hold what the next one
    // needs.
    void (*sample_ou)(const OuPlan<T>&, std::uint64_t key, std::int64_t first_path, const Window&, int channels,
                      T* tile);
    void (*sample_chain)(const ChainPlan<T>&, std::uint64_t key, std::int64_t first_path, const Window&, int channels,
                         const Scratch<T>&, T* tile);
    void (*sample_periodic_chain)(const PeriodicChainPlan<T>&, std::uint64_t key, std::int64_t first_path,
                                  const Window&, int channels, const Scratch<T>&, T* tile);
    void (*sample_linear)(const LinearPlan<T>&, std::uint64_t key, std::int64_t first_path, const Window&, int channels,
                          const Scratch<T>&, T* tile);
    // Reads the channels 0 .. inputs - 1 and writes the following ones.
    void (*forward)(const NetworkPlan<T>&, std::uint64_t key, std::int64_t first_path, const Window&, int channels,
                    const Scratch<T>&, T* tile);
    // Parameters (parameters, lanes) of the groups first_group .. first_group + lanes - 1, for t < 0 if negative.
    void (*draw)(const NetworkPlan<T>&, std::uint64_t key, std::int64_t first_group, bool negative, T* parameters);
    // Adds the first n_valid lanes; returns the first of them that has a value that is not finite, or -1. A tile may
    // begin and end a group of several tiles.
    int (*accumulate)(const MeasurePlan<T>&, const Window&, int channels, const T* tile, int n_valid, bool begins_group,
                      bool ends_group, const Scratch<T>&, const BlockSums&);
};

struct Level {
    const char* name;
    Kernels<float> single;
    Kernels<double> twofold;
    template <class T>
    const Kernels<T>& kernels() const {
        if constexpr (sizeof(T) == 4) return single;
        else return twofold;
    }
};

// The level in use: the highest that the processor supports, or the one named by NNQM_LEVEL.
const Level& level();

}  // namespace detail
}  // namespace nnqm
