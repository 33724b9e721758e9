// Pooling over windows of [n, HEIGHT, WIDTH, CHANNELS]. Padding never wins a maximum and does not
// count in a mean.

override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override KERNEL_H: u32;
override KERNEL_W: u32;
override STRIDE: u32;
override PAD_TOP: u32;
override PAD_LEFT: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;

override BLOCKS: u32 = CHANNELS / LANES;

struct Place { example: u32, row: u32, column: u32, block: u32 }

fn place(i: u32, height: u32, width: u32) -> Place {
    let position = i / BLOCKS;
    return Place(
        position / (height * width),
        position / width % height,
        position % width,
        i % BLOCKS,
    );
}

// Along one axis: first .. end.
struct Extent { first: u32, end: u32 }

// Taps of a window that lie in the image.
fn taps(out: u32, pad: u32, kernel: u32, size: u32) -> Extent {
    let start = out * STRIDE;
    return Extent(max(pad, start) - start, min(kernel, size + pad - start));
}

fn input_at(p: Place, tap_row: u32, tap_column: u32) -> u32 {
    let row = p.row * STRIDE + tap_row - PAD_TOP;
    let column = p.column * STRIDE + tap_column - PAD_LEFT;
    return ((p.example * HEIGHT + row) * WIDTH + column) * BLOCKS + p.block;
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;
// Taps of the maxima, packed.
@group(0) @binding(2) var<storage, read_write> winner: array<u32>;

// y = the maximum, winner = its tap in the window, row by row; the first of equals wins, but the
// last NaN, as in PyTorch.
@compute @workgroup_size(WORKGROUP)
fn max_forward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&y) {
        return;
    }
    let p = place(i, OUT_HEIGHT, OUT_WIDTH);
    let rows = taps(p.row, PAD_TOP, KERNEL_H, HEIGHT);
    let columns = taps(p.column, PAD_LEFT, KERNEL_W, WIDTH);
    var best = load(x[input_at(p, rows.first, columns.first)]);
    var best_tap = Taps(rows.first * KERNEL_W + columns.first);
    for (var row = rows.first; row < rows.end; row++) {
        for (var column = columns.first; column < columns.end; column++) {
            let value = load(x[input_at(p, row, column)]);
            // By its bits: compilers may take it for granted that nothing is a NaN.
            let is_nan = (bitcast<Bits>(value) & Bits(0x7fffffff)) > Bits(0x7f800000);
            let wins = (value > best) | is_nan;
            best = select(best, value, wins);
            best_tap = select(best_tap, Taps(row * KERNEL_W + column), wins);
        }
    }
    y[i] = stored(best);
    winner[i] = pack(best_tap);
}

@group(0) @binding(1) var<storage, read> winner_read: array<u32>;
@group(0) @binding(2) var<storage, read_write> dy: array<Stored>;

// The tangent of the maximum is the winner's: winners of neighbouring channels lie apart.
@compute @workgroup_size(WORKGROUP)
fn max_tangent(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&dy) {
        return;
    }
    let p = place(i, OUT_HEIGHT, OUT_WIDTH);
    let rows = taps(p.row, PAD_TOP, KERNEL_H, HEIGHT);
    let columns = taps(p.column, PAD_LEFT, KERNEL_W, WIDTH);
    let won = unpack(winner_read[i]);
    var value = Lanes();
    for (var row = rows.first; row < rows.end; row++) {
        for (var column = columns.first; column < columns.end; column++) {
            let wins = won == Taps(row * KERNEL_W + column);
            value = select(value, load(x[input_at(p, row, column)]), wins);
        }
    }
    dy[i] = stored(value);
}

// Outputs whose window covers an input, along one axis: first .. end.
fn covering(input: u32, pad: u32, kernel: u32, size: u32) -> Extent {
    let reach = input + pad;
    let first = (max(reach + 1u, kernel) - kernel + STRIDE - 1u) / STRIDE;
    return Extent(first, min(reach / STRIDE + 1u, size));
}

// x is the gradient of y here: each input collects it from the windows that it won.
@compute @workgroup_size(WORKGROUP)
fn max_backward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&dy) {
        return;
    }
    let p = place(i, HEIGHT, WIDTH);
    let rows = covering(p.row, PAD_TOP, KERNEL_H, OUT_HEIGHT);
    let columns = covering(p.column, PAD_LEFT, KERNEL_W, OUT_WIDTH);
    var sum = Lanes();
    for (var row = rows.first; row < rows.end; row++) {
        for (var column = columns.first; column < columns.end; column++) {
            let at = ((p.example * OUT_HEIGHT + row) * OUT_WIDTH + column) * BLOCKS + p.block;
            let tap = (p.row + PAD_TOP - row * STRIDE) * KERNEL_W
                + p.column + PAD_LEFT - column * STRIDE;
            sum += select(Lanes(), load(x[at]), unpack(winner_read[at]) == Taps(tap));
        }
    }
    dy[i] = stored(sum);
}

@compute @workgroup_size(WORKGROUP)
fn average_forward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&y) {
        return;
    }
    let p = place(i, OUT_HEIGHT, OUT_WIDTH);
    let rows = taps(p.row, PAD_TOP, KERNEL_H, HEIGHT);
    let columns = taps(p.column, PAD_LEFT, KERNEL_W, WIDTH);
    var sum = Lanes();
    for (var row = rows.first; row < rows.end; row++) {
        for (var column = columns.first; column < columns.end; column++) {
            sum += load(x[input_at(p, row, column)]);
        }
    }
    y[i] = stored(sum / f32((rows.end - rows.first) * (columns.end - columns.first)));
}

// x is the gradient of the means, y that of the inputs.
@compute @workgroup_size(WORKGROUP)
fn average_backward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&y) {
        return;
    }
    let p = place(i, HEIGHT, WIDTH);
    let rows = covering(p.row, PAD_TOP, KERNEL_H, OUT_HEIGHT);
    let columns = covering(p.column, PAD_LEFT, KERNEL_W, OUT_WIDTH);
    var sum = Lanes();
    for (var row = rows.first; row < rows.end; row++) {
        let tap_rows = taps(row, PAD_TOP, KERNEL_H, HEIGHT);
        for (var column = columns.first; column < columns.end; column++) {
            let tap_columns = taps(column, PAD_LEFT, KERNEL_W, WIDTH);
            let count = (tap_rows.end - tap_rows.first) * (tap_columns.end - tap_columns.first);
            let at = ((p.example * OUT_HEIGHT + row) * OUT_WIDTH + column) * BLOCKS + p.block;
            sum += load(x[at]) / f32(count);
        }
    }
    y[i] = stored(sum);
}
