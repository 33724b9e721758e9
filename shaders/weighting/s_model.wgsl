// A linear noise layer behind softmax (Goldberger and Ben-Reuven, 2017): q = p T, with T the
// row-wise softmax of the learned matrix noise[CLASSES, CLASSES]: true class, label.

override CLASSES: u32;
override EXAMPLES: u32;

@group(0) @binding(0) var<storage, read> noise: array<f32>;
@group(0) @binding(1) var<storage, read_write> transition: array<f32>;

// transition = softmax of each row of noise: one invocation a row
@compute @workgroup_size(WORKGROUP)
fn rows(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x * CLASSES;
    if id.x >= CLASSES {
        return;
    }
    var largest = noise[row];
    for (var k = 1u; k < CLASSES; k++) {
        largest = max(largest, noise[row + k]);
    }
    var sum = 0.0;
    for (var k = 0u; k < CLASSES; k++) {
        sum += exp(noise[row + k] - largest);
    }
    for (var k = 0u; k < CLASSES; k++) {
        transition[row + k] = exp(noise[row + k] - largest) / sum;
    }
}

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> transition_read: array<f32>;
@group(0) @binding(3) var<storage, read_write> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;
@group(0) @binding(5) var<storage, read_write> predictions: array<u32>;
@group(0) @binding(6) var<storage, read_write> posterior: array<f32>;

// losses = −log q[label], residual = its gradient by the scores, posterior = P(true class | label),
// predictions = the most probable true class: one invocation an example
@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let example = id.x;
    if example >= arrayLength(&losses) {
        return;
    }
    let first = example * CLASSES;
    let label = labels[example];
    var prediction = 0u;
    for (var k = 1u; k < CLASSES; k++) {
        if scores[first + k] > scores[first + prediction] {
            prediction = k;
        }
    }
    predictions[example] = prediction;
    let largest = scores[first + prediction];
    // An example whose label is none of the classes does not count.
    if label >= CLASSES {
        losses[example] = 0.0;
        for (var k = 0u; k < CLASSES; k++) {
            residual[first + k] = 0.0;
            posterior[first + k] = 0.0;
        }
        return;
    }
    var sum = 0.0;
    var joint = 0.0;
    for (var k = 0u; k < CLASSES; k++) {
        let e = exp(scores[first + k] - largest);
        sum += e;
        joint += e * transition_read[k * CLASSES + label];
    }
    // By its bits, so that a NaN stays one.
    joint = select(joint, 1e-30, bitcast<u32>(joint) < bitcast<u32>(1e-30));
    for (var k = 0u; k < CLASSES; k++) {
        let e = exp(scores[first + k] - largest);
        let r = e * transition_read[k * CLASSES + label] / joint;
        posterior[first + k] = r;
        residual[first + k] = e / sum - r;
    }
    losses[example] = log(sum) - log(joint);
}

@group(0) @binding(0) var<storage, read> posterior_read: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;

// gradient of Σ weights · losses by the noise matrix: one invocation an element
@compute @workgroup_size(WORKGROUP)
fn differentiate(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= CLASSES * CLASSES {
        return;
    }
    let row = id.x / CLASSES;
    let column = id.x % CLASSES;
    var sum = 0.0;
    for (var i = 0u; i < EXAMPLES; i++) {
        let hit = select(0.0, 1.0, labels[i] == column);
        sum += weights[i] * posterior_read[i * CLASSES + row] * (transition_read[id.x] - hit);
    }
    gradient[id.x] = sum;
}
