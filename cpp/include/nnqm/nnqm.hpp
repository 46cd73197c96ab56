// nnqm: Euclidean-time quantum mechanics as networks fed by stochastic processes.
//
// A theory is a list of seed processes and a network. The functions below sample a theory, evaluate its network on
// batches of paths, and accumulate sums. Every estimator is a pure function of these sums. The library does not depend
// on Python.
//
// Conventions. Axis order is (path, time, channel). Channels count the inputs y of the network first, then its outputs
// x; a theory without a network has inputs only. Times are Euclidean, in the user's unit.
//
// Random numbers are a pure function of (key; path, step, purpose), Philox4x32-10 with
//     counter = (path mod 2^32, path / 2^32, step / 4, purpose),  key = (key mod 2^32, key / 2^32),
//     purpose = 65536 * kind + channel.
// The kinds are:
// - 0: the noise of a process. The four words give the normals of the steps 4g .. 4g+3, in order, by two Box-Muller
//   pairs; step 0 is the stationary start.
// - 1: a Markov chain, with step / 2 in place of step / 4. Each step has two words: the first selects the column of the
//   alias table, the second decides between the column and its alias. A periodic chain uses both words at its start and
//   only the first one afterwards.
// - 2 and 3: the parameters of a network, for t >= 0 and for t < 0. The group replaces path, the position of the
//   parameter in its layer replaces step, and 2 * layer (weights) or 2 * layer + 1 (biases) replaces channel.
// - 4: the coefficients of a linear source. The mode replaces step.
// - 5: the momenta and phases of random waves. The group replaces path. Neuron n uses the blocks B n .. B n + B - 1 in
//   place of step / 4, B = 2 + (components + 3) / 4 (rounded down): the first block has the two words of the quantile
//   of the momentum's magnitude and two of the phase, the second block two of the quantile of the frequency ratio; the
//   others have normals, which give the direction.
// - 6: the noise of the processes of modes and random waves, as in kind 0, numbered through all these sources.
// In a run with futures n, the path i takes the draws of its first time from path i / n.
// In kinds 2 to 4, Gaussian draws use the words as noise does. Draws from every other density use two words each, with
// step / 2 in place of step / 4. The choice of a given row uses one word: the word of step 0 or, if the modes are
// independent, the word of the mode. This map has a version number, which results record. Version 2 added the kinds 5
// and 6.
//
// The bits of a path depend on the key, the index of the path, the theory, the times, the precision, the
// instruction-set level, and on whether the network has a table. They do not depend on the number of paths, threads or
// blocks.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "nnqm/density_kind.hpp"
#include "nnqm/quantile_cells.hpp"

namespace nnqm {

// Version of the map above.
inline constexpr int random_map_version = 2;
// Paths per tile. Tiles are the unit of work; tile j of a run belongs to block j mod n_blocks.
inline constexpr int tile_paths = 64;

// dy = -omega y dt + sigma dW: one independent input channel per entry, stationary from the first time on, with exact
// transitions.
struct OrnsteinUhlenbeck {
    std::vector<double> omega;  // (D), > 0
    std::vector<double> sigma;  // (D), > 0
};

// A Markov chain on S states, one input channel: values[s] is the value in the state s. Draws compare integers only, so
// the states are the same in every precision and at every level. A chain that approximates a process on a line may be
// given on G shifted grids, to average observables with kinks over the shifts; path i uses grid i mod G.
//
// The tables are Walker's alias tables: a word u selects the column c = floor(u S / 2^32), and a second word v gives c
// if v < threshold[c] and alias[c] otherwise.
struct Chain {
    double dt = 0;                                            // time of one step; the run's times must have this step
    int states = 0;                                           // S
    int grids = 1;                                            // G
    std::vector<double> values;                               // (G, S)
    std::vector<std::uint32_t> start_threshold, start_alias;  // (G, S)
    std::vector<std::uint32_t> threshold, alias;              // (G, S, S), a row per current state
};

// A reversible Markov chain conditioned to return to its first state: paths of T times on a circle of T steps. The
// start x_0 is drawn from the diagonal of the T-step kernel. The state j at a time t >= 1 follows the state i with
// weight step_weights[i, j] * remaining[t - 1, x_0, j]. The weights are integers, so the states are the same in every
// precision and at every level.
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
    double nu = 0;  // degrees of freedom; student_t only
};

// x(t) = mean(t) + sum_k theta_k basis_k(t), one channel: a one-layer network in time with random output weights. The
// coefficients theta are independent draws from a density. If rows are given, each path takes one of them as its
// coefficients; with `independent`, the row is chosen separately for each mode.
struct Linear {
    int modes = 0;
    std::vector<double> mean;   // (T), at the times of the run
    std::vector<double> basis;  // (modes, T)
    Density density;
    std::vector<double> rows;  // (R, modes) or empty
    bool independent = false;
};

// The time t as an input or, if reflected, |t|.
struct Times {
    bool reflected = false;
};

// Linear combinations of independent stationary Ornstein-Uhlenbeck processes of variance 1, one input channel per row
// of the matrix: y_s(t) = sum_j matrix[s, j] u_j(t).
struct Modes {
    std::vector<double> omega;   // (J), > 0
    std::vector<double> matrix;  // (S, J)
};

// Quantile function of a positive number, by polynomials on cells of the probability u. The first half has the octaves
// 2^-(e+2) <= u < 2^-(e+1) below u = 1/2, the second half has them for 1 - u. An octave has equal cells; the last
// octave reaches down to 0. The variable of a polynomial goes from -1 to 1 as u or 1 - u rises through the cell.
struct Quantiles {
    std::vector<double> coefficients;  // (2, octaves, cells, terms), ascending powers; or empty
};

// A field at S points of space, one input channel per point: a sum over N neurons with random momenta k_j,
//     a_j cos(k_j . (t, x) + b_j)                       with independent uniform phases b_j, or, with oscillators,
//     a_j (y_j(t) cos(k_j . x) + z_j(t) sin(k_j . x))   with independent stationary Ornstein-Uhlenbeck processes y_j,
//                                                       z_j of variance 1 and rate (k_j^2 + mass^2)^(1/2).
// The amplitude is a_j = amplitude (k_j^2 + mass^2)^power. The direction of the momenta is uniform and their magnitude
// has the quantiles `radius`. Momenta of oscillators have the components of space only. Momenta of cosines have the
// component of time too, before the others. If `ratio` is not empty, `radius` is the magnitude of the components of
// space only, and the component of time is (k^2 + mass^2)^(1/2) of these times a number with the quantiles `ratio`.
struct RandomWaves {
    int neurons = 0;             // N
    int space = 0;               // number of components of space
    std::vector<double> points;  // (S, space)
    int n_points = 0;            // S
    bool oscillators = false;
    Quantiles radius;  // empty if the momenta have no components that it describes
    Quantiles ratio;   // of cosines; empty: radius is for all components
    double mass = 0;   // >= 0
    double amplitude = 1, power = 0;
    std::int64_t group = 1;  // paths i with the same i / group share momenta and phases
};

using Source = std::variant<OrnsteinUhlenbeck, Chain, PeriodicChain, Linear, Times, Modes, RandomWaves>;

enum class Precision { float32, float64 };

struct Layer {
    int inputs = 0;
    int outputs = 0;
    std::vector<double> weights;  // (outputs, inputs), row-major
    std::vector<double> biases;   // (outputs)
    std::string activation;       // one of activations()
};

// Random parameters of a layer: weight + weight_scale * draw and bias + bias_scale * draw.
struct Drawn {
    Density weight_density, bias_density;
    std::vector<double> weight_scales;  // (outputs, inputs), >= 0
    std::vector<double> bias_scales;    // (outputs), >= 0
    bool shared = true;                 // split networks: the same draws on both sides of t = 0
};

// Training of drawn parameters, a pure function of the draws: `steps` steps of gradient descent over all points on the
// loss
//     L = (1/2) sum_i w_i |f(t_i) - x_i|^2.
// The precision is the one of the run. Without unit_draws a step subtracts rate * dL/dparameter from each parameter.
// With unit_draws the descent is in the draws u of parameter = location + scale * u: a step subtracts
// rate * scale^2 * dL/dparameter, so parameters with a scale of 0 keep their values. In a split network the layers that
// are not shared are trained, on each side of t = 0 by all points, which are values of |t|; shared parameters keep
// their draws, because the two sides would otherwise depend on each other. The parameters of a network become NaN if
// they or its loss are not finite, or if the loss exceeds divergent_growth * (first loss + (1/2) sum_i w_i |x_i|^2).
struct Training {
    std::vector<double> points;   // t_i (P, inputs)
    std::vector<double> targets;  // x_i (P, outputs)
    std::vector<double> weights;  // w_i (P), >= 0
    double rate = 0;              // > 0
    std::int64_t steps = 0;       // 0: the parameters stay as they are drawn
    bool last_layer = false;      // whether only the last layer is trained
    bool unit_draws = true;
};
inline constexpr double divergent_growth = 1e6;

// A network with one input and fixed parameters is a function of one variable. This table approximates it by
// polynomials, at the same cost for every width and depth. Inputs with |y| >= reach, and NaN, are evaluated through the
// layers.
struct Table {
    Precision precision;
    double spacing = 0;  // of the cell centres k * spacing, k = -half_cells .. half_cells; a power of two
    double reach = 0;    // half_cells * spacing
    // Largest difference from the network that was found, relative to the largest |output| at inputs of magnitude at
    // most max(|y|, 1). It does not include the rounding of float32 arithmetic, which the network has too.
    double error = 0;
    int half_cells = 0;
    int terms = 0;                     // of each polynomial
    std::vector<double> coefficients;  // (cells, outputs, terms), ascending powers of y / spacing - k
};

// Paths i with the same i / group share drawn parameters; group divides tile_paths or is a multiple of it. A split
// network has the single input |t|. Its layers that are not shared are drawn separately for t < 0 and t > 0, and its
// output is
//     W h(|t|) - W h(0) + b,
// where h is the output of the layers before the last one. The last layer, with weights W and biases b, is linear, and
// b is shared. Hence x(0) = b depends on shared parameters only.
struct Network {
    std::vector<Layer> layers = {};  // empty: the theory has inputs only
    std::vector<Drawn> drawn = {};   // empty, or one entry per layer
    std::int64_t group = 1;
    bool split = false;
    std::shared_ptr<const Table> table = nullptr;  // made by compile() for one precision; or null
    Training training = {};                        // of drawn parameters
    std::int64_t parameters() const;
    bool random() const { return !drawn.empty(); }
};

struct Theory {
    std::vector<Source> sources = {};
    Network network = {};
    int inputs() const;
    int channels() const;        // inputs, then the network's outputs if there is a network
    std::int64_t group() const;  // successive paths that share random parameters
};

struct Run {
    std::uint64_t key = 0;
    std::vector<double> times;  // (T), strictly increasing
    std::int64_t n_paths = 0;
    std::int64_t n_blocks = 1;  // blocks of the whole run; a call may compute some of them
    Precision precision = Precision::float32;
    int n_threads = 0;  // 0: as many as the OpenMP environment offers
    // For sample() only: paths i with the same i / futures have the same state at the first time and are independent
    // afterwards. It divides tile_paths or is a multiple of it; random parameters are shared by as many paths or a
    // multiple. The sources must be Markov processes.
    std::int64_t futures = 1;
};

// The choice of sums. The observable vector of a path at one time is
//     (1, z_1 .. z_n, h_2(z_1) .. h_{order_1}(z_1), h_2(z_2) .., act(W z + b) - c, products)
// with z_i = (channel_i - shift_i) / scale_i and h_n = He_n / sqrt(n!). These polynomials give the powers of z without
// loss of digits. A product is of two entries before it, by their positions in the vector, and can be a factor of later
// ones. c should be close to the mean of each neuron: otherwise the variance of a nearly constant neuron is
// lost in the rounding of its mean square.
struct Measure {
    std::vector<int> channels;                  // (n)
    std::vector<double> shift;                  // (n)
    std::vector<double> scale;                  // (n), > 0
    std::vector<int> orders;                    // (n), >= 1
    Layer neurons;                              // a layer on z; outputs = 0: no neurons
    std::vector<double> centres;                // c, (neurons)
    std::vector<std::array<int, 2>> products;   // positions of the two factors of each
    std::vector<std::int64_t> lags;             // of the lag sums of (1, z_1 .. z_n), strictly increasing
    std::vector<std::int64_t> observable_lags;  // of the lag sums of the whole vector, strictly increasing
    std::vector<std::int64_t> increment_lags;   // strictly increasing, >= 1
    std::int64_t group = 1;  // successive paths that share parameters; divides tile_paths or is a multiple of it
    bool moments = false;
    int two_time = -1;                               // index into channels of the channel with (T, T) sums; -1: none
    int parts() const { return group > 1 ? 3 : 2; }  // matrices per lag
    int linear_size() const { return 1 + static_cast<int>(channels.size()); }  // of (1, z_1 .. z_n)
    int size() const;                                                          // of the whole vector
};

// Sums over the paths of each block, in double precision. Every array has a leading block axis of length B; a null
// pointer stands for a sum that is not requested. The lag sums are sum A B^T and sum A A^T + B B^T, where A and B are
// the observables at t and t + lag, over t = 0 .. T - lag - 1 and the paths of the block. If groups of paths share
// parameters, there is a third matrix, sum_{p != q} a_p b_q^T over distinct paths p, q of each group, where a and b are
// the sums of A and B over the times of one path. Its expectation is the expectation of the product of the means at
// fixed parameters.
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

// Name, place and shape of one array of Sums.
struct SumShape {
    const char* name;
    double* Sums::* array;            // the member of Sums
    bool asked;                       // whether the measure requests it
    std::vector<std::int64_t> shape;  // without the leading block axis
    std::int64_t size() const;        // numbers per block; 0 if it is not requested
};

// Describes all arrays of Sums in the order of their declaration: lags, observable_lags, increments, moments,
// time_sums, two_time. Throws std::invalid_argument if n_times lies outside 1 .. 2^31 or if a size is negative or
// overflows.
std::vector<SumShape> sum_shapes(const Measure& measure, std::int64_t n_times);

// Storage for Sums, for callers without storage of their own: zeros at first, and -1 in first_bad. Movable.
class SumsBuffer {
public:
    SumsBuffer(const Measure& measure, std::int64_t n_times, std::int64_t first_block, std::int64_t n_blocks);
    Sums view();

private:
    std::int64_t first_block_, n_blocks_;
    std::vector<SumShape> shapes_;
    std::vector<std::vector<double>> arrays_;  // one per shape; empty if not requested
    std::vector<std::int64_t> paths_, first_bad_;
};

struct Range {
    std::int64_t begin = 0;
    std::int64_t end = 0;
};

// Strided view of an array of the caller, (path, time, channel); strides in bytes, of any sign.
struct ArrayView {
    const void* data = nullptr;
    Precision precision = Precision::float64;
    std::int64_t shape[3] = {0, 0, 0};
    std::int64_t strides[3] = {0, 0, 0};
};
// Contiguous output array of the caller, (path, time, channel).
struct ArrayOut {
    void* data = nullptr;
    Precision precision = Precision::float64;
    std::int64_t shape[3] = {0, 0, 0};
};

// The functions below check their arguments first and throw std::invalid_argument before any work starts. Functions
// that return int return the number of threads that did work. Values that are not finite do not stop a call:
// Sums::first_bad records them, or the output arrays contain them.

// Adds the paths of the given blocks and rounds to the sums. Tiles are dealt in units of max(1, group / tile_paths), so
// that paths with shared parameters stay together: unit u belongs to block u mod n_blocks, and round r contains the
// units r n_blocks .. (r + 1) n_blocks - 1. Each block adds its tiles in order, so calls for successive rounds give the
// bits of one call.
int advance(const Theory& theory, const Measure& measure, const Run& run, Range blocks, Range rounds, Sums& sums);

// Writes the inputs y of the paths begin .. end - 1.
int sample(const Theory& theory, const Run& run, Range paths, const ArrayOut& inputs);

// Evaluates x = network(y) path by path, in the precision of the arrays, which must agree. The first path of the arrays
// has the index first_path. run.key, first_path and, for a split network, run.times matter only if parameters are
// drawn.
int apply(const Network& network, const Run& run, std::int64_t first_path, const ArrayView& inputs,
          const ArrayOut& outputs);

// Evaluates a network whose parameters are fixed.
int apply(const Network& network, const ArrayView& inputs, const ArrayOut& outputs, int n_threads);

// Tabulates the network. Returns null if the network has drawn parameters or several inputs, if it is so small that a
// pass costs less than a look-up, or if the error exceeds 1e-7 (float32) or 1e-13 (float64), as it does around the
// kinks of relu. A network with a table is evaluated through the table, in that precision only. A change of the layers
// does not change the table.
std::shared_ptr<const Table> compile(const Network& network, Precision precision);

// Writes the drawn parameters of the groups begin .. end - 1, shape (groups, 1, network.parameters()): layer after
// layer, weights (outputs, inputs), then biases; trained ones if the network has a training. `negative` selects the
// parameters for t < 0, which differ in a split network only.
void draw(const Network& network, std::uint64_t key, bool negative, Range groups, const ArrayOut& parameters,
          int n_threads = 1);

// Weights of the values and derivatives of a network in a sum
//     S = sum_q sum_c (values_qc f_c(y_q) + sum_d (first_qcd df_c/dy_d(y_q) + second_qcd d2f_c/dy_d^2(y_q)))
// over all points q. values: (path, time, outputs); first and second: (path, time, outputs * inputs), where a null
// pointer stands for zeros.
struct Cotangents {
    ArrayView values, first, second;
};

// Writes the values (path, time, outputs) of a network with fixed parameters and its first and second derivatives with
// respect to each input, (path, time, outputs * inputs), at points (path, time, inputs). All arrays have one precision;
// first and second may have null pointers, and second must if first has. At the kink of relu the derivatives are 0. A
// table is not used.
int differentiate(const Network& network, const ArrayView& inputs, const ArrayOut& values, const ArrayOut& first,
                  const ArrayOut& second, int n_threads);

// Writes the derivatives of S with respect to the parameters, shape (1, 1, network.parameters()), in the order of
// draw(), and with respect to the inputs, in their shape (null pointer: not requested). All arrays have one precision.
// Sums over points are made in chunks that depend on the number of points and parameters only: the bits are the same
// for any number of threads.
int pullback(const Network& network, const ArrayView& inputs, const Cotangents& cotangents, const ArrayOut& parameters,
             const ArrayOut& input_gradients, int n_threads);

// The same for drawn parameters: parameters has shape (groups, 1, network.parameters()), with a row for each group of
// the paths first_path .. first_path + n - 1 of the run. Split networks are refused.
int pullback(const Network& network, const Run& run, std::int64_t first_path, const ArrayView& inputs,
             const Cotangents& cotangents, const ArrayOut& parameters, const ArrayOut& input_gradients);

// Adds paths of the caller, in the precision of the view: the paths offsets[b] .. offsets[b + 1] - 1 of the view go to
// block b of the sums, counted from 0 whatever sums.first_block is. Each block must contain whole groups. first_path is
// the index of the view's first path in first_bad. With weights, one number of at least 0 for each path of the view and
// a measure with a group of 1, every term of a sum is multiplied by the weight of its path; the entry of the constant
// in the lag sums is then the sum of the weights over the windows. sums.paths counts paths all the same.
int accumulate(const ArrayView& channels, const Measure& measure, const std::vector<std::int64_t>& offsets,
               std::int64_t first_path, int n_threads, Sums& sums, const double* weights = nullptr);

// Converts the rows t = begin .. end - 1 of two-time sums, packed as in Sums, into two-time functions in place, for n
// blocks or totals of blocks: sums[i; t, s] becomes factors[i] sums[i; t, s] + offsets[i, t] + offsets[i, s], with
// factors (n) and offsets (n, n_times).
void two_time_functions(double* packed, const double* factors, const double* offsets, std::int64_t n,
                        std::int64_t n_times, Range rows);

// Unpacks symmetric matrices into (n, size, size). They are packed like two-time sums, row after row up to the
// diagonal.
void unpack_matrices(const double* packed, std::int64_t n, std::int64_t size, double* matrices);

// Computes the variances (size) of the delete-one jackknife over blocks of unequal size (Busing, Meijer and van der
// Leeden, Stat. Comput. 9, 3 (1999)), from values (size), their replicas with one block left out (n_blocks, size), and
// weights (n_blocks) > 1, the total size over the size of each block.
void jackknife_variances(const double* values, const double* replicas, const double* weights, std::int64_t n_blocks,
                         std::int64_t size, double* variances);

// Solves eigenvalue problems of n symmetric matrices (n, size, size), of which the lower triangle is read. Writes the
// eigenvalues (n, size), ascending, and, unless `vectors` is null, orthonormal eigenvectors, one after the other
// (n, size, size). Throws std::runtime_error if the iteration does not converge.
void symmetric_eigenstates(const double* matrices, std::int64_t n, std::int64_t size, double* values, double* vectors,
                           int n_threads);

// Solves matrix v = lambda metric v for n pairs of symmetric matrices (n, size, size). Writes the eigenvalues (n,
// size), ascending, and the states v, normalised in the metric, one after the other (n, size, size). Throws
// std::domain_error if a metric is not positive definite.
void generalised_eigenstates(const double* metrics, const double* matrices, std::int64_t n, std::int64_t size,
                             double* values, double* states, int n_threads);

struct ProductShape {
    std::int64_t rows, inner, columns;
    bool same_a = false, same_b = false;  // whether one matrix serves all products
    bool transposed_b = false;            // whether b is given as (columns, inner)
};

// out (n, rows, columns) = a (n, rows, inner) b (n, inner, columns).
void products(const double* a, const double* b, std::int64_t n, const ProductShape& shape, double* out, int n_threads);

// Names that Layer::activation may have.
std::vector<std::string> activations();

struct BuildInfo {
    std::string version, compiler, level;
    std::vector<std::string> levels;  // compiled in and supported by this processor, lowest first
    bool openmp = false;
    int max_threads = 1;
};
// The level in use is the highest supported one, or the one named by the environment variable NNQM_LEVEL. Throws
// std::invalid_argument if that name is not among levels.
BuildInfo build_info();

}  // namespace nnqm
