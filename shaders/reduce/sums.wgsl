// Sums over the rows of a matrix [ROWS, COLUMNS], in a fixed order; columns in blocks of Lanes.

override ROWS: u32;
override COLUMNS: u32;
// The columns FIRST .. FIRST + WIDTH take part.
override FIRST: u32 = 0u;
override WIDTH: u32;
// Rows that one invocation adds up.
override BLOCK: u32;
// Rows of a segment: no block reaches from one into the next.
override SEGMENT: u32 = ROWS;
// Whether rows are multiplied by the weight of their example.
override WEIGHTED: bool = false;
override ROWS_PER_EXAMPLE: u32 = 1u;

override PITCH: u32 = COLUMNS / LANES;
override FIRST_LANES: u32 = FIRST / LANES;
override WIDTH_LANES: u32 = WIDTH / LANES;
override SEGMENT_BLOCKS: u32 = (SEGMENT + BLOCK - 1u) / BLOCK;

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<Stored>;

// sums[block, column] = Σ over the rows of the block of weight · x[row, FIRST + column]
@compute @workgroup_size(WORKGROUP)
fn sum_rows(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    let block = i / WIDTH_LANES;
    let column = FIRST_LANES + i % WIDTH_LANES;
    let segment = block / SEGMENT_BLOCKS * SEGMENT;
    if segment >= ROWS {
        return;
    }
    let first = segment + block % SEGMENT_BLOCKS * BLOCK;
    let end = min(first + BLOCK, segment + SEGMENT);
    var sum = Lanes();
    if WEIGHTED {
        for (var row = first; row < end; row++) {
            // A weight of zero keeps out even what is not finite.
            let weight = weights[row / ROWS_PER_EXAMPLE];
            if weight != 0.0 {
                sum += weight * load(x[row * PITCH + column]);
            }
        }
    } else {
        for (var row = first; row < end; row++) {
            sum += load(x[row * PITCH + column]);
        }
    }
    sums[i] = stored(sum);
}
