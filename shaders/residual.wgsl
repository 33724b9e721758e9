// The parameter-free shortcut of residual networks (He et al., 2016, option A, with average
// pooling): [n, HEIGHT, WIDTH, IN_CHANNELS] shrinks by STRIDE and gains zero channels on both sides.

override HEIGHT: u32;
override WIDTH: u32;
override IN_CHANNELS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_CHANNELS: u32;
override STRIDE: u32;

@group(0) @binding(0) var<storage, read> main_path: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// y = main_path + shortcut(x)
@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&y) {
        return;
    }
    let before = (OUT_CHANNELS - IN_CHANNELS) / 2u;
    let channel = i % OUT_CHANNELS;
    var value = main_path[i];
    if channel >= before && channel < before + IN_CHANNELS {
        let position = i / OUT_CHANNELS;
        let example = position / (OUT_HEIGHT * OUT_WIDTH);
        let first_row = position / OUT_WIDTH % OUT_HEIGHT * STRIDE;
        let first_column = position % OUT_WIDTH * STRIDE;
        let end_row = min(first_row + STRIDE, HEIGHT);
        let end_column = min(first_column + STRIDE, WIDTH);
        var sum = 0.0;
        for (var row = first_row; row < end_row; row++) {
            for (var column = first_column; column < end_column; column++) {
                sum += x[((example * HEIGHT + row) * WIDTH + column) * IN_CHANNELS + channel - before];
            }
        }
        value += sum / f32((end_row - first_row) * (end_column - first_column));
    }
    y[i] = value;
}

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;

// dx = the transpose of the shortcut applied to dy
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_index(id, groups);
    if i >= arrayLength(&dx) {
        return;
    }
    let before = (OUT_CHANNELS - IN_CHANNELS) / 2u;
    let position = i / IN_CHANNELS;
    let example = position / (HEIGHT * WIDTH);
    let row = position / WIDTH % HEIGHT / STRIDE;
    let column = position % WIDTH / STRIDE;
    let rows = min(STRIDE, HEIGHT - row * STRIDE);
    let columns = min(STRIDE, WIDTH - column * STRIDE);
    let at = (example * OUT_HEIGHT + row) * OUT_WIDTH + column;
    dx[i] = dy[at * OUT_CHANNELS + before + i % IN_CHANNELS] / f32(rows * columns);
}
