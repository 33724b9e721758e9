// Weights of a convolution, and their tangent, in storage bindings: any size.
@group(0) @binding(1) var<storage, read> w: array<StoredOut>;
@group(0) @binding(NEXT_BINDING) var<storage, read> v: array<StoredOut>;
