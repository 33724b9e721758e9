// From the similarities u to the weights of the examples (Ren et al., 2018, equations 7 to 9).

override EXAMPLES: u32;
override PARTS: u32;
// Distance between the rows of parts.
override PITCH: u32 = 0u;

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> u: array<f32>;

// u[i] = the sum of the PARTS rows of parts[PARTS, PITCH], e.g. one a layer
@compute @workgroup_size(WORKGROUP)
fn sum_parts(@builtin(global_invocation_id) id: vec3<u32>) {
    let example = id.x;
    if example >= EXAMPLES {
        return;
    }
    var sum = 0.0;
    for (var part = 0u; part < PARTS; part++) {
        sum += parts[part * PITCH + example];
    }
    u[example] = sum;
}

@group(0) @binding(0) var<storage, read> u_read: array<f32>;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;

// max(u, 0), where what is infinite or not a number counts as 0. By its bits: a compiler may take
// comparisons for granted that only such a value fails.
fn rectified(value: f32) -> f32 {
    let exponent = bitcast<u32>(value) & 0x7f800000u;
    return select(0.0, value, value > 0.0 && exponent != 0x7f800000u);
}

// total = Σ max(u, 0): the scalar that data-parallel training would sum over its ranks.
@compute @workgroup_size(1)
fn sum_rectified() {
    var sum = 0.0;
    for (var i = 0u; i < EXAMPLES; i++) {
        sum += rectified(u_read[i]);
    }
    total[0] = sum;
}

@group(0) @binding(1) var<storage, read> total_read: array<f32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;

// weights = max(u, 0) / total, all 0 where total is 0
@compute @workgroup_size(WORKGROUP)
fn normalise(@builtin(global_invocation_id) id: vec3<u32>) {
    let example = id.x;
    if example >= EXAMPLES {
        return;
    }
    let sum = total_read[0];
    weights[example] = rectified(u_read[example]) / select(sum, 1.0, sum == 0.0);
}
