// Checks of descriptions that more than one file makes.
#pragma once

#include "nnqm/nnqm.hpp"

namespace nnqm::detail {

// Throws std::invalid_argument unless the layers, draws and table of a network fit each other.
void check_network(const Network& network);

}  // namespace nnqm::detail
