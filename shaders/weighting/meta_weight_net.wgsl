// Meta-Weight-Net (Shu et al., 2019):
//     V(loss) = sigmoid(b2 + Σ_h w2[h] · relu(w1[h] · loss + b1[h])).
// A net takes 3·HIDDEN + 1 elements: w1, b1, w2, b2; there is one for all examples or one a class.

override EXAMPLES: u32;
// Examples of the whole batch, of which these are a part.
override COUNT: u32 = EXAMPLES;
override CLASSES: u32;
override HIDDEN: u32;
override NETS: u32;
// Whether weights are divided by their sum instead of n.
override BY_SUM: bool;
// Adam instead of Nesterov's momentum.
override ADAM: bool;
override RATE: f32;
override DECAY: f32;
override MOMENTUM: f32;

// 1 − exp(−x) for x ≥ 0, to all digits.
fn one_minus_exp(x: f32) -> f32 {
    let series = x * (1.0 - x * (0.5 - x * (1.0 / 6.0 - x / 24.0)));
    return select(1.0 - exp(-x), series, x < 0.05);
}

@group(0) @binding(0) var<storage, read> losses: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> theta: array<f32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;

fn net_of(label: u32) -> u32 {
    return min(label, NETS - 1u);
}

// max(z, 0), of which a NaN stays a NaN: by its bits, as in shaders/common/rectifier.wgsl.
fn rectified(z: f32) -> f32 {
    return select(z, 0.0, bitcast<i32>(z) <= -0x800000);
}

// values[i] = V(losses[i]), or 0 for a label that is none of the classes: the example does not
// count.
@compute @workgroup_size(WORKGROUP)
fn evaluate(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= EXAMPLES {
        return;
    }
    if labels[i] >= CLASSES {
        values[i] = 0.0;
        return;
    }
    let first = net_of(labels[i]) * (3u * HIDDEN + 1u);
    var sum = theta[first + 3u * HIDDEN];
    for (var h = 0u; h < HIDDEN; h++) {
        let z = theta[first + h] * losses[i] + theta[first + HIDDEN + h];
        sum += theta[first + 2u * HIDDEN + h] * rectified(z);
    }
    values[i] = 1.0 / (1.0 + exp(-sum));
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> values_read: array<f32>;
@group(0) @binding(3) var<storage, read_write> coefficients: array<f32>;

// coefficients[i] = derivative of the clean loss after the virtual step by V of example i: a weight
// of 1 moves it by −η u[i].
@compute @workgroup_size(WORKGROUP)
fn differentiate(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= EXAMPLES {
        return;
    }
    var sum = f32(COUNT);
    var mean = 0.0;
    if BY_SUM {
        sum = 0.0;
        for (var j = 0u; j < EXAMPLES; j++) {
            sum += values_read[j];
            mean += values_read[j] * u[j];
        }
        sum = select(sum, 1.0, sum == 0.0);
        mean /= sum;
    }
    coefficients[i] = -step.learning_rate * (u[i] - mean) / sum;
}

@group(0) @binding(3) var<storage, read> values_seen: array<f32>;
@group(0) @binding(4) var<storage, read> coefficients_read: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient: array<f32>;

// Gradient of the clean loss by one element of one net.
@compute @workgroup_size(WORKGROUP)
fn sum_gradient(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at = linear_index(id, groups);
    let len = 3u * HIDDEN + 1u;
    if at >= NETS * len {
        return;
    }
    let net = at / len;
    let first = net * len;
    let part = (at - first) / HIDDEN;
    let hidden = (at - first) % HIDDEN;
    var sum = 0.0;
    for (var i = 0u; i < EXAMPLES; i++) {
        if labels[i] >= CLASSES || net_of(labels[i]) != net {
            continue;
        }
        // By the sum before the sigmoid.
        var g = coefficients_read[i] * values_seen[i] * (1.0 - values_seen[i]);
        let z = theta[first + hidden] * losses[i] + theta[first + HIDDEN + hidden];
        if part == 2u {
            g *= rectified(z);
        } else if part < 2u {
            g *= select(0.0, theta[first + 2u * HIDDEN + hidden], z > 0.0);
            g *= select(1.0, losses[i], part == 0u);
        }
        sum += g;
    }
    gradient[at] = sum;
}

@group(0) @binding(1) var<storage, read> gradient_read: array<f32>;
@group(0) @binding(2) var<storage, read_write> learned: array<f32>;
// First moments (Nesterov: velocities), then second moments.
@group(0) @binding(3) var<storage, read_write> moments: array<f32>;

// The optimizer's step on one element.
@compute @workgroup_size(WORKGROUP)
fn update(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at = linear_index(id, groups);
    let count = arrayLength(&learned);
    if at >= count {
        return;
    }
    let old = learned[at];
    let g = gradient_read[at] + DECAY * old;
    if ADAM {
        let m = 0.9 * moments[at] + 0.1 * g;
        let v = 0.999 * moments[count + at] + 0.001 * g * g;
        moments[at] = m;
        moments[count + at] = v;
        // Bias corrections 1 − β^t after t updates, β^t = exp(−x).
        let t = f32(step.number + 1u);
        let m_hat = m / one_minus_exp(t * 0.105360516);
        let v_hat = v / one_minus_exp(t * 0.0010005003);
        learned[at] = old - RATE * m_hat / (sqrt(v_hat) + 1e-8);
    } else {
        let m = MOMENTUM * moments[at] + g;
        moments[at] = m;
        learned[at] = old - RATE * (g + MOMENTUM * m);
    }
}
