// The images of a batch from the caller's own buffers, from any byte or word on, normalised.

override CHANNELS: u32;

// CHANNELS means, then CHANNELS standard deviations.
@group(0) @binding(2) var<storage, read> normalisation: array<f32>;
@group(0) @binding(3) var<storage, read_write> normalised: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn images(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= LEN {
        return;
    }
    let at = first() + i;
    let pixel = value_of(source[word_of(at)], at);
    let channel = i % CHANNELS;
    normalised[i] = (pixel - normalisation[channel]) / normalisation[CHANNELS + channel];
}
