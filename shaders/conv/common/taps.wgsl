// Convolutions as matrix products that are staged through workgroup memory: what those in
// shaders/conv/staged/forward.wgsl and shaders/conv/staged/transposed.wgsl share. Rows are pixels,
// columns output (transposed: input) channels, terms the other channels of all taps. Channels come
// in quads.

// Beyond any image.
const OUTSIDE: i32 = -(1 << 28);

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read> w: array<Quad>;

// Where four neighbouring pixels see the first tap: row, column, and index of the channels that an
// invocation loads.
struct Pixels { rows: vec4<i32>, columns: vec4<i32>, at: vec4<i32> }

// The image that taps read, the first tap, taps from one to the next, how many there are in a
// column and a row of the kernel, and which way the next ones look.
struct Taps {
    height: i32,
    width: i32,
    blocks: i32,
    ky: i32,
    kx: i32,
    next: i32,
    rows: i32,
    columns: i32,
    direction: i32,
}

// The next terms: a tap, and the first of 16 of its channels, in quads.
struct Terms { row: i32, column: i32, channel: i32 }

// One return: Microsoft's older compiler takes what has several for possibly uninitialised, and
// then refuses barriers that depend on it.
fn after(terms: Terms, taps: Taps) -> Terms {
    let tap_ends = terms.channel + 4 >= taps.blocks;
    let row_ends = tap_ends && terms.column + 1 >= taps.columns;
    let column = select(terms.column, terms.column + 1, tap_ends);
    return Terms(
        select(terms.row, terms.row + 1, row_ends),
        select(column, 0, row_ends),
        select(terms.channel + 4, 0, tap_ends),
    );
}

// Index of what each pixel sees, −1 where that is nothing.
fn indices(p: Part, pixels: Pixels, taps: Taps, terms: Terms) -> vec4<i32> {
    let row = taps.direction * terms.row;
    let column = taps.direction * terms.column;
    let at = pixels.at + ((row * taps.width + column) * taps.blocks + terms.channel);
    let rows = vec4<u32>(pixels.rows + row);
    let columns = vec4<u32>(pixels.columns + column);
    let nothing = vec4<i32>(-1);
    let in_row = select(nothing, at, rows < vec4<u32>(u32(taps.height)));
    let inside = select(nothing, in_row, columns < vec4<u32>(u32(taps.width)));
    return select(nothing, inside, terms.channel + p.term < taps.blocks);
}

fn x_quad(at: i32) -> Quad {
    return select(Quad(), x[max(at, 0)], at >= 0);
}

fn x_square(at: vec4<i32>) -> Square {
    return transpose(Square(x_quad(at.x), x_quad(at.y), x_quad(at.z), x_quad(at.w)));
}

// Index of a quad of weights of a tap; those of neighbouring input channels lie OUT_BLOCKS apart.
fn weight_index(taps: Taps, terms: Terms, in: i32, out_block: i32) -> i32 {
    let ky = taps.ky + taps.next * terms.row;
    let kx = taps.kx + taps.next * terms.column;
    let tap = ky * i32(KERNEL_W) + kx;
    return (tap * IN_BLOCKS * 4 + in) * OUT_BLOCKS + out_block;
}

fn w_square(at: i32) -> Square {
    return Square(w[at], w[at + OUT_BLOCKS], w[at + 2 * OUT_BLOCKS], w[at + 3 * OUT_BLOCKS]);
}
