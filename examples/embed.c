/* The two-point function of the Ornstein-Uhlenbeck process from a C program, compared with the exact result.
 *
 * With nnqm installed as a shared library:  cc embed.c -lnnqm -lm -o embed */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include <nnqm/nnqm.h>

enum { n_times = 64, n_blocks = 128, n_lags = 6 };

static int failed(void) {
    fprintf(stderr, "nnqm: %s\n", nnqm_last_error());
    return 1;
}

int main(void) {
    const double omega = 1, sigma = 1, dt = 0.2;
    const int64_t lags[n_lags] = {0, 1, 2, 5, 10, 15};
    double times[n_times];
    for (int t = 0; t < n_times; ++t) times[t] = dt * t;

    if (nnqm_abi_version() / 1000 != NNQM_ABI_MAJOR || nnqm_abi_version() < NNQM_ABI_VERSION) {
        fprintf(stderr, "nnqm: the library has version %" PRId32 " of the interface; %d is required\n",
                nnqm_abi_version(), NNQM_ABI_VERSION);
        return 1;
    }

    nnqm_theory* theory = NULL;
    nnqm_measure* measure = NULL;
    nnqm_run* run = NULL;
    nnqm_sums* sums = NULL;
    if (nnqm_theory_create(&theory) || nnqm_theory_add_ou(theory, 1, &omega, &sigma)) return failed();
    /* Shift 0 and scale 1: z is the input. */
    if (nnqm_measure_create(&measure) || nnqm_measure_add_channel(measure, 0, 0.0, 1.0, 1) ||
        nnqm_measure_set_lags(measure, n_lags, lags))
        return failed();
    if (nnqm_run_create(&run, 1, 100000, n_blocks, n_times, times)) return failed();
    if (nnqm_sums_create(&sums, measure, n_times, 0, n_blocks)) return failed();
    if (nnqm_advance(theory, run, 0, n_blocks, 0, INT64_MAX, sums)) return failed();

    double* data;
    int64_t* paths;
    int64_t* first_bad;
    if (nnqm_sums_array(sums, NNQM_LAGS, &data, NULL, NULL) || nnqm_sums_counts(sums, &paths, &first_bad, NULL))
        return failed();

    int wrong = 0;
    printf("   t      measured      error      exact   pull\n");
    for (int k = 0; k < n_lags; ++k) {
        /* data has shape (n_blocks, n_lags, 2, 2, 2). The sum of z_t z_{t+lag} is the element (1, 1) of the first
         * matrix. Blocks are independent, so their spread gives the error. */
        double mean = 0, square = 0;
        for (int b = 0; b < n_blocks; ++b) {
            const double value = data[(b * n_lags + k) * 8 + 3] / ((double)paths[b] * (double)(n_times - lags[k]));
            mean += value / n_blocks;
            square += value * value / n_blocks;
        }
        const double error = sqrt((square - mean * mean) / (n_blocks - 1));
        const double exact = sigma * sigma / (2 * omega) * exp(-omega * dt * (double)lags[k]);
        const double pull = (mean - exact) / error;
        printf("%4.1f   %11.6f   %8.6f   %8.6f   %+4.1f\n", dt * (double)lags[k], mean, error, exact, pull);
        wrong += fabs(pull) > 5;
    }
    nnqm_sums_destroy(sums);
    nnqm_run_destroy(run);
    nnqm_measure_destroy(measure);
    nnqm_theory_destroy(theory);
    return wrong > 0;
}
