// Inverted dropout: the mask is a hash of seed, step, layer and element, so that forward, tangent
// and backward pass see the same one without storing it.

override RATE: f32;
// Tells layers, and clean from training passes, apart.
override STREAM: u32;
// Place of the first element in the whole batch.
override FIRST: u32 = 0u;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Uniform in [0, 1).
fn uniform_draw(key: u32, i: u32) -> f32 {
    return f32(pcg_hash(key ^ pcg_hash(i)) >> 8u) / 16777216.0;
}

@compute @workgroup_size(WORKGROUP)
fn apply(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&y) {
        return;
    }
    let key = pcg_hash(step.seed ^ pcg_hash(step.number ^ pcg_hash(STREAM)));
    let draw = uniform_draw(key, FIRST + i);
    // A product, so that a NaN stays one whether it is dropped or not, as in PyTorch.
    y[i] = select(0.0, 1.0, draw >= RATE) * x[i] / (1.0 - RATE);
}
