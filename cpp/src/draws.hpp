// Random numbers for the lanes of a tile: words of the counter-based generator, and draws from every density.
#pragma once

#include "rows.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

// One Philox block per path of a tile. The first path is a multiple of the tile's size, so adding a lane never carries
// into the high word.
void draw_words(std::uint64_t key, std::int64_t first_path, std::int64_t step, std::uint32_t purpose,
                std::uint32_t (*words)[lanes]);

// Standard normals (4, lanes) for the steps 4 group .. 4 group + 3.
template <class T>
void draw_normals(std::uint64_t key, std::int64_t first_path, std::int64_t group, std::uint32_t purpose,
                  T (*normals)[lanes]);

// One Philox block per lane, for any index (path or group) and step of each lane.
void draw_words_at(std::uint64_t key, const std::int64_t* index, const std::int64_t* step, std::uint32_t purpose,
                   std::uint32_t (*words)[lanes]);

// Standard normals (4, lanes) from the block of any index and step of each lane.
template <class T>
void draw_normals_at(std::uint64_t key, const std::int64_t* index, const std::int64_t* step, std::uint32_t purpose,
                     T (*normals)[lanes]);

// Replaces the first row of normals (4, lanes) of the first four steps by the row of the paths i / futures.
template <class T>
void share_first_normals(std::uint64_t key, std::int64_t first_path, std::int64_t futures, std::uint32_t purpose,
                         T (*normals)[lanes]);

// plan.count draws, (count, lanes); index is the path or group of each lane.
template <class T>
void draw_lanes(const detail::DrawPlan<T>& plan, std::uint64_t key, const std::int64_t* index, std::uint32_t purpose,
                T* out);

// plan.count draws, (count), for one index: the lanes compute successive steps.
template <class T>
void draw_one(const detail::DrawPlan<T>& plan, std::uint64_t key, std::int64_t index, std::uint32_t purpose, T* out);

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
