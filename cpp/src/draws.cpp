#include "draws.hpp"

#include "math.hpp"
#include "philox.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

void draw_words(std::uint64_t key, std::int64_t first_path, std::int64_t step, std::uint32_t purpose,
                std::uint32_t (*words)[lanes]) {
    const auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    const auto path = static_cast<std::uint64_t>(first_path);
    const auto path_low = static_cast<std::uint32_t>(path), path_high = static_cast<std::uint32_t>(path >> 32);
#if defined(__AVX2__) && !defined(__AVX512DQ__)
    const __m256i high = _mm256_set1_epi64x(path_high), c2 = _mm256_set1_epi64x(static_cast<std::uint32_t>(step)),
                  c3 = _mm256_set1_epi64x(purpose);
    for (int l = 0; l < lanes; l += 8) {
        const __m256i low = _mm256_set1_epi64x(path_low + static_cast<std::uint32_t>(l));
        __m256i x[4][2] = {{_mm256_add_epi64(low, _mm256_setr_epi64x(0, 2, 4, 6)),
                            _mm256_add_epi64(low, _mm256_setr_epi64x(1, 3, 5, 7))},
                           {high, high},
                           {c2, c2},
                           {c3, c3}};
        philox_eight(x, k0, k1, {words[0] + l, words[1] + l, words[2] + l, words[3] + l});
    }
#else
    for (int l = 0; l < lanes; ++l) {
        std::uint32_t c0 = path_low + static_cast<std::uint32_t>(l), c1 = path_high,
                      c2 = static_cast<std::uint32_t>(step), c3 = purpose;
        philox4x32(c0, c1, c2, c3, k0, k1);
        words[0][l] = c0;
        words[1][l] = c1;
        words[2][l] = c2;
        words[3][l] = c3;
    }
#endif
}

void draw_words_at(std::uint64_t key, const std::int64_t* index, const std::int64_t* step, std::uint32_t purpose,
                   std::uint32_t (*words)[lanes]) {
    const auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
#if defined(__AVX2__) && !defined(__AVX512DQ__)
    const auto split = [](const std::int64_t* from, __m256i& even, __m256i& odd) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 4));
        even = _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(low, high), 0xd8);
        odd = _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(low, high), 0xd8);
    };
    const __m256i c3 = _mm256_set1_epi64x(purpose);
    for (int l = 0; l < lanes; l += 8) {
        __m256i x[4][2];
        split(index + l, x[0][0], x[0][1]);
        split(step + l, x[2][0], x[2][1]);
        for (int half = 0; half < 2; ++half) {
            x[1][half] = _mm256_srli_epi64(x[0][half], 32);
            x[3][half] = c3;
        }
        philox_eight(x, k0, k1, {words[0] + l, words[1] + l, words[2] + l, words[3] + l});
    }
#else
    for (int l = 0; l < lanes; ++l) {
        const auto wide = static_cast<std::uint64_t>(index[l]);
        std::uint32_t c0 = static_cast<std::uint32_t>(wide), c1 = static_cast<std::uint32_t>(wide >> 32),
                      c2 = static_cast<std::uint32_t>(step[l]), c3 = purpose;
        philox4x32(c0, c1, c2, c3, k0, k1);
        words[0][l] = c0;
        words[1][l] = c1;
        words[2][l] = c2;
        words[3][l] = c3;
    }
#endif
}

namespace {

template <class T>
void fill_normals(const std::uint32_t (*words)[lanes], T (*normals)[lanes]) {
    for (int pair = 0; pair < 4; pair += 2) {
        for (int l = 0; l < lanes; ++l) {
            T z0, z1;
            normal_pair(words[pair][l], words[pair + 1][l], z0, z1);
            normals[pair][l] = z0;
            normals[pair + 1][l] = z1;
        }
    }
}

// Calls value(pair, lane, a, b) for the two pairs of words (a, b) of each lane.
template <class F>
inline void for_pairs(const std::uint32_t (*words)[lanes], const F& value) {
    for (int pair = 0; pair < 2; ++pair)
        for (int l = 0; l < lanes; ++l) value(pair, l, words[2 * pair][l], words[2 * pair + 1][l]);
}

// Computes draws from four words per lane and returns their number, 4 or 2. All densities except the Gaussian are
// computed in double.
template <class T>
int fill_draws(DensityKind kind, double nu, const std::uint32_t (*words)[lanes], T (*values)[lanes]) {
    constexpr double root_half = 0.70710678118654752, root_12 = 3.4641016151377546, unit = 1.0 / 4294967296.0;
    switch (kind) {
    case DensityKind::gaussian: fill_normals(words, values); return 4;
    case DensityKind::uniform:
        for_pairs(words, [&](int p, int l, std::uint32_t a, std::uint32_t) {
            values[p][l] = static_cast<T>(root_12 * unit * (static_cast<double>(static_cast<std::int32_t>(a)) + 0.5));
        });
        return 2;
    case DensityKind::laplace:
        for_pairs(words, [&](int p, int l, std::uint32_t a, std::uint32_t b) {
            const double size = -root_half * log_uniform<double>(a, b);
            values[p][l] = static_cast<T>((b >> 31) != 0 ? -size : size);
        });
        return 2;
    case DensityKind::rademacher:
        for_pairs(words,
                  [&](int p, int l, std::uint32_t a, std::uint32_t) { values[p][l] = (a >> 31) != 0 ? T(-1) : T(1); });
        return 2;
    case DensityKind::student_t: break;
    }
    // Bailey's polar method (Math. Comp. 62, 779 (1994)). Only the cosine is used, because the sine is not independent
    // of it.
    const double size = nu > 2 ? square_root(nu - 2) : square_root(nu);
    for_pairs(words, [&](int p, int l, std::uint32_t a, std::uint32_t b) {
        const double angle =
            6.2831853071795865 / 16777216.0 * (static_cast<double>(static_cast<std::int32_t>(b >> 8)) + 0.5);
        values[p][l] = static_cast<T>(size * square_root(expm1(-2.0 / nu * log_uniform<double>(a, b))) * cos(angle));
    });
    return 2;
}

}  // namespace

template <class T>
void draw_normals(std::uint64_t key, std::int64_t first_path, std::int64_t group, std::uint32_t purpose,
                  T (*normals)[lanes]) {
    alignas(64) std::uint32_t words[4][lanes];
    draw_words(key, first_path, group, purpose, words);
    fill_normals(words, normals);
}

template <class T>
void draw_normals_at(std::uint64_t key, const std::int64_t* index, const std::int64_t* step, std::uint32_t purpose,
                     T (*normals)[lanes]) {
    alignas(64) std::uint32_t words[4][lanes];
    draw_words_at(key, index, step, purpose, words);
    fill_normals(words, normals);
}

template <class T>
void share_first_normals(std::uint64_t key, std::int64_t first_path, std::int64_t futures, std::uint32_t purpose,
                         T (*normals)[lanes]) {
    alignas(64) std::int64_t presents[lanes], steps[lanes] = {};
    alignas(64) T first[4][lanes];
    for (int l = 0; l < lanes; ++l) presents[l] = (first_path + l) / futures;
    draw_normals_at(key, presents, steps, purpose, first);
    std::memcpy(normals[0], first[0], sizeof first[0]);
}

template <class T>
void draw_lanes(const detail::DrawPlan<T>& plan, std::uint64_t key, const std::int64_t* index, std::uint32_t purpose,
                T* out) {
    for (std::int64_t i = 0, step = 0; i < plan.count; ++step) {
        alignas(64) std::uint32_t words[4][lanes];
        alignas(64) T values[4][lanes];
        alignas(64) std::int64_t steps[lanes];
        for (int l = 0; l < lanes; ++l) steps[l] = step;
        draw_words_at(key, index, steps, purpose, words);
        const int n = fill_draws(plan.kind, plan.nu, words, values);
        for (int k = 0; k < n && i < plan.count; ++k, ++i)
            for (int l = 0; l < lanes; ++l) out[i * lanes + l] = fma(plan.scale[i], values[k][l], plan.location[i]);
    }
}

template <class T>
void draw_one(const detail::DrawPlan<T>& plan, std::uint64_t key, std::int64_t index, std::uint32_t purpose, T* out) {
    alignas(64) std::int64_t indices[lanes], steps[lanes];
    for (int l = 0; l < lanes; ++l) indices[l] = index;
    for (std::int64_t first = 0, n = 1; first * n < plan.count; first += lanes) {
        alignas(64) std::uint32_t words[4][lanes];
        alignas(64) T values[4][lanes];
        for (int l = 0; l < lanes; ++l) steps[l] = first + l;
        draw_words_at(key, indices, steps, purpose, words);
        n = fill_draws(plan.kind, plan.nu, words, values);
        for (int l = 0; l < lanes; ++l)
            for (int k = 0; k < n; ++k) {
                const std::int64_t i = n * (first + l) + k;
                if (i < plan.count) out[i] = fma(plan.scale[i], values[k][l], plan.location[i]);
            }
    }
}

#define NNQM_INSTANTIATE(T)                                                                                      \
    template void draw_normals(std::uint64_t, std::int64_t, std::int64_t, std::uint32_t, T(*)[lanes]);           \
    template void draw_normals_at(std::uint64_t, const std::int64_t*, const std::int64_t*, std::uint32_t,        \
                                  T(*)[lanes]);                                                                  \
    template void share_first_normals(std::uint64_t, std::int64_t, std::int64_t, std::uint32_t, T(*)[lanes]);    \
    template void draw_lanes(const detail::DrawPlan<T>&, std::uint64_t, const std::int64_t*, std::uint32_t, T*); \
    template void draw_one(const detail::DrawPlan<T>&, std::uint64_t, std::int64_t, std::uint32_t, T*);
NNQM_INSTANTIATE(float)
NNQM_INSTANTIATE(double)
#undef NNQM_INSTANTIATE

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
