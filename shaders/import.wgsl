// Makes a batch of what the caller's own buffers hold, from any byte on.

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

// Words above become this one: one label for all that are none of the classes.
override LARGEST: u32 = 0xffffffffu;

// Words as they are: labels, or images that are normalised already.
@compute @workgroup_size(WORKGROUP)
fn words(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i < LEN {
        copied[i] = min(source[first() + i], LARGEST);
    }
}

// CHANNELS means, then CHANNELS standard deviations, of pixels in [0, 1].
@group(0) @binding(2) var<storage, read> normalisation: array<f32>;
@group(0) @binding(3) var<storage, read_write> images: array<f32>;

// 8-bit channels, four a word, normalised.
@compute @workgroup_size(WORKGROUP)
fn pixels(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= LEN {
        return;
    }
    let byte = first() + i;
    let pixel = f32((source[byte / 4u] >> (8u * (byte % 4u))) & 255u) / 255.0;
    let channel = i % CHANNELS;
    images[i] = (pixel - normalisation[channel]) / normalisation[CHANNELS + channel];
}
