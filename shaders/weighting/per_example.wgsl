// A number for each training example, by `fn weight(i: u32) -> f32`, which the method adds.

override EXAMPLES: u32;
override CLASSES: u32;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> losses: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> predictions: array<u32>;
// Places in the training set.
@group(0) @binding(4) var<storage, read> indices: array<u32>;
// Constants of the method.
@group(0) @binding(5) var<storage, read> table: array<f32>;
// What the method keeps from step to step.
@group(0) @binding(6) var<storage, read_write> state: array<f32>;
@group(0) @binding(7) var<storage, read_write> raw: array<f32>;

// 1 − exp(−x) for x ≥ 0, to all digits.
fn one_minus_exp(x: f32) -> f32 {
    let series = x * (1.0 - x * (0.5 - x * (1.0 / 6.0 - x / 24.0)));
    return select(1.0 - exp(-x), series, x < 0.05);
}

// Whether an example has one of the classes as its label. Others do not count: their loss is 0, and
// `weight` is not asked for them.
fn is_labelled(j: u32) -> bool {
    return labels[j] < CLASSES;
}

// Examples of the batch with a larger loss; of equal losses the earlier ones count as larger.
fn rank(i: u32) -> u32 {
    var larger = 0u;
    for (var j = 0u; j < EXAMPLES; j++) {
        if losses[j] > losses[i] || (losses[j] == losses[i] && j < i) {
            larger += 1u;
        }
    }
    return larger;
}

@compute @workgroup_size(WORKGROUP)
fn weigh(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= EXAMPLES {
        return;
    }
    var found = 0.0;
    if is_labelled(id.x) {
        found = weight(id.x);
    }
    raw[id.x] = found;
}
