// The calls of the plain-C interface that evaluate networks on arrays of the caller, and their gradients.
#include "c_tools.hpp"

using namespace nnqm::c;

std::int32_t nnqm_apply(const nnqm_theory* theory, std::int32_t precision, const std::int64_t* input_shape,
                        const std::int64_t* input_strides, const void* inputs, const std::int64_t* output_shape,
                        void* outputs, std::int32_t n_threads) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        const nnqm::ArrayOut to = out(from.precision, output_shape, outputs, "output");
        nnqm::apply(network, from, to, threads(n_threads));
    });
}

std::int32_t nnqm_apply_run(const nnqm_theory* theory, const nnqm_run* run, std::int64_t first_path,
                            std::int32_t precision, const std::int64_t* input_shape, const std::int64_t* input_strides,
                            const void* inputs, const std::int64_t* output_shape, void* outputs) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::Run& r = given(run, "run").value;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        const nnqm::ArrayOut to = out(from.precision, output_shape, outputs, "output");
        nnqm::apply(network, r, between(0, first_path, largest_index, "first_path"), from, to);
    });
}

std::int32_t nnqm_draw(const nnqm_theory* theory, std::uint64_t key, std::int32_t negative, std::int64_t first_group,
                       std::int64_t end_group, std::int32_t precision, const std::int64_t* shape, void* parameters) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const bool before_zero = flag(negative, "negative");
        between(0, first_group, largest_index, "first_group");
        between(first_group, end_group, largest_index, "end_group");
        nnqm::draw(network, key, before_zero, {first_group, end_group},
                   out(precision_of(precision), shape, parameters, "parameters"));
    });
}

namespace {

// The shape of the derivatives at points: (paths, times, outputs * inputs).
struct DerivativeShape {
    std::int64_t shape[3];
    DerivativeShape(const std::int64_t* values, std::int64_t inputs)
        : shape{given(values, "value shape"), values[1], 0} {
        shape[2] = between(1, values[2], largest_width, "outputs") * inputs;
        between(1, shape[2], largest_width, "outputs * inputs");
    }
};

nnqm::ArrayOut optional(nnqm::Precision precision, const std::int64_t* shape, void* data, const char* name) {
    return data ? out(precision, shape, data, name) : nnqm::ArrayOut{};
}

// Weights of values and derivatives, contiguous; null pointers to derivatives stand for zeros.
nnqm::Cotangents cotangents(std::int32_t precision, const std::int64_t* shape, std::int64_t inputs, const void* values,
                            const void* first, const void* second) {
    const DerivativeShape full(shape, inputs);
    nnqm::Cotangents result;
    result.values = view(precision, shape, nullptr, values, "values");
    if (first) result.first = view(precision, full.shape, nullptr, first, "first");
    if (second) result.second = view(precision, full.shape, nullptr, second, "second");
    return result;
}

}  // namespace

std::int32_t nnqm_differentiate(const nnqm_theory* theory, std::int32_t precision, const std::int64_t* input_shape,
                                const std::int64_t* input_strides, const void* inputs, const std::int64_t* value_shape,
                                void* values, void* first, void* second, std::int32_t n_threads) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        const DerivativeShape full(value_shape, from.shape[2]);
        nnqm::differentiate(network, from, out(from.precision, value_shape, values, "values"),
                            optional(from.precision, full.shape, first, "first"),
                            optional(from.precision, full.shape, second, "second"), threads(n_threads));
    });
}

std::int32_t nnqm_pullback(const nnqm_theory* theory, std::int32_t precision, const std::int64_t* input_shape,
                           const std::int64_t* input_strides, const void* inputs, const std::int64_t* value_shape,
                           const void* values, const void* first, const void* second,
                           const std::int64_t* parameter_shape, void* parameters, void* input_gradients,
                           std::int32_t n_threads) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        nnqm::pullback(network, from, cotangents(precision, value_shape, from.shape[2], values, first, second),
                       out(from.precision, parameter_shape, parameters, "parameters"),
                       optional(from.precision, input_shape, input_gradients, "input_gradients"), threads(n_threads));
    });
}

std::int32_t nnqm_pullback_run(const nnqm_theory* theory, const nnqm_run* run, std::int64_t first_path,
                               std::int32_t precision, const std::int64_t* input_shape,
                               const std::int64_t* input_strides, const void* inputs, const std::int64_t* value_shape,
                               const void* values, const void* first, const void* second,
                               const std::int64_t* parameter_shape, void* parameters, void* input_gradients) {
    return guarded([&] {
        const nnqm::Network& network = given(theory, "theory").value.network;
        const nnqm::Run& r = given(run, "run").value;
        const nnqm::ArrayView from = view(precision, input_shape, input_strides, inputs, "input");
        nnqm::pullback(network, r, between(0, first_path, largest_index, "first_path"), from,
                       cotangents(precision, value_shape, from.shape[2], values, first, second),
                       out(from.precision, parameter_shape, parameters, "parameters"),
                       optional(from.precision, input_shape, input_gradients, "input_gradients"));
    });
}
