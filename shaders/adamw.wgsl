// Adam with decoupled weight decay (Loshchilov and Hutter, 2019) over the flat parameter vector.

override BETA_1: f32;
override BETA_2: f32;
override EPSILON: f32;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(2) var<storage, read_write> first_moment: array<f32>;
@group(0) @binding(3) var<storage, read_write> second_moment: array<f32>;
@group(0) @binding(4) var<storage, read> gradient: array<f32>;
@group(0) @binding(5) var<storage, read> decay_mask: array<f32>;
// What was not finite (not_finite.wgsl): no step follows it.
@group(0) @binding(6) var<storage, read> found: array<u32>;

// m ← β₁·m + (1 − β₁)·g;  v ← β₂·v + (1 − β₂)·g²
// θ ← θ − η·λ·θ − η·(m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
@compute @workgroup_size(WORKGROUP)
fn update(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&parameters) || found[0] != 0u {
        return;
    }
    let g = gradient[i];
    let m = BETA_1 * first_moment[i] + (1.0 - BETA_1) * g;
    let v = BETA_2 * second_moment[i] + (1.0 - BETA_2) * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    let decayed =
        parameters[i] - step.learning_rate * step.weight_decay * decay_mask[i] * parameters[i];
    let root = sqrt(v / step.second_correction) + EPSILON;
    // Where no gradient ever was, ε may be all that there is to divide by, or nothing.
    let direction = select((m / step.first_correction) / root, 0.0, m == 0.0);
    parameters[i] = decayed - step.learning_rate * direction;
}
