// Multiply-adds on registers alone: the adapter's peak.

override WORKGROUP: u32;
// Fused, or a product and a sum that the driver may fuse.
override FUSED: bool;

@group(0) @binding(0) var<storage, read> rounds: array<u32>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<f32>>;

fn multiply_add(x: vec4<f32>, factor: vec4<f32>) -> vec4<f32> {
    let addend = vec4<f32>(0.001);
    if FUSED {
        return fma(x, factor, addend);
    }
    return x * factor + addend;
}

// Differs between invocations, so that nothing is known when compiling; sums converge to about 1.
fn factor_of(invocation: u32) -> vec4<f32> {
    return vec4<f32>(0.999) - vec4<f32>(0.0, 1e-4, 2e-4, 3e-4) * f32(invocation & 1u);
}

@compute @workgroup_size(WORKGROUP)
fn sums_2(@builtin(global_invocation_id) id: vec3<u32>) {
    let f = factor_of(id.x);
    var a = f;
    var b = f + 0.1;
    for (var round = 0u; round < rounds[0]; round += 1u) {
        a = multiply_add(a, f); b = multiply_add(b, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
    }
    results[id.x] = a + b;
}

@compute @workgroup_size(WORKGROUP)
fn sums_4(@builtin(global_invocation_id) id: vec3<u32>) {
    let f = factor_of(id.x);
    var a = f;
    var b = f + 0.1;
    var c = f + 0.2;
    var d = f + 0.3;
    for (var round = 0u; round < rounds[0]; round += 1u) {
        a = multiply_add(a, f); b = multiply_add(b, f);
        c = multiply_add(c, f); d = multiply_add(d, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        c = multiply_add(c, f); d = multiply_add(d, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        c = multiply_add(c, f); d = multiply_add(d, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        c = multiply_add(c, f); d = multiply_add(d, f);
    }
    results[id.x] = (a + b) + (c + d);
}

@compute @workgroup_size(WORKGROUP)
fn sums_8(@builtin(global_invocation_id) id: vec3<u32>) {
    let f = factor_of(id.x);
    var a = f;
    var b = f + 0.1;
    var c = f + 0.2;
    var d = f + 0.3;
    var e = f + 0.4;
    var g = f + 0.5;
    var h = f + 0.6;
    var i = f + 0.7;
    for (var round = 0u; round < rounds[0]; round += 1u) {
        a = multiply_add(a, f); b = multiply_add(b, f);
        c = multiply_add(c, f); d = multiply_add(d, f);
        e = multiply_add(e, f); g = multiply_add(g, f);
        h = multiply_add(h, f); i = multiply_add(i, f);
        a = multiply_add(a, f); b = multiply_add(b, f);
        c = multiply_add(c, f); d = multiply_add(d, f);
        e = multiply_add(e, f); g = multiply_add(g, f);
        h = multiply_add(h, f); i = multiply_add(i, f);
    }
    results[id.x] = ((a + b) + (c + d)) + ((e + g) + (h + i));
}
