// Transposition in blocks of 16 bytes, the vector size that every processor supports.
#pragma once

namespace nnqm::detail {
namespace {  // a separate copy for each file, because some files are compiled for several levels

template <class T>
struct BlockOf {
    typedef T type __attribute__((vector_size(16)));
};
template <class T>
using Block = typename BlockOf<T>::type;

// Interleaved elements of the first or of the second halves of a and b.
#if defined(__clang__) || __GNUC__ >= 12
inline Block<float> first_halves(Block<float> a, Block<float> b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
inline Block<float> second_halves(Block<float> a, Block<float> b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
inline Block<double> first_halves(Block<double> a, Block<double> b) { return __builtin_shufflevector(a, b, 0, 2); }
inline Block<double> second_halves(Block<double> a, Block<double> b) { return __builtin_shufflevector(a, b, 1, 3); }
#else
inline Block<float> first_halves(Block<float> a, Block<float> b) { return Block<float>{a[0], b[0], a[1], b[1]}; }
inline Block<float> second_halves(Block<float> a, Block<float> b) { return Block<float>{a[2], b[2], a[3], b[3]}; }
inline Block<double> first_halves(Block<double> a, Block<double> b) { return Block<double>{a[0], b[0]}; }
inline Block<double> second_halves(Block<double> a, Block<double> b) { return Block<double>{a[1], b[1]}; }
#endif

inline void transpose(Block<float> (&x)[4]) {
    const Block<float> a = first_halves(x[0], x[2]), b = second_halves(x[0], x[2]);
    const Block<float> c = first_halves(x[1], x[3]), d = second_halves(x[1], x[3]);
    x[0] = first_halves(a, c);
    x[1] = second_halves(a, c);
    x[2] = first_halves(b, d);
    x[3] = second_halves(b, d);
}

inline void transpose(Block<double> (&x)[2]) {
    const Block<double> a = first_halves(x[0], x[1]);
    x[1] = second_halves(x[0], x[1]);
    x[0] = a;
}

}  // namespace
}  // namespace nnqm::detail
