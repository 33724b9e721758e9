// Makes a batch on the GPU: draws examples from the data set, crops, flips and normalises them.

override BATCH: u32;
override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
// Pixels of zeros around the image, from which a window of the image's size is cut at random.
override CROP_PAD: u32 = 0u;
override FLIP: bool = false;
// 0 for training, 1 for clean batches, 2 for examples in order.
override STREAM: u32;
// This dispatch reads the images FIRST_IMAGE .. END_IMAGE: one binding may not hold all of them.
override FIRST_IMAGE: u32 = 0u;
override END_IMAGE: u32;
// Slot of the step's batch that the first example takes.
override FIRST_SLOT: u32 = 0u;
// The images are those of the batch's slots, not those of the data set.
override STREAMED: bool = false;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> dataset_labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> labels: array<u32>;

// The next BATCH examples of a random order that is new in every pass over the data set.
@compute @workgroup_size(WORKGROUP)
fn draw(@builtin(global_invocation_id) id: vec3<u32>) {
    let slot = id.x;
    if slot >= BATCH {
        return;
    }
    // A length that is a constant would let drivers unroll the walk, which can take them for ever.
    let len = arrayLength(&dataset_labels);
    let epoch = select(step.train_epoch, step.clean_epoch, STREAM == 1u);
    let position = select(step.train_position, step.clean_position, STREAM == 1u)
        + FIRST_SLOT + slot;
    var index = min(position, len - 1u);
    if STREAM < 2u {
        index = permuted_index(step.seed ^ STREAM, epoch, position, len);
    }
    indices[slot] = index;
    labels[slot] = dataset_labels[index];
}

@group(0) @binding(1) var<storage, read> images: array<u32>;
@group(0) @binding(2) var<storage, read> drawn: array<u32>;
// CHANNELS means, then CHANNELS standard deviations.
@group(0) @binding(3) var<storage, read> normalisation: array<f32>;
@group(0) @binding(4) var<storage, read_write> batch: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn gather(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&batch) {
        return;
    }
    let channel = i % CHANNELS;
    let slot = i / (HEIGHT * WIDTH * CHANNELS);
    let index = drawn[slot];
    if index < FIRST_IMAGE || index >= END_IMAGE {
        return;
    }
    let key = pcg_hash((FIRST_SLOT + slot) * 2u + STREAM);
    let random = pcg_hash(step.seed ^ pcg_hash(step.number ^ key));
    var row = i / (WIDTH * CHANNELS) % HEIGHT;
    var column = i / CHANNELS % WIDTH;
    if FLIP && (random & 1u) == 1u {
        column = WIDTH - 1u - column;
    }
    let offsets = 2u * CROP_PAD + 1u;
    row += (random >> 1u) % offsets;
    column += (random >> 16u) % offsets;
    var pixel = 0.0;
    if row >= CROP_PAD && row < HEIGHT + CROP_PAD
        && column >= CROP_PAD && column < WIDTH + CROP_PAD {
        let image = select(index - FIRST_IMAGE, slot, STREAMED);
        let place = (image * HEIGHT + row - CROP_PAD) * WIDTH + column - CROP_PAD;
        let at = place * CHANNELS + channel;
        pixel = value_of(images[word_of(at)], at);
    }
    batch[i] = (pixel - normalisation[channel]) / normalisation[CHANNELS + channel];
}
