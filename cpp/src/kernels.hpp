// What the pipeline asks of one instruction-set level: plain structs and function pointers, so that the files compiled per level
// need no template of the standard library (the linker would keep one copy of it for every processor).
//
// A tile holds tile_paths paths as [time][channel][lane], 64-byte aligned.
#pragma once

#include <cstdint>

namespace nnqm {
namespace detail {

inline constexpr int lanes = 64;

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
struct LayerPlan {
    int inputs, outputs, activation;
    const T* weights;
    const T* biases;
};

template <class T>
struct NetworkPlan {
    int n_layers, inputs, outputs, widest;
    const LayerPlan<T>* layers;
};

// Lags, and the stretches of time over which all of them give sum A A^T + B B^T the same weight (0, 1 or 2 per time).
struct LagPlan {
    int n_lags, size;
    std::int64_t largest;
    const std::int64_t* lags;      // (n_lags)
    int n_stretches;
    const std::int64_t* bounds;    // (n_stretches + 1)
    const unsigned char* weights;  // (n_stretches, n_lags)
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
    std::int64_t chunk;  // times of the whole observable vector that are held at once
};

template <class T>
struct Scratch {
    T* hidden;       // (2, widest layer, lanes)
    T* linear;       // (T, 1 + n_channels, lanes)
    T* observables;  // (chunk + largest observable lag, size, lanes)
    T* gram;         // (T, T)
    double* products;  // (size, size)
};

// Pointers to the sums of one block; null: not asked for.
struct BlockSums {
    double *lags, *observable_lags, *increments, *moments, *time_sums, *two_time;
};

template <class T>
struct Kernels {
    // One source; the tile has `channels` channels.
    void (*sample_ou)(const OuPlan<T>&, std::uint64_t key, std::int64_t first_path, std::int64_t n_times, int channels,
                      T* tile);
    void (*sample_chain)(const ChainPlan<T>&, std::uint64_t key, std::int64_t first_path, std::int64_t n_times, int channels,
                         T* tile);
    // Reads the channels 0 .. inputs - 1 and writes the following ones.
    void (*forward)(const NetworkPlan<T>&, std::int64_t n_times, int channels, const Scratch<T>&, T* tile);
    // Adds the first n_valid lanes; returns the first of them that has a value that is not finite, or -1.
    int (*accumulate)(const MeasurePlan<T>&, std::int64_t n_times, int channels, const T* tile, int n_valid,
                      const Scratch<T>&, const BlockSums&);
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
