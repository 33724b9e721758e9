// Bootstrapped cross-entropy (Reed et al., 2015) of [n, CLASSES] scores: one invocation an example.

override CLASSES: u32;
// β: share of the label as given in the target.
override BETA: f32;
// The target's other share: the predicted class if hard, the predicted probabilities if not.
override HARD: bool;

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> predictions: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let example = id.x;
    if example >= arrayLength(&losses) {
        return;
    }
    let first = example * CLASSES;
    var prediction = 0u;
    for (var k = 1u; k < CLASSES; k++) {
        if scores[first + k] > scores[first + prediction] {
            prediction = k;
        }
    }
    predictions[example] = prediction;
    let label = labels[example];
    // An example whose label is none of the classes does not count.
    if label >= CLASSES {
        losses[example] = 0.0;
        for (var k = 0u; k < CLASSES; k++) {
            residual[first + k] = 0.0;
        }
        return;
    }
    let largest = scores[first + prediction];
    var sum = 0.0;
    for (var k = 0u; k < CLASSES; k++) {
        sum += exp(scores[first + k] - largest);
    }
    let log_sum = log(sum);
    // −Σ p log p
    var entropy = 0.0;
    for (var k = 0u; k < CLASSES; k++) {
        let log_p = scores[first + k] - largest - log_sum;
        entropy -= exp(log_p) * log_p;
    }
    for (var k = 0u; k < CLASSES; k++) {
        let log_p = scores[first + k] - largest - log_sum;
        let p = exp(log_p);
        let given = p - select(0.0, 1.0, k == label);
        // The entropy's own gradient: predicted probabilities move with the scores.
        var other = -p * (log_p + entropy);
        if HARD {
            other = p - select(0.0, 1.0, k == prediction);
        }
        residual[first + k] = BETA * given + (1.0 - BETA) * other;
    }
    let cross_entropy = log_sum - (scores[first + label] - largest);
    losses[example] = BETA * cross_entropy + (1.0 - BETA) * select(entropy, log_sum, HARD);
}
