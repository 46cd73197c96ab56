// The choice of the instruction-set level, the number of threads, and the facts of the build.
#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "activations.hpp"
#include "kernels.hpp"
#include "nnqm/nnqm.hpp"
#include "threads.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define NNQM_HAS_FORK
#endif

namespace nnqm {

#ifdef NNQM_X86
namespace level_v2 {
extern const detail::Level table;
}
namespace level_v3 {
extern const detail::Level table;
}
namespace level_v4 {
extern const detail::Level table;
}
#else
namespace level_native {
extern const detail::Level table;
}
#endif

namespace {

std::vector<const detail::Level*> supported_levels() {
    std::vector<const detail::Level*> levels;
#ifdef NNQM_X86
    __builtin_cpu_init();
    levels.push_back(&level_v2::table);
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (v3) levels.push_back(&level_v3::table);
    if (v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        levels.push_back(&level_v4::table);
#else
    levels.push_back(&level_native::table);
#endif
    return levels;
}

const detail::Level* choose_level() {
    const auto levels = supported_levels();
    const char* forced = std::getenv("NNQM_LEVEL");
    if (!forced || !*forced) return levels.back();
    std::string names;
    for (const detail::Level* level : levels) {
        if (std::string(forced) == level->name) return level;
        names += std::string(names.empty() ? "" : ", ") + level->name;
    }
    throw std::invalid_argument("NNQM_LEVEL=" + std::string(forced) +
                                " is not among the levels of this processor: " + names);
}

// Whether this process is a forked child.
bool& forked() {
    static bool value = false;
    return value;
}

#ifdef NNQM_HAS_FORK
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, [] { forked() = true; });
#endif

}  // namespace

namespace detail {

const Level& level() {
    static const Level* chosen = choose_level();
    return *chosen;
}

int max_threads() {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

int thread_count(int asked, std::int64_t n_items) {
#ifdef _OPENMP
    if (forked()) return 1;
    const std::int64_t n = asked > 0 ? asked : max_threads();
    return static_cast<int>(std::max<std::int64_t>(1, std::min(n, n_items)));
#else
    static_cast<void>(asked);
    static_cast<void>(n_items);
    return 1;
#endif
}

}  // namespace detail

std::vector<std::string> activations() {
    return {
#define NNQM_NAME(name) #name,
        NNQM_ACTIVATIONS(NNQM_NAME)
#undef NNQM_NAME
    };
}

BuildInfo build_info() {
    BuildInfo info;
    info.version = NNQM_VERSION;
#if defined(__clang__)
    info.compiler = "Clang " __clang_version__;
#elif defined(__GNUC__)
    info.compiler = "GCC " __VERSION__;
#else
    info.compiler = "unknown";
#endif
    info.level = detail::level().name;
    for (const detail::Level* level : supported_levels()) info.levels.push_back(level->name);
#ifdef _OPENMP
    info.openmp = true;
#endif
    info.max_threads = detail::max_threads();
    return info;
}

}  // namespace nnqm
