// BatchNorm (Ioffe and Szegedy, 2015) and GroupNorm (Wu and He, 2018) over [n, POSITIONS,
// CHANNELS], with tangents and gradients through the statistics, and an optional ReLU behind.
//
// Reductions run in two steps: partial sums for every chunk of an example's positions and every
// channel, then a sum over what is normalised together: all examples of a channel (BatchNorm) or
// the channels of a group of one example (GroupNorm). Statistics are stored for every channel,
// [1 or n, 2, CHANNELS], groups or not, so that the large passes treat both alike.

override POSITIONS: u32;
override CHANNELS: u32;
// Positions of a chunk, and chunks of an example.
override CHUNK: u32;
override CHUNKS: u32;
// Whether each example has statistics of its own (GroupNorm), one for every GROUP channels.
override PER_EXAMPLE: bool;
override GROUP: u32 = 1u;
override EPSILON: f32 = 0.0;
override HAS_SCALE: bool = true;
override RELU: bool = false;
override HAS_ADDEND: bool = false;
// Whether the sums over statistics weigh channels with their scale.
override SCALED: bool = false;
// Share of the new statistics in the running ones.
override MOMENTUM: f32 = 0.0;

// From the header: TILE, the positions that one invocation of a large pass takes.

override BLOCKS: u32 = CHANNELS / LANES;

// A block of channels of one chunk: where it lies, and where its partial sums go.
struct Chunk { example: u32, block: u32, first: u32, count: u32, sums: u32 }

fn chunk_of(i: u32) -> Chunk {
    let row = i / BLOCKS;
    let block = i % BLOCKS;
    let chunk = row % CHUNKS;
    let count = min(CHUNK, POSITIONS - chunk * CHUNK);
    let first = (row / CHUNKS * POSITIONS + chunk * CHUNK) * BLOCKS + block;
    return Chunk(row / CHUNKS, block, first, count, row * 2u * BLOCKS + block);
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

@group(0) @binding(0) var<storage, read> x: array<Lanes>;

// ---- statistics -----------------------------------------------------------------------------

@group(0) @binding(1) var<storage, read_write> chunk_moments: array<Lanes>;

// For each chunk: [2, CHANNELS] = mean and sum of squared deviations from it.
@compute @workgroup_size(WORKGROUP)
fn moments_of_chunks(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c = chunk_of(linear_index(id, groups));
    if c.sums >= arrayLength(&chunk_moments) {
        return;
    }
    var sum = Lanes();
    for (var k = 0u; k < c.count; k++) {
        sum += x[c.first + k * BLOCKS];
    }
    let mean = sum / f32(c.count);
    var squares = Lanes();
    for (var k = 0u; k < c.count; k++) {
        let deviation = x[c.first + k * BLOCKS] - mean;
        squares += deviation * deviation;
    }
    chunk_moments[c.sums] = mean;
    chunk_moments[c.sums + BLOCKS] = squares;
}

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> statistics: array<f32>;
// CHANNELS means, then CHANNELS variances.
@group(0) @binding(2) var<storage, read_write> running: array<f32>;

// What shares the statistic of channel `i % CHANNELS` of example `i / CHANNELS` (of all, for
// BatchNorm): rows of partial sums and channels.
struct Share { first_row: u32, end_row: u32, first_channel: u32, end_channel: u32 }

fn share_of(i: u32, rows: u32) -> Share {
    let channel = i % CHANNELS / GROUP * GROUP;
    if !PER_EXAMPLE {
        return Share(0u, rows, channel, channel + GROUP);
    }
    let row = i / CHANNELS * CHUNKS;
    return Share(row, row + CHUNKS, channel, channel + GROUP);
}

fn positions_of(row: u32) -> f32 {
    return f32(min(CHUNK, POSITIONS - row % CHUNKS * CHUNK));
}

struct MeanAndVariance { mean: f32, variance: f32, count: f32 }

// Mean and biased variance of all that shares a statistic (Chan, Golub and LeVeque, 1979, for many
// parts at once).
fn combined(i: u32) -> MeanAndVariance {
    let share = share_of(i, arrayLength(&parts) / (2u * CHANNELS));
    var count = 0.0;
    var sum = 0.0;
    for (var row = share.first_row; row < share.end_row; row++) {
        let positions = positions_of(row);
        for (var channel = share.first_channel; channel < share.end_channel; channel++) {
            sum += positions * parts[row * 2u * CHANNELS + channel];
            count += positions;
        }
    }
    let mean = sum / count;
    var squares = 0.0;
    for (var row = share.first_row; row < share.end_row; row++) {
        let positions = positions_of(row);
        for (var channel = share.first_channel; channel < share.end_channel; channel++) {
            let at = row * 2u * CHANNELS + channel;
            let deviation = parts[at] - mean;
            squares += parts[at + CHANNELS] + positions * deviation * deviation;
        }
    }
    return MeanAndVariance(mean, squares / count, count);
}

// Mean and reciprocal standard deviation of every channel.
fn store_statistics(i: u32, mean: f32, variance: f32) {
    let at = i / CHANNELS * 2u * CHANNELS + i % CHANNELS;
    statistics[at] = mean;
    statistics[at + CHANNELS] = 1.0 / sqrt(variance + EPSILON);
}

@compute @workgroup_size(WORKGROUP)
fn combine_moments(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if 2u * i < arrayLength(&statistics) {
        let found = combined(i);
        store_statistics(i, found.mean, found.variance);
    }
}

// The same for BatchNorm, and the running statistics move towards the new ones. The running
// variance is the unbiased one, as in PyTorch.
@compute @workgroup_size(WORKGROUP)
fn combine_moments_and_run(@builtin(global_invocation_id) id: vec3<u32>) {
    let channel = id.x;
    if channel < CHANNELS {
        let found = combined(channel);
        store_statistics(channel, found.mean, found.variance);
        let unbiased = found.variance * (found.count / max(found.count - 1.0, 1.0));
        running[channel] += MOMENTUM * (found.mean - running[channel]);
        running[CHANNELS + channel] += MOMENTUM * (unbiased - running[CHANNELS + channel]);
    }
}

// Evaluation: the running statistics, in `parts`, take the place of the batch's.
@compute @workgroup_size(WORKGROUP)
fn running_moments(@builtin(global_invocation_id) id: vec3<u32>) {
    let channel = id.x;
    if channel < CHANNELS {
        store_statistics(channel, parts[channel], parts[CHANNELS + channel]);
    }
}

// ---- forward --------------------------------------------------------------------------------

// Means, then reciprocal standard deviations.
@group(0) @binding(1) var<storage, read> moments: array<Lanes>;
// CHANNELS scales, if there are any, then CHANNELS shifts.
@group(0) @binding(2) var<storage, read> affine: array<Lanes>;
@group(0) @binding(3) var<storage, read_write> y: array<Lanes>;

fn scale_of(block: u32) -> Lanes {
    if HAS_SCALE {
        return affine[block];
    }
    return Lanes(1.0);
}

fn shift_of(block: u32) -> Lanes {
    if HAS_SCALE {
        return affine[BLOCKS + block];
    }
    return affine[block];
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let t = tile_of(linear_index(id, groups));
    if t.first >= arrayLength(&y) {
        return;
    }
    let s = statistic_of(t.example, t.block);
    let mean = moments[s];
    let rstd = moments[s + BLOCKS];
    let scale = scale_of(t.block);
    let shift = shift_of(t.block);
    for (var k = 0u; k < TILE; k++) {
        if k < t.count {
            let at = t.first + k * BLOCKS;
            var value = scale * ((x[at] - mean) * rstd) + shift;
            if RELU {
                value = max(value, Lanes());
            }
            y[at] = value;
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

@group(0) @binding(2) var<storage, read> dx: array<Lanes>;
@group(0) @binding(3) var<storage, read_write> chunk_sums: array<Lanes>;

// For each chunk: [2, CHANNELS] = Σ x̂·dx and Σ dx.
@compute @workgroup_size(WORKGROUP)
fn tangent_sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c = chunk_of(linear_index(id, groups));
    if c.sums >= arrayLength(&chunk_sums) {
        return;
    }
    let s = statistic_of(c.example, c.block);
    let mean = moments[s];
    let rstd = moments[s + BLOCKS];
    var products = Lanes();
    var sum = Lanes();
    for (var k = 0u; k < c.count; k++) {
        let at = c.first + k * BLOCKS;
        let value = dx[at];
        products += (x[at] - mean) * rstd * value;
        sum += value;
    }
    chunk_sums[c.sums] = products;
    chunk_sums[c.sums + BLOCKS] = sum;
}

@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> combined_means: array<f32>;

// For every statistic: the means of the two sums over all elements that share it.
@compute @workgroup_size(WORKGROUP)
fn combine_sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if 2u * i >= arrayLength(&combined_means) {
        return;
    }
    let share = share_of(i, arrayLength(&parts) / (2u * CHANNELS));
    var products = 0.0;
    var sum = 0.0;
    for (var row = share.first_row; row < share.end_row; row++) {
        for (var channel = share.first_channel; channel < share.end_channel; channel++) {
            let at = row * 2u * CHANNELS + channel;
            var factor = 1.0;
            if SCALED && HAS_SCALE {
                factor = scales[channel];
            }
            products += factor * parts[at];
            sum += factor * parts[at + CHANNELS];
        }
    }
    let examples = (share.end_row - share.first_row) / CHUNKS;
    let count = f32(examples * POSITIONS) * f32(GROUP);
    let at = i / CHANNELS * 2u * CHANNELS + i % CHANNELS;
    combined_means[at] = products / count;
    combined_means[at + CHANNELS] = sum / count;
}

@group(0) @binding(3) var<storage, read> tangent_means: array<Lanes>;
@group(0) @binding(4) var<storage, read> primal_affine: array<Lanes>;
// Tangents of the scales and shifts.
@group(0) @binding(5) var<storage, read> tangent_affine: array<Lanes>;
@group(0) @binding(6) var<storage, read_write> dy: array<Lanes>;

@compute @workgroup_size(WORKGROUP)
fn tangent(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let t = tile_of(linear_index(id, groups));
    if t.first >= arrayLength(&dy) {
        return;
    }
    let s = statistic_of(t.example, t.block);
    let mean = moments[s];
    let rstd = moments[s + BLOCKS];
    let mean_product = tangent_means[s];
    let mean_tangent = tangent_means[s + BLOCKS];
    var scale = Lanes(1.0);
    var shift = primal_affine[t.block];
    var d_scale = Lanes();
    var d_shift = tangent_affine[t.block];
    if HAS_SCALE {
        scale = shift;
        shift = primal_affine[BLOCKS + t.block];
        d_scale = d_shift;
        d_shift = tangent_affine[BLOCKS + t.block];
    }
    for (var k = 0u; k < TILE; k++) {
        if k < t.count {
            let at = t.first + k * BLOCKS;
            let normalised = (x[at] - mean) * rstd;
            let d_normalised = rstd * (dx[at] - mean_tangent - normalised * mean_product);
            let value = scale * d_normalised + d_scale * normalised + d_shift;
            dy[at] = through_relu(value, normalised, scale, shift);
        }
    }
}

// ---- backward -------------------------------------------------------------------------------
//
// With g the gradient of x̂:  dL/dx = r·(g − mean(g) − x̂·mean(g·x̂))

@group(0) @binding(3) var<storage, read> gradient: array<Lanes>;
@group(0) @binding(4) var<storage, read_write> chunk_gradient_sums: array<Lanes>;

// For each chunk: [2, CHANNELS] = Σ gradient·x̂ and Σ gradient: the chunk's share of the gradients
// of scale and shift.
@compute @workgroup_size(WORKGROUP)
fn backward_sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c = chunk_of(linear_index(id, groups));
    if c.sums >= arrayLength(&chunk_gradient_sums) {
        return;
    }
    let s = statistic_of(c.example, c.block);
    let mean = moments[s];
    let rstd = moments[s + BLOCKS];
    let scale = scale_of(c.block);
    let shift = shift_of(c.block);
    var products = Lanes();
    var sum = Lanes();
    for (var k = 0u; k < c.count; k++) {
        let at = c.first + k * BLOCKS;
        let normalised = (x[at] - mean) * rstd;
        let g = through_relu(gradient[at], normalised, scale, shift);
        products += g * normalised;
        sum += g;
    }
    chunk_gradient_sums[c.sums] = products;
    chunk_gradient_sums[c.sums + BLOCKS] = sum;
}

@group(0) @binding(4) var<storage, read> gradient_means: array<Lanes>;
@group(0) @binding(5) var<storage, read> addend: array<Lanes>;
@group(0) @binding(6) var<storage, read_write> input_gradient: array<Lanes>;

// HAS_ADDEND adds the gradient that reaches x along another path.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let t = tile_of(linear_index(id, groups));
    if t.first >= arrayLength(&input_gradient) {
        return;
    }
    let s = statistic_of(t.example, t.block);
    let mean = moments[s];
    let rstd = moments[s + BLOCKS];
    let mean_product = gradient_means[s];
    let mean_gradient = gradient_means[s + BLOCKS];
    let scale = scale_of(t.block);
    let shift = shift_of(t.block);
    for (var k = 0u; k < TILE; k++) {
        if k < t.count {
            let at = t.first + k * BLOCKS;
            let normalised = (x[at] - mean) * rstd;
            let g = through_relu(gradient[at], normalised, scale, shift) * scale;
            var value = rstd * (g - mean_gradient - normalised * mean_product);
            if HAS_ADDEND {
                value += addend[at];
            }
            input_gradient[at] = value;
        }
    }
}
