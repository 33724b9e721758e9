// Enough of Metal's standard library for clang to read naga's MSL as C++14: types, functions and
// address spaces. tests/kernels/portability/metal.rs includes it. Nothing of it runs.

#define device __attribute__((address_space(1)))
#define constant __attribute__((address_space(2)))
#define threadgroup __attribute__((address_space(3)))
#define thread
#define kernel
// C++ does not convert vectors.
#define static_cast converted

using half = _Float16;

template <class To, class From> To converted(From);
template <class To, class From> To as_type(From) {
    static_assert(sizeof(To) == sizeof(From), "as_type keeps the size");
    return To();
}

// `shared = {}`, which C++ has for no address space.
template <class T> void zero(threadgroup T&);

namespace metal {

using uint = unsigned int;
using ulong = unsigned long;
using ::half;

template <class T, int N> using vec = T __attribute__((ext_vector_type(N)));

#define VECTORS(T) using T##2 = vec<T, 2>; using T##3 = vec<T, 3>; using T##4 = vec<T, 4>;
VECTORS(int) VECTORS(uint) VECTORS(ulong) VECTORS(float)
VECTORS(half)
#undef VECTORS
// What clang makes of comparing vectors.
using bool2 = int2;
using bool3 = int3;
using bool4 = int4;

template <class T> struct components { static constexpr int count = 1; };
template <class T, int N> struct components<T __attribute__((ext_vector_type(N)))> {
    static constexpr int count = N;
};

constexpr int sum() { return 0; }
template <class... Rest> constexpr int sum(int first, Rest... rest) {
    return first + sum(rest...);
}

// Of as many components as there are, or of one for all.
template <class V, class... Parts> V made(Parts...) {
    constexpr int found = sum(components<Parts>::count...);
    constexpr bool one = sizeof...(Parts) <= 1 && found <= 1;
    static_assert(one || found == components<V>::count, "components of a vector");
    return V();
}

// Columns of rows.
template <class T, int Columns, int Rows> struct matrix {
    vec<T, Rows> columns[Columns];
    matrix() = default;
    template <class... Parts> explicit matrix(Parts...) {
        static_assert(sizeof...(Parts) == Columns, "columns of a matrix");
    }
    vec<T, Rows>& operator[](int);
    const vec<T, Rows>& operator[](int) const;
};
template <class T, int C, int R> vec<T, R> operator*(const matrix<T, C, R>&, vec<T, C>);
template <class T, int C, int R> vec<T, C> operator*(vec<T, R>, const matrix<T, C, R>&);
template <class T, int C, int K, int R>
matrix<T, C, R> operator*(const matrix<T, K, R>&, const matrix<T, C, K>&);
template <class T, int C, int R> matrix<T, C, R> operator*(const matrix<T, C, R>&, T);
template <class T, int C, int R> matrix<T, C, R> operator*(T, const matrix<T, C, R>&);
template <class T, int C, int R>
matrix<T, C, R> operator+(const matrix<T, C, R>&, const matrix<T, C, R>&);
template <class T, int C, int R> matrix<T, R, C> transpose(const matrix<T, C, R>&);

using float4x4 = matrix<float, 4, 4>;

template <class T> struct simdgroup_matrix {};
using simdgroup_float8x8 = simdgroup_matrix<float>;
using simdgroup_half8x8 = simdgroup_matrix<half>;
template <class T> void simdgroup_load(simdgroup_matrix<T>&, const device T*, ulong, int, bool);
template <class T>
void simdgroup_load(simdgroup_matrix<T>&, const threadgroup T*, ulong, int, bool);
template <class T> void simdgroup_store(simdgroup_matrix<T>, device T*, ulong);
template <class T> void simdgroup_store(simdgroup_matrix<T>, threadgroup T*, ulong);
template <class T, class F>
void simdgroup_multiply_accumulate(
    simdgroup_matrix<T>&, simdgroup_matrix<F>, simdgroup_matrix<F>, simdgroup_matrix<T>);

#define ONE(name) template <class T> T name(T);
#define TWO(name) template <class T> T name(T, T);
#define THREE(name) template <class T> T name(T, T, T);
ONE(abs) ONE(sqrt) ONE(rsqrt) ONE(exp) ONE(exp2) ONE(log) ONE(log2) ONE(floor) ONE(ceil) ONE(trunc)
ONE(rint) ONE(round) ONE(sign) ONE(cos) ONE(sin) ONE(tanh) ONE(saturate) ONE(popcount) ONE(clz)
TWO(min) TWO(max) TWO(pow) TWO(step) TWO(mulhi)
THREE(clamp) THREE(fma) THREE(mix)
#undef ONE
#undef TWO
#undef THREE
template <class T, class U, class C> T select(T, U, C);
template <class T> bool any(T);
template <class T> bool all(T);
template <class T, int N> T dot(vec<T, N>, vec<T, N>);

enum class mem_flags { mem_none, mem_device, mem_threadgroup };
constexpr mem_flags operator|(mem_flags a, mem_flags) { return a; }
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);
template <class T> T simd_shuffle(T, uint);
template <class T> T simd_shuffle_xor(T, uint);
bool simd_all(bool);

enum memory_order { memory_order_relaxed };
struct atomic_uint {};
uint atomic_fetch_max_explicit(volatile device atomic_uint*, uint, memory_order);

}  // namespace metal

// Types of vectors have global names as well; naga counts the turns of loops in one.
using metal::made;
using metal::uint2;

#define float2(...) made<::metal::float2>(__VA_ARGS__)
#define float3(...) made<::metal::float3>(__VA_ARGS__)
#define float4(...) made<::metal::float4>(__VA_ARGS__)
#define half2(...) made<::metal::half2>(__VA_ARGS__)
#define half4(...) made<::metal::half4>(__VA_ARGS__)
#define int2(...) made<::metal::int2>(__VA_ARGS__)
#define int3(...) made<::metal::int3>(__VA_ARGS__)
#define int4(...) made<::metal::int4>(__VA_ARGS__)
#define ulong2(...) made<::metal::ulong2>(__VA_ARGS__)
#define uint2(...) made<::metal::uint2>(__VA_ARGS__)
#define uint3(...) made<::metal::uint3>(__VA_ARGS__)
#define uint4(...) made<::metal::uint4>(__VA_ARGS__)
