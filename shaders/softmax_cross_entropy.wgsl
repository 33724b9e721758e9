// Softmax cross-entropy of [n, CLASSES] scores against labels: one invocation an example.

override CLASSES: u32;

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> predictions: array<u32>;

// residual = softmax − onehot, losses = −log softmax[label], predictions = first largest score. A
// label outside the classes has neither loss nor residual: the example does not count.
@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let example = id.x;
    if example >= arrayLength(&losses) {
        return;
    }
    let first = example * CLASSES;
    var largest = scores[first];
    var prediction = 0u;
    for (var k = 1u; k < CLASSES; k++) {
        if scores[first + k] > largest {
            largest = scores[first + k];
            prediction = k;
        }
    }
    var sum = 0.0;
    for (var k = 0u; k < CLASSES; k++) {
        let score = scores[first + k] - largest;
        sum += select(exp(score), score, is_nan(score));
    }
    let label = labels[example];
    // 1 − p loses all digits where p is close to 1; the sum of the other probabilities does not.
    var others = 0.0;
    for (var k = 0u; k < CLASSES; k++) {
        if k != label {
            let probability = exp(scores[first + k] - largest) / sum;
            residual[first + k] = select(0.0, probability, label < CLASSES);
            others += probability;
        }
    }
    predictions[example] = prediction;
    losses[example] = 0.0;
    if label < CLASSES {
        residual[first + label] = -others;
        let loss = log(sum) - (scores[first + label] - largest);
        losses[example] = select(loss, sum, is_nan(sum));
    }
}

@group(0) @binding(0) var<storage, read> residual_read: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

// Gradient of Σ weights[i] · losses[i] by the scores.
@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&gradient) {
        return;
    }
    let weight = weights[i / CLASSES];
    // A weight of zero keeps out even what is not finite.
    gradient[i] = select(weight * residual_read[i], 0.0, weight == 0.0);
}

@group(0) @binding(1) var<storage, read> score_tangents: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss_tangents: array<f32>;

// loss_tangents[i] = ⟨softmax − onehot, score_tangents⟩ of example i
@compute @workgroup_size(WORKGROUP)
fn tangent(@builtin(global_invocation_id) id: vec3<u32>) {
    let example = id.x;
    if example >= arrayLength(&loss_tangents) {
        return;
    }
    var sum = 0.0;
    for (var k = example * CLASSES; k < (example + 1u) * CLASSES; k++) {
        sum += residual_read[k] * score_tangents[k];
    }
    loss_tangents[example] = sum;
}

// Share of the target that all classes divide equally.
override SMOOTHING: f32;

@group(0) @binding(2) var<storage, read_write> smoothed_residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> smoothed_losses: array<f32>;

// Turns residual and losses of `forward` into those against the smoothed target.
@compute @workgroup_size(WORKGROUP)
fn smooth_target(@builtin(global_invocation_id) id: vec3<u32>) {
    let example = id.x;
    if example >= arrayLength(&smoothed_losses) {
        return;
    }
    let label = labels[example];
    if label >= CLASSES {
        return;
    }
    let first = example * CLASSES;
    let score = scores[first + label];
    let share = SMOOTHING / f32(CLASSES);
    // log Σ exp − mean score is the loss, plus the label's score, minus the mean.
    var ahead = 0.0;
    for (var k = 0u; k < CLASSES; k++) {
        ahead += (score - scores[first + k]) / f32(CLASSES);
        smoothed_residual[first + k] += select(-share, SMOOTHING - share, k == label);
    }
    smoothed_losses[example] += SMOOTHING * ahead;
}
