// BatchNorm (Ioffe and Szegedy, 2015) and GroupNorm (Wu and He, 2018) over [n, POSITIONS,
// CHANNELS], with tangents and gradients through the statistics, and an optional ReLU behind.
//
// Reductions run in two steps: parts, QUANTITIES numbers for every chunk of an example's positions and every
// channel, then a sum (norm_combine.wgsl) over what is normalised together: all examples of a channel (BatchNorm) or
// the channels of a group of one example (GroupNorm). Statistics are stored for every channel,
// [1 or n, 2, CHANNELS], groups or not, so that the large passes treat both alike.

override RELU: bool = false;
override HAS_ADDEND: bool = false;

// From the header: TILE, the positions that one invocation of a large pass takes.

override BLOCKS: u32 = CHANNELS / LANES;
// Examples.
override N: u32;

struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
}

// A block of channels of one chunk: where it lies, and where its parts go. The invocations that reduce it together,
// SLICES of them (chunk_serial.wgsl and chunk_tree.wgsl), take its positions in turn from `slice` on; one of them stores. An
// invocation beyond the last chunk has no positions, but takes part in what a workgroup does.
struct Chunk { example: u32, block: u32, first: u32, slice: u32, count: u32, parts: u32, stores: bool }

fn chunk_of(invocation: Invocation) -> Chunk {
    let w = worker(invocation);
    let exists = w.block < BLOCKS && w.row < N * CHUNKS;
    let row = select(0u, w.row, exists);
    let block = select(0u, w.block, exists);
    let chunk = row % CHUNKS;
    let count = select(0u, min(CHUNK, POSITIONS - chunk * CHUNK), exists);
    let first = (row / CHUNKS * POSITIONS + chunk * CHUNK) * BLOCKS + block;
    let parts = row * QUANTITIES * BLOCKS + block;
    return Chunk(row / CHUNKS, block, first, w.slice, count, parts, exists && w.slice == 0u);
}

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

// Where the first of the two statistics of a block lies; the second is BLOCKS further.
fn statistic_of(example: u32, block: u32) -> u32 {
    return select(0u, example * 2u * BLOCKS, PER_EXAMPLE) + block;
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;

// ---- statistics -----------------------------------------------------------------------------

@group(0) @binding(1) var<storage, read_write> chunk_moments: array<Stored>;

// For each chunk: [2, CHANNELS] = mean and sum of squared deviations from it.
@compute @workgroup_size(WORKGROUP)
fn moments_of_chunks(invocation: Invocation) {
    let c = chunk_of(invocation);
    var sum = Lanes();
    for (var k = c.slice; k < c.count; k += SLICES) {
        sum += load(x[c.first + k * BLOCKS]);
    }
    let mean = chunk_total(invocation, sum) / f32(c.count);
    var squares = Lanes();
    for (var k = c.slice; k < c.count; k += SLICES) {
        let deviation = load(x[c.first + k * BLOCKS]) - mean;
        squares += deviation * deviation;
    }
    squares = chunk_total(invocation, squares);
    if c.stores {
        chunk_moments[c.parts] = stored(mean);
        chunk_moments[c.parts + BLOCKS] = stored(squares);
    }
}

@group(0) @binding(2) var<storage, read> dx: array<Stored>;

// The same in dual numbers, [4, CHANNELS]: then the mean of the tangent, and the sum of the products of the deviations
// from both means.
@compute @workgroup_size(WORKGROUP)
fn dual_moments_of_chunks(invocation: Invocation) {
    let c = chunk_of(invocation);
    var sum = Lanes();
    var tangent_sum = Lanes();
    for (var k = c.slice; k < c.count; k += SLICES) {
        let at = c.first + k * BLOCKS;
        sum += load(x[at]);
        tangent_sum += load(dx[at]);
    }
    let mean = chunk_total(invocation, sum) / f32(c.count);
    let tangent_mean = chunk_total(invocation, tangent_sum) / f32(c.count);
    var squares = Lanes();
    var products = Lanes();
    for (var k = c.slice; k < c.count; k += SLICES) {
        let at = c.first + k * BLOCKS;
        let deviation = load(x[at]) - mean;
        squares += deviation * deviation;
        products += deviation * (load(dx[at]) - tangent_mean);
    }
    squares = chunk_total(invocation, squares);
    products = chunk_total(invocation, products);
    if c.stores {
        chunk_moments[c.parts] = stored(mean);
        chunk_moments[c.parts + BLOCKS] = stored(squares);
        chunk_moments[c.parts + 2u * BLOCKS] = stored(tangent_mean);
        chunk_moments[c.parts + 3u * BLOCKS] = stored(products);
    }
}

// ---- forward --------------------------------------------------------------------------------

// Means, then reciprocal standard deviations.
@group(0) @binding(1) var<storage, read> moments: array<Stored>;
// CHANNELS scales, if there are any, then CHANNELS shifts.
@group(0) @binding(2) var<storage, read> affine: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

fn scale_of(block: u32) -> Lanes {
    if HAS_SCALE {
        return load(affine[block]);
    }
    return Lanes(1.0);
}

fn shift_of(block: u32) -> Lanes {
    if HAS_SCALE {
        return load(affine[BLOCKS + block]);
    }
    return load(affine[block]);
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
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
        if k < t.count {
            let at = t.first + k * BLOCKS;
            var value = scale * ((load(x[at]) - mean) * rstd) + shift;
            if RELU {
                value = max(value, Lanes());
            }
            y[at] = stored(value);
        }
    }
}

// `value` where the ReLU behind lets an element through; decided as the forward pass does.
fn through_relu(value: Lanes, normalised: Lanes, scale: Lanes, shift: Lanes) -> Lanes {
    if RELU {
        return select(Lanes(), value, scale * normalised + shift > Lanes());
    }
    return value;
}

// ---- tangent --------------------------------------------------------------------------------
//
// With x̂ = (x − μ)·r:  dx̂ = r·(dx − mean(dx) − x̂·mean(x̂·dx))

@group(0) @binding(3) var<storage, read_write> chunk_sums: array<Stored>;

// For each chunk: [2, CHANNELS] = Σ x̂·dx and Σ dx.
@compute @workgroup_size(WORKGROUP)
fn tangent_sums(invocation: Invocation) {
    let c = chunk_of(invocation);
    let s = statistic_of(c.example, c.block);
    let mean = load(moments[s]);
    let rstd = load(moments[s + BLOCKS]);
    var products = Lanes();
    var sum = Lanes();
    for (var k = c.slice; k < c.count; k += SLICES) {
        let at = c.first + k * BLOCKS;
        let value = load(dx[at]);
        products += (load(x[at]) - mean) * rstd * value;
        sum += value;
    }
    products = chunk_total(invocation, products);
    sum = chunk_total(invocation, sum);
    if c.stores {
        chunk_sums[c.parts] = stored(products);
        chunk_sums[c.parts + BLOCKS] = stored(sum);
    }
}

@group(0) @binding(3) var<storage, read> tangent_means: array<Stored>;
@group(0) @binding(4) var<storage, read> primal_affine: array<Stored>;
// Tangents of the scales and shifts.
@group(0) @binding(5) var<storage, read> tangent_affine: array<Stored>;
@group(0) @binding(6) var<storage, read_write> dy: array<Stored>;

struct DualAffine { scale: Lanes, shift: Lanes, d_scale: Lanes, d_shift: Lanes }

fn dual_affine_of(block: u32) -> DualAffine {
    if HAS_SCALE {
        let next = BLOCKS + block;
        return DualAffine(
            load(primal_affine[block]),
            load(primal_affine[next]),
            load(tangent_affine[block]),
            load(tangent_affine[next]),
        );
    }
    return DualAffine(Lanes(1.0), load(primal_affine[block]), Lanes(), load(tangent_affine[block]));
}

// What the elements of a channel share.
struct DualStatistics { mean: Lanes, rstd: Lanes, mean_product: Lanes, mean_tangent: Lanes }

// The tangent of an output, from `normalised` and the tangent of the input.
fn output_tangent(statistics: DualStatistics, affine: DualAffine, normalised: Lanes, d_input: Lanes) -> Lanes {
    let d_normalised = statistics.rstd * (d_input - statistics.mean_tangent - normalised * statistics.mean_product);
    let value = affine.scale * d_normalised + affine.d_scale * normalised + affine.d_shift;
    return through_relu(value, normalised, affine.scale, affine.shift);
}

@compute @workgroup_size(WORKGROUP)
fn forward_tangent(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
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
        if k < t.count {
            let at = t.first + k * BLOCKS;
            let normalised = (load(x[at]) - statistics.mean) * statistics.rstd;
            dy[at] = stored(output_tangent(statistics, affine, normalised, load(dx[at])));
        }
    }
}

// Output and tangent. The second half of `moments` are the means of the tangent.
@compute @workgroup_size(WORKGROUP)
fn forward_dual(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
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
        if k < t.count {
            let at = t.first + k * BLOCKS;
            let normalised = (load(x[at]) - statistics.mean) * statistics.rstd;
            var value = affine.scale * normalised + affine.shift;
            if RELU {
                value = max(value, Lanes());
            }
            y[at] = stored(value);
            dy[at] = stored(output_tangent(statistics, affine, normalised, load(dx[at])));
        }
    }
}

// ---- backward -------------------------------------------------------------------------------
//
// With g the gradient of x̂:  dL/dx = r·(g − mean(g) − x̂·mean(g·x̂))

@group(0) @binding(3) var<storage, read> gradient: array<Stored>;
@group(0) @binding(4) var<storage, read_write> chunk_gradient_sums: array<Stored>;

// For each chunk: [2, CHANNELS] = Σ gradient·x̂ and Σ gradient: the chunk's share of the gradients
// of scale and shift.
@compute @workgroup_size(WORKGROUP)
fn backward_sums(invocation: Invocation) {
    let c = chunk_of(invocation);
    let s = statistic_of(c.example, c.block);
    let mean = load(moments[s]);
    let rstd = load(moments[s + BLOCKS]);
    let scale = scale_of(c.block);
    let shift = shift_of(c.block);
    var products = Lanes();
    var sum = Lanes();
    for (var k = c.slice; k < c.count; k += SLICES) {
        let at = c.first + k * BLOCKS;
        let normalised = (load(x[at]) - mean) * rstd;
        let g = through_relu(load(gradient[at]), normalised, scale, shift);
        products += g * normalised;
        sum += g;
    }
    products = chunk_total(invocation, products);
    sum = chunk_total(invocation, sum);
    if c.stores {
        chunk_gradient_sums[c.parts] = stored(products);
        chunk_gradient_sums[c.parts + BLOCKS] = stored(sum);
    }
}

@group(0) @binding(4) var<storage, read> gradient_means: array<Stored>;
@group(0) @binding(5) var<storage, read> addend: array<Stored>;
@group(0) @binding(6) var<storage, read_write> input_gradient: array<Stored>;

// HAS_ADDEND adds the gradient that reaches x along another path.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
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
        if k < t.count {
            let at = t.first + k * BLOCKS;
            let normalised = (load(x[at]) - mean) * rstd;
            let g = through_relu(load(gradient[at]), normalised, scale, shift) * scale;
            var value = rstd * (g - mean_gradient - normalised * mean_product);
            if HAS_ADDEND {
                value += load(addend[at]);
            }
            input_gradient[at] = stored(value);
        }
    }
}
