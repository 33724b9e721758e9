// What the caller's own buffers hold, and where a batch begins in it.

override LEN: u32;
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
