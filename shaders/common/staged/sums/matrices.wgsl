// Sums of staged products in matrices that a subgroup holds together. Of every 64 × 64 results, a
// subgroup sums up PART_ROWS by PART_COLUMNS matrices.
//
// Workgroup memory holds, for each term, all rows of the left factor or columns of the right one.

// The first member has a name that nothing else has: tests/kernels/portability/metal.rs says why.
struct Invocation {
    @builtin(local_invocation_index) local_index: u32,
    @builtin(subgroup_id) subgroup: u32,
}

// From the header: SUBGROUP_ROWS by SUBGROUP_COLUMNS subgroups are a workgroup.
const PART_ROWS: u32 = 64u / SIDE / SUBGROUP_ROWS;
const PART_COLUMNS: u32 = 64u / SIDE / SUBGROUP_COLUMNS;
const ROWS_OF_ALL: u32 = TALL * PART_ROWS;
const COLUMNS_OF_ALL: u32 = WIDE * PART_COLUMNS;
const LEFT_PITCH: u32 = 64u * TALL;
const RIGHT_PITCH: u32 = 64u * WIDE;
const RIGHT_BASE: u32 = u32(STEP) * LEFT_PITCH;

// Column by column.
alias Sums = array<SumMatrix, ROWS_OF_ALL * COLUMNS_OF_ALL>;

var<workgroup> staged: array<Element, 1024u * (TALL + WIDE)>;
var<workgroup> results: array<f32, 4096>;

fn stage_row(p: Part, i: i32, quad: Quad) {
    if !p.is_left && !p.is_right { return; }
    let term = u32(4 * p.term + i);
    let at = 4u * u32(p.quad)
        + select(RIGHT_BASE + term * RIGHT_PITCH, term * LEFT_PITCH, p.is_left);
    staged[at] = Element(quad.x);
    staged[at + 1u] = Element(quad.y);
    staged[at + 2u] = Element(quad.z);
    staged[at + 3u] = Element(quad.w);
}

// First row of a subgroup's matrices with number `i` in a column.
fn matrix_row(me: Invocation, i: u32) -> u32 {
    return 64u * (i / PART_ROWS)
        + SIDE * (me.subgroup / SUBGROUP_COLUMNS * PART_ROWS + i % PART_ROWS);
}

fn matrix_column(me: Invocation, i: u32) -> u32 {
    let first = me.subgroup % SUBGROUP_COLUMNS * PART_COLUMNS;
    return 64u * (i / PART_COLUMNS) + SIDE * (first + i % PART_COLUMNS);
}

fn left_matrix(me: Invocation, term: u32, i: u32) -> LeftMatrix {
    return coopLoad<LeftMatrix>(&staged[term * LEFT_PITCH + matrix_row(me, i)], LEFT_PITCH);
}

fn right_matrix(me: Invocation, term: u32, i: u32) -> RightMatrix {
    let at = RIGHT_BASE + term * RIGHT_PITCH + matrix_column(me, i);
    return coopLoadT<RightMatrix>(&staged[at], RIGHT_PITCH);
}

// Adds what the staged terms give.
fn multiply(sums: ptr<function, Sums>, me: Invocation) {
    for (var term = 0u; term < u32(STEP); term += SIDE) {
        var left: array<LeftMatrix, ROWS_OF_ALL>;
        for (var row = 0u; row < ROWS_OF_ALL; row++) {
            left[row] = left_matrix(me, term, row);
        }
        for (var column = 0u; column < COLUMNS_OF_ALL; column++) {
            let right = right_matrix(me, term, column);
            for (var row = 0u; row < ROWS_OF_ALL; row++) {
                let i = column * ROWS_OF_ALL + row;
                (*sums)[i] = coopMultiplyAdd(left[row], right, (*sums)[i]);
            }
        }
    }
}

// The same for TALL = WIDE = 2, where the first 64 rows and columns are values and the others their
// tangents: values into the first 64 rows of results, tangents into the others; of the first
// columns only.
fn multiply_dual(sums: ptr<function, Sums>, me: Invocation) {
    for (var term = 0u; term < u32(STEP); term += SIDE) {
        for (var column = 0u; column < PART_COLUMNS; column++) {
            let w = right_matrix(me, term, column);
            let v = right_matrix(me, term, PART_COLUMNS + column);
            for (var row = 0u; row < PART_ROWS; row++) {
                let x = left_matrix(me, term, row);
                let dx = left_matrix(me, term, PART_ROWS + row);
                let i = column * ROWS_OF_ALL + row;
                (*sums)[i] = coopMultiplyAdd(x, w, (*sums)[i]);
                let tangent = coopMultiplyAdd(dx, w, (*sums)[i + PART_ROWS]);
                (*sums)[i + PART_ROWS] = coopMultiplyAdd(x, v, tangent);
            }
        }
    }
}

fn store_part(sums: ptr<function, Sums>, me: Invocation, tall: u32, wide: u32) {
    for (var column = 0u; column < PART_COLUMNS; column++) {
        for (var row = 0u; row < PART_ROWS; row++) {
            let i = (wide * PART_COLUMNS + column) * ROWS_OF_ALL + tall * PART_ROWS + row;
            let at = 64u * matrix_row(me, row) + matrix_column(me, column);
            coopStoreT((*sums)[i], &results[at], 64u);
        }
    }
}

fn results_quad(at: u32) -> Quad {
    return Quad(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
}

// The sums as results: which elements of a matrix an invocation holds is not for it to know, so
// they go through workgroup memory, 64 × 64 at a time.
fn tile_of(sums: ptr<function, Sums>, me: Invocation) -> Tile {
    var tile: Tile;
    let at = 256u * (me.local_index / 16u) + 4u * (me.local_index % 16u);
    for (var part = 0u; part < TALL * WIDE; part++) {
        store_part(sums, me, part % TALL, part / TALL);
        workgroupBarrier();
        tile[part] = Square(
            results_quad(at),
            results_quad(at + 64u),
            results_quad(at + 128u),
            results_quad(at + 192u),
        );
        workgroupBarrier();
    }
    return tile;
}
