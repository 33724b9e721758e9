// Second step of the reductions of a normalisation: from the parts of all chunks to statistics, and
// to the means of tangents and gradients. Combiner and total() are in combine_serial.wgsl and
// combine_tree.wgsl.

override EPSILON: f32 = 0.0;
// Whether the sums over statistics weigh channels with their scale.
override SCALED: bool = false;
// Share of the new statistics in the running ones.
override MOMENTUM: f32 = 0.0;

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> statistics: array<f32>;
// CHANNELS means, then CHANNELS variances.
@group(0) @binding(2) var<storage, read_write> running: array<f32>;

// What shares the statistic of channel `i % CHANNELS` of example `i / CHANNELS` (of all, for
// BatchNorm): rows of partial sums and channels.
struct Share { first_row: u32, end_row: u32, first_channel: u32 }

fn share_of(i: u32, rows: u32) -> Share {
    let channel = i % CHANNELS / GROUP * GROUP;
    if !PER_EXAMPLE {
        return Share(0u, rows, channel);
    }
    let row = i / CHANNELS * CHUNKS;
    return Share(row, row + CHUNKS, channel);
}

// The parts of a share are numbered row by row.
fn parts_of(share: Share) -> u32 {
    return (share.end_row - share.first_row) * GROUP;
}

fn row_of(share: Share, part: u32) -> u32 {
    return share.first_row + part / GROUP;
}

fn channel_of(share: Share, part: u32) -> u32 {
    return share.first_channel + part % GROUP;
}

fn part_at(share: Share, part: u32) -> u32 {
    return row_of(share, part) * 2u * CHANNELS + channel_of(share, part);
}

fn positions_of(row: u32) -> f32 {
    return f32(min(CHUNK, POSITIONS - row % CHUNKS * CHUNK));
}

struct MeanAndVariance { mean: f32, variance: f32, count: f32 }

// Mean and biased variance of all that shares a statistic (Chan, Golub and LeVeque, 1979, for many
// parts at once).
fn combined(c: Combiner, local: u32) -> MeanAndVariance {
    let share = share_of(c.statistic, arrayLength(&parts) / (2u * CHANNELS));
    let end = parts_of(share);
    var sum = vec2<f32>();
    for (var part = c.first; part < end; part += PARTS_STEP) {
        let positions = positions_of(row_of(share, part));
        sum += vec2<f32>(positions * parts[part_at(share, part)], positions);
    }
    sum = total(local, sum);
    let count = sum.y;
    let mean = sum.x / count;
    var squares = 0.0;
    for (var part = c.first; part < end; part += PARTS_STEP) {
        let at = part_at(share, part);
        let deviation = parts[at] - mean;
        squares += parts[at + CHANNELS] + positions_of(row_of(share, part)) * deviation * deviation;
    }
    squares = total(local, vec2<f32>(squares, 0.0)).x;
    return MeanAndVariance(mean, squares / count, count);
}

// Mean and reciprocal standard deviation of every channel.
fn store_statistics(i: u32, mean: f32, variance: f32) {
    let at = i / CHANNELS * 2u * CHANNELS + i % CHANNELS;
    statistics[at] = mean;
    statistics[at + CHANNELS] = 1.0 / sqrt(variance + EPSILON);
}

@compute @workgroup_size(WORKGROUP)
fn combine_moments(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let c = combiner(id, groups, workgroup, local);
    if 2u * c.statistic >= arrayLength(&statistics) {
        return;
    }
    let found = combined(c, local);
    if c.stores {
        store_statistics(c.statistic, found.mean, found.variance);
    }
}

// The same for BatchNorm, and the running statistics move towards the new ones. The running
// variance is the unbiased one, as in PyTorch.
@compute @workgroup_size(WORKGROUP)
fn combine_moments_and_run(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let c = combiner(id, groups, workgroup, local);
    let channel = c.statistic;
    if channel >= CHANNELS {
        return;
    }
    let found = combined(c, local);
    if c.stores {
        store_statistics(channel, found.mean, found.variance);
        let unbiased = found.variance * (found.count / max(found.count - 1.0, 1.0));
        running[channel] += MOMENTUM * (found.mean - running[channel]);
        running[CHANNELS + channel] += MOMENTUM * (unbiased - running[CHANNELS + channel]);
    }
}

// Evaluation: the running statistics, in `parts`, take the place of the batch's.
@compute @workgroup_size(WORKGROUP)
fn running_moments(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let c = combiner(id, groups, workgroup, local);
    if c.statistic < CHANNELS && c.stores {
        store_statistics(c.statistic, parts[c.statistic], parts[CHANNELS + c.statistic]);
    }
}

@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> combined_means: array<f32>;

// For every statistic: the means of the two sums over all elements that share it.
@compute @workgroup_size(WORKGROUP)
fn combine_sums(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let c = combiner(id, groups, workgroup, local);
    if 2u * c.statistic >= arrayLength(&combined_means) {
        return;
    }
    let share = share_of(c.statistic, arrayLength(&parts) / (2u * CHANNELS));
    let end = parts_of(share);
    var sums = vec2<f32>();
    for (var part = c.first; part < end; part += PARTS_STEP) {
        let at = part_at(share, part);
        var factor = 1.0;
        if SCALED && HAS_SCALE {
            factor = scales[channel_of(share, part)];
        }
        sums += factor * vec2<f32>(parts[at], parts[at + CHANNELS]);
    }
    sums = total(local, sums);
    let examples = (share.end_row - share.first_row) / CHUNKS;
    let means = sums / (f32(examples * POSITIONS) * f32(GROUP));
    if c.stores {
        let at = c.statistic / CHANNELS * 2u * CHANNELS + c.statistic % CHANNELS;
        combined_means[at] = means.x;
        combined_means[at + CHANNELS] = means.y;
    }
}
