// BatchNorm (Ioffe and Szegedy, 2015) and GroupNorm (Wu and He, 2018) over [n, POSITIONS,
// CHANNELS], with tangents and gradients through the statistics, and an optional ReLU behind.
//
// Reductions run in two steps: partial sums for every chunk of an example's positions and every
// channel, then a sum over what is normalised together: all examples of a channel (BatchNorm) or
// the channels of a group of one example (GroupNorm).

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

struct Moments { mean: f32, rstd: f32 }

// Where the statistics of an element lie.
fn statistic_of(example: u32, channel: u32) -> u32 {
    if !PER_EXAMPLE {
        return channel;
    }
    return example * (CHANNELS / GROUP) + channel / GROUP;
}

fn chunk_positions(chunk: u32) -> u32 {
    return min(CHUNK, POSITIONS - chunk * CHUNK);
}

struct Share { first_row: u32, end_row: u32, first_channel: u32, end_channel: u32 }

// The chunks and channels that share statistic `s`, of `rows` chunks in all.
fn share_of(s: u32, rows: u32) -> Share {
    if !PER_EXAMPLE {
        return Share(0u, rows, s, s + 1u);
    }
    let groups = CHANNELS / GROUP;
    let row = s / groups * CHUNKS;
    let channel = s % groups * GROUP;
    return Share(row, row + CHUNKS, channel, channel + GROUP);
}

// ---- statistics -----------------------------------------------------------------------------

@group(0) @binding(0) var<storage, read> x: array<f32>;

@group(0) @binding(1) var<storage, read_write> chunk_moments: array<f32>;

// For each chunk: [2, CHANNELS] = mean and sum of squared deviations from it.
@compute @workgroup_size(WORKGROUP)
fn moments_of_chunks(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    let row = i / CHANNELS;
    let channel = i % CHANNELS;
    if row * 2u * CHANNELS >= arrayLength(&chunk_moments) {
        return;
    }
    let example = row / CHUNKS;
    let chunk = row % CHUNKS;
    let count = chunk_positions(chunk);
    let first = (example * POSITIONS + chunk * CHUNK) * CHANNELS + channel;
    var sum = 0.0;
    for (var k = 0u; k < count; k++) {
        sum += x[first + k * CHANNELS];
    }
    let mean = sum / f32(count);
    var squares = 0.0;
    for (var k = 0u; k < count; k++) {
        let deviation = x[first + k * CHANNELS] - mean;
        squares += deviation * deviation;
    }
    chunk_moments[row * 2u * CHANNELS + channel] = mean;
    chunk_moments[row * 2u * CHANNELS + CHANNELS + channel] = squares;
}

@group(0) @binding(0) var<storage, read> chunk_parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> statistics: array<Moments>;
// CHANNELS means, then CHANNELS variances.
@group(0) @binding(2) var<storage, read_write> running: array<f32>;

struct MeanAndVariance { mean: f32, variance: f32, count: f32 }

// Mean and biased variance of the chunks and channels that share statistic `s`
// (Chan, Golub and LeVeque, 1979, for many parts at once).
fn combined(s: u32) -> MeanAndVariance {
    let share = share_of(s, arrayLength(&chunk_parts) / (2u * CHANNELS));
    var count = 0.0;
    var sum = 0.0;
    for (var row = share.first_row; row < share.end_row; row++) {
        let rows_count = f32(chunk_positions(row % CHUNKS));
        for (var channel = share.first_channel; channel < share.end_channel; channel++) {
            sum += rows_count * chunk_parts[row * 2u * CHANNELS + channel];
            count += rows_count;
        }
    }
    let mean = sum / count;
    var squares = 0.0;
    for (var row = share.first_row; row < share.end_row; row++) {
        let rows_count = f32(chunk_positions(row % CHUNKS));
        for (var channel = share.first_channel; channel < share.end_channel; channel++) {
            let at = row * 2u * CHANNELS + channel;
            let deviation = chunk_parts[at] - mean;
            squares += chunk_parts[at + CHANNELS] + rows_count * deviation * deviation;
        }
    }
    return MeanAndVariance(mean, squares / count, count);
}

@compute @workgroup_size(WORKGROUP)
fn combine_moments(@builtin(global_invocation_id) id: vec3<u32>) {
    let s = id.x;
    if s < arrayLength(&statistics) {
        let found = combined(s);
        statistics[s] = Moments(found.mean, 1.0 / sqrt(found.variance + EPSILON));
    }
}

// The same for BatchNorm, and the running statistics move towards the new ones. The running
// variance is the unbiased one, as in PyTorch.
@compute @workgroup_size(WORKGROUP)
fn combine_moments_and_run(@builtin(global_invocation_id) id: vec3<u32>) {
    let s = id.x;
    if s < arrayLength(&statistics) {
        let found = combined(s);
        statistics[s] = Moments(found.mean, 1.0 / sqrt(found.variance + EPSILON));
        let unbiased = found.variance * (found.count / max(found.count - 1.0, 1.0));
        running[s] += MOMENTUM * (found.mean - running[s]);
        running[CHANNELS + s] += MOMENTUM * (unbiased - running[CHANNELS + s]);
    }
}

@group(0) @binding(0) var<storage, read> running_read: array<f32>;

// Evaluation: the running statistics take the place of the batch's.
@compute @workgroup_size(WORKGROUP)
fn running_moments(@builtin(global_invocation_id) id: vec3<u32>) {
    let s = id.x;
    if s < arrayLength(&statistics) {
        statistics[s] = Moments(running_read[s], 1.0 / sqrt(running_read[CHANNELS + s] + EPSILON));
    }
}

// ---- forward --------------------------------------------------------------------------------

@group(0) @binding(1) var<storage, read> moments: array<Moments>;
// CHANNELS scales, if there are any, then CHANNELS shifts.
@group(0) @binding(2) var<storage, read> affine: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn scale_of(channel: u32) -> f32 {
    if HAS_SCALE {
        return affine[channel];
    }
    return 1.0;
}

fn shift_of(channel: u32) -> f32 {
    if HAS_SCALE {
        return affine[CHANNELS + channel];
    }
    return affine[channel];
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&y) {
        return;
    }
    let channel = i % CHANNELS;
    let m = moments[statistic_of(i / (POSITIONS * CHANNELS), channel)];
    var value = scale_of(channel) * ((x[i] - m.mean) * m.rstd) + shift_of(channel);
    if RELU {
        value = max(value, 0.0);
    }
    y[i] = value;
}

// Whether the ReLU behind lets an element through; computed as the forward pass does.
fn passes(normalised: f32, channel: u32) -> bool {
    return !RELU || scale_of(channel) * normalised + shift_of(channel) > 0.0;
}

// ---- tangent --------------------------------------------------------------------------------
//
// With x̂ = (x − μ)·r:  dx̂ = r·(dx − mean(dx) − x̂·mean(x̂·dx))

@group(0) @binding(2) var<storage, read> dx: array<f32>;
@group(0) @binding(3) var<storage, read_write> chunk_sums: array<f32>;

// For each chunk: [2, CHANNELS] = Σ x̂·dx and Σ dx.
@compute @workgroup_size(WORKGROUP)
fn tangent_sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    let row = i / CHANNELS;
    let channel = i % CHANNELS;
    if row * 2u * CHANNELS >= arrayLength(&chunk_sums) {
        return;
    }
    let example = row / CHUNKS;
    let chunk = row % CHUNKS;
    let m = moments[statistic_of(example, channel)];
    let first = (example * POSITIONS + chunk * CHUNK) * CHANNELS + channel;
    var product_sum = 0.0;
    var sum = 0.0;
    for (var k = 0u; k < chunk_positions(chunk); k++) {
        let at = first + k * CHANNELS;
        product_sum += (x[at] - m.mean) * m.rstd * dx[at];
        sum += dx[at];
    }
    chunk_sums[row * 2u * CHANNELS + channel] = product_sum;
    chunk_sums[row * 2u * CHANNELS + CHANNELS + channel] = sum;
}

struct Means { product: f32, value: f32 }

@group(0) @binding(1) var<storage, read> affine_of_means: array<f32>;
@group(0) @binding(2) var<storage, read_write> combined_means: array<Means>;

// Means over all elements that share a statistic, from the sums of the chunks.
@compute @workgroup_size(WORKGROUP)
fn combine_sums(@builtin(global_invocation_id) id: vec3<u32>) {
    let s = id.x;
    if s >= arrayLength(&combined_means) {
        return;
    }
    let share = share_of(s, arrayLength(&chunk_parts) / (2u * CHANNELS));
    var product_sum = 0.0;
    var sum = 0.0;
    for (var row = share.first_row; row < share.end_row; row++) {
        for (var channel = share.first_channel; channel < share.end_channel; channel++) {
            let at = row * 2u * CHANNELS + channel;
            var factor = 1.0;
            if SCALED && HAS_SCALE {
                factor = affine_of_means[channel];
            }
            product_sum += factor * chunk_parts[at];
            sum += factor * chunk_parts[at + CHANNELS];
        }
    }
    let examples = (share.end_row - share.first_row) / CHUNKS;
    let count = f32(examples * POSITIONS) * f32(share.end_channel - share.first_channel);
    combined_means[s] = Means(product_sum / count, sum / count);
}

@group(0) @binding(3) var<storage, read> means: array<Means>;
@group(0) @binding(4) var<storage, read> affine_primal: array<f32>;
// Tangents of the scales and shifts.
@group(0) @binding(5) var<storage, read> affine_tangent: array<f32>;
@group(0) @binding(6) var<storage, read_write> dy: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn tangent(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&dy) {
        return;
    }
    let channel = i % CHANNELS;
    let s = statistic_of(i / (POSITIONS * CHANNELS), channel);
    let m = moments[s];
    let mean = means[s];
    let normalised = (x[i] - m.mean) * m.rstd;
    let d_normalised = m.rstd * (dx[i] - mean.value - normalised * mean.product);
    var scale = 1.0;
    var shift = affine_primal[channel];
    var d_scale = 0.0;
    var d_shift = affine_tangent[channel];
    if HAS_SCALE {
        scale = affine_primal[channel];
        shift = affine_primal[CHANNELS + channel];
        d_scale = affine_tangent[channel];
        d_shift = affine_tangent[CHANNELS + channel];
    }
    let value = scale * d_normalised + d_scale * normalised + d_shift;
    let open = !RELU || scale * normalised + shift > 0.0;
    dy[i] = select(0.0, value, open);
}

// ---- backward -------------------------------------------------------------------------------
//
// With g the gradient of x̂:  dL/dx = r·(g − mean(g) − x̂·mean(g·x̂))

@group(0) @binding(3) var<storage, read> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> chunk_gradient_sums: array<f32>;

// For each chunk: [2, CHANNELS] = Σ gradient·x̂ and Σ gradient: the chunk's share of the gradients
// of scale and shift.
@compute @workgroup_size(WORKGROUP)
fn backward_sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    let row = i / CHANNELS;
    let channel = i % CHANNELS;
    if row * 2u * CHANNELS >= arrayLength(&chunk_gradient_sums) {
        return;
    }
    let example = row / CHUNKS;
    let chunk = row % CHUNKS;
    let m = moments[statistic_of(example, channel)];
    let first = (example * POSITIONS + chunk * CHUNK) * CHANNELS + channel;
    var product_sum = 0.0;
    var sum = 0.0;
    for (var k = 0u; k < chunk_positions(chunk); k++) {
        let at = first + k * CHANNELS;
        let normalised = (x[at] - m.mean) * m.rstd;
        let g = select(0.0, gradient[at], passes(normalised, channel));
        product_sum += g * normalised;
        sum += g;
    }
    chunk_gradient_sums[row * 2u * CHANNELS + channel] = product_sum;
    chunk_gradient_sums[row * 2u * CHANNELS + CHANNELS + channel] = sum;
}

@group(0) @binding(4) var<storage, read> gradient_means: array<Means>;
@group(0) @binding(5) var<storage, read> addend: array<f32>;
@group(0) @binding(6) var<storage, read_write> input_gradient: array<f32>;

// HAS_ADDEND adds the gradient that reaches x along another path.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&input_gradient) {
        return;
    }
    let channel = i % CHANNELS;
    let s = statistic_of(i / (POSITIONS * CHANNELS), channel);
    let m = moments[s];
    let mean = gradient_means[s];
    let normalised = (x[i] - m.mean) * m.rstd;
    let g = select(0.0, gradient[i], passes(normalised, channel)) * scale_of(channel);
    var value = m.rstd * (g - mean.value - normalised * mean.product);
    if HAS_ADDEND {
        value += addend[i];
    }
    input_gradient[i] = value;
}
