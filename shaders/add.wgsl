// Sum of two tensors, element by element: gradients that meet, tangents of two origins.

@group(0) @binding(0) var<storage, read> a: array<Stored>;
@group(0) @binding(1) var<storage, read> b: array<Stored>;
@group(0) @binding(2) var<storage, read_write> sum: array<Stored>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i < arrayLength(&sum) {
        sum[i] = stored(load(a[i]) + load(b[i]));
    }
}
