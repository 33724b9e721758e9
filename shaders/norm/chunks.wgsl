// First step of the reductions of a normalisation: for every chunk of an example's positions and
// every channel its parts, QUANTITIES numbers. The second step, over what is normalised together,
// is in shaders/norm/combine.wgsl.

// Examples.
override N: u32;

// A block of channels of one chunk: where it lies, and where its parts go. The invocations that
// reduce it together, SLICES of them (shaders/norm/worker), take its positions in turn from `slice`
// on; one of them stores. An invocation beyond the last chunk has no positions, but takes part in
// what a workgroup does.
struct Chunk {
    example: u32,
    block: u32,
    first: u32,
    slice: u32,
    count: u32,
    parts: u32,
    stores: bool,
}

fn chunk_of(workgroup: Workgroup, local: u32) -> Chunk {
    let w = worker(workgroup, local);
    let exists = w.block < BLOCKS && w.row < N * CHUNKS;
    let row = select(0u, w.row, exists);
    let block = select(0u, w.block, exists);
    let chunk = row % CHUNKS;
    let count = select(0u, min(CHUNK, POSITIONS - chunk * CHUNK), exists);
    let first = (row / CHUNKS * POSITIONS + chunk * CHUNK) * BLOCKS + block;
    let parts = row * QUANTITIES * BLOCKS + block;
    return Chunk(row / CHUNKS, block, first, w.slice, count, parts, exists && w.slice == 0u);
}

@group(0) @binding(1) var<storage, read_write> chunk_moments: array<Stored>;

// For each chunk: [2, CHANNELS] = mean and sum of squared deviations from it, by Welford's
// recurrence (1962), which sees every element once.
@compute @workgroup_size(WORKGROUP)
fn moments_of_chunks(workgroup: Workgroup, me: Invocation) {
    let c = chunk_of(workgroup, me.local_index);
    var seen = 0.0;
    var mean = Lanes();
    var squares = Lanes();
    for (var k = c.slice; k < c.count; k += SLICES) {
        seen += 1.0;
        let value = load(x[c.first + k * BLOCKS]);
        let deviation = value - mean;
        mean += (1.0 / seen) * deviation;
        squares += deviation * (value - mean);
    }
    let whole = chunk_total(me.local_index, seen * mean) / f32(c.count);
    let off = mean - whole;
    squares = chunk_total(me.local_index, squares + seen * off * off);
    if c.stores {
        chunk_moments[c.parts] = stored(whole);
        chunk_moments[c.parts + BLOCKS] = stored(squares);
    }
}

// The same in dual numbers, [4, CHANNELS]: then the mean of the tangent, and the sum of the
// products of the deviations from both means.
@compute @workgroup_size(WORKGROUP)
fn dual_moments_of_chunks(workgroup: Workgroup, me: Invocation) {
    let c = chunk_of(workgroup, me.local_index);
    var seen = 0.0;
    var mean = Lanes();
    var squares = Lanes();
    var tangent_mean = Lanes();
    var products = Lanes();
    for (var k = c.slice; k < c.count; k += SLICES) {
        seen += 1.0;
        let share = 1.0 / seen;
        let at = c.first + k * BLOCKS;
        let value = load(x[at]);
        let deviation = value - mean;
        mean += share * deviation;
        squares += deviation * (value - mean);
        let tangent_deviation = load(x_tangent[at]) - tangent_mean;
        tangent_mean += share * tangent_deviation;
        products += (value - mean) * tangent_deviation;
    }
    let whole = chunk_total(me.local_index, seen * mean) / f32(c.count);
    let tangent_whole = chunk_total(me.local_index, seen * tangent_mean) / f32(c.count);
    let off = mean - whole;
    squares = chunk_total(me.local_index, squares + seen * off * off);
    products = chunk_total(me.local_index, products + seen * off * (tangent_mean - tangent_whole));
    if c.stores {
        chunk_moments[c.parts] = stored(whole);
        chunk_moments[c.parts + BLOCKS] = stored(squares);
        chunk_moments[c.parts + 2u * BLOCKS] = stored(tangent_whole);
        chunk_moments[c.parts + 3u * BLOCKS] = stored(products);
    }
}

@group(0) @binding(3) var<storage, read_write> chunk_sums: array<Stored>;

// For each chunk: [2, CHANNELS] = Σ x̂·dx and Σ dx.
@compute @workgroup_size(WORKGROUP)
fn tangent_sums(workgroup: Workgroup, me: Invocation) {
    let c = chunk_of(workgroup, me.local_index);
    let s = statistic_of(c.example, c.block);
    let mean = load(moments[s]);
    let rstd = load(moments[s + BLOCKS]);
    var products = Lanes();
    var sum = Lanes();
    for (var k = c.slice; k < c.count; k += SLICES) {
        let at = c.first + k * BLOCKS;
        let value = load(x_tangent[at]);
        products += (load(x[at]) - mean) * rstd * value;
        sum += value;
    }
    products = chunk_total(me.local_index, products);
    sum = chunk_total(me.local_index, sum);
    if c.stores {
        chunk_sums[c.parts] = stored(products);
        chunk_sums[c.parts + BLOCKS] = stored(sum);
    }
}

@group(0) @binding(4) var<storage, read_write> chunk_gradient_sums: array<Stored>;

// For each chunk: [2, CHANNELS] = Σ gradient·x̂ and Σ gradient: the chunk's share of the gradients
// of scale and shift.
@compute @workgroup_size(WORKGROUP)
fn backward_sums(workgroup: Workgroup, me: Invocation) {
    let c = chunk_of(workgroup, me.local_index);
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
    products = chunk_total(me.local_index, products);
    sum = chunk_total(me.local_index, sum);
    if c.stores {
        chunk_gradient_sums[c.parts] = stored(products);
        chunk_gradient_sums[c.parts + BLOCKS] = stored(sum);
    }
}
