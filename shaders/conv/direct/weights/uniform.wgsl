// Weights of a convolution, and their tangent, in uniform bindings of at most 64 KiB, which
// software adapters read faster. From the header: WEIGHTS, how many output blocks that is.
@group(0) @binding(1) var<uniform> w: array<StoredOut, WEIGHTS>;
@group(0) @binding(NEXT_BINDING) var<uniform> v: array<StoredOut, WEIGHTS>;
