// Makes a batch of what the caller's own buffers hold, from any byte or word on.

override LEN: u32;
override CHANNELS: u32 = 1u;
// Which offset of the step applies, of training images (0) and labels (1) or clean ones (2, 3).
override SOURCE: u32;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> source: array<u32>;

fn first() -> u32 {
    switch SOURCE {
        case 0u: { return step.train_images_first; }
        case 1u: { return step.train_labels_first; }
        case 2u: { return step.clean_images_first; }
        default: { return step.clean_labels_first; }
    }
}

@group(0) @binding(2) var<storage, read_write> copied: array<u32>;

override CLASSES: u32 = 1u;

// Labels; all that are none of the classes become one.
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

// CHANNELS means, then CHANNELS standard deviations.
@group(0) @binding(2) var<storage, read> normalisation: array<f32>;
@group(0) @binding(3) var<storage, read_write> normalised: array<f32>;

// Images, normalised.
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
