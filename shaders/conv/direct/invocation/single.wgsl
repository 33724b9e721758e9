// An invocation by itself.
struct Invocation {
    @builtin(global_invocation_id) id: vec3<u32>,
}

// Index of an invocation.
fn begin(workgroup: Workgroup, me: Invocation) -> i32 {
    read_sizes();
    return i32(linear_index(me.id, workgroup.groups));
}
