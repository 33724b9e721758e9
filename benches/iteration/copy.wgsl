// A copy of large arrays: the adapter's memory bandwidth.

override WORKGROUP: u32;
// Elements of an invocation, a workgroup apart.
override PER_INVOCATION: u32;

@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> target_: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let first = (group.y * groups.x + group.x) * WORKGROUP * PER_INVOCATION + local.x;
    for (var i = 0u; i < PER_INVOCATION; i += 1u) {
        let at = first + i * WORKGROUP;
        if at < arrayLength(&source) {
            target_[at] = source[at];
        }
    }
}
