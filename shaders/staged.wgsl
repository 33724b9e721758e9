// Matrix products staged through workgroup memory: 16 × 16 invocations compute a tile of 64·TALL rows
// by 64·WIDE columns, each of them 4·TALL by 4·WIDE, and take 16 terms of its sums at a time.
//
// Workgroup memory holds a quad, four neighbouring rows of the left factor or columns of the right
// one, for each term. What lies in storage along the terms is transposed on the way, four by four.

// Tiles of rows and of columns, and slices: products that share the tiling.
override ROW_TILES: i32;
override COLUMN_TILES: i32;
override SLICES: i32;

const WORKGROUP: u32 = 256u;
const STEP: i32 = 16;
// From the header: TALL and WIDE, 1 or 2.
const LEFT: i32 = 16 * i32(TALL);
const RIGHT: i32 = 16 * i32(WIDE);
const RIGHT_BASE: i32 = STEP * LEFT;

alias Quad = vec4<f32>;
// Four quads: of four terms, or four rows of results.
alias Square = mat4x4<f32>;
// Results of an invocation: TALL squares of neighbouring rows for each of WIDE quads of columns, 64
// rows or columns apart.
alias Tile = array<Square, TALL * WIDE>;

var<workgroup> staged: array<Quad, 256u * (TALL + WIDE)>;

struct Place { row: i32, column: i32, slice: i32 }

// The tile of a workgroup: columns vary fastest, so that neighbours share rows.
fn place(workgroup: vec3<u32>, groups: vec3<u32>) -> Place {
    let i = i32(workgroup.y * groups.x + workgroup.x);
    let slice = i / (ROW_TILES * COLUMN_TILES);
    return Place(i / COLUMN_TILES % ROW_TILES, i % COLUMN_TILES, slice);
}

// Which terms 4·term .. of which quad of its factor an invocation stages; the last ones have nothing
// to do where TALL + WIDE < 4.
struct Part { is_left: bool, is_right: bool, term: i32, quad: i32 }

// Neighbouring invocations load what lies side by side in storage: whether that is terms.
fn part(local: u32, left_along_terms: bool, right_along_terms: bool) -> Part {
    let i = i32(local);
    if i < 4 * LEFT {
        if left_along_terms { return Part(true, false, i % 4, i / 4); }
        return Part(true, false, i / LEFT, i % LEFT);
    }
    let j = i - 4 * LEFT;
    let is_right = j < 4 * RIGHT;
    if right_along_terms { return Part(false, is_right, j % 4, j / 4); }
    return Part(false, is_right, j / RIGHT, j % RIGHT);
}

fn stage_row(p: Part, i: i32, quad: Quad) {
    let term = 4 * p.term + i;
    // Scattered by term, so that neighbours that load along the terms write to different banks.
    let at = p.quad ^ (2 * p.term);
    if p.is_left {
        staged[term * LEFT + at] = quad;
    } else if p.is_right {
        staged[RIGHT_BASE + term * RIGHT + at] = quad;
    }
}

fn stage(p: Part, square: Square) {
    stage_row(p, 0, square[0]);
    stage_row(p, 1, square[1]);
    stage_row(p, 2, square[2]);
    stage_row(p, 3, square[3]);
}

fn left_quad(local: u32, term: i32, i: i32) -> Quad {
    return staged[term * LEFT + ((i32(local / 16u) + 16 * i) ^ (term / 4 * 2))];
}

fn right_quad(local: u32, term: i32, i: i32) -> Quad {
    return staged[RIGHT_BASE + term * RIGHT + ((i32(local % 16u) + 16 * i) ^ (term / 4 * 2))];
}

fn add_outer(tile: ptr<function, Tile>, i: u32, rows: Quad, columns: Quad) {
    (*tile)[i][0] += rows.x * columns;
    (*tile)[i][1] += rows.y * columns;
    (*tile)[i][2] += rows.z * columns;
    (*tile)[i][3] += rows.w * columns;
}

fn add_term(tile: ptr<function, Tile>, local: u32, term: i32) {
    let rows = left_quad(local, term, 0);
    let columns = right_quad(local, term, 0);
    add_outer(tile, 0u, rows, columns);
    if TALL > 1u { add_outer(tile, TALL - 1u, left_quad(local, term, 1), columns); }
    if WIDE > 1u {
        let more_columns = right_quad(local, term, 1);
        add_outer(tile, TALL * (WIDE - 1u), rows, more_columns);
        if TALL > 1u { add_outer(tile, TALL * WIDE - 1u, left_quad(local, term, 1), more_columns); }
    }
}

// Adds what the staged terms give. Written out, since drivers need not unroll naga's loops.
fn multiply(tile: ptr<function, Tile>, local: u32) {
    for (var term = 0; term < STEP; term += 4) {
        add_term(tile, local, term);
        add_term(tile, local, term + 1);
        add_term(tile, local, term + 2);
        add_term(tile, local, term + 3);
    }
}

// First row, and quad of columns, of the square (tall, wide) of an invocation.
fn square_row(at: Place, local: u32, tall: i32) -> i32 {
    return 4 * (at.row * LEFT + 16 * tall + i32(local / 16u));
}

fn square_column(at: Place, local: u32, wide: i32) -> i32 {
    return at.column * RIGHT + 16 * wide + i32(local % 16u);
}
