// nnqm: Euclidean-time quantum mechanics as networks fed by stochastic processes.
//
// A theory is a list of seed processes and a network. The calls below sample it, run the network over batches of paths
// and add up the sums from which every estimator is a pure function. Nothing here knows of Python.
//
// Conventions. Axis order is (path, time, channel). Channels count the inputs y of the network first, then its outputs
// x; a theory without a network has its inputs only. Times are Euclidean, in the user's unit.
//
// Random numbers are a pure function of (key; path, step, purpose), Philox4x32-10 with
//     counter = (path mod 2^32, path / 2^32, step / 4, purpose),  key = (key mod 2^32, key / 2^32),
// purpose = 65536 * kind + channel. Kind 0 is the noise of a process: the four words give, in order, the normals of the
// steps 4g .. 4g+3 by two Box-Muller pairs; step 0 is the stationary start. Kind 1 is a Markov chain, with step / 2 in
// place of step / 4: two words a step, the first for the column of the alias table and the second for the choice in it
// (a periodic chain uses the first only, after its start). Kinds 2 and 3 are the parameters of a network, for t >= 0
// and for t < 0: path is then the group, step the position of the parameter in its layer, and 2 * layer (weights) or 2
// * layer + 1 (biases) takes the place of the channel. Kind 4 are the coefficients of a linear source, step being the
// mode. Of kinds 2 to 4 a Gaussian takes words as noise does; every other density takes two words a draw, step / 2 in
// place of step / 4; the choice of a given row takes one word, that of step 0 or, where modes are independent, of the
// mode. This map has a version, and results record it.
//
// A path's bits depend on the key, its index, the theory, the times, the precision, the instruction-set level and on
// whether a network carries a table; never on the number of paths, of threads or of blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "nnqm/density_kind.hpp"

namespace nnqm {

inline constexpr int random_map_version = 1;
// Paths per tile. Tiles are the unit of work; tile j of a run belongs to block j mod n_blocks.
inline constexpr int tile_paths = 64;

// dy = -omega y dt + sigma dW, one independent input channel per entry, started from stationarity and stepped exactly.
struct OrnsteinUhlenbeck {
    std::vector<double> omega;  // (D), > 0
    std::vector<double> sigma;  // (D), > 0
};

// Any Markov chain on S states, one channel: value[s] of the state s, started from its law. Draws compare integers
// only, so that states are the same in every precision and at every level. A chain that stands for a process on a line
// may be given on several shifted grids, between which observables with kinks are averaged; path i uses grid i mod
// grids.
//
// Tables are Walker's: a word u picks the column c = floor(u S / 2^32), and a second word v the target c if v <
// threshold[c] and alias[c] otherwise.
struct Chain {
    double dt = 0;                                            // time of one step; the run's times must have this step
    int states = 0;                                           // S
    int grids = 1;                                            // G
    std::vector<double> values;                               // (G, S)
    std::vector<std::uint32_t> start_threshold, start_alias;  // (G, S)
    std::vector<std::uint32_t> threshold, alias;              // (G, S, S), a row per present state
};

// A reversible chain conditioned to return to its first state: paths of T times on a circle of T steps. The start is
// drawn from its own law (the diagonal of the T-step kernel); the state j at the time t >= 1 that follows i is drawn
// with weight step_weight[i, j] * remaining[t - 1, x_0, j], in integers, so that states are the same in every precision
// and at every level.
struct PeriodicChain {
    double dt = 0;                                            // time of one step
    int states = 0;                                           // S
    int grids = 1;                                            // G
    int steps = 0;                                            // T, the number of times of a run
    std::vector<double> values;                               // (G, S)
    std::vector<std::uint32_t> start_threshold, start_alias;  // (G, S)
    std::vector<std::uint32_t> step_weights;                  // (G, S, S), < 2^31
    std::vector<std::uint32_t> remaining;                     // (G, T - 1, S, S), < 2^31, a row per first state
};

struct Density {
    DensityKind kind = DensityKind::gaussian;
    double nu = 0;  // of student_t
};

// x(t) = mean(t) + sum_k theta_k basis_k(t), one channel: a one-layer network in time with random output weights. The
// coefficients theta are independent draws from a density or, where rows are given, one of these rows per path (with
// `independent`, each mode's from a row of its own).
struct Linear {
    int modes = 0;
    std::vector<double> mean;   // (T), at the times of the run
    std::vector<double> basis;  // (modes, T)
    Density density;
    std::vector<double> rows;  // (R, modes) or empty
    bool independent = false;
};

// The time t itself as an input or, reflected, |t|.
struct Times {
    bool reflected = false;
};

using Source = std::variant<OrnsteinUhlenbeck, Chain, PeriodicChain, Linear, Times>;

enum class Precision { float32, float64 };

struct Layer {
    int inputs = 0;
    int outputs = 0;
    std::vector<double> weights;  // (outputs, inputs), row-major
    std::vector<double> biases;   // (outputs)
    std::string activation;       // one of activations()
};

// Random parameters of a layer: weight + weight_scale * draw, and so for biases.
struct Drawn {
    Density weight_density, bias_density;
    std::vector<double> weight_scales;  // (outputs, inputs), >= 0
    std::vector<double> bias_scales;    // (outputs), >= 0
    bool shared = true;                 // in a split network: the same on both sides of t = 0
};

// A network of one input, whose parameters are fixed, is a function of one variable: here as a table of polynomials, of
// which a pass costs the same for every width and depth. Inputs of |y| >= reach, and NaN, go through the layers.
struct Table {
    Precision precision;
    double spacing = 0;  // of the centres k spacing of the cells, k = -half_cells .. half_cells; a power of two
    double reach = 0;    // half_cells * spacing
    // Largest difference from the network that was found, in units of the largest |output| at inputs no larger or
    // below 1. The rounding of float32 arithmetic, which the network has too, is not counted.
    double error = 0;
    int half_cells = 0;
    int terms = 0;                     // of the polynomials
    std::vector<double> coefficients;  // (cells, outputs, terms), ascending powers of y / spacing - k
};

// With drawn parameters, paths i with the same i / group share them; group divides tile_paths or is a multiple of it. A
// split network is one of the single input |t| whose layers that are not shared are drawn separately for t < 0 and t >
// 0; its output is
//     W h(|t|) - W h(0) + b,   with W, b the last layer, which is linear and whose biases are shared, and h the layers
//     before,
// so that x(0) depends on shared parameters only.
struct Network {
    std::vector<Layer> layers = {};  // none: the outputs are the inputs
    std::vector<Drawn> drawn = {};   // none, or one for each layer
    std::int64_t group = 1;
    bool split = false;
    std::shared_ptr<const Table> table = nullptr;  // from compile(), for one precision; or null
    std::int64_t parameters() const;
    bool random() const { return !drawn.empty(); }
};

struct Theory {
    std::vector<Source> sources = {};
    Network network = {};
    int inputs() const;
    int channels() const;  // inputs, then the network's outputs if there is a network
    std::int64_t group() const { return network.random() ? network.group : 1; }
};

struct Run {
    std::uint64_t key = 0;
    std::vector<double> times;  // (T), strictly increasing
    std::int64_t n_paths = 0;
    std::int64_t n_blocks = 1;  // blocks of the whole run, whatever range of them a call computes
    Precision precision = Precision::float32;
    int n_threads = 0;  // 0: what the OpenMP environment offers
};

// What is summed. The observable vector of a path at one time is
//     (1, z_1 .. z_n, h_2(z_1) .. h_{order_1}(z_1), h_2(z_2) .., act(W z + b) - c),   z_i = (channel_i - shift_i) /
//     scale_i,
// with h_n = He_n / sqrt(n!), so that powers are had without loss of digits; c is to be near the mean of each neuron,
// because the variance of one that is nearly constant would drown in the rounding of its mean square.
struct Measure {
    std::vector<int> channels;                  // (n)
    std::vector<double> shift;                  // (n)
    std::vector<double> scale;                  // (n), > 0
    std::vector<int> orders;                    // (n), >= 1
    Layer neurons;                              // on z; no outputs: no neurons
    std::vector<double> centres;                // c, (neurons)
    std::vector<std::int64_t> lags;             // lag sums of the leading (1, z_1 .. z_n), strictly increasing
    std::vector<std::int64_t> observable_lags;  // lag sums of the whole vector, strictly increasing
    std::vector<std::int64_t> increment_lags;   // strictly increasing, >= 1
    std::int64_t group = 1;  // successive paths that share parameters; divides tile_paths or is a multiple of it
    bool moments = false;
    int two_time = -1;  // index into channels of the one whose (T, T) sums are wanted; -1: none
    int parts() const { return group > 1 ? 3 : 2; }  // matrices of a lag sum
    int linear_size() const { return 1 + static_cast<int>(channels.size()); }
    int size() const;
};

// Sums over the paths of a block, in double precision; every array has a leading block axis. A null pointer is a sum
// not asked for. With A the observables at t and B those at t + lag, over the windows t = 0 .. T - lag - 1 and the
// paths of the block, lag sums are sum A B^T and sum A A^T + B B^T. If groups of paths share parameters there is a
// third, sum_{p != q} a_p b_q^T over the distinct paths of each group, with a and b the sums of A and B over the
// windows of one path: its expectation is that of the product of the means at fixed parameters.
struct Sums {
    std::int64_t first_block = 0;
    std::int64_t n_blocks = 0;
    double* lags = nullptr;             // (B, n_lags, parts(), G, G); G = linear_size()
    double* observable_lags = nullptr;  // (B, n_observable_lags, parts(), F, F); F = size()
    double* increments = nullptr;       // (B, n, n_increment_lags, 2): sum (z_{t+l} - z_t)^2 and ^4
    double* moments = nullptr;          // (B, n, 4): sum of z, z^2, z^3, z^4 over paths and times
    double* time_sums = nullptr;        // (B, T): sum of z_t of the two-time channel
    double* two_time = nullptr;         // (B, T (T + 1) / 2): sum of z_t z_s, s <= t, row after row
    std::int64_t* paths = nullptr;      // (B): paths summed so far
    std::int64_t* first_bad = nullptr;  // (B): first path with a value that is not finite, or -1
};

// One of the arrays of Sums.
struct SumShape {
    const char* name;
    double* Sums::* array;            // its place in Sums
    bool asked;                       // whether the measure asks for it
    std::vector<std::int64_t> shape;  // without the leading block axis
    std::int64_t size() const;        // product of the shape; 0 if it is not asked for
};

// All arrays of Sums in the order of their declaration: lags, observable_lags, increments, moments, time_sums,
// two_time. Throws std::invalid_argument if a size is not positive or overflows.
std::vector<SumShape> sum_shapes(const Measure& measure, std::int64_t n_times);

// Storage for Sums, for callers that have none of their own. Zeroed; movable.
class SumsBuffer {
public:
    SumsBuffer(const Measure& measure, std::int64_t n_times, std::int64_t first_block, std::int64_t n_blocks);
    Sums view();

private:
    std::int64_t first_block_, n_blocks_;
    std::vector<SumShape> shapes_;
    std::vector<std::vector<double>> arrays_;  // one for each shape; empty if not asked for
    std::vector<std::int64_t> paths_, first_bad_;
};

struct Range {
    std::int64_t begin = 0;
    std::int64_t end = 0;
};

// Strided views of caller-owned arrays, (path, time, channel); strides in bytes, of any sign.
struct ArrayView {
    const void* data = nullptr;
    Precision precision = Precision::float64;
    std::int64_t shape[3] = {0, 0, 0};
    std::int64_t strides[3] = {0, 0, 0};
};
struct ArrayOut {  // contiguous
    void* data = nullptr;
    Precision precision = Precision::float64;
    std::int64_t shape[3] = {0, 0, 0};
};

// All calls throw std::invalid_argument before any work starts, and return how many threads did work. Values that are
// not finite do not stop a call: they are recorded in Sums::first_bad, or returned in the arrays.

// Adds the tiles of the given blocks and rounds to the sums. Tiles come in units of max(1, group / tile_paths), so that
// paths which share parameters stay together: unit u belongs to block u mod n_blocks, and round r holds the units r
// n_blocks .. (r + 1) n_blocks - 1. Each block sums its tiles in order: calls for successive rounds give the bits of
// one call.
int advance(const Theory& theory, const Measure& measure, const Run& run, Range blocks, Range rounds, Sums& sums);

// Writes the inputs y of the paths begin .. end - 1.
int sample(const Theory& theory, const Run& run, Range paths, const ArrayOut& inputs);

// x = network(y), path by path; in the precision of the arrays, which must agree. The paths of the arrays are
// first_path and those that follow; run.key, first_path and, for a split network, run.times matter to drawn parameters
// only.
int apply(const Network& network, const Run& run, std::int64_t first_path, const ArrayView& inputs,
          const ArrayOut& outputs);

// The same for a network whose parameters are fixed.
int apply(const Network& network, const ArrayView& inputs, const ArrayOut& outputs, int n_threads);

// The network as a table, or null where none pays or none is as good as the network: with drawn parameters or several
// inputs, for networks so small that a pass costs less than a look-up, and where the error stays above 1e-7 (float32)
// or 1e-13 (float64), as it does around the kinks of relu. A network that carries the table is evaluated by it, in that
// precision only; changing its layers does not change its table.
std::shared_ptr<const Table> compile(const Network& network, Precision precision);

// Writes the parameters of the groups begin .. end - 1, shape (groups, 1, network.parameters()): layer after layer,
// weights (outputs, inputs) and then biases; for t < 0 if `negative`, which differs in a split network only.
void draw(const Network& network, std::uint64_t key, bool negative, Range groups, const ArrayOut& parameters);

// Adds user-supplied paths: paths offsets[b] .. offsets[b + 1] - 1 of the view go to block b of the sums, whose
// first_block is not used; first_path is the index of the view's first path in first_bad. Blocks hold whole groups. In
// the precision of the view.
int accumulate(const ArrayView& channels, const Measure& measure, const std::vector<std::int64_t>& offsets,
               std::int64_t first_path, int n_threads, Sums& sums);

// Turns the rows t = begin .. end - 1 of two-time sums of n blocks (or of any totals of blocks), packed as in Sums,
// into two-time functions, in place: factors[i] sums[i; t, s] + offsets[i, t] + offsets[i, s], with offsets (n,
// n_times).
void two_time_functions(double* packed, const double* factors, const double* offsets, std::int64_t n,
                        std::int64_t n_times, Range rows);

// Symmetric matrices (n, size, size) that are packed as the two-time sums are, row after row up to the diagonal.
void unpack_matrices(const double* packed, std::int64_t n, std::int64_t size, double* matrices);

// Variances (size) of the delete-one jackknife over blocks of unequal size (Busing, Meijer and van der Leeden, Stat.
// Comput. 9, 3 (1999)), from values (size), their replicas with one block left out (n_blocks, size), and weights
// (n_blocks) > 1, the total over the size of each block.
void jackknife_variances(const double* values, const double* replicas, const double* weights, std::int64_t n_blocks,
                         std::int64_t size, double* variances);

std::vector<std::string> activations();

struct BuildInfo {
    std::string version, compiler, level;
    std::vector<std::string> levels;  // compiled in and supported by this processor, lowest first
    bool openmp = false;
    int max_threads = 1;
};
// The level in use is the highest supported one, or that of the environment variable NNQM_LEVEL; std::invalid_argument
// if the latter is not among levels.
BuildInfo build_info();

}  // namespace nnqm
