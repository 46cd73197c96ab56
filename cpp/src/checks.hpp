// Checks of descriptions and arguments. Each throws std::invalid_argument with a message that names the argument.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "nnqm/nnqm.hpp"

namespace nnqm::detail {

// Largest allowed size of an array and index of a path: sums and products of a few of them do not overflow.
inline constexpr std::int64_t max_size = std::numeric_limits<std::int64_t>::max() / 4;

// Throws std::invalid_argument.
[[noreturn]] void refuse(const std::string& message);

// Product of the sizes; each must be at least 0, and the product at most max_size.
std::int64_t product(std::initializer_list<std::int64_t> factors, const char* what);

// Index of the activation with this name.
int activation_index(const std::string& name);

// Rates of descent in the parameters of layer i of a network that is trained, weights first; 0 for one that is not.
std::vector<double> training_rates(const Network& network, std::size_t i);

// Checks that the layers, draws, training and table of a network fit each other.
void check_network(const Network& network);
// Checks that a table is used in its own precision.
void check_table_precision(const Network& network, Precision precision);
// Checks the sources and that they fit the network.
void check_theory(const Theory& theory);
// Checks that times are finite and strictly increasing.
void check_times(const std::vector<double>& times);
// Checks that the run has the times for which sources are made.
void check_steps(const Theory& theory, const std::vector<double>& times);
// Checks the range of the orders of polynomials.
void check_orders(const std::vector<int>& orders);

// Checks that the factors of each product stand before it. The orders must be valid.
void check_products(const Measure& measure);
// Checks that the measure fits the channels and the times, and that sums has exactly the arrays that the measure
// requests.
void check_measure(const Measure& measure, int channels, std::int64_t n_times, const Sums& sums);
void check_run(const Run& run);
// Checks that a run with futures fits a theory.
void check_futures(const Theory& theory, std::int64_t futures);
void check_first_path(std::int64_t first_path, std::int64_t n_paths);
// Checks that blocks is a non-empty range within the blocks of the sums.
void check_sums_range(const Sums& sums, Range blocks);

}  // namespace nnqm::detail
