// Matrices with zeros behind their rows and columns, or without what lies there.

override ROWS: i32;
override COLUMNS: i32;
override NEW_ROWS: i32;
override NEW_COLUMNS: i32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// A workgroup has a part of one row, so that nothing is divided.
@compute @workgroup_size(WORKGROUP)
fn resize(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = i32(id.y + id.z * groups.y);
    let column = i32(id.x);
    if row >= NEW_ROWS || column >= NEW_COLUMNS {
        return;
    }
    let inside = row < ROWS && column < COLUMNS;
    let value = x[select(0, row * COLUMNS + column, inside)];
    y[row * NEW_COLUMNS + column] = select(0.0, value, inside);
}
