// Weights of a convolution, and their tangent, in uniform bindings of at most 64 KiB, which software
// adapters read faster. From the header: WEIGHTS, the number of output blocks that they hold.
@group(0) @binding(1) var<uniform> w: array<StoredOut, WEIGHTS>;
@group(0) @binding(3) var<uniform> v: array<StoredOut, WEIGHTS>;
