// An invocation as one lane of a subgroup of 8: neighbours, whose indices begin at a multiple of 8.
const SUBGROUP: i32 = 8;

struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
}

// Index of the subgroup in the grid, and lane.
var<private> subgroup: i32;
var<private> lane: i32;

// Index of an invocation.
fn begin(invocation: Invocation) -> i32 {
    read_sizes();
    let workgroup = invocation.workgroup.y * invocation.groups.x + invocation.workgroup.x;
    subgroup = i32(workgroup * WORKGROUP) / SUBGROUP + i32(invocation.subgroup);
    lane = i32(invocation.lane);
    return subgroup * SUBGROUP + lane;
}
