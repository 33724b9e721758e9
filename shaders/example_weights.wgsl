// From the similarities u to the weights of the examples (Ren et al., 2018, equations 7 to 9).

override EXAMPLES: u32;
// Examples of the whole batch, of which these are a part.
override COUNT: u32 = EXAMPLES;
override PARTS: u32 = 1u;
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

// ---- weights --------------------------------------------------------------------------------
//
// The sum of all u may be larger than any f32, and each of them smaller than what devices divide by
// or keep at all. So they are first divided by a power of two, that of the largest, which rounds
// nothing. Numbers are read as their bits: a device may take for 0 what has no leading digit, and a
// compiler may take comparisons for granted that only a NaN fails.

@group(0) @binding(0) var<storage, read> u_read: array<u32>;
@group(0) @binding(1) var<storage, read_write> largest: array<u32>;

// max(u, 0), where what is infinite or not a number counts as 0. The bits of such numbers are in
// the order of the numbers.
fn rectified(bits: u32) -> u32 {
    return select(0u, bits, bits - 1u < 0x7f7fffffu);
}

// A positive number as mantissa · 2^(exponent − 150), with 2²³ ≤ mantissa < 2²⁴.
struct Parts { exponent: i32, mantissa: u32 }

fn parts_of(bits: u32) -> Parts {
    if bits >= 0x800000u {
        return Parts(i32(bits >> 23u), (bits & 0x7fffffu) | 0x800000u);
    }
    let shift = countLeadingZeros(bits) - 8u;
    return Parts(1 - i32(shift), bits << shift);
}

// max(u, 0) divided by the power of two of the largest u: below 2. Less than 2⁻¹²⁶ of it is 0.
fn scaled(u: u32, largest: u32) -> f32 {
    let value = rectified(u);
    if value == 0u {
        return 0.0;
    }
    let p = parts_of(value);
    let exponent = 127 + p.exponent - parts_of(largest).exponent;
    if exponent < 1 {
        return 0.0;
    }
    return bitcast<f32>((u32(exponent) << 23u) | (p.mantissa & 0x7fffffu));
}

var<workgroup> largest_of: array<u32, WORKGROUP>;

// largest = the largest max(u, 0): one workgroup. The maximum of several devices' is what
// data-parallel training would scale with.
@compute @workgroup_size(WORKGROUP)
fn find_largest(@builtin(local_invocation_index) local: u32) {
    var found = 0u;
    for (var i = local; i < EXAMPLES; i += WORKGROUP) {
        found = max(found, rectified(u_read[i]));
    }
    largest_of[local] = found;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if local < half {
            largest_of[local] = max(largest_of[local], largest_of[local + half]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        largest[0] = largest_of[0];
    }
}

@group(0) @binding(1) var<storage, read> largest_read: array<u32>;
@group(0) @binding(2) var<storage, read_write> total: array<f32>;

var<workgroup> sums: array<f32, WORKGROUP>;

// total = Σ max(u, 0), scaled: one workgroup. Data-parallel training would sum it over its ranks.
@compute @workgroup_size(WORKGROUP)
fn sum_scaled(@builtin(local_invocation_index) local: u32) {
    let scale = largest_read[0];
    var sum = 0.0;
    for (var i = local; i < EXAMPLES; i += WORKGROUP) {
        sum += scaled(u_read[i], scale);
    }
    sums[local] = sum;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if local < half {
            sums[local] += sums[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u {
        total[0] = sums[0];
    }
}

@group(0) @binding(2) var<storage, read> total_read: array<f32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;

// weights = max(u, 0) / Σ max(u, 0), all 0 where the sum is 0
@compute @workgroup_size(WORKGROUP)
fn normalise(@builtin(global_invocation_id) id: vec3<u32>) {
    let example = id.x;
    if example >= EXAMPLES {
        return;
    }
    let sum = total_read[0];
    let value = scaled(u_read[example], largest_read[0]);
    weights[example] = value / select(sum, 1.0, sum == 0.0);
}

@group(0) @binding(1) var<storage, read_write> factors: array<f32>;

// factors = max(u, 0) / COUNT
@compute @workgroup_size(WORKGROUP)
fn divide(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < EXAMPLES {
        factors[id.x] = bitcast<f32>(rectified(u_read[id.x])) / f32(COUNT);
    }
}

override CLASSES: u32 = 0u;

@group(0) @binding(0) var<storage, read> weights_read: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> kept: array<f32>;

// kept = weights, but 0 where the label is none of the classes
@compute @workgroup_size(WORKGROUP)
fn keep_labelled(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < EXAMPLES {
        kept[id.x] = select(0.0, weights_read[id.x], labels[id.x] < CLASSES);
    }
}

@group(0) @binding(3) var<storage, read> class_factors: array<f32>;

// kept = weights times the factor of the label's class, but 0 where it is none of the classes
@compute @workgroup_size(WORKGROUP)
fn times_class(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < EXAMPLES {
        let label = labels[id.x];
        let factor = class_factors[min(label, CLASSES - 1u)];
        kept[id.x] = select(0.0, weights_read[id.x] * factor, label < CLASSES);
    }
}
