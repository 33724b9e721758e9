// The labels of a batch from the caller's own buffers, from any word on.

override CLASSES: u32;

@group(0) @binding(2) var<storage, read_write> copied: array<u32>;

// Those that are none of the classes become one.
@compute @workgroup_size(WORKGROUP)
fn labels(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i < LEN {
        copied[i] = min(source[first() + i], CLASSES);
    }
}
