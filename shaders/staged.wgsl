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

// Where the quads of the terms 4·term .. that an invocation multiplies begin. The scattering stays
// within eight quads, so that the next terms and the second quad lie at constant distances.
fn left_slot(local: u32, term: i32) -> i32 {
    return 4 * term * LEFT + (i32(local / 16u) ^ (2 * term));
}

fn right_slot(local: u32, term: i32) -> i32 {
    return RIGHT_BASE + 4 * term * RIGHT + (i32(local % 16u) ^ (2 * term));
}

fn add_outer(tile: ptr<function, Tile>, i: u32, rows: Quad, columns: Quad) {
    (*tile)[i][0] += rows.x * columns;
    (*tile)[i][1] += rows.y * columns;
    (*tile)[i][2] += rows.z * columns;
    (*tile)[i][3] += rows.w * columns;
}

fn add_term(tile: ptr<function, Tile>, left: i32, right: i32) {
    let rows = staged[left];
    let columns = staged[right];
    add_outer(tile, 0u, rows, columns);
    if TALL > 1u { add_outer(tile, TALL - 1u, staged[left + 16], columns); }
    if WIDE > 1u {
        let more_columns = staged[right + 16];
        add_outer(tile, TALL * (WIDE - 1u), rows, more_columns);
        if TALL > 1u { add_outer(tile, TALL * WIDE - 1u, staged[left + 16], more_columns); }
    }
}

// Adds what the staged terms give. Written out, since drivers need not unroll naga's loops.
fn multiply(tile: ptr<function, Tile>, local: u32) {
    for (var term = 0; term < STEP / 4; term++) {
        let left = left_slot(local, term);
        let right = right_slot(local, term);
        add_term(tile, left, right);
        add_term(tile, left + LEFT, right + RIGHT);
        add_term(tile, left + 2 * LEFT, right + 2 * RIGHT);
        add_term(tile, left + 3 * LEFT, right + 3 * RIGHT);
    }
}

// First row, and quad of columns, of the square (tall, wide) of an invocation.
fn square_row(at: Place, local: u32, tall: i32) -> i32 {
    return 4 * (at.row * LEFT + 16 * tall + i32(local / 16u));
}

fn square_column(at: Place, local: u32, wide: i32) -> i32 {
    return at.column * RIGHT + 16 * wide + i32(local % 16u);
}
