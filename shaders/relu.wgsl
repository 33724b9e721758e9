// The rectifier max(x, 0), element by element.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// y = max(x, 0)
@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i < arrayLength(&y) {
        y[i] = max(x[i], 0.0);
    }
}

@group(0) @binding(0) var<storage, read> output: array<f32>;
@group(0) @binding(1) var<storage, read> value: array<f32>;
@group(0) @binding(2) var<storage, read_write> masked: array<f32>;

// masked = value where the rectifier's output is positive, else 0: its tangent and its gradient.
@compute @workgroup_size(WORKGROUP)
fn mask(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i < arrayLength(&masked) {
        masked[i] = select(0.0, value[i], output[i] > 0.0);
    }
}
