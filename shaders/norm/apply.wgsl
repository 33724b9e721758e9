// BatchNorm (Ioffe and Szegedy, 2015) and GroupNorm (Wu and He, 2018) over [n, POSITIONS,
// CHANNELS], with tangents and gradients through the statistics, and an optional ReLU behind. The
// statistics come from shaders/norm/chunks.wgsl, then shaders/norm/combine.wgsl: of all examples of
// a channel (BatchNorm), or of the channels of a group of one example (GroupNorm).

override HAS_ADDEND: bool = false;
// Whether the statistics are constants: they have no tangent, and no gradient passes through them.
override FIXED: bool = false;
// Whether scales and shifts have tangents.
override AFFINE_MOVES: bool = true;

// From the header: TILE, the positions that one invocation takes.

// Whether tiles divide the positions of an example exactly.
override EXACT: bool = POSITIONS % TILE == 0u;

// A block of channels of TILE positions of one example.
struct Tile { example: u32, block: u32, first: u32, count: u32 }

fn tile_of(i: u32) -> Tile {
    let tiles = (POSITIONS + TILE - 1u) / TILE;
    let tile = i / BLOCKS;
    let position = tile % tiles * TILE;
    let block = i % BLOCKS;
    let first = (tile / tiles * POSITIONS + position) * BLOCKS + block;
    return Tile(tile / tiles, block, first, min(TILE, POSITIONS - position));
}

@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let t = tile_of(linear_index(id, groups));
    if t.first >= arrayLength(&y) {
        return;
    }
    let s = statistic_of(t.example, t.block);
    let mean = load(moments[s]);
    let rstd = load(moments[s + BLOCKS]);
    let scale = scale_of(t.block);
    let shift = shift_of(t.block);
    for (var k = 0u; k < TILE; k++) {
        if EXACT || k < t.count {
            let at = t.first + k * BLOCKS;
            var value = scale * ((load(x[at]) - mean) * rstd) + shift;
            if RELU {
                value = rectified(value);
            }
            y[at] = stored(value);
        }
    }
}

// ---- tangent --------------------------------------------------------------------------------
//
// With x̂ = (x − μ)·r:  dx̂ = r·(dx − mean(dx) − x̂·mean(x̂·dx))

@group(0) @binding(3) var<storage, read> tangent_means: array<Stored>;
@group(0) @binding(4) var<storage, read> primal_affine: array<Stored>;
// Tangents of the scales and shifts.
@group(0) @binding(5) var<storage, read> tangent_affine: array<Stored>;
@group(0) @binding(6) var<storage, read_write> dy: array<Stored>;

struct DualAffine { scale: Lanes, shift: Lanes, d_scale: Lanes, d_shift: Lanes }

fn dual_affine_of(block: u32) -> DualAffine {
    let shift = select(block, BLOCKS + block, HAS_SCALE);
    var affine = DualAffine(Lanes(1.0), load(primal_affine[shift]), Lanes(), Lanes());
    if AFFINE_MOVES {
        affine.d_shift = load(tangent_affine[shift]);
    }
    if HAS_SCALE {
        affine.scale = load(primal_affine[block]);
        if AFFINE_MOVES {
            affine.d_scale = load(tangent_affine[block]);
        }
    }
    return affine;
}

// What the elements of a channel share.
struct DualStatistics { mean: Lanes, rstd: Lanes, mean_product: Lanes, mean_tangent: Lanes }

// The tangent of an output, from `normalised` and the tangent of the input.
fn output_tangent(
    statistics: DualStatistics,
    affine: DualAffine,
    normalised: Lanes,
    d_input: Lanes,
) -> Lanes {
    var d_normalised = statistics.rstd * d_input;
    if !FIXED {
        d_normalised = statistics.rstd
            * (d_input - statistics.mean_tangent - normalised * statistics.mean_product);
    }
    let value = affine.scale * d_normalised + affine.d_scale * normalised + affine.d_shift;
    return through_relu(value, normalised, affine.scale, affine.shift);
}

@compute @workgroup_size(WORKGROUP)
fn forward_tangent(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let t = tile_of(linear_index(id, groups));
    if t.first >= arrayLength(&dy) {
        return;
    }
    let s = statistic_of(t.example, t.block);
    let next = s + BLOCKS;
    let statistics = DualStatistics(
        load(moments[s]),
        load(moments[next]),
        load(tangent_means[s]),
        load(tangent_means[next]),
    );
    let affine = dual_affine_of(t.block);
    for (var k = 0u; k < TILE; k++) {
        if EXACT || k < t.count {
            let at = t.first + k * BLOCKS;
            let normalised = (load(x[at]) - statistics.mean) * statistics.rstd;
            dy[at] = stored(output_tangent(statistics, affine, normalised, load(x_tangent[at])));
        }
    }
}

// Output and tangent. The second half of `moments` are the means of the tangent.
@compute @workgroup_size(WORKGROUP)
fn forward_dual(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let t = tile_of(linear_index(id, groups));
    if t.first >= arrayLength(&dy) {
        return;
    }
    let s = statistic_of(t.example, t.block);
    let d = arrayLength(&moments) / 2u + s;
    let statistics = DualStatistics(
        load(moments[s]),
        load(moments[s + BLOCKS]),
        load(moments[d]),
        load(moments[d + BLOCKS]),
    );
    let affine = dual_affine_of(t.block);
    for (var k = 0u; k < TILE; k++) {
        if EXACT || k < t.count {
            let at = t.first + k * BLOCKS;
            let normalised = (load(x[at]) - statistics.mean) * statistics.rstd;
            var value = affine.scale * normalised + affine.shift;
            if RELU {
                value = rectified(value);
            }
            y[at] = stored(value);
            dy[at] = stored(output_tangent(statistics, affine, normalised, load(x_tangent[at])));
        }
    }
}

// ---- backward -------------------------------------------------------------------------------
//
// With g the gradient of x̂:  dL/dx = r·(g − mean(g) − x̂·mean(g·x̂))

@group(0) @binding(4) var<storage, read> gradient_means: array<Stored>;
@group(0) @binding(5) var<storage, read> addend: array<Stored>;
@group(0) @binding(6) var<storage, read_write> input_gradient: array<Stored>;

// HAS_ADDEND adds the gradient that reaches x along another path.
@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let t = tile_of(linear_index(id, groups));
    if t.first >= arrayLength(&input_gradient) {
        return;
    }
    let s = statistic_of(t.example, t.block);
    let mean = load(moments[s]);
    let rstd = load(moments[s + BLOCKS]);
    let mean_product = load(gradient_means[s]);
    let mean_gradient = load(gradient_means[s + BLOCKS]);
    let scale = scale_of(t.block);
    let shift = shift_of(t.block);
    for (var k = 0u; k < TILE; k++) {
        if EXACT || k < t.count {
            let at = t.first + k * BLOCKS;
            let normalised = (load(x[at]) - mean) * rstd;
            let g = through_relu(load(gradient[at]), normalised, scale, shift) * scale;
            var value = rstd * g;
            if !FIXED {
                value = rstd * (g - mean_gradient - normalised * mean_product);
            }
            if HAS_ADDEND {
                value += load(addend[at]);
            }
            input_gradient[at] = stored(value);
        }
    }
}
