// Stochastic gradient descent with momentum and weight decay over the flat parameter vector.

override NESTEROV: bool = false;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(2) var<storage, read_write> velocity: array<f32>;
@group(0) @binding(3) var<storage, read> gradient: array<f32>;
@group(0) @binding(4) var<storage, read> decay_mask: array<f32>;
// What was not finite (not_finite.wgsl): no step follows it.
@group(0) @binding(5) var<storage, read> found: array<u32>;

// v ← μ·v + g + λ·θ;  θ ← θ − η·v  (Nesterov: θ ← θ − η·(g + λ·θ + μ·v))
@compute @workgroup_size(WORKGROUP)
fn update(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&parameters) || found[0] != 0u {
        return;
    }
    let decayed = gradient[i] + step.weight_decay * decay_mask[i] * parameters[i];
    let v = step.momentum * velocity[i] + decayed;
    velocity[i] = v;
    parameters[i] -= step.learning_rate * select(v, decayed + step.momentum * v, NESTEROV);
}

@group(0) @binding(1) var<storage, read> parameters_read: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> clean_gradient: array<f32>;

// G ← G + λ·θ: the official code has weight decay in the clean loss as well.
@compute @workgroup_size(WORKGROUP)
fn decay_clean_gradient(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i < arrayLength(&clean_gradient) {
        clean_gradient[i] += step.weight_decay * mask[i] * parameters_read[i];
    }
}

@group(0) @binding(2) var<storage, read> gradient_read: array<f32>;
@group(0) @binding(3) var<storage, read_write> stepped: array<f32>;

// θ̂ = θ − η·g
@compute @workgroup_size(WORKGROUP)
fn virtual_step(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i < arrayLength(&stepped) {
        stepped[i] = parameters_read[i] - step.learning_rate * gradient_read[i];
    }
}
