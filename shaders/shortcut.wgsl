// The parameter-free shortcut of residual networks (He et al., 2016, option A, with average
// pooling): [n, HEIGHT, WIDTH, IN_CHANNELS] shrinks by STRIDE and gains channels of zero on
// both sides.

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

// What a block of the output averages of the input; `end_row` is 0 where the channels are zero.
struct Source {
    first_row: u32,
    end_row: u32,
    first_column: u32,
    end_column: u32,
    example: u32,
    block: u32,
}

fn source_of(i: u32) -> Source {
    let block = i % OUT_BLOCKS;
    if block < BEFORE || block >= BEFORE + IN_BLOCKS {
        return Source();
    }
    let position = i / OUT_BLOCKS;
    let example = position / (OUT_HEIGHT * OUT_WIDTH);
    let row = position / OUT_WIDTH % OUT_HEIGHT * STRIDE;
    let column = position % OUT_WIDTH * STRIDE;
    let end_row = min(row + STRIDE, HEIGHT);
    let end_column = min(column + STRIDE, WIDTH);
    return Source(row, end_row, column, end_column, example, block - BEFORE);
}

fn input_at(s: Source, row: u32, column: u32) -> u32 {
    return ((s.example * HEIGHT + row) * WIDTH + column) * IN_BLOCKS + s.block;
}

fn averaged(s: Source, sum: Lanes) -> Lanes {
    return sum / f32((s.end_row - s.first_row) * (s.end_column - s.first_column));
}

// y = main_path + shortcut(x)
@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&y) {
        return;
    }
    let s = source_of(i);
    var value = load(main_path[i]);
    if s.end_row > 0u {
        var sum = Lanes();
        for (var row = s.first_row; row < s.end_row; row++) {
            for (var column = s.first_column; column < s.end_column; column++) {
                sum += load(x[input_at(s, row, column)]);
            }
        }
        value += averaged(s, sum);
    }
    y[i] = stored(value);
}

@group(0) @binding(3) var<storage, read> main_tangent: array<Stored>;
@group(0) @binding(4) var<storage, read> x_tangent: array<Stored>;
@group(0) @binding(5) var<storage, read_write> y_tangent: array<Stored>;

// The same for values and tangents.
@compute @workgroup_size(WORKGROUP)
fn dual(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&y) {
        return;
    }
    let s = source_of(i);
    var value = load(main_path[i]);
    var tangent = load(main_tangent[i]);
    if s.end_row > 0u {
        var sum = Lanes();
        var tangent_sum = Lanes();
        for (var row = s.first_row; row < s.end_row; row++) {
            for (var column = s.first_column; column < s.end_column; column++) {
                let at = input_at(s, row, column);
                sum += load(x[at]);
                tangent_sum += load(x_tangent[at]);
            }
        }
        value += averaged(s, sum);
        tangent += averaged(s, tangent_sum);
    }
    y[i] = stored(value);
    y_tangent[i] = stored(tangent);
}

@group(0) @binding(0) var<storage, read> dy: array<Stored>;
@group(0) @binding(1) var<storage, read_write> x_gradient: array<Stored>;

// x_gradient = the transpose of the shortcut applied to dy
@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&x_gradient) {
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
    x_gradient[i] = stored(value / f32(rows * columns));
}
