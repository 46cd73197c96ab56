// Division of independent items among threads. No other file uses OpenMP.
#pragma once

#include <atomic>
#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace nnqm::detail {

// Number of threads for n_items items; asked = 0 takes as many as the environment offers. A forked child of a process
// that has used OpenMP gets one thread: the runtime's thread pool does not survive the fork, and waiting for it would
// never end.
int thread_count(int asked, std::int64_t n_items);

int max_threads();

// Calls work(item, thread) for the items 0 .. n - 1 and returns the number of threads that called it. Every thread
// starts with its own item and then takes the next free one, so no thread idles while items are left, whatever the load
// of the machine.
template <class Work>
int for_each(std::int64_t n, int n_threads, const Work& work) {
    if (n <= 0) return 0;
    if (n_threads <= 1) {
        for (std::int64_t item = 0; item < n; ++item) work(item, 0);
        return 1;
    }
    std::atomic<int> working{0};
#ifdef _OPENMP
    std::atomic<std::int64_t> next{0};
#pragma omp parallel num_threads(n_threads)
    {
        const int thread = omp_get_thread_num(), team = omp_get_num_threads();
        if (thread < n) ++working;
#pragma omp single
        next = team;
        for (std::int64_t item = thread; item < n; item = next++) work(item, thread);
    }
#endif
    return working;
}

}  // namespace nnqm::detail
