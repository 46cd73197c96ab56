// Eigenstates and products of stacks of dense matrices. Each matrix is one item of work, so that its bits depend
// neither on the number of threads nor on the rest of the stack.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "dense.hpp"
#include "kernels.hpp"
#include "nnqm/nnqm.hpp"
#include "threads.hpp"

namespace nnqm {

namespace {

using detail::Dense;
using detail::rotated_rows;
using detail::Rotation;

constexpr double epsilon = 2.220446049250313e-16;

// Sweeps of the QL iteration per eigenvalue, of which two are usual; after the first number, what remains may be
// rounding.
constexpr int patient_sweeps = 10, most_sweeps = 60;

// Rotations that are applied together; they stay in cache while the blocks of rows pass.
constexpr std::size_t rotations_at_once = std::size_t{1} << 17;

enum class Outcome { done, no_memory, not_positive, not_converged };

std::size_t to_size(std::int64_t n) { return static_cast<std::size_t>(n); }

// Rows of Q in blocks (columns, rotated_rows), and rotations that wait to be applied to them.
class RotatedRows {
public:
    RotatedRows(const Dense& dense, const double* q, std::int64_t size, int n_threads)
        : dense_(dense),
          size_(size),
          n_blocks_((size + rotated_rows - 1) / rotated_rows),
          n_threads_(n_threads),
          blocks_(to_size(n_blocks_ * size * rotated_rows)) {
        for (std::int64_t column = 0; column < size; ++column)
            for (std::int64_t row = 0; row < size; ++row) at(row, column) = q[column * size + row];
        waiting_.reserve(rotations_at_once + to_size(size));
    }

    void add(const Rotation& rotation) { waiting_.push_back(rotation); }

    // Called between sweeps.
    void apply(bool all) {
        if (waiting_.empty() || (!all && waiting_.size() < rotations_at_once)) return;
        const auto count = static_cast<std::int64_t>(waiting_.size());
        detail::for_each(n_blocks_, static_cast<int>(std::min<std::int64_t>(n_threads_, n_blocks_)),
                         [&](std::int64_t block, int) {
                             dense_.rotate(&blocks_[to_size(block * size_ * rotated_rows)], waiting_.data(), count);
                         });
        waiting_.clear();
    }

    double& at(std::int64_t row, std::int64_t column) {
        return blocks_[to_size((row / rotated_rows * size_ + column) * rotated_rows + row % rotated_rows)];
    }

private:
    const Dense& dense_;
    std::int64_t size_, n_blocks_;
    int n_threads_;
    std::vector<double> blocks_;
    std::vector<Rotation> waiting_;
};

// Diagonalises a tridiagonal matrix by the QL algorithm with implicit shifts (Bowdler, Martin, Reinsch and Wilkinson,
// Numer. Math. 11, 293 (1968)). `beside` has one more number, which is 0. Returns whether the iteration converges.
bool diagonalise(std::vector<double>& diagonal, std::vector<double>& beside, RotatedRows* rows) {
    const std::size_t size = diagonal.size();
    // Rounding of this size enters each sweep. Smaller numbers beside the diagonal often become smaller still, which
    // makes small eigenvalues more accurate, but they need not.
    double negligible = 0;
    for (std::size_t i = 0; i < size; ++i)
        negligible = std::max(negligible, epsilon * (std::abs(diagonal[i]) + std::abs(beside[i])));
    for (std::size_t first = 0; first < size; ++first)
        for (int sweep = 0;; ++sweep) {
            std::size_t last = first;
            const double floor = sweep < patient_sweeps ? 0 : negligible;
            while (last + 1 < size &&
                   std::abs(beside[last]) >
                       std::max(floor, epsilon * (std::abs(diagonal[last]) + std::abs(diagonal[last + 1]))))
                ++last;
            if (last == first) break;
            if (sweep == most_sweeps) return false;
            const double half = (diagonal[first + 1] - diagonal[first]) / (2 * beside[first]);
            const double root = std::sqrt(half * half + 1);
            double g = diagonal[last] - diagonal[first] + beside[first] / (half + (half < 0 ? -root : root));
            double sine = 1, cosine = 1, shift = 0;
            std::size_t i = last;
            for (; i-- > first;) {
                const double f = sine * beside[i], b = cosine * beside[i];
                const double length = std::sqrt(f * f + g * g);
                beside[i + 1] = length;
                if (length == 0) {
                    diagonal[i + 1] -= shift;
                    break;
                }
                sine = f / length;
                cosine = g / length;
                g = diagonal[i + 1] - shift;
                const double step = (diagonal[i] - g) * sine + 2 * cosine * b;
                shift = sine * step;
                diagonal[i + 1] = g + shift;
                g = cosine * step - b;
                if (rows) rows->add({static_cast<std::int64_t>(i), cosine, sine});
            }
            if (i + 1 == first) {
                // The sweep was not cut short.
                diagonal[first] -= shift;
                beside[first] = g;
            }
            beside[last] = 0;
            if (rows) rows->apply(false);
        }
    return true;
}

// Overwrites a symmetric matrix with its eigenvectors, one after the other, if `vectors`.
Outcome solve(const Dense& dense, double* matrix, std::int64_t size, bool vectors, double* values, int n_threads) {
    // Units in which no square overflows or vanishes.
    const double largest = std::abs(
        *std::max_element(matrix, matrix + size * size, [](double a, double b) { return std::abs(a) < std::abs(b); }));
    const int exponent = largest > 0 ? std::ilogb(largest) : 0;
    for (std::int64_t i = 0; i < size * size; ++i) matrix[i] = std::ldexp(matrix[i], -exponent);
    std::vector<double> diagonal(to_size(size)), beside(to_size(size), 0.0);
    if (!dense.tridiagonal(matrix, size, vectors, diagonal.data(), beside.data())) return Outcome::no_memory;
    std::vector<RotatedRows> rows;
    if (vectors) rows.emplace_back(dense, matrix, size, n_threads);
    if (!diagonalise(diagonal, beside, vectors ? rows.data() : nullptr)) return Outcome::not_converged;
    std::vector<std::int64_t> order(to_size(size));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return diagonal[to_size(a)] < diagonal[to_size(b)]; });
    for (std::int64_t k = 0; k < size; ++k) values[k] = std::ldexp(diagonal[to_size(order[to_size(k)])], exponent);
    if (vectors) {
        rows[0].apply(true);
        for (std::int64_t k = 0; k < size; ++k)
            for (std::int64_t row = 0; row < size; ++row) matrix[k * size + row] = rows[0].at(row, order[to_size(k)]);
    }
    return Outcome::done;
}

void need(bool given, std::int64_t n, std::int64_t size) {
    if (!given || n < 0 || size < 1)
        throw std::invalid_argument("matrices need n >= 0, size >= 1, and arrays that are not null");
}

void need_finite(const double* numbers, std::int64_t count, const char* name) {
    if (!std::all_of(numbers, numbers + count, [](double x) { return std::isfinite(x); }))
        throw std::invalid_argument(std::string(name) + " must be finite");
}

// Floating-point operations of an eigenvalue problem, roughly.
double eigenvalue_operations(std::int64_t size) {
    const auto x = static_cast<double>(size);
    return 10 * x * x * x;
}

// Number of floating-point operations that are worth a thread, up to half a millisecond of work: threads of a busy or
// large machine may wait for each other longer than small matrices take.
constexpr double worth_a_thread = 1 << 20;

// Calls work(item, threads of its own) for all items, of `operations` each; throws unless all of them are done.
template <class Work>
void for_all(std::int64_t n, int n_threads, double operations, const Work& work) {
    const double worth = std::clamp(operations * static_cast<double>(n) / worth_a_thread, 1.0, 1e9);
    const std::int64_t most = n_threads > 0 ? n_threads : static_cast<std::int64_t>(worth);
    const int threads = detail::thread_count(n_threads, std::min(n, most));
    const int own = n == 1 ? detail::thread_count(n_threads, std::min<std::int64_t>(most, detail::max_threads())) : 1;
    std::atomic<int> worst{0};
    detail::for_each(n, threads, [&](std::int64_t item, int) {
        Outcome outcome = Outcome::no_memory;
        try {
            outcome = work(item, own);
        } catch (const std::bad_alloc&) {}
        int seen = worst;
        while (seen < static_cast<int>(outcome) && !worst.compare_exchange_weak(seen, static_cast<int>(outcome))) {}
    });
    switch (static_cast<Outcome>(worst.load())) {
    case Outcome::done: return;
    case Outcome::no_memory: throw std::bad_alloc();
    case Outcome::not_positive: throw std::domain_error("a metric is not positive definite");
    case Outcome::not_converged: throw std::runtime_error("an eigenvalue problem does not converge");
    }
}

}  // namespace

void symmetric_eigenstates(const double* matrices, std::int64_t n, std::int64_t size, double* values, double* vectors,
                           int n_threads) {
    need(matrices && values, n, size);
    need_finite(matrices, n * size * size, "matrices");
    const Dense& dense = detail::level().dense;
    for_all(n, n_threads, eigenvalue_operations(size), [&](std::int64_t item, int own) {
        const double* matrix = matrices + item * size * size;
        std::vector<double> work;
        double* target = vectors ? vectors + item * size * size : nullptr;
        if (!target) {
            work.resize(to_size(size * size));
            target = work.data();
        }
        std::copy_n(matrix, size * size, target);
        return solve(dense, target, size, vectors != nullptr, values + item * size, own);
    });
}

void generalised_eigenstates(const double* metrics, const double* matrices, std::int64_t n, std::int64_t size,
                             double* values, double* states, int n_threads) {
    need(metrics && matrices && values && states, n, size);
    need_finite(metrics, n * size * size, "metrics");
    need_finite(matrices, n * size * size, "matrices");
    const Dense& dense = detail::level().dense;
    for_all(n, n_threads, 2 * eigenvalue_operations(size), [&](std::int64_t item, int own) {
        std::vector<double> factor(metrics + item * size * size, metrics + (item + 1) * size * size);
        double* target = states + item * size * size;
        std::copy_n(matrices + item * size * size, size * size, target);
        bool positive = false;
        if (!dense.reduce(factor.data(), target, size, positive)) return Outcome::no_memory;
        if (!positive) return Outcome::not_positive;
        const Outcome outcome = solve(dense, target, size, true, values + item * size, own);
        if (outcome != Outcome::done) return outcome;
        return dense.restore(factor.data(), target, size) ? Outcome::done : Outcome::no_memory;
    });
}

void products(const double* a, const double* b, std::int64_t n, const ProductShape& shape, double* out, int n_threads) {
    if (!a || !b || !out || n < 0 || shape.rows < 1 || shape.inner < 1 || shape.columns < 1)
        throw std::invalid_argument("products need n >= 0, matrices that are not empty, and arrays that are not null");
    const Dense& dense = detail::level().dense;
    const double operations =
        2 * static_cast<double>(shape.rows) * static_cast<double>(shape.inner) * static_cast<double>(shape.columns);
    for_all(n, n_threads, operations, [&](std::int64_t item, int) {
        const double* left = a + (shape.same_a ? 0 : item * shape.rows * shape.inner);
        const double* right = b + (shape.same_b ? 0 : item * shape.inner * shape.columns);
        return dense.product(left, right, shape.rows, shape.inner, shape.columns, shape.transposed_b,
                             out + item * shape.rows * shape.columns)
                   ? Outcome::done
                   : Outcome::no_memory;
    });
}

}  // namespace nnqm
