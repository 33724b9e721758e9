// An invocation as one lane of a subgroup of 8: neighbours, whose indices begin at a multiple of 8.
const SUBGROUP: i32 = 8;

struct Invocation {
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
}

// Index of the subgroup in the grid, and lane.
var<private> subgroup: i32;
var<private> lane: i32;

// Index of an invocation.
fn begin(workgroup: Workgroup, me: Invocation) -> i32 {
    read_sizes();
    subgroup = i32(index_of(workgroup) * WORKGROUP) / SUBGROUP + i32(me.subgroup);
    lane = i32(me.lane);
    return subgroup * SUBGROUP + lane;
}
