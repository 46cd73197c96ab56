// Arguments of the plain-C interface: checks for the mistakes that only a C caller can make, and conversions to the
// types of the C++ interface.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <vector>

#include "checks.hpp"
#include "nnqm/nnqm.h"
#include "nnqm/nnqm.hpp"

namespace nnqm::detail {

// Bounds of single sizes, far above any use. Within them no sum or product of a few sizes overflows its type.
inline constexpr std::int64_t largest_width = std::int64_t{1} << 24;
inline constexpr std::int64_t largest_times = std::numeric_limits<std::int32_t>::max();
inline constexpr std::int64_t largest_index = std::int64_t{1} << 54;
inline constexpr std::int64_t largest_group = std::int64_t{1} << 40;
// Largest n_threads. A runtime that cannot start a thread ends the process, so absurd numbers must not reach it.
inline constexpr std::int64_t most_threads = 4096;

template <class T>
T& given(T* pointer, const char* name) {
    if (!pointer) refuse(std::string(name) + " is null");
    return *pointer;
}

inline std::int64_t between(std::int64_t smallest, std::int64_t value, std::int64_t largest, const char* name) {
    if (value < smallest || value > largest)
        refuse(std::string(name) + " must lie between " + std::to_string(smallest) + " and " + std::to_string(largest) +
               ", got " + std::to_string(value));
    return value;
}

inline int width(std::int64_t value, const char* name) {
    return static_cast<int>(between(1, value, largest_width, name));
}

inline int threads(std::int32_t n) { return static_cast<int>(between(0, n, most_threads, "n_threads")); }

template <class T>
std::vector<T> copy(const T* values, std::int64_t n, const char* name) {
    if (n > 0) given(values, name);
    if (static_cast<std::uint64_t>(n) > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_alloc();
    return n > 0 ? std::vector<T>(values, values + n) : std::vector<T>();
}

inline Layer layer(std::int64_t inputs, std::int64_t outputs, const double* weights, const double* biases,
                   const char* activation) {
    Layer result;
    result.inputs = width(inputs, "inputs");
    result.outputs = width(outputs, "outputs");
    result.weights = copy(weights, inputs * outputs, "weights");
    result.biases = copy(biases, outputs, "biases");
    result.activation = &given(activation, "activation");
    return result;
}

inline Precision precision_of(std::int32_t precision) {
    if (precision != NNQM_FLOAT32 && precision != NNQM_FLOAT64)
        refuse("precision must be NNQM_FLOAT32 or NNQM_FLOAT64, got " + std::to_string(precision));
    return precision == NNQM_FLOAT32 ? Precision::float32 : Precision::float64;
}

inline std::int64_t item_size(Precision precision) { return precision == Precision::float32 ? 4 : 8; }

// Number of bytes of a contiguous array of this shape. Checks that each size is positive and that the product fits.
inline std::int64_t extent(const std::int64_t* shape, Precision precision, const std::string& name) {
    given(shape, (name + " shape").c_str());
    std::int64_t bytes = item_size(precision);
    for (int axis = 0; axis < 3; ++axis) {
        if (shape[axis] < 1)
            refuse(name + " shape must be positive; shape[" + std::to_string(axis) + "] is " +
                   std::to_string(shape[axis]));
        if (bytes > std::numeric_limits<std::int64_t>::max() / shape[axis])
            refuse(name + " shape: the size overflows 64 bits");
        bytes *= shape[axis];
    }
    between(1, shape[1], largest_times, "the number of times");
    between(1, shape[2], largest_width, "the number of channels");
    return bytes;
}

inline ArrayView view(std::int32_t precision, const std::int64_t* shape, const std::int64_t* strides, const void* data,
                      const std::string& name) {
    ArrayView result;
    result.precision = precision_of(precision);
    extent(shape, result.precision, name);
    if (!data) refuse(name + " is null");
    result.data = data;
    std::int64_t contiguous = item_size(result.precision), reach = contiguous;
    for (int axis = 2; axis >= 0; --axis) {
        const std::int64_t steps = shape[axis] - 1, stride = strides ? strides[axis] : contiguous;
        const std::int64_t room = (std::numeric_limits<std::int64_t>::max() - reach) / std::max<std::int64_t>(steps, 1);
        if (stride > room || stride < -room) refuse(name + " strides: the size overflows 64 bits");
        reach += steps * (stride < 0 ? -stride : stride);
        result.shape[axis] = shape[axis];
        result.strides[axis] = stride;
        contiguous *= shape[axis];
    }
    return result;
}

inline ArrayOut out(Precision precision, const std::int64_t* shape, void* data, const std::string& name) {
    extent(shape, precision, name);
    if (!data) refuse(name + " is null");
    if (reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(item_size(precision)) != 0)
        refuse(name + " must be aligned to the size of its numbers");
    return {data, precision, {shape[0], shape[1], shape[2]}};
}

inline bool flag(std::int32_t value, const char* name) { return between(0, value, 1, name) == 1; }

// The shape of the derivatives at points: (paths, times, outputs * inputs).
struct DerivativeShape {
    std::int64_t shape[3];
    DerivativeShape(const std::int64_t* values, std::int64_t inputs)
        : shape{given(values, "value shape"), values[1], 0} {
        shape[2] = between(1, values[2], largest_width, "outputs") * inputs;
        between(1, shape[2], largest_width, "outputs * inputs");
    }
};

inline ArrayOut optional(Precision precision, const std::int64_t* shape, void* data, const char* name) {
    return data ? out(precision, shape, data, name) : ArrayOut{};
}

// Weights of values and derivatives, contiguous; null pointers to derivatives stand for zeros.
inline Cotangents cotangents(std::int32_t precision, const std::int64_t* shape, std::int64_t inputs, const void* values,
                             const void* first, const void* second) {
    const DerivativeShape full(shape, inputs);
    Cotangents result;
    result.values = view(precision, shape, nullptr, values, "values");
    if (first) result.first = view(precision, full.shape, nullptr, first, "first");
    if (second) result.second = view(precision, full.shape, nullptr, second, "second");
    return result;
}

}  // namespace nnqm::detail
