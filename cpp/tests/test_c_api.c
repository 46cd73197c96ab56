/* Tests of the plain-C interface from C: its results equal the results of its stages in turn. */
#include <math.h>

#include "c_api.h"

/* advance gives the bits of sample, apply and accumulate in turn, for every sum, and shapes are as documented. */
static void stages_equal_the_fused_call(int32_t precision) {
    nnqm_theory* theory = make_theory();
    nnqm_measure* measure = make_measure();
    nnqm_run* run = make_run(precision);
    nnqm_sums *fused = NULL, *staged = NULL;
    OK(nnqm_sums_create(&fused, measure, n_times, 0, 1));
    OK(nnqm_sums_create(&staged, measure, n_times, 0, 1));
    OK(nnqm_advance(theory, run, 0, 1, 0, INT64_MAX, fused));

    int64_t inputs = 0, channels = 0;
    OK(nnqm_theory_size(theory, &inputs, &channels));
    CHECK(inputs == 2 && channels == 3);
    const size_t item = (size_t)precision, points = (size_t)n_paths * n_times;
    char* y = malloc(points * 2 * item);
    char* x = malloc(points * item);
    char* all = malloc(points * 3 * item);
    const int64_t y_shape[3] = {n_paths, n_times, 2}, x_shape[3] = {n_paths, n_times, 1},
                  all_shape[3] = {n_paths, n_times, 3};
    OK(nnqm_sample(theory, run, 0, n_paths, y_shape, y));
    OK(nnqm_apply(theory, precision, y_shape, NULL, y, x_shape, x, 2));
    /* Stored as (path, channel, time), so that strides are used. */
    for (size_t i = 0; i < points; ++i) {
        char* path = all + i / n_times * n_times * 3 * item + i % n_times * item;
        memcpy(path, y + 2 * i * item, item);
        memcpy(path + n_times * item, y + (2 * i + 1) * item, item);
        memcpy(path + 2 * n_times * item, x + i * item, item);
    }
    const int64_t strides[3] = {n_times * 3 * (int64_t)item, (int64_t)item, n_times * (int64_t)item};
    const int64_t offsets[2] = {0, n_paths};
    OK(nnqm_accumulate(staged, precision, all_shape, strides, all, 2, offsets, 0, 1));

    const int64_t g = 3, f = 9;
    const int64_t expected[6][5] = {{1, n_lags, 2, g, g},  {1, 2, 2, f, f},
                                    {1, 2, 2, 2, 1},       {1, 2, 4, 1, 1},
                                    {1, n_times, 1, 1, 1}, {1, n_times * (n_times + 1) / 2, 1, 1, 1}};
    const int32_t ranks[6] = {5, 5, 4, 3, 2, 2};
    for (int32_t which = NNQM_LAGS; which <= NNQM_TWO_TIME; ++which) {
        double *a = NULL, *b = NULL;
        int32_t rank = 0;
        int64_t shape[5] = {0}, size = 1;
        OK(nnqm_sums_array(fused, which, &a, &rank, shape));
        OK(nnqm_sums_array(staged, which, &b, NULL, NULL));
        CHECK(rank == ranks[which]);
        CHECK(memcmp(shape, expected[which], sizeof shape) == 0);
        for (int axis = 0; axis < 5; ++axis) size *= shape[axis];
        CHECK(memcmp(a, b, (size_t)size * sizeof(double)) == 0);
        CHECK(a[size - 1] != 0);
    }
    int64_t *paths = NULL, *first_bad = NULL, n_blocks = 0;
    OK(nnqm_sums_counts(fused, &paths, &first_bad, &n_blocks));
    CHECK(n_blocks == 1 && paths[0] == n_paths && first_bad[0] == -1);
    double* moments = NULL;
    OK(nnqm_sums_array(fused, NNQM_MOMENTS, &moments, NULL, NULL));
    /* The second z is an oscillator with <y^2> = 1/2. 200 paths suffice to detect a wrong channel or scale. */
    CHECK(fabs(moments[5] / (n_paths * n_times) - 0.5) < 0.15);

    free(all);
    free(x);
    free(y);
    nnqm_sums_destroy(staged);
    nnqm_sums_destroy(fused);
    nnqm_run_destroy(run);
    nnqm_measure_destroy(measure);
    nnqm_theory_destroy(theory);
}

/* A chain of two states, 0 and 1, that swap at every step. */
static void chains(void) {
    const double values[2] = {-1, 1}, times[4] = {0, 0.5, 1, 1.5};
    const uint32_t never[2] = {0, 0}, half[2] = {1u << 31, 1u << 31}, other[2] = {1, 0};
    /* Row 0 always goes to 1, row 1 to 0. */
    const uint32_t threshold[4] = {0, 0, 0, 0}, alias[4] = {1, 1, 0, 0};
    nnqm_theory* theory = NULL;
    nnqm_run* run = NULL;
    OK(nnqm_theory_create(&theory));
    OK(nnqm_theory_add_chain(theory, 0.5, 2, 1, values, half, other, threshold, alias));
    OK(nnqm_run_create(&run, 3, 100, 1, 4, times));
    OK(nnqm_run_set_precision(run, NNQM_FLOAT64));
    double y[400];
    const int64_t shape[3] = {100, 4, 1};
    OK(nnqm_sample(theory, run, 0, 100, shape, y));
    int up = 0;
    for (int p = 0; p < 100; ++p) {
        up += y[4 * p] > 0;
        CHECK(fabs(y[4 * p]) == 1);
        for (int t = 1; t < 4; ++t) CHECK(y[4 * p + t] == -y[4 * p + t - 1]);
    }
    CHECK(up > 25 && up < 75);
    REFUSED("states", nnqm_theory_add_chain(theory, 0.5, 0, 1, values, half, other, threshold, alias));
    REFUSED("grids", nnqm_theory_add_chain(theory, 0.5, 2, 0, values, half, other, threshold, alias));
    REFUSED("alias is null", nnqm_theory_add_chain(theory, 0.5, 2, 1, values, half, other, threshold, NULL));
    OK(nnqm_theory_add_chain(theory, 0.4, 2, 1, values, never, other, threshold, alias));
    const int64_t two[3] = {50, 4, 2};
    REFUSED("step of the chain", nnqm_sample(theory, run, 0, 50, two, y));
    nnqm_run_destroy(run);
    nnqm_theory_destroy(theory);
}

/* A network drawn for each of 25 groups of 8 paths, with a fixed first layer. The stages equal the fused call, each lag
 * has its third matrix, and the outputs use the parameters returned by draw. */
static void random_parameters(void) {
    const double scales_2[4] = {1, 1, 0.5, 0}, bias_scales_2[1] = {0.1};
    nnqm_theory* theory = make_theory();
    nnqm_measure* measure = make_measure();
    nnqm_run* run = make_run(NNQM_FLOAT64);
    nnqm_sums *fused = NULL, *staged = NULL;
    REFUSED("weight_scales is null",
            nnqm_theory_draw_layer(theory, NNQM_LAPLACE, 0, NULL, NNQM_STUDENT_T, 3, bias_scales_2, 1));
    REFUSED("density must lie", nnqm_theory_draw_layer(theory, 5, 0, scales_2, NNQM_STUDENT_T, 3, bias_scales_2, 1));
    REFUSED("shared must lie",
            nnqm_theory_draw_layer(theory, NNQM_LAPLACE, 0, scales_2, NNQM_STUDENT_T, 3, bias_scales_2, 2));
    OK(nnqm_theory_draw_layer(theory, NNQM_LAPLACE, 0, scales_2, NNQM_STUDENT_T, 3, bias_scales_2, 1));
    REFUSED("group must lie", nnqm_theory_set_group(theory, 0, 0));
    REFUSED("split must lie", nnqm_theory_set_group(theory, 8, 2));
    OK(nnqm_theory_set_group(theory, 8, 0));
    OK(nnqm_measure_set_group(measure, 8));
    OK(nnqm_sums_create(&fused, measure, n_times, 0, 1));
    OK(nnqm_sums_create(&staged, measure, n_times, 0, 1));
    OK(nnqm_advance(theory, run, 0, 1, 0, INT64_MAX, fused));

    static double y[n_paths * n_times * 2], x[n_paths * n_times], all[n_paths * n_times * 3], drawn[25 * 17];
    const int64_t y_shape[3] = {n_paths, n_times, 2}, x_shape[3] = {n_paths, n_times, 1},
                  all_shape[3] = {n_paths, n_times, 3};
    const int64_t drawn_shape[3] = {25, 1, 17}, offsets[2] = {0, n_paths};
    OK(nnqm_sample(theory, run, 0, n_paths, y_shape, y));
    OK(nnqm_apply_run(theory, run, 0, NNQM_FLOAT64, y_shape, NULL, y, x_shape, x));
    REFUSED("run", nnqm_apply(theory, NNQM_FLOAT64, y_shape, NULL, y, x_shape, x, 2));
    REFUSED("first_path", nnqm_apply_run(theory, run, -1, NNQM_FLOAT64, y_shape, NULL, y, x_shape, x));
    for (int i = 0; i < n_paths * n_times; ++i) {
        memcpy(all + 3 * i, y + 2 * i, 2 * sizeof(double));
        all[3 * i + 2] = x[i];
    }
    OK(nnqm_accumulate(staged, NNQM_FLOAT64, all_shape, NULL, all, 2, offsets, 0, 1));
    double *a = NULL, *b = NULL;
    int64_t shape[5] = {0};
    OK(nnqm_sums_array(fused, NNQM_LAGS, &a, NULL, shape));
    OK(nnqm_sums_array(staged, NNQM_LAGS, &b, NULL, NULL));
    CHECK(shape[2] == 3 && memcmp(a, b, n_lags * 3 * 9 * sizeof(double)) == 0);
    /* 25 groups with 8 * 7 pairs of distinct paths each, and 6 * 6 pairs of times. */
    CHECK(a[2 * 9] == 25 * 56 * 36);

    OK(nnqm_draw(theory, 7, 0, 0, 25, NNQM_FLOAT64, drawn_shape, drawn));
    REFUSED("shape", nnqm_draw(theory, 7, 0, 0, 24, NNQM_FLOAT64, drawn_shape, drawn));
    REFUSED("negative must lie", nnqm_draw(theory, 7, 3, 0, 25, NNQM_FLOAT64, drawn_shape, drawn));
    REFUSED("first_group", nnqm_draw(theory, 7, 0, -1, 24, NNQM_FLOAT64, drawn_shape, drawn));
    double worst = 0, spread = 0;
    for (int p = 0; p < n_paths; ++p) {
        const double* own = drawn + p / 8 * 17;
        spread += fabs(own[12] - weights_2[0]);
        CHECK(memcmp(own, weights_1, sizeof weights_1) == 0 && own[15] == weights_2[3]);
        for (int t = 0; t < n_times; ++t) {
            const double* in = y + (p * n_times + t) * 2;
            double sum = own[16];
            for (int k = 0; k < 4; ++k)
                sum += own[12 + k] * tanh(own[2 * k] * in[0] + own[2 * k + 1] * in[1] + own[8 + k]);
            worst = fmax(worst, fabs(sum - x[p * n_times + t]));
        }
    }
    CHECK(worst < 1e-13 && spread > 10);
    REFUSED("group of the theory", (nnqm_theory_set_group(theory, 4, 0), nnqm_advance(theory, run, 0, 1, 0, 1, fused)));
    nnqm_sums_destroy(staged);
    nnqm_sums_destroy(fused);
    nnqm_run_destroy(run);
    nnqm_measure_destroy(measure);
    nnqm_theory_destroy(theory);
}

/* One step of descent of w t + b at one point, by its formula; and its removal. */
static void trained_parameters(void) {
    const double one[1] = {1}, zero[1] = {0}, point[1] = {3}, target[1] = {2}, weight[1] = {0.5}, bad[1] = {-1};
    const int64_t shape[3] = {40, 1, 2};
    double before[80], after[80];
    nnqm_theory* theory = NULL;
    OK(nnqm_theory_create(&theory));
    OK(nnqm_theory_add_times(theory, 0));
    OK(nnqm_theory_add_layer(theory, 1, 1, zero, zero, "identity"));
    OK(nnqm_theory_draw_layer(theory, NNQM_GAUSSIAN, 0, one, NNQM_UNIFORM, 0, one, 1));
    OK(nnqm_draw(theory, 7, 0, 0, 40, NNQM_FLOAT64, shape, before));
    OK(nnqm_theory_set_training(theory, 1, 1, point, 1, target, weight, 0.1, 1, 1, 0));
    OK(nnqm_draw(theory, 7, 0, 0, 40, NNQM_FLOAT64, shape, after));
    for (int g = 0; g < 40; ++g) {
        const double w = before[2 * g], b = before[2 * g + 1], pull = 0.1 * 0.5 * (3 * w + b - 2);
        CHECK(fabs(after[2 * g] - (w - 3 * pull)) < 1e-14 && fabs(after[2 * g + 1] - (b - pull)) < 1e-14);
    }
    OK(nnqm_theory_set_training(theory, 0, 0, NULL, 0, NULL, NULL, 0, 0, 0, 0));
    OK(nnqm_draw(theory, 7, 0, 0, 40, NNQM_FLOAT64, shape, after));
    CHECK(memcmp(before, after, sizeof before) == 0);

    REFUSED("theory is null", nnqm_theory_set_training(NULL, 1, 1, point, 1, target, weight, 0.1, 1, 1, 0));
    REFUSED("n_points", nnqm_theory_set_training(theory, 0, 1, point, 1, target, weight, 0.1, 1, 1, 0));
    REFUSED("inputs", nnqm_theory_set_training(theory, 1, 0, point, 1, target, weight, 0.1, 1, 1, 0));
    REFUSED("points is null", nnqm_theory_set_training(theory, 1, 1, NULL, 1, target, weight, 0.1, 1, 1, 0));
    REFUSED("targets is null", nnqm_theory_set_training(theory, 1, 1, point, 1, NULL, weight, 0.1, 1, 1, 0));
    REFUSED("steps", nnqm_theory_set_training(theory, 1, 1, point, 1, target, weight, 0.1, -1, 1, 0));
    REFUSED("last_layer", nnqm_theory_set_training(theory, 1, 1, point, 1, target, weight, 0.1, 1, 2, 0));
    REFUSED("unit_draws", nnqm_theory_set_training(theory, 1, 1, point, 1, target, weight, 0.1, 1, 1, 2));
    OK(nnqm_theory_set_training(theory, 1, 1, point, 1, target, bad, 0.1, 1, 1, 0));
    REFUSED("must not be negative", nnqm_draw(theory, 7, 0, 0, 40, NNQM_FLOAT64, shape, after));
    OK(nnqm_theory_set_training(theory, 1, 1, point, 1, target, NULL, 0, 1, 1, 0));
    REFUSED("rate", nnqm_draw(theory, 7, 0, 0, 40, NNQM_FLOAT64, shape, after));
    nnqm_theory_destroy(theory);
}

/* A network of |t| split at t = 0, a linear source with one mode, and a closed chain of two states that never changes
 * its state. */
static void other_sources(void) {
    const double times[3] = {-1, 0, 1}, one[1] = {1}, zero[1] = {0}, mean[3] = {1, 2, 3}, basis[3] = {1, 0, -1},
                 values[2] = {-1, 1};
    const int64_t shape[3] = {100, 3, 1};
    double y[300], x[300];
    nnqm_run* run = NULL;
    nnqm_theory* theory = NULL;
    OK(nnqm_run_create(&run, 3, 100, 1, 3, times));
    OK(nnqm_run_set_precision(run, NNQM_FLOAT64));

    OK(nnqm_theory_create(&theory));
    OK(nnqm_theory_add_times(theory, 1));
    OK(nnqm_theory_add_layer(theory, 1, 1, one, zero, "tanh"));
    OK(nnqm_theory_draw_layer(theory, NNQM_GAUSSIAN, 0, one, NNQM_GAUSSIAN, 0, one, 0));
    OK(nnqm_theory_add_layer(theory, 1, 1, one, one, "identity"));
    OK(nnqm_theory_set_group(theory, 1, 1));
    OK(nnqm_sample(theory, run, 0, 100, shape, y));
    OK(nnqm_apply_run(theory, run, 0, NNQM_FLOAT64, shape, NULL, y, shape, x));
    int differ = 0;
    for (int p = 0; p < 100; ++p) {
        CHECK(y[3 * p] == 1 && y[3 * p + 1] == 0 && y[3 * p + 2] == 1 && fabs(x[3 * p + 1] - 1) < 1e-14);
        differ += fabs(x[3 * p] - x[3 * p + 2]) > 1e-3;
    }
    CHECK(differ > 90);
    REFUSED("reflected", nnqm_theory_add_times(theory, -1));
    nnqm_theory_destroy(theory);

    OK(nnqm_theory_create(&theory));
    OK(nnqm_theory_add_linear(theory, 1, 3, mean, basis, NNQM_RADEMACHER, 0, 0, NULL, 0));
    OK(nnqm_sample(theory, run, 0, 100, shape, y));
    for (int p = 0; p < 100; ++p)
        CHECK((y[3 * p] == 2 || y[3 * p] == 0) && y[3 * p + 1] == 2 && y[3 * p] + y[3 * p + 2] == 4);
    REFUSED("mean is null", nnqm_theory_add_linear(theory, 1, 3, NULL, basis, NNQM_GAUSSIAN, 0, 0, NULL, 0));
    REFUSED("rows is null", nnqm_theory_add_linear(theory, 1, 3, mean, basis, NNQM_GAUSSIAN, 0, 2, NULL, 0));
    REFUSED("modes must lie", nnqm_theory_add_linear(theory, INT64_MAX, 3, mean, basis, NNQM_GAUSSIAN, 0, 0, NULL, 0));
    nnqm_theory_destroy(theory);

    const uint32_t never[2] = {0xffffffffu, 0xffffffffu}, alias[2] = {0, 1},
                   stay[8] = {1u << 30, 0, 0, 1u << 30, 1u << 30, 0, 0, 1u << 30};
    OK(nnqm_theory_create(&theory));
    OK(nnqm_theory_add_periodic_chain(theory, 1, 2, 1, 3, values, never, alias, stay, stay));
    OK(nnqm_sample(theory, run, 0, 100, shape, y));
    for (int p = 0; p < 100; ++p) CHECK(fabs(y[3 * p]) == 1 && y[3 * p + 1] == y[3 * p] && y[3 * p + 2] == y[3 * p]);
    REFUSED("remaining is null", nnqm_theory_add_periodic_chain(theory, 1, 2, 1, 3, values, never, alias, stay, NULL));
    REFUSED("n_times must lie", nnqm_theory_add_periodic_chain(theory, 1, 2, 1, 0, values, never, alias, stay, stay));
    REFUSED("overflows",
            nnqm_theory_add_periodic_chain(theory, 1, 65536, 1 << 20, INT32_MAX, values, never, alias, stay, stay));
    nnqm_theory_destroy(theory);
    nnqm_run_destroy(run);
}

/* A network with one input as a table: the same outputs up to rounding, in the table's precision only, until another
 * layer is added. */
/* One wave of space with a fixed momentum: a table of quantiles whose cells are the constant k. Its two points are half
 * a wavelength apart. */
static void fields(void) {
    const double times[3] = {0, 1, 2}, rates[2] = {1, 2}, matrix[6] = {1, 0, 0, 1, 1, 1}, points[2] = {0, 2};
    static double radius[NNQM_QUANTILES];
    for (int i = 0; i < NNQM_QUANTILES; i += 12) radius[i] = 1.5707963267948966;
    const int64_t modes_shape[3] = {100, 3, 3}, shape[3] = {100, 3, 2};
    static double y[900];
    nnqm_theory* theory = NULL;
    nnqm_run* run = NULL;
    int64_t inputs = 0;
    OK(nnqm_run_create(&run, 3, 100, 1, 3, times));
    OK(nnqm_run_set_precision(run, NNQM_FLOAT64));
    OK(nnqm_theory_create(&theory));
    OK(nnqm_theory_add_modes(theory, 2, rates, 3, matrix));
    OK(nnqm_theory_size(theory, &inputs, NULL));
    CHECK(inputs == 3);
    OK(nnqm_sample(theory, run, 0, 100, modes_shape, y));
    for (int i = 0; i < 300; ++i) CHECK(fabs(y[3 * i] + y[3 * i + 1] - y[3 * i + 2]) < 1e-14);
    nnqm_theory_destroy(theory);

    for (int32_t oscillators = 0; oscillators < 2; ++oscillators) {
        OK(nnqm_theory_create(&theory));
        OK(nnqm_theory_add_random_waves(theory, 2, 2, 1, points, oscillators, radius, NULL, 1, 0.5, 0, 4));
        OK(nnqm_theory_size(theory, &inputs, NULL));
        CHECK(inputs == 2);
        OK(nnqm_run_set_futures(run, 1));
        OK(nnqm_sample(theory, run, 0, 100, shape, y));
        CHECK(y[0] != y[2] && y[0] != 0);
        /* Waves of space and time have momenta in a circle, but those of space alone are +- pi / 2. */
        for (int i = 0; oscillators && i < 300; ++i) CHECK(fabs(y[2 * i] + y[2 * i + 1]) < 1e-14);
        /* Four paths share their waves, which without oscillators are all there is. */
        for (int p = 0; p < 100; ++p) CHECK((y[6 * p] == y[6 * (p / 4 * 4)]) == (!oscillators || p % 4 == 0));
        OK(nnqm_run_set_futures(run, 2));
        if (oscillators) {
            OK(nnqm_sample(theory, run, 0, 100, shape, y));
            for (int p = 0; p < 100; ++p) {
                CHECK(y[6 * p] == y[6 * (p / 2 * 2)]);
                CHECK((y[6 * p + 2] == y[6 * (p / 2 * 2) + 2]) == (p % 2 == 0));
            }
        } else {
            REFUSED("futures", nnqm_sample(theory, run, 0, 100, shape, y));
        }
        nnqm_theory_destroy(theory);
    }
    nnqm_run_destroy(run);
}

static void compiled_networks(void) {
    const double w_1[4] = {1, -0.5, 2, 0.7}, b_1[4] = {0, 0.1, -0.2, 0.3};
    const int64_t shape[3] = {n_paths, n_times, 1};
    static double y[n_paths * n_times], direct[n_paths * n_times], tabulated[n_paths * n_times];
    static float single[n_paths * n_times];
    int32_t compiled = -1;
    for (int i = 0; i < n_paths * n_times; ++i) y[i] = 0.01 * (i - 600);
    nnqm_theory* theory = NULL;
    OK(nnqm_theory_create(&theory));
    OK(nnqm_theory_compile(theory, NNQM_FLOAT64, &compiled));
    CHECK(compiled == 0);
    OK(nnqm_theory_add_layer(theory, 1, 4, w_1, b_1, "tanh"));
    OK(nnqm_theory_add_layer(theory, 4, 1, weights_2, biases_2, "identity"));
    OK(nnqm_apply(theory, NNQM_FLOAT64, shape, NULL, y, shape, direct, 1));
    OK(nnqm_theory_compile(theory, NNQM_FLOAT64, &compiled));
    CHECK(compiled == 1);
    OK(nnqm_apply(theory, NNQM_FLOAT64, shape, NULL, y, shape, tabulated, 1));
    double worst = 0;
    for (int i = 0; i < n_paths * n_times; ++i) worst = fmax(worst, fabs(tabulated[i] - direct[i]));
    CHECK(worst > 0 && worst < 1e-12);
    REFUSED("another precision", nnqm_apply(theory, NNQM_FLOAT32, shape, NULL, single, shape, single, 1));
    REFUSED("precision", nnqm_theory_compile(theory, 3, &compiled));
    OK(nnqm_theory_compile(theory, 0, NULL));
    OK(nnqm_apply(theory, NNQM_FLOAT64, shape, NULL, y, shape, tabulated, 1));
    CHECK(memcmp(tabulated, direct, sizeof direct) == 0);
    OK(nnqm_theory_compile(theory, NNQM_FLOAT32, &compiled));
    OK(nnqm_theory_add_layer(theory, 1, 1, weights_2, biases_1, "identity"));
    OK(nnqm_apply(theory, NNQM_FLOAT64, shape, NULL, y, shape, tabulated, 1));
    for (int i = 0; i < n_paths * n_times; ++i) CHECK(tabulated[i] == direct[i]);
    nnqm_theory_destroy(theory);
}

/* Derivatives and gradients: each is the change of the quantity below it. */
static void gradients(void) {
    enum { n = 5, n_parameters = 17 };
    const int64_t shape[3] = {n, 1, 2}, value_shape[3] = {n, 1, 1}, parameter_shape[3] = {1, 1, n_parameters};
    const int64_t rows[3] = {n, 1, n_parameters}, short_shape[3] = {1, 1, 16};
    double y[2 * n], f[n], first[2 * n], second[2 * n], higher[n], lower[n], slope_higher[2 * n], slope_lower[2 * n];
    double ones[2 * n], gradient[n_parameters], by_input[2 * n], only_values[n_parameters], own[n * n_parameters];
    const double step = 1e-5;
    nnqm_theory* theory = make_theory();
    for (int i = 0; i < 2 * n; ++i) y[i] = 0.3 * (i - 4), ones[i] = 1;
    OK(nnqm_differentiate(theory, NNQM_FLOAT64, shape, NULL, y, value_shape, f, first, second, 2));
    for (int d = 0; d < 2; ++d) {
        for (int sign = -1; sign <= 1; sign += 2) {
            for (int q = 0; q < n; ++q) y[2 * q + d] += sign * step;
            OK(nnqm_differentiate(theory, NNQM_FLOAT64, shape, NULL, y, value_shape, sign > 0 ? higher : lower,
                                  sign > 0 ? slope_higher : slope_lower, NULL, 1));
            for (int q = 0; q < n; ++q) y[2 * q + d] -= sign * step;
        }
        for (int q = 0; q < n; ++q) {
            const int at = 2 * q + d;
            CHECK(fabs((higher[q] - lower[q]) / (2 * step) - first[at]) < 1e-8);
            CHECK(fabs((slope_higher[at] - slope_lower[at]) / (2 * step) - second[at]) < 1e-8);
        }
    }
    /* The bias of the last layer shifts every value by one; the gradient of the sum of values in the inputs is f'. */
    OK(nnqm_pullback(theory, NNQM_FLOAT64, shape, NULL, y, value_shape, ones, NULL, NULL, parameter_shape, only_values,
                     by_input, 2));
    CHECK(only_values[n_parameters - 1] == n);
    for (int i = 0; i < 2 * n; ++i) CHECK(fabs(by_input[i] - first[i]) < 1e-12);
    OK(nnqm_pullback(theory, NNQM_FLOAT64, shape, NULL, y, value_shape, ones, ones, ones, parameter_shape, gradient,
                     NULL, 2));
    CHECK(memcmp(gradient, only_values, sizeof gradient) != 0);
    REFUSED("parameters", nnqm_pullback(theory, NNQM_FLOAT64, shape, NULL, y, value_shape, ones, NULL, NULL,
                                        short_shape, gradient, NULL, 1));
    REFUSED("values", nnqm_pullback(theory, NNQM_FLOAT64, shape, NULL, y, value_shape, NULL, NULL, NULL,
                                    parameter_shape, gradient, NULL, 1));
    REFUSED("second needs first",
            nnqm_differentiate(theory, NNQM_FLOAT64, shape, NULL, y, value_shape, f, NULL, second, 1));
    REFUSED("theory is null", nnqm_differentiate(NULL, NNQM_FLOAT64, shape, NULL, y, value_shape, f, NULL, NULL, 1));
    /* Scales of zero: the parameters of every path are the fixed ones. */
    const double none[8] = {0};
    nnqm_run* run = make_run(NNQM_FLOAT64);
    OK(nnqm_theory_draw_layer(theory, NNQM_GAUSSIAN, 0, none, NNQM_GAUSSIAN, 0, none, 1));
    OK(nnqm_pullback_run(theory, run, 0, NNQM_FLOAT64, shape, NULL, y, value_shape, ones, ones, ones, rows, own, NULL));
    for (int k = 0; k < n_parameters; ++k) {
        double sum = 0;
        for (int q = 0; q < n; ++q) sum += own[q * n_parameters + k];
        CHECK(fabs(sum - gradient[k]) < 1e-12);
    }
    REFUSED("run is null", nnqm_pullback_run(theory, NULL, 0, NNQM_FLOAT64, shape, NULL, y, value_shape, ones, NULL,
                                             NULL, rows, own, NULL));
    REFUSED("needs a run", nnqm_pullback(theory, NNQM_FLOAT64, shape, NULL, y, value_shape, ones, NULL, NULL,
                                         parameter_shape, gradient, NULL, 1));
    nnqm_run_destroy(run);
    nnqm_theory_destroy(theory);
}

static void library(void) {
    const char *version = NULL, *compiler = NULL, *level = NULL, *levels = NULL, *activations = NULL;
    int32_t openmp = -1, max_threads = 0;
    CHECK(nnqm_abi_version() == NNQM_ABI_VERSION);
    CHECK(*nnqm_last_error() == 0);
    OK(nnqm_build_info(&version, &compiler, &level, &levels, &activations, &openmp, &max_threads));
    OK(nnqm_build_info(NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    CHECK(version && *version && compiler && *compiler);
    CHECK(level && levels && strstr(levels, level));
    CHECK(activations && strstr(activations, "tanh") && strstr(activations, "softplus"));
    CHECK((openmp == 0 || openmp == 1) && max_threads >= 1);
}

int main(void) {
    library();
    stages_equal_the_fused_call(NNQM_FLOAT32);
    stages_equal_the_fused_call(NNQM_FLOAT64);
    chains();
    random_parameters();
    trained_parameters();
    other_sources();
    fields();
    compiled_networks();
    gradients();
    printf("%d failures\n", failures);
    return failures != 0;
}
