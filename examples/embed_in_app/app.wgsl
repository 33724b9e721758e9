// The application's own shaders: they make the training data, smooth the learned weights over
// frames, and draw both. Nothing in here knows how the weights are learned.

struct Frame { seed: u32, points: u32, clean_points: u32, wrong_share: f32 }

const FEATURES: u32 = 8u;

@group(0) @binding(0) var<uniform> frame: Frame;
@group(0) @binding(1) var<storage, read_write> features: array<f32>;
@group(0) @binding(2) var<storage, read_write> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> places: array<vec2<f32>>;

fn hash(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// In [0, 1).
fn random(seed: u32, i: u32, k: u32) -> f32 {
    return f32(hash(seed ^ hash(i * 16u + k)) >> 8u) / 16777216.0;
}

// Two spirals, one a class. Every point keeps its place along its arm and its label; where exactly
// it lies across it changes from frame to frame.
fn make(i: u32, arm: u32, key: u32) -> vec2<f32> {
    let along = 0.08 + 0.92 * sqrt(random(key, i, 0u));
    let angle = along * 9.0 + f32(arm) * 3.14159265;
    let blur = vec2(random(frame.seed, i, 1u), random(frame.seed, i, 2u)) - 0.5;
    return along * 0.92 * vec2(cos(angle), sin(angle)) + 0.04 * blur;
}

fn write_features(at: u32, p: vec2<f32>) {
    let x = array<f32, 8>(p.x, p.y, sin(4.0 * p.x), sin(4.0 * p.y), cos(4.0 * p.x), cos(4.0 * p.y),
        4.0 * dot(p, p) - 2.0, 4.0 * p.x * p.y);
    for (var k = 0u; k < FEATURES; k++) {
        features[at * FEATURES + k] = x[k];
    }
}

// Training points first, some of them with the label of the other arm; then the trusted ones.
@compute @workgroup_size(64)
fn generate(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= frame.points + frame.clean_points {
        return;
    }
    let arm = i % 2u;
    let trusted = i >= frame.points;
    let p = make(i, arm, select(11u, 23u, trusted));
    write_features(i, p);
    places[i] = p;
    let wrong = !trusted && random(5u, i, 3u) < frame.wrong_share;
    labels[i] = select(arm, 1u - arm, wrong);
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> smoothed: array<f32>;

// An exponential mean of each point's weight, in units of the uniform weight.
@compute @workgroup_size(64)
fn smooth_weights(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < frame.points {
        smoothed[id.x] = mix(smoothed[id.x], weights[id.x] * f32(frame.points), 0.03);
    }
}

@group(0) @binding(1) var<storage, read> place_of: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> label_of: array<u32>;
@group(0) @binding(3) var<storage, read> weight_of: array<f32>;

struct Dot {
    @builtin(position) position: vec4<f32>,
    @location(0) corner: vec2<f32>,
    @location(1) color: vec3<f32>,
}

// Each point twice: on the left by its label, on the right fading where its weight is small.
@vertex
fn draw_point(@builtin(vertex_index) vertex: u32, @builtin(instance_index) instance: u32) -> Dot {
    let i = instance / 2u;
    let right = instance % 2u == 1u;
    let corner = vec2(f32(vertex & 1u), f32(vertex >> 1u)) * 2.0 - 1.0;
    let paper = vec3(0.97);
    let ink = select(vec3(0.0, 0.32, 0.60), vec3(0.78, 0.29, 0.05), label_of[i] == 1u);
    let strength = select(1.0, clamp(weight_of[i] / 1.5, 0.0, 1.0), right);
    let place = place_of[i] * 0.95 + 0.011 * corner;
    let x = place.x * 0.5 + select(-0.5, 0.5, right);
    return Dot(vec4(x, place.y, 0.0, 1.0), corner, mix(paper * 0.9, ink, strength));
}

@fragment
fn fill(dot_in: Dot) -> @location(0) vec4<f32> {
    if dot(dot_in.corner, dot_in.corner) > 1.0 {
        discard;
    }
    return vec4(dot_in.color, 1.0);
}
