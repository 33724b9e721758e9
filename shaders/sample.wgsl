// Draws training examples by a rule other than one visit each a pass, and mixes pairs of them.
// The CPU twin is src/reference/sample.rs.

override DATASET_LEN: u32;
override BATCH: u32;
// 0: passes over `order`; 1: a class at random, then an example of the class.
override RULE: u32;
// Neighbours of an example.
override NEIGHBOURS: u32;
// Elements of an image.
override IMAGE: u32;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> dataset_labels: array<u32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
// Where in `order` each class that has examples starts, and the end.
@group(0) @binding(3) var<storage, read> starts: array<u32>;
@group(0) @binding(4) var<storage, read_write> indices: array<u32>;
@group(0) @binding(5) var<storage, read_write> labels: array<u32>;
@group(0) @binding(6) var<storage, read_write> places: array<u32>;

// Random bits of one slot of the batch; draws with other numbers are independent.
fn slot_bits(slot: u32, draw: u32) -> u32 {
    return pcg_hash(step.seed ^ pcg_hash(step.number ^ pcg_hash(slot * 4u + draw + 0x53414d50u)));
}

// The example in each slot of the batch, its label, and its place in `order`.
@compute @workgroup_size(WORKGROUP)
fn draw(@builtin(global_invocation_id) id: vec3<u32>) {
    let slot = id.x;
    if slot >= BATCH {
        return;
    }
    // A length that is a constant would let drivers unroll the walk, which can take them for ever.
    let len = arrayLength(&order);
    var place = permuted_index(step.seed, step.train_epoch, step.train_position + slot, len);
    if RULE == 1u {
        let class_number = slot_bits(slot, 0u) % (arrayLength(&starts) - 1u);
        let first = starts[class_number];
        place = first + slot_bits(slot, 1u) % (starts[class_number + 1u] - first);
    }
    let index = order[place];
    indices[slot] = index;
    labels[slot] = dataset_labels[index];
    places[slot] = place;
}

@group(0) @binding(1) var<storage, read> drawn: array<u32>;
@group(0) @binding(2) var<storage, read> neighbours: array<u32>;
@group(0) @binding(3) var<storage, read_write> partner_indices: array<u32>;

// A random one of each drawn example's neighbours[DATASET_LEN, NEIGHBOURS].
@compute @workgroup_size(WORKGROUP)
fn partners(@builtin(global_invocation_id) id: vec3<u32>) {
    let slot = id.x;
    if slot < BATCH {
        let which = slot_bits(slot, 2u) % NEIGHBOURS;
        partner_indices[slot] = neighbours[drawn[slot] * NEIGHBOURS + which];
    }
}

@group(0) @binding(1) var<storage, read> places_read: array<u32>;
@group(0) @binding(2) var<storage, read> images: array<f32>;
@group(0) @binding(3) var<storage, read> others: array<f32>;
@group(0) @binding(4) var<storage, read_write> mixed: array<f32>;

// x + λ (other − x), λ uniform in [0, 1), where the place lies behind the data set; x elsewhere.
@compute @workgroup_size(WORKGROUP)
fn mix_pairs(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&mixed) {
        return;
    }
    let slot = i / IMAGE;
    let share = select(
        0.0,
        f32(slot_bits(slot, 3u) >> 8u) / 16777216.0,
        places_read[slot] >= DATASET_LEN,
    );
    mixed[i] = images[i] + share * (others[i] - images[i]);
}
