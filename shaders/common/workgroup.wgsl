// What all invocations of a workgroup have in common. Never in one struct with what differs between
// them: WGSL's rules take a whole parameter for different where a part of it is, and then allow no
// barrier in a branch or loop that depends on it.
struct Workgroup {
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
}

// Index of a workgroup in a grid that the host folded into two dimensions.
fn index_of(workgroup: Workgroup) -> u32 {
    return workgroup.id.y * workgroup.groups.x + workgroup.id.x;
}
