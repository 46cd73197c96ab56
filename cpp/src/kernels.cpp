// The kernels of one instruction-set level as a table of functions.
#include "kernels.hpp"

#include "stages.hpp"

namespace nnqm {
namespace NNQM_LEVEL_NAMESPACE {

#define NNQM_STRING_(x) #x
#define NNQM_STRING(x) NNQM_STRING_(x)

extern const detail::Dense dense;  // dense.cpp

extern const detail::Level table;
const detail::Level table = {
    NNQM_STRING(NNQM_LEVEL),
    {sample_ou<float>, sample_chain<float>, sample_periodic_chain<float>, sample_linear<float>, sample_waves<float>,
     forward<float>, draw<float>, accumulate<float>, differentiate<float>, pull_back<float>, add_sums<float>},
    {sample_ou<double>, sample_chain<double>, sample_periodic_chain<double>, sample_linear<double>,
     sample_waves<double>, forward<double>, draw<double>, accumulate<double>, differentiate<double>, pull_back<double>,
     add_sums<double>},
    dense,
};

}  // namespace NNQM_LEVEL_NAMESPACE
}  // namespace nnqm
