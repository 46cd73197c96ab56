// Tests of dense eigenvalue problems and products against closed forms and plain loops.
#include "plain.hpp"

namespace {

Doubles random_symmetric(std::int64_t n, std::int64_t k, Words& words) {
    Doubles matrices(size(n * k * k));
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t row = 0; row < k; ++row)
            for (std::int64_t column = 0; column <= row; ++column)
                matrices[size((i * k + row) * k + column)] = matrices[size((i * k + column) * k + row)] =
                    words.uniform(-1, 1);
    return matrices;
}

// Largest entry of a v - values m v and of v^T m v - 1, for vectors one after the other.
double largest_fault(const double* a, const double* m, const double* values, const double* vectors, std::int64_t k) {
    double worst = 0;
    for (std::int64_t i = 0; i < k; ++i) {
        Doubles image(size(k));
        for (std::int64_t row = 0; row < k; ++row) {
            double rest = 0;
            for (std::int64_t column = 0; column < k; ++column) {
                const double v = vectors[i * k + column],
                             metric = m ? m[row * k + column] : (row == column ? 1.0 : 0.0);
                rest += a[row * k + column] * v - values[i] * metric * v;
                image[size(row)] += metric * v;
            }
            worst = std::max(worst, std::fabs(rest));
        }
        for (std::int64_t j = 0; j < k; ++j) {
            double overlap = i == j ? -1.0 : 0.0;
            for (std::int64_t row = 0; row < k; ++row) overlap += vectors[j * k + row] * image[size(row)];
            worst = std::max(worst, std::fabs(overlap));
        }
    }
    return worst;
}

void second_differences() {
    // 2 on the diagonal and -1 beside it: 2 - 2 cos(pi j/(k + 1)).
    for (const std::int64_t k : {1, 2, 31, 32, 33, 100}) {
        Doubles matrix(size(k * k)), values(size(k)), vectors(size(k * k)), alone(size(k));
        for (std::int64_t i = 0; i < k; ++i) {
            matrix[size(i * k + i)] = 2;
            if (i + 1 < k) matrix[size(i * k + i + 1)] = matrix[size((i + 1) * k + i)] = -1;
        }
        nnqm::symmetric_eigenstates(matrix.data(), 1, k, values.data(), vectors.data(), 1);
        nnqm::symmetric_eigenstates(matrix.data(), 1, k, alone.data(), nullptr, 1);
        double worst = largest_fault(matrix.data(), nullptr, values.data(), vectors.data(), k);
        for (std::int64_t j = 0; j < k; ++j) {
            const double pi = 3.14159265358979323846, x = pi * static_cast<double>(j + 1) / static_cast<double>(k + 1);
            worst = std::max(worst, std::fabs(values[size(j)] - 2 + 2 * std::cos(x)));
        }
        CHECK(worst <= 2e-14, "%d rows: off by %g", static_cast<int>(k), worst);
        CHECK(values == alone, "%d rows: eigenvalues without vectors differ", static_cast<int>(k));
    }
}

void stacks_do_not_depend_on_threads() {
    Words words{37};
    const std::int64_t n = 5, k = 37;
    const Doubles a = random_symmetric(n, k, words), b = random_symmetric(n, k, words);
    Doubles metric(size(n * k * k));
    nnqm::products(b.data(), b.data(), n, {k, k, k, false, false, false}, metric.data(), 2);
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t row = 0; row < k; ++row) metric[size((i * k + row) * k + row)] += 1;
    Doubles values(size(n * k)), states(size(n * k * k)), again = values, same = states;
    for (const bool general : {false, true}) {
        const auto solve = [&](const double* given, const double* m, std::int64_t count, double* e, double* v,
                               int threads) {
            if (general) nnqm::generalised_eigenstates(m, given, count, k, e, v, threads);
            else nnqm::symmetric_eigenstates(given, count, k, e, v, threads);
        };
        solve(a.data(), metric.data(), n, values.data(), states.data(), 1);
        solve(a.data(), metric.data(), n, again.data(), same.data(), 3);
        CHECK(values == again && states == same, "threads change a stack");
        for (std::int64_t i = 0; i < n; ++i) {
            const std::int64_t at = i * k * k;
            solve(&a[size(at)], &metric[size(at)], 1, again.data(), same.data(), 4);
            CHECK(std::equal(again.begin(), again.begin() + k, values.begin() + i * k) &&
                      std::equal(same.begin(), same.begin() + k * k, states.begin() + at),
                  "one matrix alone differs");
            const double fault = largest_fault(&a[size(at)], general ? &metric[size(at)] : nullptr,
                                               &values[size(i * k)], &states[size(at)], k);
            CHECK(fault <= 1e-12, "states off by %g", fault);
        }
    }
}

void scales() {
    for (const double scale : {1e-300, 1e300}) {
        const double matrix[4] = {0, scale, scale, 0};
        double values[2];
        nnqm::symmetric_eigenstates(matrix, 1, 2, values, nullptr, 1);
        CHECK(std::fabs(values[0] / scale + 1) < 1e-15 && std::fabs(values[1] / scale - 1) < 1e-15, "%g %g", values[0],
              values[1]);
    }
}

void products_equal_loops() {
    Words words{41};
    const std::int64_t n = 3, rows = 4, inner = 7, columns = 5;
    Doubles a, b, out(size(n * rows * columns));
    for (std::int64_t i = 0; i < rows * inner; ++i) a.push_back(words.uniform(-1, 1));
    for (std::int64_t i = 0; i < n * inner * columns; ++i) b.push_back(words.uniform(-1, 1));
    nnqm::products(a.data(), b.data(), n, {rows, inner, columns, true, false, false}, out.data(), 2);
    double worst = 0;
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t r = 0; r < rows; ++r)
            for (std::int64_t c = 0; c < columns; ++c) {
                double sum = 0;
                for (std::int64_t j = 0; j < inner; ++j)
                    sum += a[size(r * inner + j)] * b[size((i * inner + j) * columns + c)];
                worst = std::max(worst, std::fabs(out[size((i * rows + r) * columns + c)] - sum));
            }
    CHECK(worst <= 1e-15 * 8, "products off by %g", worst);
    Doubles turned(size(inner * columns)), same(size(rows * columns));
    for (std::int64_t j = 0; j < inner; ++j)
        for (std::int64_t c = 0; c < columns; ++c) turned[size(c * inner + j)] = b[size(j * columns + c)];
    nnqm::ProductShape shape{rows, inner, columns};
    shape.transposed_b = true;
    nnqm::products(a.data(), turned.data(), 1, shape, same.data(), 1);
    for (std::size_t i = 0; i < same.size(); ++i) worst = std::max(worst, std::fabs(same[i] - out[i]));
    CHECK(worst <= 1e-15 * 8, "transposed products off by %g", worst);
}

// Numbers that begin a chosen number of doubles after an address divisible by 64.
class Placed {
public:
    Placed(const Doubles& values, std::int64_t offset) : memory_(values.size() + 16) {
        const auto address = reinterpret_cast<std::uintptr_t>(memory_.data()) / sizeof(double) % 8;
        data_ = memory_.data() + (8 - static_cast<std::int64_t>(address)) % 8 + offset;
        std::copy(values.begin(), values.end(), data_);
    }
    double* data() { return data_; }

private:
    Doubles memory_;
    double* data_;
};

// Calls work(offsets of three arrays) for all offsets of each of them within 64 bytes.
template <class Work>
void for_each_offset(const Work& work) {
    for (std::int64_t offset = 0; offset < 8; ++offset) {
        work(offset, 0, 0);
        work(0, offset, 0);
        work(0, 0, offset);
        work(offset, offset, offset);
    }
}

Doubles random_numbers(std::int64_t n, Words& words) {
    Doubles numbers(size(n));
    for (double& x : numbers) x = words.uniform(-1, 1);
    return numbers;
}

void products_do_not_depend_on_addresses() {
    Words words{43};
    const std::int64_t sizes[] = {1, 2, 3, 5, 8, 13, 30};
    for (const std::int64_t rows : sizes)
        for (const std::int64_t inner : sizes)
            for (const std::int64_t columns : sizes)
                for (const bool transposed : {false, true}) {
                    const Doubles a = random_numbers(rows * inner, words), b = random_numbers(inner * columns, words);
                    nnqm::ProductShape shape{rows, inner, columns};
                    shape.transposed_b = transposed;
                    Doubles first;
                    bool same = true;
                    for_each_offset([&](std::int64_t i, std::int64_t j, std::int64_t k) {
                        Placed left(a, i), right(b, j), made(Doubles(size(rows * columns)), k);
                        nnqm::products(left.data(), right.data(), 1, shape, made.data(), 1);
                        const Doubles found(made.data(), made.data() + rows * columns);
                        if (first.empty()) first = found;
                        same = same && found == first;
                    });
                    CHECK(same, "(%d, %d, %d)", static_cast<int>(rows), static_cast<int>(inner),
                          static_cast<int>(columns));
                }
}

void states_do_not_depend_on_addresses() {
    Words words{47};
    for (std::int64_t k = 1; k < 70; k += k < 20 ? 1 : 7) {
        const Doubles a = random_symmetric(1, k, words), root = random_numbers(k * k, words);
        Doubles metric(size(k * k));
        nnqm::ProductShape shape{k, k, k};
        shape.transposed_b = true;
        nnqm::products(root.data(), root.data(), 1, shape, metric.data(), 1);
        for (std::int64_t row = 0; row < k; ++row) metric[size(row * k + row)] += 1;
        Doubles first;
        bool same = true;
        for_each_offset([&](std::int64_t i, std::int64_t j, std::int64_t l) {
            Placed matrix(a, i), general(metric, j), values(Doubles(size(k)), j), vectors(Doubles(size(k * k)), l);
            // Memory of another size moves what the solver allocates itself.
            const Doubles hole(size(8 * i + 1));
            Doubles found;
            nnqm::symmetric_eigenstates(matrix.data(), 1, k, values.data(), vectors.data(), 1);
            found.insert(found.end(), values.data(), values.data() + k);
            found.insert(found.end(), vectors.data(), vectors.data() + k * k);
            nnqm::symmetric_eigenstates(matrix.data(), 1, k, values.data(), nullptr, 1);
            found.insert(found.end(), values.data(), values.data() + k);
            nnqm::generalised_eigenstates(general.data(), matrix.data(), 1, k, values.data(), vectors.data(), 1);
            found.insert(found.end(), values.data(), values.data() + k);
            found.insert(found.end(), vectors.data(), vectors.data() + k * k);
            if (first.empty()) first = found;
            same = same && found == first;
        });
        CHECK(same, "%d rows", static_cast<int>(k));
    }
}

void refusals() {
    const double indefinite[4] = {1, 2, 2, 1}, unit[4] = {1, 0, 0, 1}, nan[1] = {std::nan("")};
    double values[2], states[4];
    bool told = false;
    try {
        nnqm::generalised_eigenstates(indefinite, unit, 1, 2, values, states, 1);
    } catch (const std::domain_error&) {
        told = true;
    }
    CHECK(told, "a metric that is not positive was accepted");
    CHECK(refused([&] { nnqm::symmetric_eigenstates(nan, 1, 1, values, nullptr, 1); }), "NaN was accepted");
    CHECK(refused([&] { nnqm::symmetric_eigenstates(unit, 1, 0, values, nullptr, 1); }), "size 0 was accepted");
    CHECK(refused([&] { nnqm::products(unit, unit, 1, {2, 0, 2, false, false, false}, states, 1); }),
          "no inner size was accepted");
}

}  // namespace

int main() {
    return run_tests([] {
        second_differences();
        stacks_do_not_depend_on_threads();
        scales();
        products_equal_loops();
        products_do_not_depend_on_addresses();
        states_do_not_depend_on_addresses();
        refusals();
    });
}
