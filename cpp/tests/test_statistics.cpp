// Tests of the statistics of blocks against plain loops in double precision.
#include "plain.hpp"

namespace {

void two_time_functions_unpack() {
    Words words{29};
    for (const std::int64_t n_times : {1, 7, 8, 9, 16, 27}) {
        const std::int64_t pairs = n_times * (n_times + 1) / 2;
        Doubles packed, offsets, matrices(size(2 * n_times * n_times));
        for (std::int64_t i = 0; i < 2 * pairs; ++i) packed.push_back(words.uniform(-1, 1));
        for (std::int64_t i = 0; i < 2 * n_times; ++i) offsets.push_back(words.uniform(-1, 1));
        const double factors[2] = {0.5, -3.0};
        // All rows of one block at once, and the rows of the other block in two parts.
        Doubles functions = packed;
        const std::int64_t cut = n_times / 3;
        double* second = functions.data() + pairs;
        nnqm::two_time_functions(functions.data(), factors, offsets.data(), 1, n_times, {0, n_times});
        nnqm::two_time_functions(second, factors + 1, offsets.data() + n_times, 1, n_times, {0, cut});
        nnqm::two_time_functions(second + cut * (cut + 1) / 2, factors + 1, offsets.data() + n_times, 1, n_times,
                                 {cut, n_times});
        nnqm::unpack_matrices(functions.data(), 2, n_times, matrices.data());
        double worst = 0;
        for (std::int64_t i = 0; i < 2; ++i)
            for (std::int64_t t = 0; t < n_times; ++t)
                for (std::int64_t s = 0; s < n_times; ++s) {
                    const std::int64_t later = std::max(s, t), earlier = std::min(s, t);
                    const double expected = factors[i] * packed[size(i * pairs + later * (later + 1) / 2 + earlier)] +
                                            offsets[size(i * n_times + s)] + offsets[size(i * n_times + t)];
                    worst = std::max(worst, std::fabs(matrices[size((i * n_times + t) * n_times + s)] - expected));
                }
        CHECK(worst <= 1e-15 * 8, "%d times: off by %g", static_cast<int>(n_times), worst);
    }
}

void jackknife_equals_pseudo_values() {
    Words words{31};
    const std::int64_t n_blocks = 7, n = 1300;
    const double sizes[7] = {3, 1, 4, 1, 5, 9, 2}, total = 25;
    Doubles values, replicas(size(n_blocks * n)), weights, variances(size(n));
    for (const double block : sizes) weights.push_back(total / block);
    for (std::int64_t k = 0; k < n; ++k) values.push_back(words.uniform(-1, 1) + 1e6);
    for (std::int64_t i = 0; i < n_blocks * n; ++i) replicas[size(i)] = values[size(i % n)] + words.uniform(-0.1, 0.1);
    nnqm::jackknife_variances(values.data(), replicas.data(), weights.data(), n_blocks, n, variances.data());
    double worst = 0;
    for (std::int64_t k = 0; k < n; ++k) {
        // Pseudo-values h x - (h - 1) x_(b), and the estimate B x - sum (1 - 1/h) x_(b), as in the paper.
        long double estimate = static_cast<long double>(values[size(k)]) * n_blocks, variance = 0;
        for (std::int64_t b = 0; b < n_blocks; ++b)
            estimate -= (1 - 1 / static_cast<long double>(weights[size(b)])) * replicas[size(b * n + k)];
        for (std::int64_t b = 0; b < n_blocks; ++b) {
            const long double h = weights[size(b)], pseudo = h * values[size(k)] - (h - 1) * replicas[size(b * n + k)];
            variance += (pseudo - estimate) * (pseudo - estimate) / (h - 1) / n_blocks;
        }
        worst = std::max(worst, std::fabs(variances[size(k)] / static_cast<double>(variance) - 1));
    }
    CHECK(worst <= 1e-7, "jackknife off by %g", worst);
    CHECK(refused([&] {
              nnqm::jackknife_variances(values.data(), replicas.data(), weights.data(), 1, n, variances.data());
          }),
          "one block was accepted");
    weights[3] = 1;
    CHECK(refused([&] {
              nnqm::jackknife_variances(values.data(), replicas.data(), weights.data(), 7, n, variances.data());
          }),
          "a block that holds everything was accepted");
}

}  // namespace

int main() {
    return run_tests([] {
        two_time_functions_unpack();
        jackknife_equals_pseudo_values();
    });
}
