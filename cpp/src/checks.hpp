// Checks of descriptions and arguments: each throws std::invalid_argument with a message that names the argument.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "nnqm/nnqm.hpp"

namespace nnqm::detail {

// Largest size of an array, and index of a path, that no sum or product of a few of them overflows.
inline constexpr std::int64_t max_size = std::numeric_limits<std::int64_t>::max() / 4;

[[noreturn]] void refuse(const std::string& message);

// Product of sizes that are not negative, at most max_size.
std::int64_t product(std::initializer_list<std::int64_t> factors, const char* what);

// Index of an activation by its name.
int activation_index(const std::string& name);

// The layers, draws and table of a network fit each other.
void check_network(const Network& network);
// A table is for the precision in which it is used.
void check_table_precision(const Network& network, Precision precision);
// The sources are valid, and fit the network.
void check_theory(const Theory& theory);
void check_times(const std::vector<double>& times);
// Sources that are made for definite times have those of the run.
void check_steps(const Theory& theory, const std::vector<double>& times);
// Orders of polynomials lie in their range.
void check_orders(const std::vector<int>& orders);
// The measure fits the channels and the times, and exactly the sums that it asks for are given.
void check_measure(const Measure& measure, int channels, std::int64_t n_times, const Sums& sums);
void check_run(const Run& run);
void check_first_path(std::int64_t first_path, std::int64_t n_paths);
// Blocks are a range that is not empty, within those of the sums.
void check_sums_range(const Sums& sums, Range blocks);

}  // namespace nnqm::detail
