// Matrix products staged through workgroup memory: 16 × 16 invocations compute a tile of 64·TALL
// rows by 64·WIDE columns, each of them 4·TALL by 4·WIDE, and take 16 terms of its sums at a time.
// What lies in storage along the terms is transposed on the way, four by four.
//
// How the tile is summed up, and how workgroup memory is laid out for it, is in
// shaders/common/staged/sums; in what form factors are staged, in shaders/common/staged/factors.

// Tiles of rows and of columns, and slices: products that share the tiling.
override ROW_TILES: i32;
override COLUMN_TILES: i32;
override SLICES: i32;

const WORKGROUP: u32 = 256u;
const STEP: i32 = 16;
// From the header: TALL and WIDE, 1 or 2.
const LEFT: i32 = 16 * i32(TALL);
const RIGHT: i32 = 16 * i32(WIDE);

alias Quad = vec4<f32>;
// Four quads: of four terms, or four rows of results.
alias Square = mat4x4<f32>;
// Results of an invocation: TALL squares of neighbouring rows for each of WIDE quads of columns, 64
// rows or columns apart.
alias Tile = array<Square, TALL * WIDE>;

struct Place { row: i32, column: i32, slice: i32 }

// The tile of a workgroup: columns vary fastest, so that neighbours share rows.
fn place(workgroup: Workgroup) -> Place {
    let i = i32(index_of(workgroup));
    let slice = i / (ROW_TILES * COLUMN_TILES);
    return Place(i / COLUMN_TILES % ROW_TILES, i % COLUMN_TILES, slice);
}

// Which terms 4·term .. of which quad of its factor an invocation stages; the last ones have
// nothing to do where TALL + WIDE < 4.
struct Part { is_left: bool, is_right: bool, term: i32, quad: i32 }

// Neighbouring invocations load what lies side by side in storage: whether that is terms.
fn part(me: Invocation, left_along_terms: bool, right_along_terms: bool) -> Part {
    let i = i32(me.local_index);
    if i < 4 * LEFT {
        if left_along_terms { return Part(true, false, i % 4, i / 4); }
        return Part(true, false, i / LEFT, i % LEFT);
    }
    let j = i - 4 * LEFT;
    let is_right = j < 4 * RIGHT;
    if right_along_terms { return Part(false, is_right, j % 4, j / 4); }
    return Part(false, is_right, j / RIGHT, j % RIGHT);
}

fn stage(p: Part, square: Square) {
    stage_row(p, 0, square[0]);
    stage_row(p, 1, square[1]);
    stage_row(p, 2, square[2]);
    stage_row(p, 3, square[3]);
}

// First row, and quad of columns, of the square (tall, wide) of an invocation.
fn square_row(at: Place, me: Invocation, tall: i32) -> i32 {
    return 4 * (at.row * LEFT + 16 * tall + i32(me.local_index / 16u));
}

fn square_column(at: Place, me: Invocation, wide: i32) -> i32 {
    return at.column * RIGHT + 16 * wide + i32(me.local_index % 16u);
}
