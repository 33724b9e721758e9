// Lets a method with a state look at the batch, by `fn observe(i: u32)`, before it weighs.

@compute @workgroup_size(WORKGROUP)
fn observe_batch(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < max(EXAMPLES, arrayLength(&state)) {
        observe(id.x);
    }
}
