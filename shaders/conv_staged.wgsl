// Convolution as a matrix product that is staged through workgroup memory: forward, reduced against
// an output gradient, together with its tangent, and transposed. Rows are pixels, columns output
// (transposed: input) channels, terms the other channels of all taps. Channels come in quads.

// Beyond any image.
const OUTSIDE: i32 = -(1 << 28);

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read> w: array<Quad>;

// Where four neighbouring pixels see the first tap: row, column, and index of the channels that an
// invocation loads.
struct Pixels { rows: vec4<i32>, columns: vec4<i32>, at: vec4<i32> }

fn output_pixels(first: i32, p: Part) -> Pixels {
    let pixels = vec4<i32>(first, first + 1, first + 2, first + 3);
    let image_rows = pixels / OUT_WIDTH;
    let images = image_rows / OUT_HEIGHT;
    let rows = (image_rows - images * OUT_HEIGHT) * S - PAD_TOP;
    let columns = (pixels - image_rows * OUT_WIDTH) * S - PAD_LEFT;
    let at = ((images * HEIGHT + rows) * WIDTH + columns) * IN_BLOCKS + p.term;
    let exists = images < vec4<i32>(IMAGES);
    return Pixels(select(vec4<i32>(OUTSIDE), rows, exists), columns, at);
}

// The image that taps read, the first tap, taps from one to the next, how many there are in a column
// and a row of the kernel, and which way the next ones look.
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

fn forward_taps() -> Taps {
    return Taps(HEIGHT, WIDTH, IN_BLOCKS, 0, 0, 1, i32(KERNEL_H), i32(KERNEL_W), 1);
}

// The next terms: a tap, and the first of 16 of its channels, in quads.
struct Terms { row: i32, column: i32, channel: i32 }

fn after(terms: Terms, taps: Taps) -> Terms {
    if terms.channel + 4 < taps.blocks { return Terms(terms.row, terms.column, terms.channel + 4); }
    if terms.column + 1 < taps.columns { return Terms(terms.row, terms.column + 1, 0); }
    return Terms(terms.row + 1, 0, 0);
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

// Terms are input channels.
fn load(p: Part, pixels: Pixels, out_block: i32, taps: Taps, terms: Terms) -> Square {
    if p.is_left { return x_square(indices(p, pixels, taps, terms)); }
    let block = terms.channel + p.term;
    if !p.is_right || block >= IN_BLOCKS || out_block >= OUT_BLOCKS { return Square(); }
    return w_square(weight_index(taps, terms, 4 * block, out_block));
}

fn convolve(tile: ptr<function, Tile>, at: Place, local: u32) {
    let p = part(local, true, false);
    let pixels = output_pixels(4 * (at.row * LEFT + p.quad), p);
    let out_block = at.column * RIGHT + p.quad;
    let taps = forward_taps();
    var terms: Terms;
    var next = load(p, pixels, out_block, taps, terms);
    while terms.row < taps.rows {
        stage(p, next);
        workgroupBarrier();
        terms = after(terms, taps);
        if terms.row < taps.rows {
            next = load(p, pixels, out_block, taps, terms);
        }
        multiply(tile, local);
        workgroupBarrier();
    }
}

@group(0) @binding(2) var<storage, read_write> z: array<Quad>;

fn store_output(pixel: i32, block: i32, quad: Quad) {
    if pixel < IMAGES * OUT_HEIGHT * OUT_WIDTH && block < OUT_BLOCKS {
        z[pixel * OUT_BLOCKS + block] = quad;
    }
}

fn store_outputs(pixel: i32, block: i32, square: Square) {
    store_output(pixel, block, square[0]);
    store_output(pixel + 1, block, square[1]);
    store_output(pixel + 2, block, square[2]);
    store_output(pixel + 3, block, square[3]);
}

// z = conv(x, w), or z += conv(x, w)
@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = place(workgroup, groups);
    if at.slice >= SLICES {
        return;
    }
    var tile: Tile;
    convolve(&tile, at, local);
    let pixel = square_row(at, local, 0);
    let block = square_column(at, local, 0);
    store_outputs(pixel, block, tile[0]);
    if TALL > 1u { store_outputs(square_row(at, local, 1), block, tile[TALL - 1u]); }
    if WIDE > 1u {
        let next = square_column(at, local, 1);
        store_outputs(pixel, next, tile[TALL * (WIDE - 1u)]);
        if TALL > 1u { store_outputs(square_row(at, local, 1), next, tile[TALL * WIDE - 1u]); }
    }
}

@group(0) @binding(2) var<storage, read> gradient: array<Quad>;
@group(0) @binding(3) var<storage, read_write> dots: array<f32>;

fn store_dot(pixel: i32, block: i32, quad: Quad) {
    if pixel < IMAGES * OUT_HEIGHT * OUT_WIDTH && block < OUT_BLOCKS {
        let at = pixel * OUT_BLOCKS + block;
        let products = quad * gradient[at];
        dots[at] = (products.x + products.y) + (products.z + products.w);
    }
}

fn store_dots(pixel: i32, block: i32, square: Square) {
    store_dot(pixel, block, square[0]);
    store_dot(pixel + 1, block, square[1]);
    store_dot(pixel + 2, block, square[2]);
    store_dot(pixel + 3, block, square[3]);
}

// dots = ⟨gradient, conv(x, w)⟩ over the channels of each pixel and quad: with w = G the similarity
// in gradient form, summed over an example afterwards.
@compute @workgroup_size(WORKGROUP)
fn similarity(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = place(workgroup, groups);
    if at.slice >= SLICES {
        return;
    }
    var tile: Tile;
    convolve(&tile, at, local);
    let pixel = square_row(at, local, 0);
    let block = square_column(at, local, 0);
    store_dots(pixel, block, tile[0]);
    if TALL > 1u { store_dots(square_row(at, local, 1), block, tile[TALL - 1u]); }
    if WIDE > 1u {
        let next = square_column(at, local, 1);
        store_dots(pixel, next, tile[TALL * (WIDE - 1u)]);
        if TALL > 1u { store_dots(square_row(at, local, 1), next, tile[TALL * WIDE - 1u]); }
    }
}

@group(0) @binding(2) var<storage, read> dx: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(4) var<storage, read_write> dual_z: array<Quad>;
@group(0) @binding(5) var<storage, read_write> dz: array<Quad>;

fn dx_quad(at: i32) -> Quad {
    return select(Quad(), dx[max(at, 0)], at >= 0);
}

fn dx_square(at: vec4<i32>) -> Square {
    return transpose(Square(dx_quad(at.x), dx_quad(at.y), dx_quad(at.z), dx_quad(at.w)));
}

fn v_square(at: i32) -> Square {
    return Square(v[at], v[at + OUT_BLOCKS], v[at + 2 * OUT_BLOCKS], v[at + 3 * OUT_BLOCKS]);
}

// The first 16 quads are of values, the other 16 of tangents.
fn load_dual(p: Part, pixels: Pixels, out_block: i32, taps: Taps, terms: Terms) -> Square {
    let is_tangent = p.quad >= 16;
    if p.is_left {
        let at = indices(p, pixels, taps, terms);
        if is_tangent { return dx_square(at); }
        return x_square(at);
    }
    let block = terms.channel + p.term;
    if block >= IN_BLOCKS || out_block >= OUT_BLOCKS { return Square(); }
    let at = weight_index(taps, terms, 4 * block, out_block);
    if is_tangent { return v_square(at); }
    return w_square(at);
}

// The first square takes values, the second one tangents.
fn add_dual_term(tile: ptr<function, Tile>, left: i32, right: i32) {
    let rows = staged[left];
    let columns = staged[right];
    add_outer(tile, 0u, rows, columns);
    add_outer(tile, TALL - 1u, staged[left + 16], columns);
    add_outer(tile, TALL - 1u, rows, staged[right + 16]);
}

fn multiply_dual(tile: ptr<function, Tile>, local: u32) {
    for (var term = 0; term < STEP / 4; term++) {
        let left = left_slot(local, term);
        let right = right_slot(local, term);
        add_dual_term(tile, left, right);
        add_dual_term(tile, left + LEFT, right + RIGHT);
        add_dual_term(tile, left + 2 * LEFT, right + 2 * RIGHT);
        add_dual_term(tile, left + 3 * LEFT, right + 3 * RIGHT);
    }
}

fn store_dual(pixel: i32, block: i32, value: Quad, tangent: Quad) {
    if pixel < IMAGES * OUT_HEIGHT * OUT_WIDTH && block < OUT_BLOCKS {
        dual_z[pixel * OUT_BLOCKS + block] = value;
        dz[pixel * OUT_BLOCKS + block] = tangent;
    }
}

// dual_z = conv(x, w), dz = conv(dx, w) + conv(x, v) for TALL = WIDE = 2: tiles of 64 × 64 numbers and
// their tangents.
@compute @workgroup_size(WORKGROUP)
fn dual(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = place(workgroup, groups);
    if at.slice >= SLICES {
        return;
    }
    let p = part(local, true, false);
    let pixels = output_pixels(4 * (at.row * 16 + p.quad % 16), p);
    let out_block = at.column * 16 + p.quad % 16;
    let taps = forward_taps();
    var terms: Terms;
    var tile: Tile;
    var next = load_dual(p, pixels, out_block, taps, terms);
    while terms.row < taps.rows {
        stage(p, next);
        workgroupBarrier();
        terms = after(terms, taps);
        if terms.row < taps.rows {
            next = load_dual(p, pixels, out_block, taps, terms);
        }
        multiply_dual(&tile, local);
        workgroupBarrier();
    }
    let pixel = 4 * (at.row * 16 + i32(local / 16u));
    let block = at.column * 16 + i32(local % 16u);
    store_dual(pixel, block, tile[0][0], tile[TALL - 1u][0]);
    store_dual(pixel + 1, block, tile[0][1], tile[TALL - 1u][1]);
    store_dual(pixel + 2, block, tile[0][2], tile[TALL - 1u][2]);
    store_dual(pixel + 3, block, tile[0][3], tile[TALL - 1u][3]);
}

@group(0) @binding(2) var<storage, read_write> input_gradient: array<Quad>;

// Input pixels STRIDE apart in both directions, from (y, x) on: those that the same taps reach, which
// lie STRIDE apart as well. Height and width are those of the largest phase.
struct Phase { y: i32, x: i32, height: i32, width: i32 }

fn phase(slice: i32) -> Phase {
    return Phase(slice / S, slice % S, (HEIGHT + S - 1) / S, (WIDTH + S - 1) / S);
}

fn transposed_taps(f: Phase) -> Taps {
    let ky = (f.y + PAD_TOP) % S;
    let kx = (f.x + PAD_LEFT) % S;
    let rows = (i32(KERNEL_H) - ky + S - 1) / S;
    let columns = (i32(KERNEL_W) - kx + S - 1) / S;
    return Taps(OUT_HEIGHT, OUT_WIDTH, OUT_BLOCKS, ky, kx, S, select(0, rows, columns > 0), columns, -1);
}

fn input_pixels(first: i32, p: Part, f: Phase) -> Pixels {
    let pixels = vec4<i32>(first, first + 1, first + 2, first + 3);
    let image_rows = pixels / f.width;
    let images = image_rows / f.height;
    let rows = image_rows - images * f.height + (f.y + PAD_TOP) / S;
    let columns = pixels - image_rows * f.width + (f.x + PAD_LEFT) / S;
    let at = ((images * OUT_HEIGHT + rows) * OUT_WIDTH + columns) * OUT_BLOCKS + p.term;
    let exists = images < vec4<i32>(IMAGES);
    return Pixels(select(vec4<i32>(OUTSIDE), rows, exists), columns, at);
}

// Terms are output channels.
fn load_transposed(p: Part, pixels: Pixels, in_block: i32, taps: Taps, terms: Terms) -> Square {
    if p.is_left { return x_square(indices(p, pixels, taps, terms)); }
    let block = terms.channel + p.term;
    if !p.is_right || block >= OUT_BLOCKS || in_block >= IN_BLOCKS { return Square(); }
    return transpose(w_square(weight_index(taps, terms, 4 * in_block, block)));
}

fn store_input_gradient(f: Phase, pixel: i32, block: i32, quad: Quad) {
    let image_row = pixel / f.width;
    let image = image_row / f.height;
    let row = (image_row - image * f.height) * S + f.y;
    let column = (pixel - image_row * f.width) * S + f.x;
    if image < IMAGES && row < HEIGHT && column < WIDTH && block < IN_BLOCKS {
        input_gradient[((image * HEIGHT + row) * WIDTH + column) * IN_BLOCKS + block] = quad;
    }
}

fn store_input_gradients(f: Phase, pixel: i32, block: i32, square: Square) {
    store_input_gradient(f, pixel, block, square[0]);
    store_input_gradient(f, pixel + 1, block, square[1]);
    store_input_gradient(f, pixel + 2, block, square[2]);
    store_input_gradient(f, pixel + 3, block, square[3]);
}

// input_gradient[y, x, in] = Σ dy[(y + PAD_TOP − ky) / STRIDE, (x + PAD_LEFT − kx) / STRIDE, out] · w[ky, kx, in, out]
// for dy in the place of x, a slice for each phase
@compute @workgroup_size(WORKGROUP)
fn transposed(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = place(workgroup, groups);
    if at.slice >= SLICES {
        return;
    }
    let f = phase(at.slice);
    let taps = transposed_taps(f);
    let p = part(local, true, true);
    let pixels = input_pixels(4 * (at.row * LEFT + p.quad), p, f);
    let in_block = at.column * RIGHT + p.quad;
    var terms: Terms;
    var tile: Tile;
    var next: Square;
    if taps.rows > 0 {
        next = load_transposed(p, pixels, in_block, taps, terms);
    }
    while terms.row < taps.rows {
        stage(p, next);
        workgroupBarrier();
        terms = after(terms, taps);
        if terms.row < taps.rows {
            next = load_transposed(p, pixels, in_block, taps, terms);
        }
        multiply(&tile, local);
        workgroupBarrier();
    }
    let pixel = square_row(at, local, 0);
    let block = square_column(at, local, 0);
    store_input_gradients(f, pixel, block, tile[0]);
    if TALL > 1u { store_input_gradients(f, square_row(at, local, 1), block, tile[TALL - 1u]); }
    if WIDE > 1u {
        let more = square_column(at, local, 1);
        store_input_gradients(f, pixel, more, tile[TALL * (WIDE - 1u)]);
        if TALL > 1u { store_input_gradients(f, square_row(at, local, 1), more, tile[TALL * WIDE - 1u]); }
    }
}
