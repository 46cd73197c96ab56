/* nnqm from C, and from every language that calls C: Fortran (bind(C)), Julia (ccall), Rust, ...
 *
 * A theory is a list of seed processes and a network. The calls below sample a theory, evaluate its network on batches
 * of paths, and accumulate sums. Every estimator is a pure function of these sums. nnqm.hpp defines each quantity and
 * the random numbers; this header documents the calls. Axis order is (path, time, channel), arrays are row-major, and
 * channels count the inputs of the network first, then its outputs.
 *
 * Errors. Every call that can fail returns a status: NNQM_OK or one of the codes below. nnqm_last_error() then returns
 * the reason. A call that fails changes nothing, and no exception leaves the library. Null pointers, inconsistent
 * shapes and sizes out of range are detected. A pointer that is wrong but not null, an array shorter than its stated
 * size, and a handle used after its destruction cannot be detected.
 *
 * Handles. *_create makes a handle and *_destroy frees it (null is allowed). Calls copy their arguments: arrays and
 * other handles may be changed or destroyed once the call returns. Different threads may use different handles at the
 * same time, and also one handle as long as no thread changes it. advance and accumulate change the sums; everything
 * passed as a pointer to const is only read.
 *
 * Compatibility. The binary interface has its own version, major * 1000 + minor. Within a major version no declaration
 * changes or disappears; a minor version adds calls, activations or constants. A program compiled with this header runs
 * with a library of the same major version and of at least the same minor version. */
#ifndef NNQM_NNQM_H
#define NNQM_NNQM_H

#include <stdint.h>

#define NNQM_ABI_MAJOR 1
#define NNQM_ABI_MINOR 5
#define NNQM_ABI_VERSION (NNQM_ABI_MAJOR * 1000 + NNQM_ABI_MINOR)

/* The CMake target defines NNQM_SHARED for a shared library and its users; a static library exports nothing. */
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
    NNQM_UNEXPECTED = 3 /* any other error: a defect of the library */
};

/* Precisions: the number of bytes of a number. */
enum { NNQM_FLOAT32 = 4, NNQM_FLOAT64 = 8 };

/* Densities of random parameters and coefficients, of mean 0 and variance 1. Student's t with nu <= 2 is the standard
 * Student distribution instead. */
enum { NNQM_GAUSSIAN = 0, NNQM_UNIFORM = 1, NNQM_LAPLACE = 2, NNQM_RADEMACHER = 3, NNQM_STUDENT_T = 4 };

/* Size of a table of quantiles, (2, 60 octaves, 4 cells, 12 coefficients): see Quantiles in nnqm.hpp. */
enum { NNQM_QUANTILES = 2 * 60 * 4 * 12 };

typedef struct nnqm_theory nnqm_theory;
typedef struct nnqm_measure nnqm_measure;
typedef struct nnqm_run nnqm_run;
typedef struct nnqm_sums nnqm_sums;

/* ---- The library. */

/* NNQM_ABI_VERSION of the library, which may differ from the version of the header. */
NNQM_API int32_t nnqm_abi_version(void);

/* The error message of the calling thread's last failed call; empty if no call has failed. It is valid until the
 * thread's next failed call. */
NNQM_API const char* nnqm_last_error(void);

/* Facts of the build; any pointer may be null. Strings live as long as the library: its version, the compiler, the
 * instruction-set level in use, the levels that the environment variable NNQM_LEVEL may select, and the names of the
 * activations. The last two are lists separated by spaces. If NNQM_LEVEL names an impossible level, this call and every
 * call that computes fail. */
NNQM_API int32_t nnqm_build_info(const char** version, const char** compiler, const char** level, const char** levels,
                                 const char** activations, int32_t* openmp, int32_t* max_threads);

/* ---- Theories. The calls that use a theory check its values and whether its parts fit each other. */

/* Makes a theory without sources and layers. */
NNQM_API int32_t nnqm_theory_create(nnqm_theory** theory);
NNQM_API void nnqm_theory_destroy(nnqm_theory* theory);

/* Adds n independent Ornstein-Uhlenbeck inputs, dy = -omega y dt + sigma dW. omega, sigma: (n), > 0. */
NNQM_API int32_t nnqm_theory_add_ou(nnqm_theory* theory, int64_t n, const double* omega, const double* sigma);

/* Adds a Markov chain, one input, with steps of dt, given by Walker's alias tables: see Chain in nnqm.hpp. values,
 * start_threshold, start_alias: (grids, states); threshold, alias: (grids, states, states), a row per current state. A
 * language without unsigned integers passes signed ones with the same bits. */
NNQM_API int32_t nnqm_theory_add_chain(nnqm_theory* theory, double dt, int64_t states, int64_t grids,
                                       const double* values, const uint32_t* start_threshold,
                                       const uint32_t* start_alias, const uint32_t* threshold, const uint32_t* alias);

/* Adds a Markov chain conditioned to return to its first state after n_times steps of dt, one input: see PeriodicChain
 * in nnqm.hpp. values, start_threshold, start_alias: (grids, states); step_weights: (grids, states, states); remaining:
 * (grids, n_times - 1, states, states). step_weights and remaining are below 2^31. */
NNQM_API int32_t nnqm_theory_add_periodic_chain(nnqm_theory* theory, double dt, int64_t states, int64_t grids,
                                                int64_t n_times, const double* values, const uint32_t* start_threshold,
                                                const uint32_t* start_alias, const uint32_t* step_weights,
                                                const uint32_t* remaining);

/* Adds mean(t) + sum_k theta_k basis_k(t), one input, at the n_times times of the run. mean: (n_times); basis: (modes,
 * n_times). theta is drawn from the density; only Student's t uses nu. If n_rows > 0, each path takes one of rows,
 * (n_rows, modes), as its theta instead; if independent is 1, the row is chosen separately for each mode. */
NNQM_API int32_t nnqm_theory_add_linear(nnqm_theory* theory, int64_t modes, int64_t n_times, const double* mean,
                                        const double* basis, int32_t density, double nu, int64_t n_rows,
                                        const double* rows, int32_t independent);

/* Adds the time as an input, or its absolute value if reflected is 1. */
NNQM_API int32_t nnqm_theory_add_times(nnqm_theory* theory, int32_t reflected);

/* Adds n_points inputs, linear combinations of independent stationary Ornstein-Uhlenbeck processes of variance 1: see
 * Modes in nnqm.hpp. omega: (modes), > 0; matrix: (n_points, modes). */
NNQM_API int32_t nnqm_theory_add_modes(nnqm_theory* theory, int64_t modes, const double* omega, int64_t n_points,
                                       const double* matrix);

/* Adds a field at n_points points of space, one input per point: a sum of waves with random momenta, which `group`
 * successive paths share. See RandomWaves in nnqm.hpp. points: (n_points, space); radius and ratio: NNQM_QUANTILES
 * coefficients, or null for none. With oscillators, 0 or 1, ratio must be null. */
NNQM_API int32_t nnqm_theory_add_random_waves(nnqm_theory* theory, int64_t neurons, int64_t n_points, int64_t space,
                                              const double* points, int32_t oscillators, const double* radius,
                                              const double* ratio, double mass, double amplitude, double power,
                                              int64_t group);

/* Adds the next layer of the network, activation(W y + b). weights: (outputs, inputs); biases: (outputs). */
NNQM_API int32_t nnqm_theory_add_layer(nnqm_theory* theory, int64_t inputs, int64_t outputs, const double* weights,
                                       const double* biases, const char* activation);

/* Makes the parameters of the last added layer random: weights + weight_scales * draw and biases + bias_scales * draw.
 * weight_scales: (outputs, inputs), bias_scales: (outputs), >= 0. Layers without this call keep fixed parameters.
 * `shared`, 0 or 1, matters in a split network: 1 gives both sides of t = 0 the same draws. */
NNQM_API int32_t nnqm_theory_draw_layer(nnqm_theory* theory, int32_t weight_density, double weight_nu,
                                        const double* weight_scales, int32_t bias_density, double bias_nu,
                                        const double* bias_scales, int32_t shared);

/* Paths with the same index / group share random parameters. group divides 64 or is a multiple of it, and the measure
 * must have the same group. split, 0 or 1: 1 makes a network of |t| that is drawn separately for t < 0 and t > 0, see
 * Network in nnqm.hpp. */
NNQM_API int32_t nnqm_theory_set_group(nnqm_theory* theory, int64_t group, int32_t split);

/* Trains the random parameters by gradient descent, each group of paths by itself: see Training in nnqm.hpp. points:
 * (n_points, inputs); targets: (n_points, outputs); weights: (n_points), >= 0, or null for 1. rate > 0. last_layer, 0
 * or 1: 1 trains the last layer only. unit_draws, 0 or 1: 1 descends in the draws, 0 in the parameters. steps = 0
 * removes the training; all other arguments are then ignored. */
NNQM_API int32_t nnqm_theory_set_training(nnqm_theory* theory, int64_t n_points, int64_t inputs, const double* points,
                                          int64_t outputs, const double* targets, const double* weights, double rate,
                                          int64_t steps, int32_t last_layer, int32_t unit_draws);

/* Tabulates a network with one input and fixed parameters for runs and arrays of this precision (see compile() in
 * nnqm.hpp). Precision 0, or another layer, removes the table: the network is evaluated layer by layer again.
 * *compiled, which may be null, receives 1 if there is a table and 0 otherwise. */
NNQM_API int32_t nnqm_theory_compile(nnqm_theory* theory, int32_t precision, int32_t* compiled);

/* The numbers of inputs and of channels. The sources give the inputs; channels are the inputs and the outputs of the
 * network. */
NNQM_API int32_t nnqm_theory_size(const nnqm_theory* theory, int64_t* inputs, int64_t* channels);

/* ---- Measures: the choice of sums. The observable vector of a path at one time is
 *     (1, z_1 .. z_n, h_2(z_1) .. h_{order_1}(z_1), h_2(z_2) .., act(W z + b) - c, products)
 * with z_i = (channel_i - shift_i) / scale_i and h_n = He_n / sqrt(n!). The first 1 + n entries are the linear part, of
 * size G; the whole vector has size F. */

/* Makes a measure without channels, neurons and sums. */
NNQM_API int32_t nnqm_measure_create(nnqm_measure** measure);
NNQM_API void nnqm_measure_destroy(nnqm_measure* measure);

/* Adds the next z. scale > 0; 1 <= order <= 64. */
NNQM_API int32_t nnqm_measure_add_channel(nnqm_measure* measure, int64_t channel, double shift, double scale,
                                          int64_t order);

/* Sets the neurons. weights: (neurons, channels); biases, centres: (neurons). channels must equal the number of
 * channels added. */
NNQM_API int32_t nnqm_measure_set_neurons(nnqm_measure* measure, int64_t channels, int64_t neurons,
                                          const double* weights, const double* biases, const double* centres,
                                          const char* activation);

/* Appends a product of two observables that are there, by their positions in the vector, the constant 0 first. Channels
 * and neurons must be set before. */
NNQM_API int32_t nnqm_measure_add_product(nnqm_measure* measure, int64_t left, int64_t right);

/* Set the lags, in steps of the time grid: strictly increasing, below the number of times, and at least 1 for
 * increments. lags: (n); n = 0 requests none. */
NNQM_API int32_t nnqm_measure_set_lags(nnqm_measure* measure, int64_t n, const int64_t* lags);
NNQM_API int32_t nnqm_measure_set_observable_lags(nnqm_measure* measure, int64_t n, const int64_t* lags);
NNQM_API int32_t nnqm_measure_set_increment_lags(nnqm_measure* measure, int64_t n, const int64_t* lags);

/* Requests the moments (1) or not (0). */
NNQM_API int32_t nnqm_measure_set_moments(nnqm_measure* measure, int32_t asked);

/* Sets the number of successive paths that share random parameters, 1 by default. If it exceeds 1, lag sums have a
 * third matrix. */
NNQM_API int32_t nnqm_measure_set_group(nnqm_measure* measure, int64_t group);

/* Selects the z of the two-time sums, counted from 0 in the order of the added channels; -1 requests none. */
NNQM_API int32_t nnqm_measure_set_two_time(nnqm_measure* measure, int64_t index);

/* ---- Sums over the paths of each block. Sums belong to one measure, which they copy, and to one number of times. */

/* The arrays. A and B are the observables at t and t + lag, over t = 0 .. T - lag - 1. Each array has a leading axis of
 * B blocks. */
enum {
    NNQM_LAGS = 0, /* (B, n_lags, 2, G, G): sum A B^T, sum A A^T + B B^T, of the linear part; with groups (.., 3, G, G)
                    * and sum_{p != q} a_p b_q^T over the distinct paths of each group, a and b the sums of A and B */
    NNQM_OBSERVABLE_LAGS = 1, /* (B, n_observable_lags, 2 or 3, F, F): the same for the whole vector */
    NNQM_INCREMENTS = 2,      /* (B, n, n_increment_lags, 2): sum (z_{t+l} - z_t)^2 and ^4 */
    NNQM_MOMENTS = 3,         /* (B, n, 4): sum of z, z^2, z^3, z^4 over paths and times */
    NNQM_TIME_SUMS = 4,       /* (B, T): sum of z_t of the two-time channel */
    NNQM_TWO_TIME = 5         /* (B, T (T + 1) / 2): sum of z_t z_s, s <= t, row after row */
};

/* Makes sums, zero at first, for the blocks first_block .. first_block + n_blocks - 1 of a run with n_times times. They
 * have the arrays that the measure requests. */
NNQM_API int32_t nnqm_sums_create(nnqm_sums** sums, const nnqm_measure* measure, int64_t n_times, int64_t first_block,
                                  int64_t n_blocks);
NNQM_API void nnqm_sums_destroy(nnqm_sums* sums);

/* Returns the array itself, not a copy. It lives as long as the sums. It may be written, for example to continue from
 * sums that were stored elsewhere. rank: at most 5; shape: (5), of which the first rank entries are used and the others
 * are 1. Any of the three pointers may be null. An array that the measure does not request is an invalid argument. */
NNQM_API int32_t nnqm_sums_array(nnqm_sums* sums, int32_t which, double** data, int32_t* rank, int64_t* shape);

/* paths: (n_blocks), the number of paths summed so far; first_bad: (n_blocks), the index of the first path with a value
 * that is not finite, or -1. Values that are not finite do not stop a call, so check first_bad afterwards. Any of the
 * three pointers may be null. */
NNQM_API int32_t nnqm_sums_counts(nnqm_sums* sums, int64_t** paths, int64_t** first_bad, int64_t* n_blocks);

/* ---- Runs of a theory. */

/* Makes a run, in float32 and on as many threads as OpenMP offers. times: (n_times), strictly increasing. Paths are
 * dealt to n_blocks blocks in tiles of 64. The bits of a path depend on key and on the index of the path, not on the
 * number of paths, blocks or threads. */
NNQM_API int32_t nnqm_run_create(nnqm_run** run, uint64_t key, int64_t n_paths, int64_t n_blocks, int64_t n_times,
                                 const double* times);
NNQM_API void nnqm_run_destroy(nnqm_run* run);

NNQM_API int32_t nnqm_run_set_precision(nnqm_run* run, int32_t precision);

/* 0: as many threads as OpenMP offers; at most 4096. A call never starts more threads than it has work for. */
NNQM_API int32_t nnqm_run_set_threads(nnqm_run* run, int32_t n_threads);

/* In nnqm_sample, `futures` successive paths have the same inputs at the first time and are independent afterwards: see
 * Run in nnqm.hpp. 1 at first, which nnqm_advance requires. */
NNQM_API int32_t nnqm_run_set_futures(nnqm_run* run, int64_t futures);

/* ---- Computation. Arrays are read and written in place; outputs are contiguous. */

/* Samples the theory and adds to the sums, which must have the run's number of times: the blocks first_block ..
 * end_block - 1 of the rounds first_round .. end_round - 1. Round r contains the paths U n_blocks r .. U n_blocks (r +
 * 1) - 1, where U is the larger of 64 and the group. Rounds beyond the last path are empty, so 0 and INT64_MAX request
 * all rounds. Successive rounds give the bits of one call. */
NNQM_API int32_t nnqm_advance(const nnqm_theory* theory, const nnqm_run* run, int64_t first_block, int64_t end_block,
                              int64_t first_round, int64_t end_round, nnqm_sums* sums);

/* Writes the inputs of the paths first_path .. end_path - 1 in the run's precision. Paths beyond the run's n_paths are
 * allowed. shape: (3), which must be (end_path - first_path, n_times, inputs). */
NNQM_API int32_t nnqm_sample(const nnqm_theory* theory, const nnqm_run* run, int64_t first_path, int64_t end_path,
                             const int64_t* shape, void* inputs);

/* Evaluates the theory's network on any paths. The sources of the theory are not used and may be missing. The two
 * arrays must not overlap. input_shape: (3), (paths, times, inputs); input_strides: (3), bytes, of any sign, or null
 * for a contiguous array; output_shape: (3), (paths, times, outputs). */
NNQM_API int32_t nnqm_apply(const nnqm_theory* theory, int32_t precision, const int64_t* input_shape,
                            const int64_t* input_strides, const void* inputs, const int64_t* output_shape,
                            void* outputs, int32_t n_threads);

/* Evaluates a network with random parameters on the paths first_path and following of the run. If the network is split,
 * the times of the run must be the times of the arrays. */
NNQM_API int32_t nnqm_apply_run(const nnqm_theory* theory, const nnqm_run* run, int64_t first_path, int32_t precision,
                                const int64_t* input_shape, const int64_t* input_strides, const void* inputs,
                                const int64_t* output_shape, void* outputs);

/* Writes the random parameters of the groups first_group .. end_group - 1: layer after layer, weights (outputs,
 * inputs), then biases, after their training if there is one. negative = 1 selects the parameters for t < 0. shape:
 * (3), which must be (end_group - first_group, 1, number of parameters). */
NNQM_API int32_t nnqm_draw(const nnqm_theory* theory, uint64_t key, int32_t negative, int64_t first_group,
                           int64_t end_group, int32_t precision, const int64_t* shape, void* parameters);

/* Evaluates the theory's network, whose parameters must be fixed, and its derivatives at points (paths, times, inputs).
 * Arrays as for nnqm_apply. values: (paths, times, outputs), of value_shape; first and second, the first and second
 * derivatives with respect to each input: (paths, times, outputs, inputs). first and second may be null, and second
 * must be if first is. At the kink of relu the derivatives are 0. */
NNQM_API int32_t nnqm_differentiate(const nnqm_theory* theory, int32_t precision, const int64_t* input_shape,
                                    const int64_t* input_strides, const void* inputs, const int64_t* value_shape,
                                    void* values, void* first, void* second, int32_t n_threads);

/* Computes the gradient of the sum over all points of values * f + first * f' + second * f'', where the arrays are
 * weights of the values and derivatives that nnqm_differentiate writes, contiguous and of the same shapes. Null
 * pointers first and second stand for zeros. parameters receives the derivatives with respect to the parameters, in the
 * order of nnqm_draw; parameter_shape: (3), which must be (1, 1, number of parameters). input_gradients receives those
 * with respect to the inputs, contiguous, of input_shape; null requests none. The bits do not depend on n_threads. */
NNQM_API int32_t nnqm_pullback(const nnqm_theory* theory, int32_t precision, const int64_t* input_shape,
                               const int64_t* input_strides, const void* inputs, const int64_t* value_shape,
                               const void* values, const void* first, const void* second,
                               const int64_t* parameter_shape, void* parameters, void* input_gradients,
                               int32_t n_threads);

/* The same for random parameters, on the paths first_path and following of the run: parameters has a row for each group
 * of these paths, and parameter_shape must be (groups, 1, number of parameters). Split networks are refused. */
NNQM_API int32_t nnqm_pullback_run(const nnqm_theory* theory, const nnqm_run* run, int64_t first_path,
                                   int32_t precision, const int64_t* input_shape, const int64_t* input_strides,
                                   const void* inputs, const int64_t* value_shape, const void* values,
                                   const void* first, const void* second, const int64_t* parameter_shape,
                                   void* parameters, void* input_gradients);

/* Adds paths of any origin: the paths offsets[b] .. offsets[b + 1] - 1 go to the b-th block of the sums, and first_path
 * is added to the indices in first_bad. shape: (3), (paths, times, channels); strides: (3), as for nnqm_apply; offsets:
 * (n_offsets), where n_offsets must be the number of blocks plus 1. */
NNQM_API int32_t nnqm_accumulate(nnqm_sums* sums, int32_t precision, const int64_t* shape, const int64_t* strides,
                                 const void* channels, int64_t n_offsets, const int64_t* offsets, int64_t first_path,
                                 int32_t n_threads);

#ifdef __cplusplus
}
#endif

#endif
