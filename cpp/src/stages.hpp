// The kernels of one instruction-set level, stage by stage. kernels.hpp documents them.
#pragma once

#include "kernels.hpp"
#include "level.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// sources.cpp
template <class T>
void sample_ou(const detail::OuPlan<T>& plan, std::uint64_t key, std::int64_t first_path, const detail::Window& window,
               int channels, T* tile);
template <class T>
void sample_chain(const detail::ChainPlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                  const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile);
template <class T>
void sample_periodic_chain(const detail::PeriodicChainPlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                           const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile);
template <class T>
void sample_linear(const detail::LinearPlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                   const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile);

// waves.cpp
template <class T>
void sample_waves(const detail::WavePlan<T>& plan, std::uint64_t key, std::int64_t first_path,
                  const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile);

// network.cpp
template <class T>
void draw(const detail::NetworkPlan<T>& plan, std::uint64_t key, std::int64_t first_group, int n, bool negative,
          T* parameters, T* training);
template <class T>
void forward(const detail::NetworkPlan<T>& plan, std::uint64_t key, std::int64_t first_path,
             const detail::Window& window, int channels, const detail::Scratch<T>& scratch, T* tile);

// sums.cpp
template <class T>
int accumulate(const detail::MeasurePlan<T>& plan, const detail::Window& window, int channels, const T* tile,
               int n_valid, bool begins_group, bool ends_group, const detail::Scratch<T>& scratch,
               const detail::BlockSums& sums);

// gradients.cpp
template <class T>
const T* differentiate(const detail::GradientPlan<T>& plan, int slopes, T* tape);
template <class T>
const T* pull_back(const detail::GradientPlan<T>& plan, const detail::GradientScratch<T>& scratch);
template <class T>
void add_sums(const detail::GradientPlan<T>& plan, T* sums, double* totals);

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
