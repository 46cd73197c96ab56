// Handles of the plain-C interface, and the calls around them: each handle contains a C++ description.
#pragma once

#include <cstdint>
#include <new>
#include <stdexcept>

#include "c_arguments.hpp"

struct nnqm_theory {
    nnqm::Theory value;
};

struct nnqm_measure {
    nnqm::Measure value;
};

struct nnqm_run {
    nnqm::Run value;
};

// Sums contain their measure and number of times, so a call with another measure cannot fill arrays of the same shape.
struct nnqm_sums {
    nnqm_sums(const nnqm::Measure& m, std::int64_t times, std::int64_t first_block, std::int64_t n_blocks)
        : measure(m), n_times(times), buffer(m, times, first_block, n_blocks), view(buffer.view()) {}
    nnqm::Measure measure;
    std::int64_t n_times;
    nnqm::SumsBuffer buffer;
    nnqm::Sums view;
};

namespace nnqm::detail {

// Keeps the message of a failed call for nnqm_last_error and returns the status.
std::int32_t fail(std::int32_t status, const char* message) noexcept;

// Calls call() and turns exceptions into a status and a message.
template <class Call>
std::int32_t guarded(const Call& call) noexcept {
    try {
        call();
        return NNQM_OK;
    } catch (const std::invalid_argument& error) {
        return fail(NNQM_INVALID_ARGUMENT, error.what());
    } catch (const std::bad_alloc&) {
        return fail(NNQM_OUT_OF_MEMORY, "out of memory");
    } catch (const std::length_error&) {
        return fail(NNQM_OUT_OF_MEMORY, "out of memory: an array would exceed any memory");
    } catch (const std::exception& error) {
        return fail(NNQM_UNEXPECTED, error.what());
    } catch (...) {
        return fail(NNQM_UNEXPECTED, "unknown exception");
    }
}

// Makes a handle. A failed call leaves null in *handle.
template <class Handle>
std::int32_t create(Handle** handle, const char* name) noexcept {
    return guarded([&] {
        given(handle, name) = nullptr;
        *handle = new Handle{};
    });
}

}  // namespace nnqm::detail
