// Elementary functions of float and double. A plain loop over any of them vectorises at every level: they have no
// branch, table or call. Each is correct at +-0, at denormal arguments and at +-infinity, and returns NaN for NaN.
// Relative errors stay below 3.3e-7 (float; 4e-7 without a fused operation) and 1e-15 (double) wherever the result is a
// normal number; tests/test_math.cpp measures them.
//
// tools/math_coefficients.py computes the coefficients; `error` is the error of the approximation before rounding.
#pragma once

#include "level.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// The bit layout of a floating-point type. Adding `magic` to a number of moderate size rounds it to an integer in the
// low bits of the sum. Unlike a conversion of double to an integer, this has a vector form below AVX-512.
template <typename T>
struct layout;

template <>
struct layout<float> {
    using word = std::uint32_t;
    static constexpr int fraction_bits = 23, word_bits = 32;
    static constexpr word bias = 127, root_half = 0x3f3504f3U, high_half = 0xfffff000U;
    static constexpr float magic = 12582912.0F, smallest_normal = 1.17549435e-38F, infinity = __builtin_inff();
    static constexpr float nan = __builtin_nanf("");
};

template <>
struct layout<double> {
    using word = std::uint64_t;
    static constexpr int fraction_bits = 52, word_bits = 64;
    static constexpr word bias = 1023, root_half = 0x3fe6a09e667f3bcdULL, high_half = 0xfffffffff8000000ULL;
    static constexpr double magic = 6755399441055744.0, smallest_normal = 2.2250738585072014e-308;
    static constexpr double infinity = __builtin_inf(), nan = __builtin_nan("");
};

template <typename T>
using word_of = typename layout<T>::word;

NNQM_INLINE std::uint32_t bits_of(float x) noexcept {
    std::uint32_t w;
    std::memcpy(&w, &x, sizeof w);
    return w;
}

NNQM_INLINE std::uint64_t bits_of(double x) noexcept {
    std::uint64_t w;
    std::memcpy(&w, &x, sizeof w);
    return w;
}

NNQM_INLINE float from_bits(std::uint32_t w) noexcept {
    float x;
    std::memcpy(&x, &w, sizeof x);
    return x;
}

NNQM_INLINE double from_bits(std::uint64_t w) noexcept {
    double x;
    std::memcpy(&x, &w, sizeof x);
    return x;
}

NNQM_INLINE float absolute(float x) noexcept { return __builtin_fabsf(x); }
NNQM_INLINE double absolute(double x) noexcept { return __builtin_fabs(x); }
NNQM_INLINE float copy_sign(float x, float sign) noexcept { return __builtin_copysignf(x, sign); }
NNQM_INLINE double copy_sign(double x, double sign) noexcept { return __builtin_copysign(x, sign); }
NNQM_INLINE float square_root(float x) noexcept { return __builtin_sqrtf(x); }
NNQM_INLINE double square_root(double x) noexcept { return __builtin_sqrt(x); }

// Bounds whose comparison is false for a NaN, which therefore passes through.
template <typename T>
NNQM_INLINE T at_most(T x, T high) noexcept {
    return high < x ? high : x;
}
template <typename T>
NNQM_INLINE T at_least(T x, T low) noexcept {
    return low > x ? low : x;
}

// The same for vectors, by intrinsics: the compiler turns the bounds above into branches, and the branches into a mask
// for each combination of them. A NaN passes through because these instructions return the second operand if either one
// is NaN.
NNQM_INLINE Vector<float> at_most(Vector<float> x, float high) noexcept {
#if defined(__AVX512F__)
    return _mm512_min_ps(vector_set(high), x);
#elif defined(__AVX2__)
    return _mm256_min_ps(vector_set(high), x);
#elif defined(__x86_64__)
    return _mm_min_ps(vector_set(high), x);
#else
    return vector_set(high) < x ? vector_set(high) : x;
#endif
}

NNQM_INLINE Vector<float> at_least(Vector<float> x, float low) noexcept {
#if defined(__AVX512F__)
    return _mm512_max_ps(vector_set(low), x);
#elif defined(__AVX2__)
    return _mm256_max_ps(vector_set(low), x);
#elif defined(__x86_64__)
    return _mm_max_ps(vector_set(low), x);
#else
    return vector_set(low) > x ? vector_set(low) : x;
#endif
}

// sum_k c[k] x^(k - first), k = first .. count - 1.
template <int first = 0, typename T, int count>
NNQM_INLINE T polynomial(T x, const T (&c)[count]) noexcept {
    if constexpr (first + 1 == count) return c[first];
    else return fma(x, polynomial<first + 1>(x, c), c[first]);
}

// The same in pairs of terms: a shorter dependency chain and fewer successive roundings, for one more product.
template <int first = 0, typename V, typename T, int count>
NNQM_INLINE V polynomial_in_pairs(V x, V square, const T (&c)[count]) noexcept {
    if constexpr (first + 1 == count) return like(x, c[first]);
    else if constexpr (first + 2 == count) return fma(x, like(x, c[first + 1]), like(x, c[first]));
    else
        return fma(square, polynomial_in_pairs<first + 2>(x, square, c),
                   fma(x, like(x, c[first + 1]), like(x, c[first])));
}

namespace fit {

// e^r = 1 + r + r^2 P(r), |r| < ln(2)/2: error 1.3e-8
constexpr float exp_f[] = {0.499999970F, 0.166665435F, 0.0416672006F, 0.00836658012F, 0.00138824934F};
// e^r = 1 + r + r^2 P(r), |r| < ln(2)/2: error 1.8e-17
constexpr double exp_d[] = {0.50000000000000056,   0.16666666666666588,    0.041666666666576105,  0.0083333333333899407,
                            0.0013888888931796253, 0.00019841269718390715, 2.4801504977606780e-5, 2.7557407815401539e-6,
                            2.7626161871666045e-7, 2.5053793697026546e-8};
// ln(1+f) = f - f^2/2 + f^3 P(f), 1+f in sqrt(1/2)..sqrt(2): error 5.8e-9
constexpr float log_f[] = {0.333333313F, -0.250008225F, 0.200012326F, -0.166232988F,
                           0.142015591F, -0.131605849F, 0.127632946F, -0.0763561502F};
// ln(1+f) = 2s + s^3 P(s^2), s = f/(2+f), 1+f in sqrt(1/2)..sqrt(2): error 1.2e-18
constexpr double log_d[] = {0.66666666666667351, 0.39999999999409214, 0.28571428743763760, 0.22222198416530425,
                            0.18183573225852109, 0.15313804401199044, 0.14798589139418017};
// sin r = r + r^3 P(r^2), |r| < pi/4: error 3.8e-9
constexpr float sin_f[] = {-0.166666552F, 0.00833215564F, -0.000195146349F};
// cos r = 1 - r^2/2 + r^4 P(r^2), |r| < pi/4: error 1.2e-10
constexpr float cos_f[] = {0.0416666456F, -0.00138873095F, 2.44324128e-5F};
// sin r = r + r^3 P(r^2), |r| < pi/4: error 3.7e-18
constexpr double sin_d[] = {-0.16666666666666630,  0.0083333333333220055,  -0.00019841269829495148,
                            2.7557313587513290e-6, -2.5050742292578585e-8, 1.5895903902771188e-10};
// cos r = 1 - r^2/2 + r^4 P(r^2), |r| < pi/4: error 5.7e-20
constexpr double cos_d[] = {0.041666666666666595,   -0.0013888888888872895, 2.4801587288748003e-5,
                            -2.7557314148574580e-7, 2.0875696566336667e-9,  -1.1358310182825865e-11};
// sin(pi y/2) = y P(y^2), |y| < 1/2: error 3.2e-9
constexpr float sin_quarter_f[] = {1.57079637F, -0.645963430F, 0.0796800256F, -0.00460162573F};
// cos(pi y/2) = 1 + y^2 P(y^2), |y| < 1/2: error 3.8e-8
constexpr float cos_quarter_f[] = {-1.23369765F, 0.253603160F, -0.0204170998F};
// sin(pi y/2) = y P(y^2), |y| < 1/2: error 3.3e-18
constexpr double sin_quarter_d[] = {1.5707963267948966,     -0.64596409750624428,   0.079692626246039303,
                                    -0.0046817541322775819, 0.00016044115025041890, -3.5986415938898057e-6,
                                    5.6336977453147287e-8};
// cos(pi y/2) = 1 + y^2 P(y^2), |y| < 1/2: error 3.9e-20
constexpr double cos_quarter_d[] = {-1.2337005501361697,    0.25366950790104681,    -0.020863480763312486,
                                    0.00091926027419000846, -2.5202036781462350e-5, 4.7106094537641204e-7,
                                    -6.3211755538204616e-9};
// tanh x = x P(x^2)/Q(x^2), |x| < 9.02: error 2.1e-8, 2.7e-07 in float arithmetic where it was sampled
constexpr float tanh_f_p[] = {1.37500000F, 0.183971122F, 0.00480429782F, 2.83022964e-5F, 1.83137434e-8F};
constexpr float tanh_f_q[] = {1.37500000F, 0.642304182F, 0.0355727263F, 0.000451425352F, 1.06727839e-6F};
// erf x = x P(x^2)/Q(x^2), |x| < 3.95: error 2.1e-8, 2.8e-07 in float arithmetic where it was sampled
constexpr float erf_f_p[] = {1.30891979F, 0.222198531F, 0.0613355525F, 0.00441747811F, 0.000330238574F, 2.35005928e-6F};
constexpr float erf_f_q[] = {1.15999997F, 0.583584249F, 0.132889241F, 0.0174639244F, 0.00135804550F, 4.38849929e-5F};
// erf x = x P(x^2), |x| < 1: error 7.3e-18
constexpr double erf_d[] = {1.1283791670955126,     -0.37612638903183521,   0.11283791670944174,
                            -0.026866170643109737,  0.0052239776061038601,  -0.00085483259285966254,
                            0.00012055293554964029, -1.4924711872393473e-5, 1.6447126176777278e-6,
                            -1.6206271774104511e-7, 1.3710796054345678e-8,  -7.7791195130440247e-10};
// erfc u = e^(-u^2) P(u)/Q(u), u in 1..6: error 7.6e-17
constexpr double erfc_d_p[] = {1.0000008862205207,  1.1354476337891406,   0.63345916448228912,
                               0.18540316254578315, 0.024595309855254398, -3.4215632574953702e-7};
constexpr double erfc_d_q[] = {1.0000000000000000, 2.2638354065838597,  2.1878841990058109,
                               1.1426996052590903, 0.32884237088955770, 0.043577139052910226};
// Phi(-a) = e^(-a^2/2) P(t)/(a+2), t = (a-2)/(a+2), a in 0..14.5: error 2.3e-8
constexpr float tail_f[] = {0.672407985F,     -0.331404567F,   0.0287983976F,   0.0367215946F,
                            -0.000483215787F, -0.00675156899F, -0.00189060706F, 0.000884208188F,
                            0.000724148238F,  3.07604605e-5F,  -7.63082935e-5F};
// Phi(-a) = e^(-a^2/2) P(t)/(a+4), t = (a-4)/(a+4), a in 0..39: error 8.1e-17
constexpr double tail_d[] = {
    0.75528513041575152,    -0.60789664197189075,    0.38713740074222308,    -0.18652185795979845,
    0.060396574890530387,   -0.0075401889624347731,  -0.0034796923594596235, 0.0016308183983765954,
    0.00013334422828857471, -0.00023109448964791986, -1.9077101121459194e-6, 3.5142687302987537e-5,
    7.1434267693133750e-7,  -5.9146218996204178e-6,  -6.2318614722921830e-7, 1.0120552964211364e-6,
    2.5987335395361309e-7,  -1.4558952930777504e-7,  -7.1697102840814372e-8, 9.1103135343465334e-9,
    1.0675758964248230e-8,  1.5596726430027599e-9};

NNQM_INLINE float exp(float r) noexcept { return polynomial(r, exp_f); }
NNQM_INLINE double exp(double r) noexcept { return polynomial(r, exp_d); }
NNQM_INLINE float sin(float z) noexcept { return polynomial(z, sin_f); }
NNQM_INLINE double sin(double z) noexcept { return polynomial(z, sin_d); }
NNQM_INLINE float cos(float z) noexcept { return polynomial(z, cos_f); }
NNQM_INLINE double cos(double z) noexcept { return polynomial(z, cos_d); }
NNQM_INLINE float sin_quarter(float z) noexcept { return polynomial(z, sin_quarter_f); }
NNQM_INLINE double sin_quarter(double z) noexcept { return polynomial(z, sin_quarter_d); }
NNQM_INLINE float cos_quarter(float z) noexcept { return polynomial(z, cos_quarter_f); }
NNQM_INLINE double cos_quarter(double z) noexcept { return polynomial(z, cos_quarter_d); }
NNQM_INLINE float tail(float t) noexcept { return polynomial(t, tail_f); }
NNQM_INLINE double tail(double t) noexcept { return polynomial(t, tail_d); }

}  // namespace fit

// Constants. Their leading parts have enough trailing zeros for the products below to be exact without a fused
// operation.
template <typename T>
struct constant;

template <>
struct constant<float> {
    static constexpr float log2_e = 1.44269504F, ln2_high = 0.693145751953125F, ln2_low = 1.428606765330187e-6F;
    static constexpr float exp_low = -104.0F, exp_high = 89.0F, expm1_low = -20.0F;
    static constexpr float tail_centre = 2.0F, tail_end = 15.0F, gauss_end = 11.0F;
};

template <>
struct constant<double> {
    static constexpr double log2_e = 1.4426950408889634, ln2_high = 0.6931471805601177,
                            ln2_low = -1.7239444525614835e-13;
    static constexpr double exp_low = -746.0, exp_high = 710.0, expm1_low = -40.0;
    static constexpr double tail_centre = 4.0, tail_end = 40.0, gauss_end = 27.5;
};

// Returns r with x + low = k ln 2 + r and |r| <= ln(2)/2 (a little more by rounding); `biased` has k + 2 bias in its
// low bits.
template <typename T>
NNQM_INLINE T reduce_ln2(T x, T low, word_of<T>& biased) noexcept {
    constexpr T magic = layout<T>::magic + static_cast<T>(2 * layout<T>::bias);
    const T t = fma(x, constant<T>::log2_e, magic);
    const T k = t - magic;
    biased = bits_of(t);
    return fma(k, -constant<T>::ln2_low, fma(k, -constant<T>::ln2_high, x)) + low;
}

// y 2^k with 2^k as two factors: neither product overflows or underflows before the result does, and only the last one
// rounds.
template <typename T>
NNQM_INLINE T scale(T y, word_of<T> biased) noexcept {
    const word_of<T> half = biased >> 1;
    return y * from_bits(half << layout<T>::fraction_bits) * from_bits((biased - half) << layout<T>::fraction_bits);
}

// factor e^(x + low) for x <= 0 above constant<T>::exp_low and a small correction `low`.
template <typename T>
NNQM_INLINE T scaled_exp(T factor, T x, T low) noexcept {
    word_of<T> biased;
    const T r = reduce_ln2(x, low, biased);
    const T p = fma(r * r, fit::exp(r), r);
    return scale(fma(factor, p, factor), biased);
}

template <typename T>
NNQM_INLINE T exp(T x) noexcept {
    return scaled_exp(T(1), at_most(at_least(x, constant<T>::exp_low), constant<T>::exp_high), T(0));
}

// 2^k (1 + p) - 1. Uses 2^(k-1), doubled at the end, because k reaches 1024 before the result overflows.
template <typename T>
NNQM_INLINE T scaled_expm1(T p, word_of<T> biased) noexcept {
    const T s = from_bits((biased - layout<T>::bias - 1) << layout<T>::fraction_bits);
    return T(2) * fma(p, s, s - T(0.5));
}

// Tiny arguments are returned as they are, because halving a denormal would lose it.
template <typename T>
NNQM_INLINE T expm1(T x) noexcept {
    word_of<T> biased;
    const T r = reduce_ln2(at_most(at_least(x, constant<T>::expm1_low), constant<T>::exp_high), T(0), biased);
    const T y = scaled_expm1(fma(r * r, fit::exp(r), r), biased);
    return absolute(x) < T(1e-20) ? x : y;
}

// The same for x <= 0, and e^x as `exponential`, both from one reduction.
template <typename T>
NNQM_INLINE T expm1(T x, T& exponential) noexcept {
    word_of<T> biased;
    const T r = reduce_ln2(at_least(x, constant<T>::exp_low), T(0), biased);
    const T p = fma(r * r, fit::exp(r), r);
    exponential = scale(T(1) + p, biased);
    const T y = x < constant<T>::expm1_low ? T(-1) : scaled_expm1(p, biased);
    return absolute(x) < T(1e-20) ? x : y;
}

// k ln 2 + ln(1 + f) for 1 + f in sqrt(1/2)..sqrt(2).
NNQM_INLINE float log_core(float f, float k) noexcept {
    const float rest = fma(f, polynomial(f, fit::log_f), -0.5F);
    return fma(k, constant<float>::ln2_high, f + fma(f * f, rest, k * constant<float>::ln2_low));
}

NNQM_INLINE double log_core(double f, double k) noexcept {
    const double s = f / (2.0 + f), z = s * s, half_square = 0.5 * f * f;
    const double rest = fma(s, fma(z, polynomial(z, fit::log_d), half_square), k * constant<double>::ln2_low);
    return fma(k, constant<double>::ln2_high, f - (half_square - rest));
}

// The exponent k of a normal y = m 2^k with m in sqrt(1/2)..sqrt(2), plus the bias.
template <typename T>
NNQM_INLINE word_of<T> biased_exponent(T y) noexcept {
    return (bits_of(y) - layout<T>::root_half + (layout<T>::bias << layout<T>::fraction_bits)) >>
           layout<T>::fraction_bits;
}

NNQM_INLINE float exponent_value(std::uint32_t biased) noexcept {
    return static_cast<float>(static_cast<std::int32_t>(biased - layout<float>::bias));
}

NNQM_INLINE double exponent_value(std::uint64_t biased) noexcept {
    constexpr double two_52 = 4503599627370496.0;
    constexpr std::uint64_t two_52_bits = 0x4330000000000000U;
    return from_bits(biased | two_52_bits) - (two_52 + static_cast<double>(layout<double>::bias));
}

template <typename T>
NNQM_INLINE T log(T x) noexcept {
    constexpr int bits = layout<T>::fraction_bits;
    const bool denormal = x < layout<T>::smallest_normal;
    const T y = denormal ? x * static_cast<T>(word_of<T>(1) << bits) : x;
    const word_of<T> biased = biased_exponent(y);
    const T m = from_bits(bits_of(y) - ((biased - layout<T>::bias) << bits));
    const T k = exponent_value(biased) - (denormal ? static_cast<T>(bits) : T(0));
    const T value = x < layout<T>::infinity ? log_core(m - T(1), k) : x;
    const T outside = x == T(0) ? -layout<T>::infinity : layout<T>::nan;
    return x > T(0) ? value : outside;
}

// ln(1 + x), for x in 0..1 only. Halving 1 + x beyond sqrt(2) allows one polynomial for the whole range.
template <typename T>
NNQM_INLINE T log1p_unit(T x) noexcept {
    const bool upper = x > T(0.41421356237309505);
    return log_core(upper ? T(0.5) * (x - T(1)) : x, upper ? T(1) : T(0));
}

// x minus a multiple of 2^26 pi/2, which does not change the quadrant, as the returned value plus `low`. For |x| < 5e7
// this is x itself; for larger |x| the products with the first two parts of 2^26 pi/2 are exact.
NNQM_INLINE double reduce_large(double x, double& low) noexcept {
    const double n = fma(x, 9.486373847239931e-09, layout<double>::magic) - layout<double>::magic;
    low = -n * 4.109232774600752e-09;
    return fma(-n, 1.0665782690048218, fma(-n, 105414356.0, x));
}

// Returns r with angle = k pi/2 + r and |r| <= pi/4; `quadrant` has k in its low bits. A float is reduced in double:
// this gives sixteen times the range of a reduction in float, and the same values with and without fused operations.
NNQM_INLINE double reduce_half_pi(double angle, std::uint64_t& quadrant) noexcept {
    double low;
    const double x = reduce_large(angle, low);
    const double t = fma(x + low, 0.63661977236758134, layout<double>::magic);
    const double k = t - layout<double>::magic;
    quadrant = bits_of(t);
    return fma(-k, 5.7211887261098318e-18, fma(-k, 9.9209357395935172e-10, fma(-k, 1.570796325802803, x)) + low);
}

NNQM_INLINE float reduce_half_pi(float angle, std::uint32_t& quadrant) noexcept {
    double low;
    const double high = reduce_large(static_cast<double>(angle), low);
    const double x = high + low;
    const double t = fma(x, 0.63661977236758134, layout<double>::magic);
    const double k = t - layout<double>::magic;
    quadrant = static_cast<std::uint32_t>(bits_of(t));
    return static_cast<float>(fma(-k, 9.9209357968054043e-10, fma(-k, 1.570796325802803, x)));
}

// Largest angle for which the multiples of 2^26 pi/2 in the reduction are exact; beyond it sin and cos return NaN.
constexpr double largest_angle = 4e15;

template <typename T>
NNQM_INLINE T sin_of_quadrant(T r, word_of<T> quadrant) noexcept {
    const T z = r * r;
    const T s = r * fma(z, fit::sin(z), T(1));
    const T c = fma(z, fma(z, fit::cos(z), T(-0.5)), T(1));
    const T y = (quadrant & 1U) != 0 ? c : s;
    return from_bits(bits_of(y) ^ ((quadrant & 2U) << (layout<T>::word_bits - 2)));
}

template <typename T>
NNQM_INLINE T sin(T x) noexcept {
    word_of<T> quadrant;
    const T r = reduce_half_pi(x, quadrant);
    return absolute(x) <= static_cast<T>(largest_angle) ? sin_of_quadrant(r, quadrant) : layout<T>::nan;
}

template <typename T>
NNQM_INLINE T cos(T x) noexcept {
    word_of<T> quadrant;
    const T r = reduce_half_pi(x, quadrant);
    return absolute(x) <= static_cast<T>(largest_angle) ? sin_of_quadrant(r, quadrant + 1) : layout<T>::nan;
}

// ln u of the uniform number u = (a + (low 8 bits of b + 1/2)/256) / 2^32. No integer wider than 32 bits is converted,
// and the upper half is computed from 1 - u, not from u. The float version therefore has the digits of the double
// version and differs from it by rounding only.
template <typename T>
NNQM_INLINE T log_uniform(std::uint32_t a, std::uint32_t b) noexcept {
    using word = word_of<T>;
    constexpr T unit = T(1) / T(4294967296.0);
    // With a as a signed number, v is u below 1/2 and u - 1 above.
    const T fraction = fma(static_cast<T>(static_cast<std::int32_t>(b & 255U)), unit / T(256), unit / T(512));
    const T v = fma(static_cast<T>(static_cast<std::int32_t>(a)), unit, fraction);
    const T base = v < T(0) ? T(1) : T(0);
    const word biased = biased_exponent(base + v);
    const T power = from_bits((2 * layout<T>::bias - biased) << layout<T>::fraction_bits);
    const T f = fma(v, power, fma(base, power, T(-1)));
    return log_core(f, exponent_value(biased));
}

// Two independent standard normal numbers from two random words (Box and Muller). log_uniform gives the radius; the
// angle is (high 24 bits of b + 1/2) / 2^24 of the circle.
template <typename T>
NNQM_INLINE void normal_pair(std::uint32_t a, std::uint32_t b, T& z0, T& z1) noexcept {
    using word = word_of<T>;
    const T radius = square_root(T(-2) * log_uniform<T>(a, b));
    // `quadrant` is the nearest quarter turn; the remainder is an odd multiple of 2^-23 quarter turns, exact in float.
    const std::int32_t remainder = static_cast<std::int32_t>(b << 2) >> 10;
    const T y = fma(static_cast<T>(remainder), T(1) / T(4194304), T(1) / T(8388608));
    const T z = y * y;
    const T s = y * fit::sin_quarter(z) * radius;
    const T c = fma(z, fit::cos_quarter(z), T(1)) * radius;
    const word quadrant = (b + 0x20000000U) >> 30;
    const bool odd = (quadrant & 1U) != 0;
    const T x0 = odd ? s : c, x1 = odd ? c : s;
    z0 = from_bits(bits_of(x0) ^ (((quadrant + 1) & 2U) << (layout<T>::word_bits - 2)));
    z1 = from_bits(bits_of(x1) ^ ((quadrant & 2U) << (layout<T>::word_bits - 2)));
}

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
