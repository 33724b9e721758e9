// The rectifier max(x, 0), element by element.

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;

// y = max(x, 0)
@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i < arrayLength(&y) {
        y[i] = stored(rectified(load(x[i])));
    }
}

@group(0) @binding(0) var<storage, read> output: array<Stored>;
@group(0) @binding(1) var<storage, read> value: array<Stored>;
@group(0) @binding(2) var<storage, read_write> masked: array<Stored>;

// masked = value where the rectifier's output is not 0, else 0: its tangent and its gradient.
@compute @workgroup_size(WORKGROUP)
fn mask(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i < arrayLength(&masked) {
        masked[i] = stored(through_rectifier(load(output[i]), load(value[i])));
    }
}
