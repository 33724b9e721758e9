// Dot products of the rows of a matrix [ROWS, COLUMNS], in a fixed order.

override ROWS: u32;
override COLUMNS: u32;
// The columns FIRST .. FIRST + WIDTH take part.
override FIRST: u32 = 0u;
override WIDTH: u32;
override ROWS_PER_EXAMPLE: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> vector: array<f32>;
@group(0) @binding(2) var<storage, read_write> dots: array<f32>;

// dots[example] =
//     Σ over the example's rows and the columns of x[row, FIRST + column] · vector[column]
@compute @workgroup_size(WORKGROUP)
fn dot_rows(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let example = linear_index(id, groups);
    let first = example * ROWS_PER_EXAMPLE;
    if first >= ROWS {
        return;
    }
    var sum = 0.0;
    for (var row = first; row < first + ROWS_PER_EXAMPLE; row++) {
        var row_sum = 0.0;
        for (var column = 0u; column < WIDTH; column++) {
            row_sum += x[row * COLUMNS + FIRST + column] * vector[column];
        }
        sum += row_sum;
    }
    dots[example] = sum;
}

@group(0) @binding(1) var<storage, read> other: array<f32>;

// dots[row] = Σ over the columns of x[row, column] · other[row, column]
@compute @workgroup_size(WORKGROUP)
fn dot_pairs(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = linear_index(id, groups);
    if row >= ROWS {
        return;
    }
    var sum = 0.0;
    for (var i = row * COLUMNS; i < (row + 1u) * COLUMNS; i++) {
        sum += x[i] * other[i];
    }
    dots[row] = sum;
}
