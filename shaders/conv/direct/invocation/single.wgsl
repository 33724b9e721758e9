// An invocation by itself.
struct Invocation {
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
}

// Index of an invocation.
fn begin(invocation: Invocation) -> i32 {
    return i32(linear_index(invocation.id, invocation.groups));
}
