// Adds a bias to every position, in place.

override CHANNELS: u32;

@group(0) @binding(0) var<storage, read_write> y: array<Stored>;
@group(0) @binding(1) var<storage, read> bias: array<Stored>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i < arrayLength(&y) {
        y[i] = stored(load(y[i]) + load(bias[i % (CHANNELS / LANES)]));
    }
}
