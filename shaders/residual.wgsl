// The parameter-free shortcut of residual networks (He et al., 2016, option A, with average
// pooling): [n, HEIGHT, WIDTH, IN_CHANNELS] shrinks by STRIDE and gains zero channels on both sides.

override HEIGHT: u32;
override WIDTH: u32;
override IN_CHANNELS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_CHANNELS: u32;
override STRIDE: u32;

override IN_BLOCKS: u32 = IN_CHANNELS / LANES;
override OUT_BLOCKS: u32 = OUT_CHANNELS / LANES;
// Zero channels before the input's, in blocks: the host picks Lanes so that blocks do not straddle.
override BEFORE: u32 = (OUT_CHANNELS - IN_CHANNELS) / 2u / LANES;

@group(0) @binding(0) var<storage, read> main_path: array<Stored>;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

// y = main_path + shortcut(x)
@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&y) {
        return;
    }
    let block = i % OUT_BLOCKS;
    var value = load(main_path[i]);
    if block >= BEFORE && block < BEFORE + IN_BLOCKS {
        let position = i / OUT_BLOCKS;
        let example = position / (OUT_HEIGHT * OUT_WIDTH);
        let first_row = position / OUT_WIDTH % OUT_HEIGHT * STRIDE;
        let first_column = position % OUT_WIDTH * STRIDE;
        let end_row = min(first_row + STRIDE, HEIGHT);
        let end_column = min(first_column + STRIDE, WIDTH);
        var sum = Lanes();
        for (var row = first_row; row < end_row; row++) {
            for (var column = first_column; column < end_column; column++) {
                sum += load(x[((example * HEIGHT + row) * WIDTH + column) * IN_BLOCKS + block - BEFORE]);
            }
        }
        value += sum / f32((end_row - first_row) * (end_column - first_column));
    }
    y[i] = stored(value);
}

@group(0) @binding(0) var<storage, read> dy: array<Stored>;
@group(0) @binding(1) var<storage, read_write> dx: array<Stored>;

// dx = the transpose of the shortcut applied to dy
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&dx) {
        return;
    }
    let position = i / IN_BLOCKS;
    let example = position / (HEIGHT * WIDTH);
    let row = position / WIDTH % HEIGHT / STRIDE;
    let column = position % WIDTH / STRIDE;
    let rows = min(STRIDE, HEIGHT - row * STRIDE);
    let columns = min(STRIDE, WIDTH - column * STRIDE);
    let at = (example * OUT_HEIGHT + row) * OUT_WIDTH + column;
    let value = load(dy[at * OUT_BLOCKS + BEFORE + i % IN_BLOCKS]);
    dx[i] = stored(value / f32(rows * columns));
}
