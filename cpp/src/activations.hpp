// The activations. This list is the only place that names them. To add one, add its name here and its two functions
// below (math.hpp has the values of sin and cos); everything else, including Python, reads this list.
#pragma once

#define NNQM_ACTIVATIONS(X) \
    X(identity)             \
    X(tanh)                 \
    X(relu)                 \
    X(sin)                  \
    X(cos)                  \
    X(erf)                  \
    X(gelu)                 \
    X(sigmoid)              \
    X(softplus)

#ifdef NNQM_LEVEL

#include "math.hpp"

// An activation is two functions: name(x) is its value, and name(x, slopes) the same value, bit for bit, with its first
// three derivatives. A caller that uses only some of the derivatives pays only for these. The derivatives are accurate
// where they are small, too, except near their zeros inside the domain; at infinity they are limits.
namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

enum Activation {
#define NNQM_NAME(name) activation_##name,
    NNQM_ACTIVATIONS(NNQM_NAME)
#undef NNQM_NAME
};

template <class T>
struct Slopes {
    T first, second, third;
};

template <class T>
NNQM_INLINE T identity(T x) noexcept {
    return x;
}

template <class T>
NNQM_INLINE T identity(T x, Slopes<T>& slopes) noexcept {
    slopes = {T(1), T(0), T(0)};
    return x;
}

template <typename T>
NNQM_INLINE T relu(T x) noexcept {
    return at_least(x, T(0));
}

// At the kink all derivatives are 0.
template <typename T>
NNQM_INLINE T relu(T x, Slopes<T>& slopes) noexcept {
    slopes = {x > T(0) ? T(1) : x <= T(0) ? T(0) : x, T(0), T(0)};
    return relu(x);
}

template <typename T>
NNQM_INLINE T sin(T x, Slopes<T>& slopes) noexcept {
    const T s = sin(x), c = cos(x);
    slopes = {c, -s, -c};
    return s;
}

template <typename T>
NNQM_INLINE T cos(T x, Slopes<T>& slopes) noexcept {
    const T s = sin(x), c = cos(x);
    slopes = {-s, -c, s};
    return c;
}

// x P(x^2)/Q(x^2), for a float or a vector, of a function that is +-1 where x^2 exceeds `last`. There x^2 is replaced
// by `last`: the quotient grows like x, and the bounds turn it into +-1. The bounds also keep the result within [-1, 1]
// despite rounding in the polynomials.
template <typename V, int terms>
NNQM_INLINE V saturating(V x, float last, const float (&p)[terms], const float (&q)[terms]) noexcept {
    const V z = at_most(x * x, last), square = z * z;
    return at_most(at_least(x * polynomial_in_pairs(z, square, p) / polynomial_in_pairs(z, square, q), -1.0F), 1.0F);
}

NNQM_INLINE float tanh(float x) noexcept { return saturating(x, 81.36F, fit::tanh_f_p, fit::tanh_f_q); }
NNQM_INLINE Vector<float> tanh(Vector<float> x) noexcept { return saturating(x, 81.36F, fit::tanh_f_p, fit::tanh_f_q); }

// The value, and e^(-2 |x|) as `exponential`.
NNQM_INLINE float tanh(float x, float& exponential) noexcept {
    exponential = exp(-2.0F * absolute(x));
    return tanh(x);
}

NNQM_INLINE double tanh(double x, double& exponential) noexcept {
    const double e = expm1(-2.0 * absolute(x), exponential);
    return copy_sign(e / (e + 2.0), x);
}

NNQM_INLINE double tanh(double x) noexcept {
    double exponential;
    return tanh(x, exponential);
}

// 1/cosh^2 = e^(-2|x|) (1 + |tanh|)^2, because 1 - tanh^2 loses its digits in the tails.
template <typename T>
NNQM_INLINE T tanh(T x, Slopes<T>& slopes) noexcept {
    T exponential;
    const T t = tanh(x, exponential), sum = T(1) + absolute(t);
    slopes.first = exponential * (sum * sum);
    slopes.second = T(-2) * t * slopes.first;
    slopes.third = fma(T(6) * t, t, T(-2)) * slopes.first;
    return t;
}

// a^2 = high + low, exact up to the rounding of `low`. e^(a^2) needs a small absolute error of a large square.
template <typename T>
NNQM_INLINE void exact_square(T a, T& high, T& low) noexcept {
#if defined(__FMA__) || defined(__aarch64__)
    high = a * a;
    low = fma(a, a, -high);
#else
    const T head = from_bits(bits_of(a) & layout<T>::high_half);
    high = head * head;
    low = (a - head) * (a + head);
#endif
}

NNQM_INLINE float erf(float x) noexcept { return saturating(x, 15.6F, fit::erf_f_p, fit::erf_f_q); }
NNQM_INLINE Vector<float> erf(Vector<float> x) noexcept { return saturating(x, 15.6F, fit::erf_f_p, fit::erf_f_q); }

// The value from u = |x| and u^2 = high + low.
NNQM_INLINE float erf_of_square(float x, float, float, float) noexcept { return erf(x); }

NNQM_INLINE double erf_of_square(double x, double u, double high, double low) noexcept {
    const double tail = scaled_exp(polynomial(u, fit::erfc_d_p) / polynomial(u, fit::erfc_d_q), -high, -low);
    const double y = u < 1.0 ? u * polynomial(u * u, fit::erf_d) : 1.0 - tail;
    return copy_sign(y, x);
}

// The exponential serves the value and the derivatives. Factors stand inside it, because e^(-x^2) alone may be
// denormal.
template <typename T>
NNQM_INLINE T erf(T x, Slopes<T>& slopes) noexcept {
    constexpr T factor = static_cast<T>(1.1283791670955126);  // 2/sqrt(pi)
    const T u = at_most(absolute(x), constant<T>::gauss_end);
    T high, low;
    exact_square(u, high, low);
    slopes.first = scaled_exp(factor, -high, -low);
    slopes.second = scaled_exp(T(-2) * factor * copy_sign(u, x), -high, -low);
    slopes.third = scaled_exp(factor * fma(T(4) * u, u, T(-2)), -high, -low);
    return erf_of_square(x, u, high, low);
}

NNQM_INLINE double erf(double x) noexcept {
    Slopes<double> slopes;
    return erf(x, slopes);
}

// x Phi(x) = max(x, 0) - a Phi(-a) with a = |x|: one tail function serves both signs without cancellation. Its factor a
// stands inside the exponential, because Phi(-a) alone may be denormal. The derivatives are Phi(x) + x phi(x),
// (2 - x^2) phi(x) and (x^3 - 4 x) phi(x).
template <typename T>
NNQM_INLINE T gelu(T x, Slopes<T>& slopes) noexcept {
    constexpr T centre = constant<T>::tail_centre, factor = static_cast<T>(0.39894228040143268);  // 1/sqrt(2 pi)
    const T a = at_most(absolute(x), constant<T>::tail_end);
    const T inverse = T(1) / (a + centre);
    T high, low;
    exact_square(a, high, low);
    high *= T(-0.5);
    low *= T(-0.5);
    const T ratio = inverse * fit::tail((a - centre) * inverse);  // Phi(-a) e^(a^2/2)
    const T below = scaled_exp(fma(-factor, a, ratio), high, low);
    slopes.first = x < T(0) ? below : T(1) - below;
    slopes.second = scaled_exp(factor * fma(-a, a, T(2)), high, low);
    slopes.third = scaled_exp(factor * copy_sign(a, x) * fma(a, a, T(-4)), high, low);
    return relu(x) - scaled_exp(a * ratio, high, low);
}

template <typename T>
NNQM_INLINE T gelu(T x) noexcept {
    Slopes<T> slopes;
    return gelu(x, slopes);
}

// sigmoid and softplus use e^-|x|, which cannot overflow. The second derivative has the factor 1 - e^-|x|, which expm1
// gives without cancellation.
template <typename T>
NNQM_INLINE T sigmoid(T x, Slopes<T>& slopes) noexcept {
    T z;
    const T minus = -expm1(-absolute(x), z), y = (x < T(0) ? z : T(1)) / (T(1) + z);
    const T inverse = x < T(0) ? T(1) - y : y;  // 1 / (1 + z)
    slopes.first = z * (inverse * inverse);
    slopes.second = slopes.first * inverse * copy_sign(minus, -x);
    slopes.third = slopes.first * fma(T(-6), slopes.first, T(1));
    return y;
}

template <typename T>
NNQM_INLINE T sigmoid(T x) noexcept {
    Slopes<T> slopes;
    return sigmoid(x, slopes);
}

template <typename T>
NNQM_INLINE T softplus(T x) noexcept {
    const T z = scaled_exp(T(1), at_least(-absolute(x), constant<T>::exp_low), T(0));
    return relu(x) + log1p_unit(z);
}

template <typename T>
NNQM_INLINE T softplus(T x, Slopes<T>& slopes) noexcept {
    Slopes<T> next;
    slopes.first = sigmoid(x, next);
    slopes.second = next.first;
    slopes.third = next.second;
    return softplus(x);
}

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm

#endif
