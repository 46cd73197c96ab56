// Tests of the accuracy of math.hpp and activations.hpp against long double, of their special values, and of the words
// and normal numbers of philox.hpp. Compiled once per instruction-set level. Every function is called in a loop, as in
// the kernels.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "activations.hpp"
#include "check.hpp"
#include "math.hpp"
#include "philox.hpp"

namespace level = nnqm::NNQM_LEVEL_NAMESPACE;

namespace {

template <typename T>
constexpr const char* name_of = sizeof(T) == 4 ? "float" : "double";
#if defined(__FMA__) || defined(__aarch64__)
constexpr long double float_target = 3.3e-7L;
#else
constexpr long double float_target = 4e-7L;
#endif
template <typename T>
constexpr long double target = sizeof(T) == 4 ? float_target : 1e-15L;

template <typename T>
T any_value(Words& words) {
    T x;
    if constexpr (sizeof(T) == 4) x = level::from_bits(static_cast<std::uint32_t>(words.next()));
    else x = level::from_bits(words.next());
    return x;
}

// Arguments: a grid over [low, high], uniform numbers in it, and bit patterns of every magnitude within [least, most].
template <typename T>
std::vector<T> arguments(double low, double high, double least, double most) {
    constexpr int count = 200000;
    std::vector<T> x;
    Words words{12345};
    for (int i = 0; i <= count; ++i) x.push_back(static_cast<T>(low + (high - low) * i / count));
    for (int i = 0; i < count; ++i) x.push_back(static_cast<T>(low + (high - low) * words.uniform()));
    for (int i = 0; i < count; ++i) {
        const T v = any_value<T>(words);
        if (static_cast<double>(v) >= least && static_cast<double>(v) <= most) x.push_back(v);
    }
    return x;
}

struct worst {
    long double relative = 0, absolute = 0;
    double at = 0;
};

// Results below the normal range may differ by one additional unit of the smallest denormal; results beyond the range
// are infinite.
template <typename T>
worst compare(const char* name, const std::vector<T>& x, const std::vector<T>& y,
              long double (*reference)(long double)) {
    using limits = std::numeric_limits<T>;
    worst found;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const long double right = reference(x[i]), magnitude = std::fabs(right);
        const double at = static_cast<double>(x[i]);
        if (!std::isfinite(static_cast<T>(right))) {
            CHECK(y[i] == static_cast<T>(right), "%s %s(%.17g) is %g", name_of<T>, name, at, static_cast<double>(y[i]));
            continue;
        }
        const long double error = std::fabs(y[i] - right);
        CHECK(std::isfinite(y[i]), "%s %s(%.17g) is %g", name_of<T>, name, at, static_cast<double>(y[i]));
        if (error > found.absolute) found.absolute = error;
        if (magnitude < static_cast<long double>(limits::min())) {
            CHECK(error <= target<T> * magnitude + static_cast<long double>(limits::denorm_min()),
                  "%s %s(%.17g) is %g, not %Lg", name_of<T>, name, at, static_cast<double>(y[i]), right);
        } else if (error > found.relative * magnitude) {
            found.relative = error / magnitude;
            found.at = at;
        }
    }
    return found;
}

template <typename T, typename F>
std::vector<T> apply(const std::vector<T>& x, F f) {
    std::vector<T> y(x.size());
    const T* from = x.data();
    T* to = y.data();
    const long n = static_cast<long>(x.size());
    for (long i = 0; i < n; ++i) to[i] = f(from[i]);
    return y;
}

template <typename T, typename F>
void accuracy(const char* name, F f, long double (*reference)(long double), double low, double high,
              double least = -std::numeric_limits<double>::max(), double most = std::numeric_limits<double>::max()) {
    const std::vector<T> x = arguments<T>(low, high, least, most);
    const worst found = compare(name, x, apply(x, f), reference);
    std::printf("%-6s %-12s %8.2Le relative, at %.9g\n", name_of<T>, name, found.relative, found.at);
    CHECK(found.relative <= target<T>, "%s %s: %Le at %.17g", name_of<T>, name, found.relative, found.at);
}

// Checks an absolute bound over the whole domain, and a relative bound for moderate arguments.
template <typename T, typename F>
void periodic(const char* name, F f, long double (*reference)(long double)) {
    const double moderate = 1e5, limit = 3.9e15;
    std::vector<T> x = arguments<T>(-10, 10, -moderate, moderate);
    const worst near = compare(name, x, apply(x, f), reference);
    x = arguments<T>(-limit, limit, -limit, limit);
    const worst far = compare(name, x, apply(x, f), reference);
    std::printf("%-6s %-12s %8.2Le relative to |x| = 1e5, %8.2Le absolute to 3.9e15\n", name_of<T>, name, near.relative,
                far.absolute);
    CHECK(near.relative <= target<T>, "%s %s: %Le at %.17g", name_of<T>, name, near.relative, near.at);
    CHECK(far.absolute <= target<T>, "%s %s: %Le absolute", name_of<T>, name, far.absolute);
}

long double reference_gelu(long double x) { return x * 0.5L * std::erfc(-x * 0.707106781186547524400844362104849039L); }
long double reference_sigmoid(long double x) {
    const long double z = std::exp(-std::fabs(x));
    return (x < 0 ? z : 1) / (1 + z);
}
long double reference_softplus(long double x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))); }
long double reference_exp(long double x) { return std::exp(x); }
long double reference_log(long double x) { return std::log(x); }
long double reference_log1p(long double x) { return std::log1p(x); }
long double reference_expm1(long double x) { return std::expm1(x); }
long double reference_tanh(long double x) { return std::tanh(x); }
long double reference_erf(long double x) { return std::erf(x); }
long double reference_sin(long double x) { return std::sin(x); }
long double reference_cos(long double x) { return std::cos(x); }

template <typename T, typename F>
void special(const char* name, F f, double x, double expected) {
    const std::vector<T> y = apply(std::vector<T>(67, static_cast<T>(x)), f);
    for (const T v : y) {
        const double got = static_cast<double>(v), want = static_cast<double>(static_cast<T>(expected));
        const bool same = std::isnan(want) ? std::isnan(got) : got == want && (std::signbit(got) == std::signbit(want));
        CHECK(same, "%s %s(%g) is %g, not %g", name_of<T>, name, x, got, want);
        if (!same) break;
    }
}

template <typename T>
void all_functions() {
    using limits = std::numeric_limits<T>;
    const bool wide = sizeof(T) == 8;
    const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    const double tiny = static_cast<double>(limits::denorm_min()), huge = static_cast<double>(limits::max());
    const auto exp = [](T x) { return level::exp(x); };
    const auto log = [](T x) { return level::log(x); };
    const auto log1p = [](T x) { return level::log1p_unit(x); };
    const auto expm1 = [](T x) { return level::expm1(x); };
    const auto tanh = [](T x) { return level::tanh(x); };
    const auto sin = [](T x) { return level::sin(x); };
    const auto cos = [](T x) { return level::cos(x); };
    const auto erf = [](T x) { return level::erf(x); };
    const auto gelu = [](T x) { return level::gelu(x); };
    const auto sigmoid = [](T x) { return level::sigmoid(x); };
    const auto softplus = [](T x) { return level::softplus(x); };
    const auto relu = [](T x) { return level::relu(x); };

    accuracy<T>("exp", exp, reference_exp, wide ? -760 : -110, wide ? 720 : 95);
    accuracy<T>("exp", exp, reference_exp, -1, 1);
    accuracy<T>("log", log, reference_log, 0.4, 2.5, std::numeric_limits<double>::denorm_min());
    accuracy<T>("log1p_unit", log1p, reference_log1p, 0, 1, 0, 1);
    accuracy<T>("expm1", expm1, reference_expm1, -2, 2);
    accuracy<T>("expm1", expm1, reference_expm1, -50, wide ? 720 : 95);
    accuracy<T>("tanh", tanh, reference_tanh, -1, 1);
    accuracy<T>("tanh", tanh, reference_tanh, -21, 21);
    periodic<T>("sin", sin, reference_sin);
    periodic<T>("cos", cos, reference_cos);
    accuracy<T>("erf", erf, reference_erf, -1.5, 1.5);
    accuracy<T>("erf", erf, reference_erf, -6.5, 6.5);
    accuracy<T>("gelu", gelu, reference_gelu, -2, 2);
    accuracy<T>("gelu", gelu, reference_gelu, wide ? -40 : -15, 6);
    accuracy<T>("sigmoid", sigmoid, reference_sigmoid, wide ? -760 : -110, 40);
    accuracy<T>("sigmoid", sigmoid, reference_sigmoid, -5, 5);
    accuracy<T>("softplus", softplus, reference_softplus, wide ? -760 : -110, 40);
    accuracy<T>("softplus", softplus, reference_softplus, -5, 5);

    for (const double x : {0.0, -0.0, nan}) {
        const double sign = std::copysign(1.0, x);
        for (const double v : {x, std::isnan(x) ? x : sign * tiny}) {
            special<T>("expm1", expm1, v, v);
            special<T>("tanh", tanh, v, v);
            special<T>("sin", sin, v, v);
            special<T>("exp", exp, v, std::isnan(v) ? v : 1);
            special<T>("cos", cos, v, std::isnan(v) ? v : 1);
            special<T>("sigmoid", sigmoid, v, std::isnan(v) ? v : 0.5);
        }
        special<T>("erf", erf, x, x);
        special<T>("log", log, x, std::isnan(x) ? x : -inf);
        special<T>("softplus", softplus, x, std::isnan(x) ? x : 0.693147180559945309);
    }
    special<T>("gelu", gelu, nan, nan);
    special<T>("gelu", gelu, 0, 0);
    special<T>("relu", relu, nan, nan);
    special<T>("relu", relu, -1, 0);
    special<T>("relu", relu, -inf, 0);
    special<T>("relu", relu, inf, inf);
    special<T>("relu", relu, 1.5, 1.5);
    for (const double x : {inf, huge}) {
        special<T>("exp", exp, x, inf);
        special<T>("exp", exp, -x, 0);
        special<T>("expm1", expm1, x, inf);
        special<T>("expm1", expm1, -x, -1);
        special<T>("tanh", tanh, x, 1);
        special<T>("tanh", tanh, -x, -1);
        special<T>("erf", erf, x, 1);
        special<T>("erf", erf, -x, -1);
        special<T>("sin", sin, x, nan);
        special<T>("cos", cos, -x, nan);
        special<T>("sigmoid", sigmoid, x, 1);
        special<T>("sigmoid", sigmoid, -x, 0);
        special<T>("softplus", softplus, x, x);
        special<T>("softplus", softplus, -x, 0);
        special<T>("gelu", gelu, x, x);
        special<T>("gelu", gelu, -x, 0);
        special<T>("log", log, -x, nan);
    }
    special<T>("log", log, inf, inf);
    special<T>("log", log, 1, 0);
    special<T>("log", log, -tiny, nan);
    special<T>("sin", sin, 4.1e15, nan);
    special<T>("tanh", tanh, 9.5, static_cast<double>(static_cast<T>(std::tanh(9.5L))));
}

// The three derivatives of an activation in long double, and for each the sum of the magnitudes of its terms. A
// derivative with a zero inside the domain is compared relative to this sum.
struct Exact {
    long double value[3], size[3];
};

constexpr long double root_pi = 1.772453850905516027298167483341145183L,
                      root_two = 1.414213562373095048801688724209698079L;

Exact exact_identity(long double) { return {{1, 0, 0}, {1, 0, 0}}; }
Exact exact_relu(long double x) { return {{x > 0 ? 1.0L : 0.0L, 0, 0}, {1, 0, 0}}; }
Exact exact_sin(long double x) {
    const long double s = std::sin(x), c = std::cos(x);
    return {{c, -s, -c}, {std::fabs(c), std::fabs(s), std::fabs(c)}};
}
Exact exact_cos(long double x) {
    const long double s = std::sin(x), c = std::cos(x);
    return {{-s, -c, s}, {std::fabs(s), std::fabs(c), std::fabs(s)}};
}
Exact exact_tanh(long double x) {
    const long double c = 1 / std::cosh(x), d = c * c, t = std::tanh(x);
    return {{d, -2 * t * d, (6 * t * t - 2) * d}, {d, 2 * std::fabs(t) * d, (6 * t * t + 2) * d}};
}
Exact exact_erf(long double x) {
    const long double d = 2 / root_pi * std::exp(-x * x), u = std::fabs(x);
    return {{d, -2 * x * d, (4 * x * x - 2) * d}, {d, 2 * u * d, (4 * x * x + 2) * d}};
}
Exact exact_gelu(long double x) {
    const long double d = std::exp(-x * x / 2) / (root_pi * root_two), c = std::erfc(-x / root_two) / 2,
                      u = std::fabs(x);
    return {{c + x * d, (2 - x * x) * d, (x * x * x - 4 * x) * d},
            {c + u * d, (2 + x * x) * d, (u * x * x + 4 * u) * d}};
}
Exact exact_sigmoid(long double x) {
    const long double z = std::exp(-std::fabs(x)), d = z / ((1 + z) * (1 + z)), t = std::tanh(x / 2);
    return {{d, -t * d, (1 - 6 * d) * d}, {d, std::fabs(t) * d, (1 + 6 * d) * d}};
}
Exact exact_softplus(long double x) {
    const Exact s = exact_sigmoid(x);
    const long double first = reference_sigmoid(x);
    return {{first, s.value[0], s.value[1]}, {first, s.size[0], s.size[1]}};
}

template <typename T>
constexpr long double slope_target = sizeof(T) == 4 ? 9e-7L : 2e-15L;

template <typename T, typename F, typename V>
void slopes(const char* name, F f, V value, Exact (*reference)(long double), double low, double high) {
    const std::vector<T> x = arguments<T>(low, high, low, high);
    const long n = static_cast<long>(x.size());
    std::vector<T> y(x.size());
    std::vector<level::Slopes<T>> found(x.size());
    for (long i = 0; i < n; ++i)
        y[static_cast<std::size_t>(i)] = f(x[static_cast<std::size_t>(i)], found[static_cast<std::size_t>(i)]);
    const std::vector<T> plain = apply(x, value);
    CHECK(std::memcmp(y.data(), plain.data(), y.size() * sizeof(T)) == 0, "%s %s: the values differ", name_of<T>, name);
    long double worst_error[3] = {};
    double at[3] = {};
    for (std::size_t i = 0; i < x.size(); ++i) {
        const Exact right = reference(x[i]);
        const T got[3] = {found[i].first, found[i].second, found[i].third};
        for (int k = 0; k < 3; ++k) {
            // A multiple of a denormal derivative has a multiple of its absolute error.
            const long double slack = 4 * static_cast<long double>(std::numeric_limits<T>::denorm_min());
            const long double smallest = static_cast<long double>(std::numeric_limits<T>::min());
            const long double size = right.size[k] > smallest ? right.size[k] : smallest;
            const long double beyond = std::fabs(got[k] - right.value[k]) - slack, error = beyond / size;
            if (beyond < 0) continue;
            if (!(error <= worst_error[k])) worst_error[k] = error, at[k] = static_cast<double>(x[i]);
        }
    }
    std::printf("%-6s %-9s derivatives: %8.2Le %8.2Le %8.2Le relative, at %.9g %.9g %.9g\n", name_of<T>, name,
                worst_error[0], worst_error[1], worst_error[2], at[0], at[1], at[2]);
    for (int k = 0; k < 3; ++k)
        CHECK(worst_error[k] <= slope_target<T>, "%s %s, derivative %d: %Le at %.17g", name_of<T>, name, k + 1,
              worst_error[k], at[k]);
}

// Far tails, infinities, the kink of relu, and NaN.
template <typename T, typename F>
void slope_at(const char* name, F f, double x, double first, double second, double third) {
    const auto part = [&](int k) {
        return [&f, k](T v) {
            level::Slopes<T> s;
            f(v, s);
            return k == 0 ? s.first : k == 1 ? s.second : s.third;
        };
    };
    special<T>(name, part(0), x, first);
    // Signs of zeros do not matter.
    special<T>(name, [&](T v) { return level::absolute(part(1)(v)); }, x, std::fabs(second));
    special<T>(name, [&](T v) { return level::absolute(part(2)(v)); }, x, std::fabs(third));
}

template <typename T>
void all_slopes() {
    const bool wide = sizeof(T) == 8;
    const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    const double huge = static_cast<double>(std::numeric_limits<T>::max());
#define NNQM_TEST(name, low, high)                                                                             \
    slopes<T>(                                                                                                 \
        #name, [](T x, level::Slopes<T>& s) { return level::name(x, s); }, [](T x) { return level::name(x); }, \
        exact_##name, low, high)
    NNQM_TEST(identity, -5, 5);
    NNQM_TEST(relu, -5, 5);
    NNQM_TEST(sin, -50, 50);
    NNQM_TEST(cos, -50, 50);
    NNQM_TEST(tanh, -3, 3);
    NNQM_TEST(tanh, wide ? -380 : -60, wide ? 380 : 60);
    NNQM_TEST(erf, -3, 3);
    NNQM_TEST(erf, wide ? -30 : -12, wide ? 30 : 12);
    NNQM_TEST(gelu, -3, 3);
    NNQM_TEST(gelu, wide ? -42 : -17, wide ? 42 : 17);
    NNQM_TEST(sigmoid, -5, 5);
    NNQM_TEST(sigmoid, wide ? -760 : -110, wide ? 760 : 110);
    NNQM_TEST(softplus, -5, 5);
    NNQM_TEST(softplus, wide ? -760 : -110, wide ? 760 : 110);
#undef NNQM_TEST
    const auto relu = [](T x, level::Slopes<T>& s) { return level::relu(x, s); };
    slope_at<T>("relu", relu, 0, 0, 0, 0);
    slope_at<T>("relu", relu, -0.0, 0, 0, 0);
    slope_at<T>("relu", relu, nan, nan, 0, 0);
    for (const double x : {inf, huge}) {
        slope_at<T>("relu", relu, x, 1, 0, 0);
        slope_at<T>("relu", relu, -x, 0, 0, 0);
        for (const double side : {-x, x}) {
            slope_at<T>("tanh", [](T v, level::Slopes<T>& s) { return level::tanh(v, s); }, side, 0, 0, 0);
            slope_at<T>("erf", [](T v, level::Slopes<T>& s) { return level::erf(v, s); }, side, 0, 0, 0);
            slope_at<T>(
                "gelu", [](T v, level::Slopes<T>& s) { return level::gelu(v, s); }, side, side > 0 ? 1.0 : -0.0, 0, 0);
            slope_at<T>("sigmoid", [](T v, level::Slopes<T>& s) { return level::sigmoid(v, s); }, side, 0, 0, 0);
            slope_at<T>(
                "softplus", [](T v, level::Slopes<T>& s) { return level::softplus(v, s); }, side, side > 0, 0, 0);
        }
    }
    slope_at<T>("tanh", [](T v, level::Slopes<T>& s) { return level::tanh(v, s); }, nan, nan, nan, nan);
    slope_at<T>("erf", [](T v, level::Slopes<T>& s) { return level::erf(v, s); }, nan, nan, nan, nan);
    slope_at<T>("gelu", [](T v, level::Slopes<T>& s) { return level::gelu(v, s); }, nan, nan, nan, nan);
    slope_at<T>("softplus", [](T v, level::Slopes<T>& s) { return level::softplus(v, s); }, nan, nan, nan, nan);
}

// Checks every float in the range where the bounded rational functions approach 1.
void saturation() {
    std::vector<float> x;
    const std::uint32_t end = level::bits_of(10.0F);
    for (std::uint32_t bits = level::bits_of(2.0F); bits < end; ++bits) x.push_back(level::from_bits(bits));
    const auto tanh = [](float v) { return level::tanh(v); };
    const auto erf = [](float v) { return level::erf(v); };
    for (const auto& y : {apply(x, tanh), apply(x, erf)}) {
        float largest = 0;
        for (const float v : y) largest = v > largest ? v : largest;
        CHECK(largest == 1.0F && y.back() == 1.0F, "%.9g %.9g", static_cast<double>(largest),
              static_cast<double>(y.back()));
    }
}

// The forms for whole vectors give the bits of the forms for numbers.
void vectors() {
    constexpr int width = level::vector_bytes / 4;
    std::vector<float> x = arguments<float>(-12, 12, -1e30, 1e30);
    const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    for (const float v : {0.0F, -0.0F, 1e-45F, inf, -inf, nan}) x.insert(x.end(), 7, v);
    x.resize(x.size() / width * width);
    for (std::size_t i = 0; i < x.size(); i += width) {
        level::Vector<float> v;
        std::memcpy(&v, &x[i], sizeof v);
        const level::Vector<float> y[2] = {level::tanh(v), level::erf(v)};
        for (int k = 0; k < width; ++k) {
            const float one = x[i + static_cast<std::size_t>(k)];
            const float t = level::tanh(one), e = level::erf(one), vt = y[0][k], ve = y[1][k];
            const bool same = std::isnan(one)
                                  ? std::isnan(vt) && std::isnan(ve)
                                  : level::bits_of(t) == level::bits_of(vt) && level::bits_of(e) == level::bits_of(ve);
            CHECK(same, "tanh, erf of %.9g: %.9g, %.9g; in a vector %.9g, %.9g", static_cast<double>(one),
                  static_cast<double>(t), static_cast<double>(e), static_cast<double>(vt), static_cast<double>(ve));
        }
    }
}

#if defined(__AVX2__) && !defined(__AVX512DQ__)
void eight_words() {
    Words random{7};
    for (int round = 0; round < 100; ++round) {
        std::uint32_t c[4][8], w[4][8];
        __m256i x[4][2];
        for (int j = 0; j < 4; ++j) {
            alignas(32) std::uint64_t halves[2][4];
            // Bits above the lower 32 of a lane must not matter.
            for (int i = 0; i < 8; ++i)
                halves[i % 2][i / 2] = random.next(), c[j][i] = static_cast<std::uint32_t>(halves[i % 2][i / 2]);
            for (int half = 0; half < 2; ++half)
                x[j][half] = _mm256_load_si256(reinterpret_cast<const __m256i*>(halves[half]));
        }
        const std::uint64_t key = random.next();
        const auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
        level::philox_eight(x, k0, k1, {w[0], w[1], w[2], w[3]});
        for (int i = 0; i < 8; ++i) {
            level::philox4x32(c[0][i], c[1][i], c[2][i], c[3][i], k0, k1);
            for (int j = 0; j < 4; ++j)
                CHECK(w[j][i] == c[j][i], "word %d lane %d: %08x, not %08x", j, i, w[j][i], c[j][i]);
        }
    }
}
#endif

void known_words() {
    const std::uint32_t cases[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U},
        {~0U, ~0U, ~0U, ~0U, ~0U, ~0U, 0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU},
        {0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U, 0xa4093822U, 0x299f31d0U, 0xd16cfe09U, 0x94fdccebU,
         0x5001e420U, 0x24126ea1U}};
    constexpr int lanes = 64;
    for (const auto& c : cases) {
        std::uint32_t w[4][lanes];
        for (int i = 0; i < lanes; ++i) {
            w[0][i] = c[0], w[1][i] = c[1], w[2][i] = c[2], w[3][i] = c[3];
            level::philox4x32(w[0][i], w[1][i], w[2][i], w[3][i], c[4], c[5]);
        }
        for (int j = 0; j < 4; ++j)
            for (int i = 0; i < lanes; ++i) CHECK(w[j][i] == c[6 + j], "word %d lane %d: %08x", j, i, w[j][i]);
    }
}

void exact_pair(std::uint32_t a, std::uint32_t b, long double& z0, long double& z1) {
    const long double part = ((b & 255U) + 0.5L) / 256, span = 4294967296.0L;
    const long double rest = (static_cast<std::uint32_t>(~a) + (1 - part)) / span;
    const long double log_u = a < 0x80000000U ? std::log((a + part) / span) : std::log1p(-rest);
    const long double radius = std::sqrt(-2 * log_u), half_pi = 1.57079632679489661923132169163975144L;
    // Both angles are computed from the integers: a difference of angles would lose the digits of a small cosine.
    const std::uint32_t quadrant = b >> 30;
    const long double part_turn = (((b >> 8) & 0x3fffffU) + 0.5L) / 4194304.0L;
    const long double s = radius * std::sin(half_pi * part_turn), c = radius * std::sin(half_pi * (1 - part_turn));
    const long double turned[4][2] = {{c, s}, {-s, c}, {-c, -s}, {s, -c}};
    z0 = turned[quadrant][0], z1 = turned[quadrant][1];
}

void normal_accuracy() {
    std::vector<std::uint32_t> a, b;
    Words words{99};
    const std::uint32_t edges[] = {0,           1,           255,         256,         0x7fffffffU, 0x80000000U,
                                   0x80000001U, 0xb504f333U, 0xffffff00U, 0xfffffffeU, 0xffffffffU};
    for (const std::uint32_t x : edges)
        for (const std::uint32_t y : edges)
            for (std::uint32_t turn = 0; turn < 4; ++turn) a.push_back(x), b.push_back(y + (turn << 30));
    for (int i = 0; i < 600000; ++i) {
        const std::uint64_t w = words.next();
        const int shift =
            i % 3 == 0 ? 0 : static_cast<int>(words.next() % 32);  // includes both ends of the unit interval
        const std::uint32_t small = static_cast<std::uint32_t>(w) >> shift;
        a.push_back(i % 3 == 1 ? ~small : small), b.push_back(static_cast<std::uint32_t>(w >> 32));
    }
    const std::size_t n = a.size();
    std::vector<float> f0(n), f1(n);
    std::vector<double> d0(n), d1(n);
    for (std::size_t i = 0; i < n; ++i) level::normal_pair(a[i], b[i], f0[i], f1[i]);
    for (std::size_t i = 0; i < n; ++i) level::normal_pair(a[i], b[i], d0[i], d1[i]);
    long double float_error = 0, double_error = 0;
    for (std::size_t i = 0; i < n; ++i) {
        long double z[2];
        exact_pair(a[i], b[i], z[0], z[1]);
        const float f[2] = {f0[i], f1[i]};
        const double d[2] = {d0[i], d1[i]};
        for (int j = 0; j < 2; ++j) {
            const long double of_float = std::fabs(f[j] / z[j] - 1), of_double = std::fabs(d[j] / z[j] - 1);
            CHECK(std::fabs(static_cast<double>(f[j]) - d[j]) <= 1e-6 * std::fmax(1.0, std::fabs(d[j])), "%08x %08x",
                  a[i], b[i]);
            CHECK(std::isfinite(f[j]) && std::isfinite(d[j]), "%08x %08x", a[i], b[i]);
            float_error = of_float > float_error ? of_float : float_error;
            double_error = of_double > double_error ? of_double : double_error;
        }
    }
    std::printf("normal_pair  %8.2Le relative in float, %8.2Le in double\n", float_error, double_error);
    CHECK(float_error <= 3e-7L && double_error <= 1e-15L, "%Le %Le", float_error, double_error);
}

template <typename T>
void moments() {
    constexpr int lanes = 64;
    constexpr std::uint32_t counters = 1U << 24;
    constexpr double draws = 4.0 * counters;
    double sum = 0, square = 0, fourth = 0;
    double beyond[3] = {0, 0, 0};
    for (std::uint32_t first = 0; first < counters; first += lanes) {
        std::uint32_t w[4][lanes];
        T z[4][lanes];
        for (std::uint32_t i = 0; i < lanes; ++i) {
            w[0][i] = first + i, w[1][i] = 0, w[2][i] = 0, w[3][i] = 0;
            level::philox4x32(w[0][i], w[1][i], w[2][i], w[3][i], 42, 0);
        }
        for (int i = 0; i < lanes; ++i) level::normal_pair(w[0][i], w[1][i], z[0][i], z[1][i]);
        for (int i = 0; i < lanes; ++i) level::normal_pair(w[2][i], w[3][i], z[2][i], z[3][i]);
        double s1[lanes] = {}, s2[lanes] = {}, s4[lanes] = {}, count[3][lanes] = {};
        for (int j = 0; j < 4; ++j)
            for (int i = 0; i < lanes; ++i) {
                const double v = static_cast<double>(z[j][i]), size = level::absolute(v), v2 = v * v;
                s1[i] += v, s2[i] += v2, s4[i] += v2 * v2;
                count[0][i] += size > 3 ? 1 : 0, count[1][i] += size > 4 ? 1 : 0, count[2][i] += size > 5 ? 1 : 0;
            }
        for (int i = 0; i < lanes; ++i) {
            sum += s1[i], square += s2[i], fourth += s4[i];
            for (int j = 0; j < 3; ++j) beyond[j] += count[j][i];
        }
    }
    const auto near = [](const char* name, double value, double expected, double variance) {
        const double sigmas = (value / draws - expected) / std::sqrt(variance / draws);
        std::printf("%-6s %-12s %10.7f, %+5.2f standard errors\n", name_of<T>, name, value / draws, sigmas);
        CHECK(std::fabs(sigmas) <= 5, "%s %s: %g", name_of<T>, name, value / draws);
    };
    near("mean", sum, 0, 1);
    near("variance", square, 1, 2);
    near("4th moment", fourth, 3, 96);
    const char* names[3] = {"beyond 3", "beyond 4", "beyond 5"};
    for (int j = 0; j < 3; ++j) {
        const double p = std::erfc((3 + j) * std::sqrt(0.5));
        near(names[j], beyond[j], p, p * (1 - p));
    }
}

// Separate from main, which must run on processors without the level's instructions.
[[gnu::noinline]] int run_all() {
    known_words();
#if defined(__AVX2__) && !defined(__AVX512DQ__)
    eight_words();
#endif
    vectors();
    all_functions<float>();
    all_functions<double>();
    all_slopes<float>();
    all_slopes<double>();
    saturation();
    normal_accuracy();
    moments<float>();
    moments<double>();
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}

bool processor_has_level() {
#if defined(__AVX512F__)
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl")))
        return false;
#endif
#if defined(__AVX2__)
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")))
        return false;
#endif
    return true;
}

}  // namespace

int main() {
    constexpr int skipped = 77;
    if (!processor_has_level()) {
        std::printf("this processor lacks the level; nothing was tested\n");
        return skipped;
    }
    return run_all();
}
