// Second step of the reductions of a normalisation: from the parts of all chunks to statistics, to
// the means of tangents and gradients, and to the gradients of scale and shift. first_part() and
// total() are in shaders/norm/combiner. Of the invocations that share a statistic, the one that
// begins with part 0 stores.

override EPSILON: f32 = 0.0;
// Whether the sums over statistics weigh channels with their scale.
override SCALED: bool = false;
// Share of the new statistics in the running ones.
override MOMENTUM: f32 = 0.0;
override IS_DUAL: bool = QUANTITIES == 4u;

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
    return row_of(share, part) * QUANTITIES * CHANNELS + channel_of(share, part);
}

fn positions_of(row: u32) -> f32 {
    return f32(min(CHUNK, POSITIONS - row % CHUNKS * CHUNK));
}

fn rows() -> u32 {
    return arrayLength(&parts) / (QUANTITIES * CHANNELS);
}

// How many elements share a statistic.
fn count_of(share: Share) -> f32 {
    let examples = (share.end_row - share.first_row) / CHUNKS;
    return f32(examples * POSITIONS) * f32(GROUP);
}

struct Moments { mean: f32, variance: f32, mean_tangent: f32, covariance: f32, count: f32 }

// Mean and biased variance of all that shares a statistic (Chan, Golub and LeVeque, 1979, for many
// parts at once); of dual numbers also the mean of the tangent, and the covariance.
fn combined(statistic: u32, local: u32) -> Moments {
    let share = share_of(statistic, rows());
    let end = parts_of(share);
    let count = count_of(share);
    var sums = vec2<f32>();
    for (var part = first_part(local); part < end; part += PARTS_STEP) {
        let at = part_at(share, part);
        sums.x += positions_of(row_of(share, part)) * parts[at];
        if IS_DUAL { sums.y += positions_of(row_of(share, part)) * parts[at + 2u * CHANNELS]; }
    }
    let means = total(local, sums) / count;
    sums = vec2<f32>();
    for (var part = first_part(local); part < end; part += PARTS_STEP) {
        let at = part_at(share, part);
        let deviation = parts[at] - means.x;
        let weighted = positions_of(row_of(share, part)) * deviation;
        sums.x += parts[at + CHANNELS] + weighted * deviation;
        if IS_DUAL {
            sums.y += parts[at + 3u * CHANNELS] + weighted * (parts[at + 2u * CHANNELS] - means.y);
        }
    }
    let products = total(local, sums) / count;
    return Moments(means.x, products.x, means.y, products.y, count);
}

// For every channel mean and reciprocal standard deviation r; of dual numbers also, as the second
// half of the statistics, the means of x̂·dx and dx: r·cov(x, dx) is the former, as the x̂
// add up to 0.
fn store_statistics(i: u32, found: Moments) {
    let at = i / CHANNELS * 2u * CHANNELS + i % CHANNELS;
    let rstd = 1.0 / sqrt(found.variance + EPSILON);
    statistics[at] = found.mean;
    statistics[at + CHANNELS] = rstd;
    if IS_DUAL {
        let half = arrayLength(&statistics) / 2u;
        statistics[half + at] = rstd * found.covariance;
        statistics[half + at + CHANNELS] = found.mean_tangent;
    }
}

@compute @workgroup_size(WORKGROUP)
fn combine_moments(workgroup: Workgroup, me: Invocation) {
    let statistic = combined_statistic(workgroup, me.local_index);
    if QUANTITIES * statistic >= arrayLength(&statistics) {
        return;
    }
    let found = combined(statistic, me.local_index);
    if first_part(me.local_index) == 0u {
        store_statistics(statistic, found);
    }
}

// The same for BatchNorm, and the running statistics move towards the new ones. The running
// variance is the unbiased one, as in PyTorch.
@compute @workgroup_size(WORKGROUP)
fn combine_moments_and_run(workgroup: Workgroup, me: Invocation) {
    let channel = combined_statistic(workgroup, me.local_index);
    if channel >= CHANNELS {
        return;
    }
    let found = combined(channel, me.local_index);
    if first_part(me.local_index) == 0u {
        store_statistics(channel, found);
        let unbiased = found.variance * (found.count / max(found.count - 1.0, 1.0));
        // What is not finite would stay for ever. The variance is not where the mean is not.
        if (bitcast<u32>(unbiased) & 0x7f800000u) != 0x7f800000u {
            running[channel] += MOMENTUM * (found.mean - running[channel]);
            running[CHANNELS + channel] += MOMENTUM * (unbiased - running[CHANNELS + channel]);
        }
    }
}

// Evaluation: the running statistics, in `parts`, take the place of the batch's.
@compute @workgroup_size(WORKGROUP)
fn running_moments(workgroup: Workgroup, me: Invocation) {
    let channel = combined_statistic(workgroup, me.local_index);
    if channel < CHANNELS && first_part(me.local_index) == 0u {
        store_statistics(
            channel,
            Moments(parts[channel], parts[CHANNELS + channel], 0.0, 0.0, 0.0),
        );
    }
}

@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> combined_means: array<f32>;

fn store_means(i: u32, means: vec2<f32>) {
    let at = i / CHANNELS * 2u * CHANNELS + i % CHANNELS;
    combined_means[at] = means.x;
    combined_means[at + CHANNELS] = means.y;
}

// The two sums over all elements that share a statistic.
fn summed(statistic: u32, local: u32) -> vec2<f32> {
    let share = share_of(statistic, rows());
    let end = parts_of(share);
    var sums = vec2<f32>();
    for (var part = first_part(local); part < end; part += PARTS_STEP) {
        let at = part_at(share, part);
        var factor = 1.0;
        if SCALED && HAS_SCALE {
            factor = scales[channel_of(share, part)];
        }
        sums += factor * vec2<f32>(parts[at], parts[at + CHANNELS]);
    }
    return total(local, sums);
}

// For every statistic: the means of the two sums.
@compute @workgroup_size(WORKGROUP)
fn combine_sums(workgroup: Workgroup, me: Invocation) {
    let statistic = combined_statistic(workgroup, me.local_index);
    if 2u * statistic >= arrayLength(&combined_means) {
        return;
    }
    let sums = summed(statistic, me.local_index);
    if first_part(me.local_index) == 0u {
        store_means(statistic, sums / count_of(share_of(statistic, rows())));
    }
}

// CHANNELS gradients of the scales, if there are any, then CHANNELS of the shifts.
@group(0) @binding(3) var<storage, read_write> affine_gradient: array<f32>;

// The same for BatchNorm's gradients, whose sums, not SCALED, are those of scale and shift.
@compute @workgroup_size(WORKGROUP)
fn combine_gradients(workgroup: Workgroup, me: Invocation) {
    let channel = combined_statistic(workgroup, me.local_index);
    if channel >= CHANNELS {
        return;
    }
    let sums = summed(channel, me.local_index);
    if first_part(me.local_index) != 0u {
        return;
    }
    let means = sums / count_of(share_of(channel, rows()));
    if HAS_SCALE {
        affine_gradient[channel] = sums.x;
        affine_gradient[CHANNELS + channel] = sums.y;
        store_means(channel, scales[channel] * means);
    } else {
        affine_gradient[channel] = sums.y;
        store_means(channel, means);
    }
}
