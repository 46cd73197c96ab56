/* nnqm from C, and from every language that calls C: Fortran (bind(C)), Julia (ccall), Rust, ...
 *
 * A theory is a list of seed processes and a network. The calls below sample it, run the network over batches of paths
 * and add up the sums from which every estimator is a pure function. nnqm.hpp says what each quantity means, and its
 * random numbers; this header says how to reach them. Axis order is (path, time, channel), arrays are row-major, and
 * channels count the inputs of the network first, then its outputs.
 *
 * Errors. Every call that can fail returns a status, NNQM_OK or one of the codes below, and nnqm_last_error() says what
 * was wrong. A call that fails has changed nothing, and no exception ever leaves the library. Null pointers,
 * inconsistent shapes and sizes out of range are found; a pointer that is wrong but not null, an array shorter than its
 * stated size, and a handle used after its destruction cannot be.
 *
 * Handles. *_create makes a handle and *_destroy ends it (null is allowed). What is passed to a call is copied: arrays
 * and other handles may be changed or destroyed when it returns. Different handles may be used in different threads at
 * once, and one handle by several as long as none of them changes it. advance and accumulate change the sums;
 * everything passed as a pointer to const is only read.
 *
 * Compatibility. The binary interface has a version of its own, major * 1000 + minor. Within a major version nothing
 * that is declared here changes or goes, and a minor version adds calls, activations or constants. A program compiled
 * with this header runs with a library whose major version is the same and whose minor version is at least as high. */
#ifndef NNQM_NNQM_H
#define NNQM_NNQM_H

#include <stdint.h>

#define NNQM_ABI_MAJOR 1
#define NNQM_ABI_MINOR 1
#define NNQM_ABI_VERSION (NNQM_ABI_MAJOR * 1000 + NNQM_ABI_MINOR)

/* Defined for a shared library and its users by the CMake target; a static library exports nothing. */
#if defined(NNQM_SHARED) && defined(__GNUC__)
#define NNQM_API __attribute__((visibility("default")))
#else
#define NNQM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Statuses. */
enum {
    NNQM_OK = 0,
    NNQM_INVALID_ARGUMENT = 1,
    NNQM_OUT_OF_MEMORY = 2,
    NNQM_UNEXPECTED = 3 /* anything else; a defect of the library */
};

/* Precisions: the bytes of a number. */
enum { NNQM_FLOAT32 = 4, NNQM_FLOAT64 = 8 };

/* Densities of random parameters and coefficients, of mean 0 and variance 1 (Student's t with nu <= 2 is the standard
 * one). */
enum { NNQM_GAUSSIAN = 0, NNQM_UNIFORM = 1, NNQM_LAPLACE = 2, NNQM_RADEMACHER = 3, NNQM_STUDENT_T = 4 };

typedef struct nnqm_theory nnqm_theory;
typedef struct nnqm_measure nnqm_measure;
typedef struct nnqm_run nnqm_run;
typedef struct nnqm_sums nnqm_sums;

/* ---- The library. */

/* NNQM_ABI_VERSION of the library, which may differ from that of the header. */
NNQM_API int32_t nnqm_abi_version(void);

/* What was wrong with the calling thread's last call that failed; empty if none has. Valid until its next call that
 * fails. */
NNQM_API const char* nnqm_last_error(void);

/* Any pointer may be null. Strings live as long as the library: its version, the compiler, the instruction-set level in
 * use, the levels that may be forced with the environment variable NNQM_LEVEL and the names of the activations, the
 * last two separated by spaces. An impossible NNQM_LEVEL is an error here and in every call that computes. */
NNQM_API int32_t nnqm_build_info(const char** version, const char** compiler, const char** level, const char** levels,
                                 const char** activations, int32_t* openmp, int32_t* max_threads);

/* ---- Theories. Values, and that the parts fit each other, are checked by the calls that use the theory. */

/* A theory without sources and layers. */
NNQM_API int32_t nnqm_theory_create(nnqm_theory** theory);
NNQM_API void nnqm_theory_destroy(nnqm_theory* theory);

/* n independent Ornstein-Uhlenbeck inputs, dy = -omega y dt + sigma dW. omega, sigma: (n), > 0. */
NNQM_API int32_t nnqm_theory_add_ou(nnqm_theory* theory, int64_t n, const double* omega, const double* sigma);

/* A Markov chain, one input, in steps of dt, as tables of Walker's alias method: see Chain in nnqm.hpp.
 * values, start_threshold, start_alias: (grids, states); threshold, alias: (grids, states, states), a row per present
 * state. Languages without unsigned integers pass those with the same bits. */
NNQM_API int32_t nnqm_theory_add_chain(nnqm_theory* theory, double dt, int64_t states, int64_t grids,
                                       const double* values, const uint32_t* start_threshold,
                                       const uint32_t* start_alias, const uint32_t* threshold, const uint32_t* alias);

/* A chain conditioned to return to its first state after n_times steps of dt, one input: see PeriodicChain in nnqm.hpp.
 * As above, and step_weights: (grids, states, states), remaining: (grids, n_times - 1, states, states), all below 2^31.
 */
NNQM_API int32_t nnqm_theory_add_periodic_chain(nnqm_theory* theory, double dt, int64_t states, int64_t grids,
                                                int64_t n_times, const double* values, const uint32_t* start_threshold,
                                                const uint32_t* start_alias, const uint32_t* step_weights,
                                                const uint32_t* remaining);

/* mean(t) + sum_k theta_k basis_k(t), one input, at the n_times times of the run. mean: (n_times); basis: (modes,
 * n_times). theta is drawn from the density (nu is Student's alone) or, where n_rows > 0, is one of rows: (n_rows,
 * modes) for each path, or each of its entries is that of a row of its own if independent is 1. */
NNQM_API int32_t nnqm_theory_add_linear(nnqm_theory* theory, int64_t modes, int64_t n_times, const double* mean,
                                        const double* basis, int32_t density, double nu, int64_t n_rows,
                                        const double* rows, int32_t independent);

/* The time itself as an input, or its absolute value if reflected is 1. */
NNQM_API int32_t nnqm_theory_add_times(nnqm_theory* theory, int32_t reflected);

/* The network's next layer, activation(W y + b). weights: (outputs, inputs); biases: (outputs). */
NNQM_API int32_t nnqm_theory_add_layer(nnqm_theory* theory, int64_t inputs, int64_t outputs, const double* weights,
                                       const double* biases, const char* activation);

/* Makes the parameters of the layer added last random: weights + scales * draw, and so for the biases. weight_scales:
 * (outputs, inputs), bias_scales: (outputs), >= 0. Layers without this call keep their parameters. `shared`, 0 or 1,
 * counts in a split network: whether both sides of t = 0 have the same draws. */
NNQM_API int32_t nnqm_theory_draw_layer(nnqm_theory* theory, int32_t weight_density, double weight_nu,
                                        const double* weight_scales, int32_t bias_density, double bias_nu,
                                        const double* bias_scales, int32_t shared);

/* Paths with the same index / group share random parameters; group divides 64 or is a multiple of it, and the measure
 * must have the same one. split, 0 or 1: the network of |t| that is drawn separately for t < 0 and t > 0, see Network
 * in nnqm.hpp. */
NNQM_API int32_t nnqm_theory_set_group(nnqm_theory* theory, int64_t group, int32_t split);

/* Tabulates a network of one input whose parameters are fixed, for runs and arrays of this precision (compile() in
 * nnqm.hpp says when); with precision 0, or after another layer is added, it is evaluated layer by layer again.
 * *compiled, which may be null: whether there is a table. */
NNQM_API int32_t nnqm_theory_compile(nnqm_theory* theory, int32_t precision, int32_t* compiled);

/* The number of inputs from the sources, and of channels: the inputs and the outputs of the network. */
NNQM_API int32_t nnqm_theory_size(const nnqm_theory* theory, int64_t* inputs, int64_t* channels);

/* ---- What is summed. The observable vector of a path at one time is
 *     (1, z_1 .. z_n, h_2(z_1) .. h_{order_1}(z_1), h_2(z_2) .., act(W z + b) - c),   z_i = (channel_i - shift_i) /
 * scale_i, with h_n = He_n / sqrt(n!). Its leading 1 + n entries are the linear part, of size G; the whole has size F.
 */

/* Without channels, neurons and sums. */
NNQM_API int32_t nnqm_measure_create(nnqm_measure** measure);
NNQM_API void nnqm_measure_destroy(nnqm_measure* measure);

/* The next z. scale > 0; 1 <= order <= 64. */
NNQM_API int32_t nnqm_measure_add_channel(nnqm_measure* measure, int64_t channel, double shift, double scale,
                                          int64_t order);

/* weights: (neurons, channels); biases, centres: (neurons). channels is the number of those added. */
NNQM_API int32_t nnqm_measure_set_neurons(nnqm_measure* measure, int64_t channels, int64_t neurons,
                                          const double* weights, const double* biases, const double* centres,
                                          const char* activation);

/* Lags in steps of the time grid, strictly increasing, below the number of times; increments at lags of at least 1.
 * lags: (n); n = 0 asks for none. */
NNQM_API int32_t nnqm_measure_set_lags(nnqm_measure* measure, int64_t n, const int64_t* lags);
NNQM_API int32_t nnqm_measure_set_observable_lags(nnqm_measure* measure, int64_t n, const int64_t* lags);
NNQM_API int32_t nnqm_measure_set_increment_lags(nnqm_measure* measure, int64_t n, const int64_t* lags);

/* 0 or 1. */
NNQM_API int32_t nnqm_measure_set_moments(nnqm_measure* measure, int32_t asked);

/* Successive paths that share random parameters; 1 at first. With more than one, lag sums have a third matrix. */
NNQM_API int32_t nnqm_measure_set_group(nnqm_measure* measure, int64_t group);

/* z of the two-time sums, counted from 0 in the order in which channels were added; -1 asks for none. */
NNQM_API int32_t nnqm_measure_set_two_time(nnqm_measure* measure, int64_t index);

/* ---- Sums over the paths of each block. A set of sums belongs to one measure (a copy of it) and one number of times.
 */

/* Which array. With A the observables at t and B those at t + lag, over the windows t = 0 .. T - lag - 1, and a leading
 * axis of B blocks: */
enum {
    NNQM_LAGS = 0, /* (B, n_lags, 2, G, G): sum A B^T, sum A A^T + B B^T, of the linear part; with groups (.., 3, G, G)
                    * and sum_{p != q} a_p b_q^T over the distinct paths of each group, a and b the sums of A and B */
    NNQM_OBSERVABLE_LAGS = 1, /* (B, n_observable_lags, 2 or 3, F, F): the same of the whole vector */
    NNQM_INCREMENTS = 2,      /* (B, n, n_increment_lags, 2): sum (z_{t+l} - z_t)^2 and ^4 */
    NNQM_MOMENTS = 3,         /* (B, n, 4): sum of z, z^2, z^3, z^4 over paths and times */
    NNQM_TIME_SUMS = 4,       /* (B, T): sum of z_t of the two-time channel */
    NNQM_TWO_TIME = 5         /* (B, T (T + 1) / 2): sum of z_t z_s, s <= t, row after row */
};

/* Zero, for the blocks first_block .. first_block + n_blocks - 1 of a run, n_times times and whatever the measure asks
 * for. */
NNQM_API int32_t nnqm_sums_create(nnqm_sums** sums, const nnqm_measure* measure, int64_t n_times, int64_t first_block,
                                  int64_t n_blocks);
NNQM_API void nnqm_sums_destroy(nnqm_sums* sums);

/* The array itself, not a copy: it lives as long as the sums, and may be written to go on from sums that were kept
 * elsewhere. rank: at most 5; shape: (5), of which the first rank entries count and the others are 1. Any of the three
 * may be null. An array that the measure does not ask for is an invalid argument. */
NNQM_API int32_t nnqm_sums_array(nnqm_sums* sums, int32_t which, double** data, int32_t* rank, int64_t* shape);

/* paths: (n_blocks), the paths summed so far; first_bad: (n_blocks), the index of the first path with a value that is
 * not finite, or -1. Non-finite values do not stop a call, so look here. Any of the three may be null. */
NNQM_API int32_t nnqm_sums_counts(nnqm_sums* sums, int64_t** paths, int64_t** first_bad, int64_t* n_blocks);

/* ---- Runs of a theory. */

/* times: (n_times), strictly increasing. Paths are dealt to n_blocks blocks in tiles of 64, and the bits of a path
 * depend on key and its index, never on the number of paths, blocks or threads. Starts as float32, on as many threads
 * as OpenMP offers. */
NNQM_API int32_t nnqm_run_create(nnqm_run** run, uint64_t key, int64_t n_paths, int64_t n_blocks, int64_t n_times,
                                 const double* times);
NNQM_API void nnqm_run_destroy(nnqm_run* run);

NNQM_API int32_t nnqm_run_set_precision(nnqm_run* run, int32_t precision);

/* 0: what OpenMP offers; at most 4096. More threads than work are not started. */
NNQM_API int32_t nnqm_run_set_threads(nnqm_run* run, int32_t n_threads);

/* ---- Computation. Arrays given to it are read or written in place; outputs are contiguous. */

/* Samples the theory and adds to the sums, which must have the run's number of times, the blocks begin .. end - 1 of
 * the rounds begin .. end - 1. Round r holds the paths U n_blocks r .. U n_blocks (r + 1) - 1, U the larger of 64 and
 * the group; rounds beyond the last path are empty, so that 0 and INT64_MAX ask for all. Successive rounds give the
 * bits of one call. */
NNQM_API int32_t nnqm_advance(const nnqm_theory* theory, const nnqm_run* run, int64_t first_block, int64_t end_block,
                              int64_t first_round, int64_t end_round, nnqm_sums* sums);

/* Writes the inputs of the paths first_path .. end_path - 1, in the run's precision; they may lie beyond its n_paths.
 * shape: (3), which must be (end_path - first_path, n_times, inputs). */
NNQM_API int32_t nnqm_sample(const nnqm_theory* theory, const nnqm_run* run, int64_t first_path, int64_t end_path,
                             const int64_t* shape, void* inputs);

/* The theory's network over any paths; its sources are not used and may be missing. The two arrays must not overlap.
 * input_shape: (3), (paths, times, inputs); input_strides: (3), bytes, of any sign, or null for a contiguous array;
 * output_shape: (3), (paths, times, outputs). */
NNQM_API int32_t nnqm_apply(const nnqm_theory* theory, int32_t precision, const int64_t* input_shape,
                            const int64_t* input_strides, const void* inputs, const int64_t* output_shape,
                            void* outputs, int32_t n_threads);

/* The same for random parameters: those of the paths first_path and the following ones of the run, whose times must be
 * those of the arrays if the network is split. */
NNQM_API int32_t nnqm_apply_run(const nnqm_theory* theory, const nnqm_run* run, int64_t first_path, int32_t precision,
                                const int64_t* input_shape, const int64_t* input_strides, const void* inputs,
                                const int64_t* output_shape, void* outputs);

/* Writes the random parameters of the groups first_group .. end_group - 1: layer after layer, weights (outputs, inputs)
 * and then biases; those for t < 0 if negative is 1. shape: (3), which must be (end_group - first_group, 1, number of
 * parameters). */
NNQM_API int32_t nnqm_draw(const nnqm_theory* theory, uint64_t key, int32_t negative, int64_t first_group,
                           int64_t end_group, int32_t precision, const int64_t* shape, void* parameters);

/* Adds paths of any origin: the paths offsets[b] .. offsets[b + 1] - 1 go to the b-th block of the sums, and first_path
 * is added to the indices in first_bad. shape: (3), (paths, times, channels); strides as above; offsets: (n_offsets),
 * where n_offsets must be the number of blocks and one more. */
NNQM_API int32_t nnqm_accumulate(nnqm_sums* sums, int32_t precision, const int64_t* shape, const int64_t* strides,
                                 const void* channels, int64_t n_offsets, const int64_t* offsets, int64_t first_path,
                                 int32_t n_threads);

#ifdef __cplusplus
}
#endif

#endif
