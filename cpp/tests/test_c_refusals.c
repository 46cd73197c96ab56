/* Tests of the plain-C interface from C: each mistake of a caller is an error with a message. */
#include <math.h>

#include "c_api.h"

static void refusals(void) {
    const double times[n_times] = {0, 0.1, 0.2, 0.3, 0.4, 0.5}, one = 1, minus = -1;
    const int64_t huge = INT64_MAX;
    nnqm_theory* theory = make_theory();
    nnqm_measure* measure = make_measure();
    nnqm_run* run = make_run(NNQM_FLOAT64);
    nnqm_sums* sums = NULL;
    OK(nnqm_sums_create(&sums, measure, n_times, 0, 1));

    /* Null handles, and null pointers to handles. */
    REFUSED("theory is null", nnqm_theory_create(NULL));
    REFUSED("measure is null", nnqm_measure_create(NULL));
    REFUSED("sums is null", nnqm_sums_create(NULL, measure, n_times, 0, 1));
    REFUSED("run is null", nnqm_run_create(NULL, 1, 1, 1, 1, times));
    REFUSED("theory is null", nnqm_theory_add_ou(NULL, 1, omega, sigma));
    REFUSED("theory is null", nnqm_theory_add_layer(NULL, 1, 1, &one, &one, "tanh"));
    REFUSED("theory is null", nnqm_theory_add_times(NULL, 0));
    REFUSED("theory is null", nnqm_theory_add_modes(NULL, 1, &one, 1, &one));
    REFUSED("theory is null", nnqm_theory_add_random_waves(NULL, 1, 1, 0, NULL, 1, NULL, NULL, 1, 1, 0, 1));
    REFUSED("theory is null", nnqm_theory_add_linear(NULL, 1, 1, &one, &one, NNQM_GAUSSIAN, 0, 0, NULL, 0));
    REFUSED("theory is null", nnqm_theory_add_periodic_chain(NULL, 1, 1, 1, 1, &one, NULL, NULL, NULL, NULL));
    REFUSED("theory is null", nnqm_theory_draw_layer(NULL, NNQM_GAUSSIAN, 0, &one, NNQM_GAUSSIAN, 0, &one, 1));
    REFUSED("theory is null", nnqm_theory_set_group(NULL, 1, 0));
    REFUSED("theory is null", nnqm_theory_compile(NULL, NNQM_FLOAT64, NULL));
    REFUSED("measure is null", nnqm_measure_set_group(NULL, 1));
    REFUSED("theory is null", nnqm_draw(NULL, 1, 0, 0, 1, NNQM_FLOAT64, NULL, NULL));
    REFUSED("theory is null", nnqm_apply_run(NULL, run, 0, NNQM_FLOAT64, NULL, NULL, NULL, NULL, NULL));
    REFUSED("theory is null", nnqm_theory_size(NULL, NULL, NULL));
    REFUSED("measure is null", nnqm_measure_add_channel(NULL, 0, 0, 1, 1));
    REFUSED("measure is null", nnqm_measure_set_neurons(NULL, 1, 1, &one, &one, &one, "tanh"));
    REFUSED("measure is null", nnqm_measure_add_product(NULL, 1, 1));
    REFUSED("measure is null", nnqm_measure_set_lags(NULL, 1, lags));
    REFUSED("measure is null", nnqm_measure_set_observable_lags(NULL, 1, lags));
    REFUSED("measure is null", nnqm_measure_set_increment_lags(NULL, 1, lags));
    REFUSED("measure is null", nnqm_measure_set_moments(NULL, 1));
    REFUSED("measure is null", nnqm_measure_set_two_time(NULL, 0));
    REFUSED("sums is null", nnqm_sums_array(NULL, NNQM_LAGS, NULL, NULL, NULL));
    REFUSED("sums is null", nnqm_sums_counts(NULL, NULL, NULL, NULL));
    REFUSED("run is null", nnqm_run_set_precision(NULL, NNQM_FLOAT64));
    REFUSED("run is null", nnqm_run_set_threads(NULL, 1));
    REFUSED("run is null", nnqm_run_set_futures(NULL, 1));
    REFUSED("theory is null", nnqm_advance(NULL, run, 0, 1, 0, 1, sums));
    REFUSED("run is null", nnqm_advance(theory, NULL, 0, 1, 0, 1, sums));
    REFUSED("sums is null", nnqm_advance(theory, run, 0, 1, 0, 1, NULL));
    nnqm_theory_destroy(NULL);
    nnqm_measure_destroy(NULL);
    nnqm_run_destroy(NULL);
    nnqm_sums_destroy(NULL);

    /* Theories. */
    REFUSED("omega is null", nnqm_theory_add_ou(theory, 1, NULL, sigma));
    REFUSED("sigma is null", nnqm_theory_add_ou(theory, 1, omega, NULL));
    REFUSED("n must lie", nnqm_theory_add_ou(theory, 0, omega, sigma));
    REFUSED("n must lie", nnqm_theory_add_ou(theory, -1, omega, sigma));
    REFUSED("n must lie", nnqm_theory_add_ou(theory, huge, omega, sigma));
    REFUSED("omega is null", nnqm_theory_add_modes(theory, 1, NULL, 1, &one));
    REFUSED("matrix is null", nnqm_theory_add_modes(theory, 1, &one, 1, NULL));
    REFUSED("modes must lie", nnqm_theory_add_modes(theory, 0, &one, 1, &one));
    REFUSED("n_points must lie", nnqm_theory_add_modes(theory, 1, &one, huge, &one));
    REFUSED("neurons must lie", nnqm_theory_add_random_waves(theory, 0, 1, 0, NULL, 1, NULL, NULL, 1, 1, 0, 1));
    REFUSED("n_points must lie", nnqm_theory_add_random_waves(theory, 1, -1, 0, NULL, 1, NULL, NULL, 1, 1, 0, 1));
    REFUSED("space must lie", nnqm_theory_add_random_waves(theory, 1, 1, huge, &one, 1, NULL, NULL, 1, 1, 0, 1));
    REFUSED("points is null", nnqm_theory_add_random_waves(theory, 1, 1, 1, NULL, 1, NULL, NULL, 1, 1, 0, 1));
    REFUSED("oscillators must lie", nnqm_theory_add_random_waves(theory, 1, 1, 0, NULL, 2, NULL, NULL, 1, 1, 0, 1));
    REFUSED("group must lie", nnqm_theory_add_random_waves(theory, 1, 1, 0, NULL, 1, NULL, NULL, 1, 1, 0, 0));
    REFUSED("inputs must lie", nnqm_theory_add_layer(theory, 0, 1, &one, &one, "tanh"));
    REFUSED("outputs must lie", nnqm_theory_add_layer(theory, 1, huge, &one, &one, "tanh"));
    REFUSED("weights is null", nnqm_theory_add_layer(theory, 1, 1, NULL, &one, "tanh"));
    REFUSED("biases is null", nnqm_theory_add_layer(theory, 1, 1, &one, NULL, "tanh"));
    REFUSED("activation is null", nnqm_theory_add_layer(theory, 1, 1, &one, &one, NULL));

    /* Values, and whether parts fit, are checked by the calls that compute. */
    double y[n_paths * n_times * 2], x[n_paths * n_times];
    const int64_t y_shape[3] = {n_paths, n_times, 2}, x_shape[3] = {n_paths, n_times, 1};
    nnqm_theory* other = NULL;
    OK(nnqm_theory_create(&other));
    REFUSED("source", nnqm_sample(other, run, 0, n_paths, x_shape, x));
    REFUSED("no layers", nnqm_apply(other, NNQM_FLOAT64, x_shape, NULL, x, y_shape, y, 1));
    OK(nnqm_theory_add_ou(other, 1, &minus, &one));
    REFUSED("positive", nnqm_sample(other, run, 0, n_paths, x_shape, x));
    nnqm_theory_destroy(other);
    OK(nnqm_theory_create(&other));
    OK(nnqm_theory_add_ou(other, 1, &one, &one));
    OK(nnqm_theory_add_layer(other, 1, 1, &one, &one, "tahn"));
    REFUSED("tahn", nnqm_sample(other, run, 0, n_paths, x_shape, x));
    nnqm_theory_destroy(other);

    /* Measures. */
    nnqm_measure* m = NULL;
    OK(nnqm_measure_create(&m));
    nnqm_sums* none = sums;
    REFUSED("no channels", nnqm_sums_create(&none, m, n_times, 0, 1));
    CHECK(none == NULL);
    REFUSED("channel must lie", nnqm_measure_add_channel(m, -1, 0, 1, 1));
    REFUSED("channel must lie", nnqm_measure_add_channel(m, huge, 0, 1, 1));
    REFUSED("order must lie", nnqm_measure_add_channel(m, 0, 0, 1, 0));
    REFUSED("order must lie", nnqm_measure_add_channel(m, 0, 0, 1, 65));
    REFUSED("lags is null", nnqm_measure_set_lags(m, 2, NULL));
    REFUSED("number of lags", nnqm_measure_set_lags(m, -1, lags));
    OK(nnqm_measure_set_lags(m, 0, NULL));
    REFUSED("asked", nnqm_measure_set_moments(m, 2));
    REFUSED("index", nnqm_measure_set_two_time(m, -2));
    REFUSED("centres is null", nnqm_measure_set_neurons(m, 1, 1, &one, &one, NULL, "tanh"));
    REFUSED("left", nnqm_measure_add_product(m, 0, 1));
    OK(nnqm_measure_add_channel(m, 0, 0, 1, 1));
    REFUSED("right", nnqm_measure_add_product(m, 1, huge));
    OK(nnqm_measure_set_two_time(m, 1));
    REFUSED("two_time", nnqm_sums_create(&none, m, n_times, 0, 1));
    OK(nnqm_measure_set_two_time(m, -1));

    /* Sums. */
    REFUSED("measure is null", nnqm_sums_create(&none, NULL, n_times, 0, 1));
    REFUSED("n_times", nnqm_sums_create(&none, m, 0, 0, 1));
    REFUSED("n_times", nnqm_sums_create(&none, m, huge, 0, 1));
    REFUSED("first_block", nnqm_sums_create(&none, m, n_times, -1, 1));
    REFUSED("n_blocks", nnqm_sums_create(&none, m, n_times, 0, 0));
    REFUSED("n_blocks", nnqm_sums_create(&none, m, n_times, 0, huge));
    OK(nnqm_measure_set_moments(m, 1));
#ifndef NNQM_SANITIZED /* sanitizers end the program when memory runs out */
    CHECK(nnqm_sums_create(&none, m, n_times, 0, huge >> 9) == NNQM_OUT_OF_MEMORY && none == NULL &&
          *nnqm_last_error());
#endif
    int64_t many[16];
    for (int i = 0; i < 16; ++i) many[i] = i;
    OK(nnqm_measure_set_lags(m, 16, many));
    CHECK(nnqm_sums_create(&none, m, n_times, 0, huge >> 9) == NNQM_OUT_OF_MEMORY && none == NULL &&
          *nnqm_last_error());
    OK(nnqm_measure_set_lags(m, 0, NULL));
    OK(nnqm_sums_create(&none, m, n_times, 0, 1));
    REFUSED("does not request", nnqm_sums_array(none, NNQM_LAGS, NULL, NULL, NULL));
    REFUSED("which", nnqm_sums_array(none, 6, NULL, NULL, NULL));
    REFUSED("which", nnqm_sums_array(none, -1, NULL, NULL, NULL));
    nnqm_sums_destroy(none);

    /* Runs. */
    nnqm_run* r = run;
    REFUSED("times is null", nnqm_run_create(&r, 1, 1, 1, n_times, NULL));
    CHECK(r == NULL);
    REFUSED("n_paths", nnqm_run_create(&r, 1, 0, 1, n_times, times));
    REFUSED("n_paths", nnqm_run_create(&r, 1, huge, 1, n_times, times));
    REFUSED("n_blocks", nnqm_run_create(&r, 1, 1, 0, n_times, times));
    REFUSED("n_times", nnqm_run_create(&r, 1, 1, 1, 0, times));
    REFUSED("precision", nnqm_run_set_precision(run, 2));
    REFUSED("n_threads", nnqm_run_set_threads(run, -1));
    REFUSED("n_threads", nnqm_run_set_threads(run, INT32_MAX));
    REFUSED("futures", nnqm_run_set_futures(run, 0));

    /* advance. */
    REFUSED("blocks", nnqm_advance(theory, run, 0, 2, 0, 1, sums));
    REFUSED("blocks", nnqm_advance(theory, run, 0, 0, 0, 1, sums));
    REFUSED("blocks", nnqm_advance(theory, run, INT64_MIN, huge, 0, 1, sums));
    REFUSED("rounds", nnqm_advance(theory, run, 0, 1, -1, 1, sums));
    REFUSED("rounds", nnqm_advance(theory, run, 0, 1, 2, 1, sums));
    OK(nnqm_advance(theory, run, 0, 1, huge - 1, huge, sums));
    OK(nnqm_run_create(&r, 1, n_paths, 1, n_times - 1, times));
    REFUSED("5 times, but the sums are for 6", nnqm_advance(theory, r, 0, 1, 0, 1, sums));
    nnqm_run_destroy(r);
    const double backwards[n_times] = {0, 0.1, 0.3, 0.2, 0.4, 0.5};
    OK(nnqm_run_create(&r, 1, n_paths, 1, n_times, backwards));
    REFUSED("strictly increasing", nnqm_advance(theory, r, 0, 1, 0, 1, sums));
    nnqm_run_destroy(r);
    OK(nnqm_run_create(&r, 1, huge >> 9, 1, n_times, times));
    REFUSED("blocks", nnqm_advance(theory, r, 1, 2, 0, 1, sums));
    nnqm_run_destroy(r);

    /* Products of sizes that overflow although each size is accepted. */
    double grid[256];
    for (int i = 0; i < 256; ++i) grid[i] = i;
    OK(nnqm_sums_create(&none, m, 256, 0, 1));
    OK(nnqm_run_create(&r, 1, huge >> 9, 1, 256, grid));
    REFUSED("n_paths * n_times: the product of the sizes overflows", nnqm_advance(theory, r, 0, 1, 0, 1, none));
    nnqm_run_destroy(r);
    nnqm_sums_destroy(none);
    OK(nnqm_theory_create(&other));
    OK(nnqm_theory_add_ou(other, 1, &one, &one));
    OK(nnqm_theory_add_layer(other, 1, 1, &one, &one, "tanh"));
    OK(nnqm_theory_draw_layer(other, NNQM_GAUSSIAN, 0, &one, NNQM_GAUSSIAN, 0, &one, 1));
    OK(nnqm_theory_set_group(other, (int64_t)1 << 40, 0));
    OK(nnqm_measure_set_group(m, (int64_t)1 << 40));
    OK(nnqm_sums_create(&none, m, n_times, huge >> 10, 1));
    OK(nnqm_run_create(&r, 1, (int64_t)1 << 40, huge >> 9, n_times, times));
    REFUSED("n_blocks * group: the product", nnqm_advance(other, r, huge >> 10, (huge >> 10) + 1, 0, 1, none));
    OK(nnqm_measure_set_group(m, 1));
    nnqm_run_destroy(r);
    nnqm_sums_destroy(none);
    nnqm_theory_destroy(other);

    /* Arrays. */
    const int64_t zero[3] = {0, n_times, 2}, negative[3] = {n_paths, -1, 2}, flat[3] = {n_paths, n_times, 0};
    const int64_t large[3] = {huge / 2, n_times, 2}, wide[3] = {n_paths, n_times, huge / 100000}, far[3] = {huge, 8, 8};
    REFUSED("shape is null", nnqm_sample(theory, run, 0, n_paths, NULL, y));
    REFUSED("inputs is null", nnqm_sample(theory, run, 0, n_paths, y_shape, NULL));
    REFUSED("aligned", nnqm_sample(theory, run, 0, n_paths, y_shape, (char*)y + 1));
    REFUSED("shape", nnqm_sample(theory, run, 0, n_paths, x_shape, y));
    REFUSED("shape", nnqm_sample(theory, run, 0, n_paths - 1, y_shape, y));
    REFUSED("shape", nnqm_sample(theory, run, 0, 0, zero, y));
    REFUSED("first_path", nnqm_sample(theory, run, -1, n_paths - 1, y_shape, y));
    REFUSED("first_path", nnqm_sample(theory, run, huge - n_paths, huge, y_shape, y));
    REFUSED("end_path", nnqm_sample(theory, run, 0, huge, y_shape, y));
    REFUSED("precision", nnqm_apply(theory, 0, y_shape, NULL, y, x_shape, x, 1));
    REFUSED("input shape is null", nnqm_apply(theory, NNQM_FLOAT64, NULL, NULL, y, x_shape, x, 1));
    REFUSED("input is null", nnqm_apply(theory, NNQM_FLOAT64, y_shape, NULL, NULL, x_shape, x, 1));
    REFUSED("output shape is null", nnqm_apply(theory, NNQM_FLOAT64, y_shape, NULL, y, NULL, x, 1));
    REFUSED("output is null", nnqm_apply(theory, NNQM_FLOAT64, y_shape, NULL, y, x_shape, NULL, 1));
    REFUSED("shapes", nnqm_apply(theory, NNQM_FLOAT64, x_shape, NULL, y, x_shape, x, 1));
    REFUSED("shapes", nnqm_apply(theory, NNQM_FLOAT64, y_shape, NULL, y, y_shape, y, 1));
    REFUSED("n_threads", nnqm_apply(theory, NNQM_FLOAT64, y_shape, NULL, y, x_shape, x, -1));
    REFUSED("positive", nnqm_apply(theory, NNQM_FLOAT64, zero, NULL, y, zero, x, 1));
    REFUSED("positive", nnqm_apply(theory, NNQM_FLOAT64, negative, NULL, y, negative, x, 1));
    REFUSED("overflows", nnqm_apply(theory, NNQM_FLOAT64, large, NULL, y, x_shape, x, 1));
    REFUSED("overflows", nnqm_apply(theory, NNQM_FLOAT64, y_shape, far, y, x_shape, x, 1));
    OK(nnqm_theory_create(&other));
    OK(nnqm_theory_add_layer(other, 2, 4, weights_1, biases_1, "tanh"));
    OK(nnqm_theory_add_layer(other, 2, 1, weights_2, biases_2, "tanh"));
    REFUSED("layer 1", nnqm_apply(other, NNQM_FLOAT64, y_shape, NULL, y, x_shape, x, 1));
    nnqm_theory_destroy(other);

    /* accumulate: three channels are measured. */
    double channels[20 * n_times * 3] = {0};
    const int64_t shape[3] = {20, n_times, 3}, offsets[2] = {0, 20}, beyond[2] = {0, 21}, falling[2] = {10, 5};
    const int64_t longer[3] = {15, n_times + 2, 3}, two[3] = {20, n_times, 2};
    REFUSED("sums is null", nnqm_accumulate(NULL, NNQM_FLOAT64, shape, NULL, channels, 2, offsets, 0, 1));
    REFUSED("channels shape is null", nnqm_accumulate(sums, NNQM_FLOAT64, NULL, NULL, channels, 2, offsets, 0, 1));
    REFUSED("channels is null", nnqm_accumulate(sums, NNQM_FLOAT64, shape, NULL, NULL, 2, offsets, 0, 1));
    REFUSED("offsets is null", nnqm_accumulate(sums, NNQM_FLOAT64, shape, NULL, channels, 2, NULL, 0, 1));
    REFUSED("n_blocks + 1", nnqm_accumulate(sums, NNQM_FLOAT64, shape, NULL, channels, 1, offsets, 0, 1));
    REFUSED("n_blocks + 1", nnqm_accumulate(sums, NNQM_FLOAT64, shape, NULL, channels, huge, offsets, 0, 1));
    REFUSED("offsets", nnqm_accumulate(sums, NNQM_FLOAT64, shape, NULL, channels, 2, beyond, 0, 1));
    REFUSED("offsets", nnqm_accumulate(sums, NNQM_FLOAT64, shape, NULL, channels, 2, falling, 0, 1));
    REFUSED("first_path", nnqm_accumulate(sums, NNQM_FLOAT64, shape, NULL, channels, 2, offsets, -1, 1));
    REFUSED("8 times", nnqm_accumulate(sums, NNQM_FLOAT64, longer, NULL, channels, 2, offsets, 0, 1));
    REFUSED("does not exist", nnqm_accumulate(sums, NNQM_FLOAT64, two, NULL, channels, 2, offsets, 0, 1));
    REFUSED("positive", nnqm_accumulate(sums, NNQM_FLOAT64, flat, NULL, channels, 2, offsets, 0, 1));
    REFUSED("number of channels", nnqm_accumulate(sums, NNQM_FLOAT64, wide, NULL, channels, 2, offsets, 0, 1));
    REFUSED("precision", nnqm_accumulate(sums, 16, shape, NULL, channels, 2, offsets, 0, 1));

    /* No refused call changed the sums. Unaligned arrays can be read, and values that are not finite are recorded. */
    int64_t *paths = NULL, *first_bad = NULL;
    OK(nnqm_sums_counts(sums, &paths, &first_bad, NULL));
    CHECK(paths[0] == 0 && first_bad[0] == -1);
    char shifted[sizeof channels + 1];
    channels[7 * n_times * 3] = NAN;
    memcpy(shifted + 1, channels, sizeof channels);
    OK(nnqm_accumulate(sums, NNQM_FLOAT64, shape, NULL, shifted + 1, 2, offsets, 100, 1));
    CHECK(paths[0] == 20 && first_bad[0] == 107);

    /* Lags beyond the path are detected where the sums are used. */
    OK(nnqm_measure_set_lags(measure, 1, &huge));
    OK(nnqm_sums_create(&none, measure, n_times, 0, 1));
    REFUSED("lags", nnqm_advance(theory, run, 0, 1, 0, 1, none));
    nnqm_sums_destroy(none);

    nnqm_measure_destroy(m);
    nnqm_sums_destroy(sums);
    nnqm_run_destroy(run);
    nnqm_measure_destroy(measure);
    nnqm_theory_destroy(theory);
}

/* NNQM_LEVEL is nonsense in the environment of this test. */
static void impossible_level(void) {
    const int64_t y_shape[3] = {n_paths, n_times, 2}, x_shape[3] = {n_paths, n_times, 1}, offsets[2] = {0, n_paths};
    double y[n_paths * n_times * 2] = {0}, x[n_paths * n_times];
    nnqm_theory* theory = make_theory();
    nnqm_run* run = make_run(NNQM_FLOAT64);
    nnqm_measure* measure = NULL;
    nnqm_sums* sums = NULL;
    OK(nnqm_measure_create(&measure));
    OK(nnqm_measure_add_channel(measure, 0, 0, 1, 1));
    OK(nnqm_measure_set_moments(measure, 1));
    OK(nnqm_sums_create(&sums, measure, n_times, 0, 1));
    REFUSED("NNQM_LEVEL", nnqm_build_info(NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    REFUSED("NNQM_LEVEL", nnqm_sample(theory, run, 0, n_paths, y_shape, y));
    REFUSED("NNQM_LEVEL", nnqm_apply(theory, NNQM_FLOAT64, y_shape, NULL, y, x_shape, x, 2));
    REFUSED("NNQM_LEVEL", nnqm_advance(theory, run, 0, 1, 0, 1, sums));
    REFUSED("NNQM_LEVEL", nnqm_accumulate(sums, NNQM_FLOAT64, y_shape, NULL, y, 2, offsets, 0, 1));
    nnqm_sums_destroy(sums);
    nnqm_measure_destroy(measure);
    nnqm_run_destroy(run);
    nnqm_theory_destroy(theory);
}

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "impossible-level") == 0) impossible_level();
    else refusals();
    printf("%d failures\n", failures);
    return failures != 0;
}
