// The Python module nnqm._core. Each function converts its arguments, checks shapes, releases the GIL and makes one
// core call. No other C++ file depends on Python.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "nnqm/nnqm.hpp"

namespace py = pybind11;

namespace {

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Words = py::array_t<std::uint32_t, py::array::c_style | py::array::forcecast>;
using Shape = std::vector<std::int64_t>;

// Copies bytes, because a contiguous array need not be aligned to its numbers.
template <class T>
std::vector<T> to_vector(const py::array_t<T, py::array::c_style | py::array::forcecast>& array) {
    std::vector<T> values(static_cast<std::size_t>(array.size()));
    if (!values.empty())
        std::memcpy(values.data(), static_cast<const py::array&>(array).data(), values.size() * sizeof(T));
    return values;
}

nnqm::Layer to_layer(const Doubles& weights, const Doubles& biases, std::string activation) {
    if (weights.ndim() != 2) throw std::invalid_argument("weights must have shape (outputs, inputs)");
    return {static_cast<int>(weights.shape(1)), static_cast<int>(weights.shape(0)), to_vector(weights),
            to_vector(biases), std::move(activation)};
}

using PyLayer = std::tuple<Doubles, Doubles, std::string>;
// Density and nu of the weights, their scales, the same for the biases, and whether both sides of t = 0 share the
// draws.
using PyDrawn = std::tuple<std::string, double, Doubles, std::string, double, Doubles, bool>;

nnqm::Network to_network(const std::vector<PyLayer>& layers) {
    nnqm::Network network;
    for (const auto& [weights, biases, activation] : layers)
        network.layers.push_back(to_layer(weights, biases, activation));
    return network;
}

nnqm::Density to_density(const std::string& name, double nu) {
    int kind = 0;
    for (const char* known : nnqm::density_names) {
        if (name == known) return {static_cast<nnqm::DensityKind>(kind), nu};
        ++kind;
    }
    throw std::invalid_argument("density \"" + name + "\" is unknown");
}

nnqm::Precision to_precision(const std::string& name) {
    if (name == "float32") return nnqm::Precision::float32;
    if (name == "float64") return nnqm::Precision::float64;
    throw std::invalid_argument("precision must be \"float32\" or \"float64\", got \"" + name + "\"");
}

nnqm::Precision array_precision(const py::array& array, const char* name) {
    if (array.dtype().equal(py::dtype::of<float>())) return nnqm::Precision::float32;
    if (array.dtype().equal(py::dtype::of<double>())) return nnqm::Precision::float64;
    throw py::type_error(std::string(name) + " must be float32 or float64 in native byte order");
}

py::array new_array(nnqm::Precision precision, const Shape& shape) {
    return precision == nnqm::Precision::float32 ? py::array(py::dtype::of<float>(), shape)
                                                 : py::array(py::dtype::of<double>(), shape);
}

nnqm::ArrayView to_view(const py::array& array, const char* name) {
    if (array.ndim() != 3) throw std::invalid_argument(std::string(name) + " must have axes (path, time, channel)");
    nnqm::ArrayView view;
    view.data = array.data();
    view.precision = array_precision(array, name);
    for (int i = 0; i < 3; ++i) {
        view.shape[i] = array.shape(i);
        view.strides[i] = array.strides(i);
    }
    return view;
}

nnqm::ArrayOut to_out(py::array& array) {
    nnqm::ArrayOut out;
    out.data = array.mutable_data();
    out.precision = array_precision(array, "out");
    for (int i = 0; i < 3; ++i) out.shape[i] = array.shape(i);
    return out;
}

// Names and shapes, without the leading block axis, of the sums that a measure requests.
std::vector<std::pair<std::string, Shape>> shapes(const nnqm::Measure& measure, std::int64_t n_times) {
    std::vector<std::pair<std::string, Shape>> result;
    for (const nnqm::SumShape& one : nnqm::sum_shapes(measure, n_times))
        if (one.asked) result.emplace_back(one.name, one.shape);
    return result;
}

// Arrays of double that are read in place.
using AlignedDoubles =
    py::array_t<double, py::array::c_style | py::array::forcecast | py::detail::npy_api::NPY_ARRAY_ALIGNED_>;

const double* readable(const AlignedDoubles& array, const std::string& name, const Shape& shape) {
    if (static_cast<std::size_t>(array.ndim()) != shape.size() ||
        !std::equal(shape.begin(), shape.end(), array.shape()))
        throw std::invalid_argument(name + " has the wrong shape");
    return array.data();
}

// The data of an array that the core may write in place.
template <class T>
T* writable(py::array array, const std::string& name, const Shape& shape) {
    constexpr int layout = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    const bool fits = array.dtype().equal(py::dtype::of<T>()) && array.writeable() &&
                      (array.flags() & layout) == layout && static_cast<std::size_t>(array.ndim()) == shape.size() &&
                      std::equal(shape.begin(), shape.end(), array.shape());
    if (!fits) throw std::invalid_argument(name + " has the wrong shape, type or layout, or is read-only");
    return static_cast<T*>(array.mutable_data());
}

template <class T>
T* writable(const py::dict& arrays, const std::string& name, const Shape& shape) {
    if (!arrays.contains(name)) throw std::invalid_argument("sums lack the array \"" + name + "\"");
    return writable<T>(py::cast<py::array>(arrays[name.c_str()]), "sums[\"" + name + "\"]", shape);
}

nnqm::Sums to_sums(const nnqm::Measure& measure, std::int64_t n_times, std::int64_t first_block,
                   const py::dict& arrays) {
    nnqm::Sums sums;
    sums.first_block = first_block;
    sums.n_blocks = static_cast<std::int64_t>(py::len(arrays["paths"]));
    sums.paths = writable<std::int64_t>(arrays, "paths", {sums.n_blocks});
    sums.first_bad = writable<std::int64_t>(arrays, "first_bad", {sums.n_blocks});
    for (const nnqm::SumShape& one : nnqm::sum_shapes(measure, n_times)) {
        if (!one.asked) continue;
        Shape shape = one.shape;
        shape.insert(shape.begin(), sums.n_blocks);
        sums.*one.array = writable<double>(arrays, one.name, shape);
    }
    return sums;
}

nnqm::Run to_run(std::uint64_t key, const Doubles& times, std::int64_t n_paths, std::int64_t n_blocks,
                 const std::string& precision, int n_threads) {
    nnqm::Run run;
    run.key = key;
    run.times = to_vector(times);
    run.n_paths = n_paths;
    run.n_blocks = n_blocks;
    run.precision = to_precision(precision);
    run.n_threads = n_threads;
    return run;
}

}  // namespace

// Objects never change after construction, and the state of the core changes only when it is loaded or forked. Calls in
// several threads therefore need no lock, as long as no two of them write the same sums.
PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    m.doc() = "The compiled core of nnqm.";
    // Signatures are in _core.pyi; a docstring begins with a sentence.
    py::options options;
    options.disable_function_signatures();
    m.attr("tile_paths") = nnqm::tile_paths;
    m.attr("random_map_version") = nnqm::random_map_version;
    m.def("activations", &nnqm::activations, "Names of the activations.");
    m.def(
        "build_info",
        [] {
            const nnqm::BuildInfo info = nnqm::build_info();
            py::dict result;
            result["version"] = info.version;
            result["compiler"] = info.compiler;
            result["level"] = info.level;
            result["levels"] = info.levels;
            result["openmp"] = info.openmp;
            result["max_threads"] = info.max_threads;
            return result;
        },
        "Facts of the compiled core: version, compiler, instruction-set level and levels, OpenMP, largest number of "
        "threads.");

    py::class_<nnqm::Theory>(m, "Theory")
        .def(py::init([](std::vector<nnqm::Source> sources, nnqm::Network network) {
                 return nnqm::Theory{std::move(sources), std::move(network)};
             }),
             py::arg("sources"), py::arg("network"));

    py::class_<nnqm::Network>(m, "Network")
        .def(py::init(&to_network), py::arg("layers"))
        .def(
            "drawn",
            [](const nnqm::Network& fixed, const std::vector<PyDrawn>& layers, std::int64_t group, bool split) {
                nnqm::Network network = fixed;
                for (const auto& [weights, weight_nu, weight_scales, biases, bias_nu, bias_scales, shared] : layers)
                    network.drawn.push_back({to_density(weights, weight_nu), to_density(biases, bias_nu),
                                             to_vector(weight_scales), to_vector(bias_scales), shared});
                network.group = group;
                network.split = split;
                return network;
            },
            py::arg("layers"), py::arg("group"), py::arg("split"), "This network with random parameters.")
        .def(
            "trained",
            [](const nnqm::Network& untrained, const Doubles& points, const Doubles& targets, const Doubles& weights,
               double rate, std::int64_t steps, bool last_layer, bool unit_draws) {
                nnqm::Network network = untrained;
                network.training = {to_vector(points), to_vector(targets), to_vector(weights), rate, steps,
                                    last_layer,        unit_draws};
                return network;
            },
            py::kw_only(), py::arg("points"), py::arg("targets"), py::arg("weights"), py::arg("rate"), py::arg("steps"),
            py::arg("last_layer"), py::arg("unit_draws"), "This network with trained random parameters.")
        .def(
            "tabulated",
            [](const nnqm::Network& network, const std::string& precision) -> std::optional<nnqm::Network> {
                nnqm::Network result = network;
                const nnqm::Precision wanted = to_precision(precision);
                const py::gil_scoped_release release;
                result.table = nnqm::compile(network, wanted);
                if (!result.table) return std::nullopt;
                return result;
            },
            py::arg("precision"),
            "This network with a table of polynomials; None if a table is slower or not accurate enough.")
        .def_property_readonly("parameters", &nnqm::Network::parameters);

    py::class_<nnqm::OrnsteinUhlenbeck>(m, "OrnsteinUhlenbeck")
        .def(py::init([](const Doubles& omega, const Doubles& sigma) {
                 return nnqm::OrnsteinUhlenbeck{to_vector(omega), to_vector(sigma)};
             }),
             py::arg("omega"), py::arg("sigma"));

    py::class_<nnqm::Chain>(m, "Chain")
        .def(py::init([](double dt, const Doubles& values, const Words& start_threshold, const Words& start_alias,
                         const Words& threshold, const Words& alias) {
                 if (values.ndim() != 2) throw std::invalid_argument("values must have shape (grids, states)");
                 const auto grids = static_cast<int>(values.shape(0)), states = static_cast<int>(values.shape(1));
                 return nnqm::Chain{dt,
                                    states,
                                    grids,
                                    to_vector(values),
                                    to_vector(start_threshold),
                                    to_vector(start_alias),
                                    to_vector(threshold),
                                    to_vector(alias)};
             }),
             py::kw_only(), py::arg("dt"), py::arg("values"), py::arg("start_threshold"), py::arg("start_alias"),
             py::arg("threshold"), py::arg("alias"));

    py::class_<nnqm::PeriodicChain>(m, "PeriodicChain")
        .def(py::init([](double dt, const Doubles& values, const Words& start_threshold, const Words& start_alias,
                         const Words& step_weights, const Words& remaining) {
                 if (values.ndim() != 2) throw std::invalid_argument("values must have shape (grids, states)");
                 if (remaining.ndim() != 4)
                     throw std::invalid_argument("remaining must have shape (grids, steps - 1, states, states)");
                 const auto grids = static_cast<int>(values.shape(0)), states = static_cast<int>(values.shape(1));
                 return nnqm::PeriodicChain{dt,
                                            states,
                                            grids,
                                            static_cast<int>(remaining.shape(1)) + 1,
                                            to_vector(values),
                                            to_vector(start_threshold),
                                            to_vector(start_alias),
                                            to_vector(step_weights),
                                            to_vector(remaining)};
             }),
             py::kw_only(), py::arg("dt"), py::arg("values"), py::arg("start_threshold"), py::arg("start_alias"),
             py::arg("step_weights"), py::arg("remaining"));

    py::class_<nnqm::Linear>(m, "Linear")
        .def(py::init([](const Doubles& mean, const Doubles& basis, const std::string& density, double nu,
                         const Doubles& rows, bool independent) {
                 if (basis.ndim() != 2) throw std::invalid_argument("basis must have shape (modes, times)");
                 return nnqm::Linear{static_cast<int>(basis.shape(0)), to_vector(mean), to_vector(basis),
                                     to_density(density, nu),          to_vector(rows), independent};
             }),
             py::kw_only(), py::arg("mean"), py::arg("basis"), py::arg("density"), py::arg("nu"), py::arg("rows"),
             py::arg("independent"));

    py::class_<nnqm::Modes>(m, "Modes")
        .def(py::init([](const Doubles& omega, const Doubles& matrix) {
                 if (matrix.ndim() != 2 || matrix.shape(1) != omega.size())
                     throw std::invalid_argument("matrix must have shape (S, J), one column per rate");
                 return nnqm::Modes{to_vector(omega), to_vector(matrix)};
             }),
             py::arg("omega"), py::arg("matrix"));

    py::class_<nnqm::Quantiles>(m, "Quantiles")
        .def(py::init([](const Doubles& coefficients) { return nnqm::Quantiles{to_vector(coefficients)}; }),
             py::arg("coefficients"));

    py::class_<nnqm::RandomWaves>(m, "RandomWaves")
        .def(py::init([](const Doubles& points, int neurons, bool oscillators,
                         const std::optional<nnqm::Quantiles>& radius, const std::optional<nnqm::Quantiles>& ratio,
                         double mass, double amplitude, double power, std::int64_t group) {
                 if (points.ndim() != 2) throw std::invalid_argument("points must have shape (S, space)");
                 nnqm::RandomWaves waves;
                 waves.neurons = neurons;
                 waves.space = static_cast<int>(points.shape(1));
                 waves.points = to_vector(points);
                 waves.n_points = static_cast<int>(points.shape(0));
                 waves.oscillators = oscillators;
                 if (radius) waves.radius = *radius;
                 if (ratio) waves.ratio = *ratio;
                 waves.mass = mass;
                 waves.amplitude = amplitude;
                 waves.power = power;
                 waves.group = group;
                 return waves;
             }),
             py::kw_only(), py::arg("points"), py::arg("neurons"), py::arg("oscillators"), py::arg("radius"),
             py::arg("ratio"), py::arg("mass"), py::arg("amplitude"), py::arg("power"), py::arg("group"));

    py::class_<nnqm::Times>(m, "Times")
        .def(py::init([](bool reflected) { return nnqm::Times{reflected}; }), py::arg("reflected"));

    py::class_<nnqm::Measure>(m, "Measure")
        .def(py::init([](std::vector<int> channels, const Doubles& shift, const Doubles& scale, std::vector<int> orders,
                         const std::vector<PyLayer>& neurons, const Doubles& centres,
                         std::vector<std::array<int, 2>> products, Shape lags, Shape observable_lags,
                         Shape increment_lags, std::int64_t group, bool moments, int two_time) {
                 nnqm::Measure measure;
                 measure.channels = std::move(channels);
                 measure.shift = to_vector(shift);
                 measure.scale = to_vector(scale);
                 measure.orders = std::move(orders);
                 if (!neurons.empty()) measure.neurons = to_network(neurons).layers.front();
                 measure.centres = to_vector(centres);
                 measure.products = std::move(products);
                 measure.lags = std::move(lags);
                 measure.observable_lags = std::move(observable_lags);
                 measure.increment_lags = std::move(increment_lags);
                 measure.group = group;
                 measure.moments = moments;
                 measure.two_time = two_time;
                 return measure;
             }),
             py::kw_only(), py::arg("channels"), py::arg("shift"), py::arg("scale"), py::arg("orders"),
             py::arg("neurons"), py::arg("centres"), py::arg("products"), py::arg("lags"), py::arg("observable_lags"),
             py::arg("increment_lags"), py::arg("group"), py::arg("moments"), py::arg("two_time"))
        .def("shapes", &shapes, py::arg("n_times"), "Names and shapes of the sums, without the leading block axis.");

    m.def(
        "advance",
        [](const nnqm::Theory& theory, const nnqm::Measure& measure, std::uint64_t key, const Doubles& times,
           std::int64_t n_paths, std::int64_t n_blocks, const std::string& precision, int n_threads,
           std::pair<std::int64_t, std::int64_t> blocks, std::pair<std::int64_t, std::int64_t> rounds,
           std::int64_t first_block, const py::dict& arrays) {
            const nnqm::Run run = to_run(key, times, n_paths, n_blocks, precision, n_threads);
            nnqm::Sums sums = to_sums(measure, times.size(), first_block, arrays);
            const py::gil_scoped_release release;
            return nnqm::advance(theory, measure, run, {blocks.first, blocks.second}, {rounds.first, rounds.second},
                                 sums);
        },
        py::kw_only(), py::arg("theory"), py::arg("measure"), py::arg("key"), py::arg("times"), py::arg("n_paths"),
        py::arg("n_blocks"), py::arg("precision"), py::arg("n_threads"), py::arg("blocks"), py::arg("rounds"),
        py::arg("first_block"), py::arg("sums"));

    m.def(
        "sample",
        [](const nnqm::Theory& theory, std::uint64_t key, const Doubles& times,
           std::pair<std::int64_t, std::int64_t> paths, int n_threads, py::array array, std::int64_t futures) {
            const bool single = array_precision(array, "out") == nnqm::Precision::float32;
            const Shape shape{paths.second - paths.first, times.size(), theory.inputs()};
            if (single) writable<float>(array, "out", shape);
            else writable<double>(array, "out", shape);
            const nnqm::ArrayOut out = to_out(array);
            nnqm::Run run = to_run(key, times, paths.second, 1, single ? "float32" : "float64", n_threads);
            run.futures = futures;
            const py::gil_scoped_release release;
            nnqm::sample(theory, run, {paths.first, paths.second}, out);
        },
        py::kw_only(), py::arg("theory"), py::arg("key"), py::arg("times"), py::arg("paths"), py::arg("n_threads"),
        py::arg("out"), py::arg("futures") = 1);

    m.def(
        "apply",
        [](const nnqm::Network& network, std::uint64_t key, const Doubles& times, std::int64_t first_path,
           const py::array& inputs, int n_threads) {
            const nnqm::Run run = to_run(key, times, 0, 1, "float64", n_threads);
            const nnqm::ArrayView view = to_view(inputs, "inputs");
            const std::int64_t n_outputs = network.layers.empty() ? 0 : network.layers.back().outputs;
            py::array array = new_array(view.precision, {view.shape[0], view.shape[1], n_outputs});
            const nnqm::ArrayOut out = to_out(array);
            {
                const py::gil_scoped_release release;
                nnqm::apply(network, run, first_path, view, out);
            }
            return array;
        },
        py::kw_only(), py::arg("network"), py::arg("key"), py::arg("times"), py::arg("first_path"), py::arg("inputs"),
        py::arg("n_threads"));

    m.def(
        "differentiate",
        [](const nnqm::Network& network, const py::array& inputs, int n_threads) {
            const nnqm::ArrayView view = to_view(inputs, "inputs");
            const std::int64_t n_outputs = network.layers.empty() ? 0 : network.layers.back().outputs;
            py::array arrays[3];
            nnqm::ArrayOut outs[3];
            for (int k = 0; k < 3; ++k) {
                arrays[k] = new_array(view.precision,
                                      {view.shape[0], view.shape[1], k == 0 ? n_outputs : n_outputs * view.shape[2]});
                outs[k] = to_out(arrays[k]);
            }
            {
                const py::gil_scoped_release release;
                nnqm::differentiate(network, view, outs[0], outs[1], outs[2], n_threads);
            }
            return std::make_tuple(arrays[0], arrays[1], arrays[2]);
        },
        py::kw_only(), py::arg("network"), py::arg("inputs"), py::arg("n_threads"));

    m.def(
        "pullback",
        [](const nnqm::Network& network, std::uint64_t key, std::int64_t first_path, const py::array& inputs,
           const py::array& values, const std::optional<py::array>& first, const std::optional<py::array>& second,
           int n_threads) {
            const nnqm::ArrayView view = to_view(inputs, "inputs");
            nnqm::Cotangents cotangents;
            cotangents.values = to_view(values, "values");
            if (first) cotangents.first = to_view(*first, "first");
            if (second) cotangents.second = to_view(*second, "second");
            const bool random = network.random();
            const std::int64_t groups =
                random ? (first_path + view.shape[0] - 1) / network.group - first_path / network.group + 1 : 1;
            py::array parameters = new_array(view.precision, {groups, 1, network.parameters()});
            py::array gradients = new_array(view.precision, {view.shape[0], view.shape[1], view.shape[2]});
            const nnqm::ArrayOut to_parameters = to_out(parameters), to_inputs = to_out(gradients);
            nnqm::Run run;
            run.key = key;
            run.n_threads = n_threads;
            {
                const py::gil_scoped_release release;
                if (random) nnqm::pullback(network, run, first_path, view, cotangents, to_parameters, to_inputs);
                else nnqm::pullback(network, view, cotangents, to_parameters, to_inputs, n_threads);
            }
            return std::make_pair(parameters, gradients);
        },
        py::kw_only(), py::arg("network"), py::arg("key"), py::arg("first_path"), py::arg("inputs"), py::arg("values"),
        py::arg("first"), py::arg("second"), py::arg("n_threads"));

    m.def(
        "draw",
        [](const nnqm::Network& network, std::uint64_t key, bool negative, std::pair<std::int64_t, std::int64_t> groups,
           const std::string& precision, int n_threads) {
            py::array array =
                new_array(to_precision(precision), {groups.second - groups.first, 1, network.parameters()});
            const nnqm::ArrayOut out = to_out(array);
            {
                const py::gil_scoped_release release;
                nnqm::draw(network, key, negative, {groups.first, groups.second}, out, n_threads);
            }
            return array;
        },
        py::kw_only(), py::arg("network"), py::arg("key"), py::arg("negative"), py::arg("groups"), py::arg("precision"),
        py::arg("n_threads"));

    m.def(
        "accumulate",
        [](const py::array& channels, const nnqm::Measure& measure, const Shape& offsets, std::int64_t first_path,
           int n_threads, const py::dict& arrays, const std::optional<AlignedDoubles>& weights) {
            const nnqm::ArrayView view = to_view(channels, "channels");
            nnqm::Sums sums = to_sums(measure, view.shape[1], 0, arrays);
            const double* factors = weights ? readable(*weights, "weights", {view.shape[0]}) : nullptr;
            const py::gil_scoped_release release;
            return nnqm::accumulate(view, measure, offsets, first_path, n_threads, sums, factors);
        },
        py::kw_only(), py::arg("channels"), py::arg("measure"), py::arg("offsets"), py::arg("first_path"),
        py::arg("n_threads"), py::arg("sums"), py::arg("weights") = py::none());

    m.def(
        "two_time_functions",
        [](const py::array& packed, const AlignedDoubles& factors, const AlignedDoubles& offsets,
           std::pair<std::int64_t, std::int64_t> rows) {
            const std::int64_t n = factors.size(), n_times = n == 0 ? 0 : offsets.size() / n;
            const std::int64_t pairs = (rows.second * (rows.second + 1) - rows.first * (rows.first + 1)) / 2;
            double* functions = writable<double>(packed, "packed", {n, pairs});
            const double* scale = readable(factors, "factors", {n});
            const double* shift = readable(offsets, "offsets", {n, n_times});
            const py::gil_scoped_release release;
            nnqm::two_time_functions(functions, scale, shift, n, n_times, {rows.first, rows.second});
        },
        py::kw_only(), py::arg("packed"), py::arg("factors"), py::arg("offsets"), py::arg("rows"));

    m.def(
        "unpack_matrices",
        [](const AlignedDoubles& packed, std::int64_t size) {
            const std::int64_t n = packed.ndim() == 2 ? packed.shape(0) : 0;
            const double* values = readable(packed, "packed", {n, size * (size + 1) / 2});
            Doubles matrices(Shape{n, size, size});
            double* out = matrices.mutable_data();
            {
                const py::gil_scoped_release release;
                nnqm::unpack_matrices(values, n, size, out);
            }
            return matrices;
        },
        py::kw_only(), py::arg("packed"), py::arg("size"));

    m.def(
        "jackknife_variances",
        [](const AlignedDoubles& values, const AlignedDoubles& replicas, const AlignedDoubles& weights) {
            const std::int64_t n = weights.size(), size = values.size();
            const double* value = readable(values, "values", {size});
            const double* left_out = readable(replicas, "replicas", {n, size});
            const double* weight = readable(weights, "weights", {n});
            Doubles variances(size);
            double* out = variances.mutable_data();
            {
                const py::gil_scoped_release release;
                nnqm::jackknife_variances(value, left_out, weight, n, size, out);
            }
            return variances;
        },
        py::kw_only(), py::arg("values"), py::arg("replicas"), py::arg("weights"));

    m.def(
        "symmetric_eigenstates",
        [](const AlignedDoubles& matrices, bool vectors, int n_threads) {
            const std::int64_t n = matrices.ndim() == 3 ? matrices.shape(0) : 0;
            const std::int64_t size = matrices.ndim() == 3 ? matrices.shape(1) : 0;
            const double* given = readable(matrices, "matrices", {n, size, size});
            Doubles values(Shape{n, size}), states(vectors ? Shape{n, size, size} : Shape{0, size, size});
            double *out = values.mutable_data(), *columns = vectors ? states.mutable_data() : nullptr;
            {
                const py::gil_scoped_release release;
                nnqm::symmetric_eigenstates(given, n, size, out, columns, n_threads);
            }
            return std::make_pair(values, states);
        },
        py::kw_only(), py::arg("matrices"), py::arg("vectors"), py::arg("n_threads"));

    m.def(
        "generalised_eigenstates",
        [](const AlignedDoubles& metrics, const AlignedDoubles& matrices, int n_threads) {
            const std::int64_t n = matrices.ndim() == 3 ? matrices.shape(0) : 0;
            const std::int64_t size = matrices.ndim() == 3 ? matrices.shape(1) : 0;
            const double* metric = readable(metrics, "metrics", {n, size, size});
            const double* given = readable(matrices, "matrices", {n, size, size});
            Doubles values(Shape{n, size}), states(Shape{n, size, size});
            double *out = values.mutable_data(), *columns = states.mutable_data();
            {
                const py::gil_scoped_release release;
                nnqm::generalised_eigenstates(metric, given, n, size, out, columns, n_threads);
            }
            return std::make_pair(values, states);
        },
        py::kw_only(), py::arg("metrics"), py::arg("matrices"), py::arg("n_threads"));

    m.def(
        "products",
        [](const AlignedDoubles& a, const AlignedDoubles& b, bool transposed_b, int n_threads) {
            if (a.ndim() != 3 || b.ndim() != 3)
                throw std::invalid_argument("a and b must have axes (n, rows, columns)");
            const std::int64_t n = std::max(a.shape(0), b.shape(0));
            nnqm::ProductShape shape{a.shape(1), a.shape(2), b.shape(transposed_b ? 1 : 2)};
            shape.transposed_b = transposed_b;
            shape.same_a = a.shape(0) == 1;
            shape.same_b = b.shape(0) == 1;
            const double* left = readable(a, "a", {shape.same_a ? 1 : n, shape.rows, shape.inner});
            const std::int64_t n_right = shape.same_b ? 1 : n;
            const double* right = readable(
                b, "b",
                transposed_b ? Shape{n_right, shape.columns, shape.inner} : Shape{n_right, shape.inner, shape.columns});
            Doubles products(Shape{n, shape.rows, shape.columns});
            double* out = products.mutable_data();
            {
                const py::gil_scoped_release release;
                nnqm::products(left, right, n, shape, out, n_threads);
            }
            return products;
        },
        py::kw_only(), py::arg("a"), py::arg("b"), py::arg("transposed_b"), py::arg("n_threads"));
}
