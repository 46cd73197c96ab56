/* Tools of the tests of the plain-C interface: checks, and a theory, a measure and a run. */
#ifndef NNQM_TESTS_C_API_H
#define NNQM_TESTS_C_API_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nnqm/nnqm.h"

static int failures = 0;

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            printf("line %d: %s; %s\n", __LINE__, #condition, nnqm_last_error()); \
            ++failures;                                                           \
        }                                                                         \
    } while (0)

#define OK(call) CHECK((call) == NNQM_OK)

/* The call must be refused as an invalid argument, with a message that contains the part. */
#define REFUSED(part, call)                                                                           \
    do {                                                                                              \
        const int32_t status = (call);                                                                \
        if (status != NNQM_INVALID_ARGUMENT || !strstr(nnqm_last_error(), part)) {                    \
            printf("line %d: %s gave %d, \"%s\"\n", __LINE__, #call, (int)status, nnqm_last_error()); \
            ++failures;                                                                               \
        }                                                                                             \
    } while (0)

enum { n_paths = 200, n_times = 6, n_lags = 3 };

static const double omega[2] = {1, 2}, sigma[2] = {1, 0.5};
static const double weights_1[8] = {0.5, -1, 2, 0.3, 1, 1, -0.7, 0.2}, biases_1[4] = {0, 0.1, -0.2, 0.3};
static const double weights_2[4] = {1, -1, 0.5, 2}, biases_2[1] = {0.25};
static const int64_t lags[n_lags] = {0, 1, 4};

static nnqm_theory* make_theory(void) {
    nnqm_theory* theory = NULL;
    OK(nnqm_theory_create(&theory));
    OK(nnqm_theory_add_ou(theory, 2, omega, sigma));
    OK(nnqm_theory_add_layer(theory, 2, 4, weights_1, biases_1, "tanh"));
    OK(nnqm_theory_add_layer(theory, 4, 1, weights_2, biases_2, "identity"));
    return theory;
}

/* A measure that requests every sum. */
static nnqm_measure* make_measure(void) {
    const double weights[6] = {1, -1, 0.5, 0.5, 2, 0}, biases[3] = {0, 1, -1}, centres[3] = {0, 0.5, -0.5};
    nnqm_measure* measure = NULL;
    OK(nnqm_measure_create(&measure));
    OK(nnqm_measure_add_channel(measure, 2, 0.25, 1.5, 3));
    OK(nnqm_measure_add_channel(measure, 0, 0, 1, 1));
    OK(nnqm_measure_set_neurons(measure, 2, 3, weights, biases, centres, "sin"));
    OK(nnqm_measure_add_product(measure, 1, 2));
    OK(nnqm_measure_set_lags(measure, n_lags, lags));
    OK(nnqm_measure_set_observable_lags(measure, 2, lags));
    OK(nnqm_measure_set_increment_lags(measure, 2, lags + 1));
    OK(nnqm_measure_set_moments(measure, 1));
    OK(nnqm_measure_set_two_time(measure, 1));
    return measure;
}

static nnqm_run* make_run(int32_t precision) {
    const double times[n_times] = {0, 0.1, 0.2, 0.3, 0.4, 0.5};
    nnqm_run* run = NULL;
    OK(nnqm_run_create(&run, 7, n_paths, 1, n_times, times));
    OK(nnqm_run_set_precision(run, precision));
    OK(nnqm_run_set_threads(run, 2));
    return run;
}

#endif
