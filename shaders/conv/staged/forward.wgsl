// Staged convolutions: forward, reduced against an output gradient, and with their tangents.

// Whether something is added to the output.
override HAS_ADDEND: bool = false;

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

fn forward_taps() -> Taps {
    return Taps(HEIGHT, WIDTH, IN_BLOCKS, 0, 0, 1, i32(KERNEL_H), i32(KERNEL_W), 1);
}

// Terms are input channels.
fn load(p: Part, pixels: Pixels, out_block: i32, taps: Taps, terms: Terms) -> Square {
    if p.is_left { return x_square(indices(p, pixels, taps, terms)); }
    let block = terms.channel + p.term;
    if !p.is_right || block >= IN_BLOCKS || out_block >= OUT_BLOCKS { return Square(); }
    return w_square(weight_index(taps, terms, 4 * block, out_block));
}

fn convolve(sums: ptr<function, Sums>, at: Place, me: Invocation) {
    let p = part(me, true, false);
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
        multiply(sums, me);
        workgroupBarrier();
    }
}

@group(0) @binding(2) var<storage, read_write> z: array<Quad>;
@group(0) @binding(3) var<storage, read> addend: array<Quad>;

fn store_output(pixel: i32, block: i32, quad: Quad) {
    if pixel < IMAGES * OUT_HEIGHT * OUT_WIDTH && block < OUT_BLOCKS {
        let at = pixel * OUT_BLOCKS + block;
        var value = quad;
        if HAS_ADDEND { value += addend[at]; }
        z[at] = value;
    }
}

fn store_outputs(pixel: i32, block: i32, square: Square) {
    store_output(pixel, block, square[0]);
    store_output(pixel + 1, block, square[1]);
    store_output(pixel + 2, block, square[2]);
    store_output(pixel + 3, block, square[3]);
}

// z = conv(x, w), or addend + conv(x, w)
@compute @workgroup_size(WORKGROUP)
fn forward(workgroup: Workgroup, me: Invocation) {
    let at = place(workgroup);
    if at.slice >= SLICES {
        return;
    }
    var sums: Sums;
    convolve(&sums, at, me);
    let tile = tile_of(&sums, me);
    let pixel = square_row(at, me, 0);
    let block = square_column(at, me, 0);
    store_outputs(pixel, block, tile[0]);
    if TALL > 1u { store_outputs(square_row(at, me, 1), block, tile[TALL - 1u]); }
    if WIDE > 1u {
        let next = square_column(at, me, 1);
        store_outputs(pixel, next, tile[TALL * (WIDE - 1u)]);
        if TALL > 1u { store_outputs(square_row(at, me, 1), next, tile[TALL * WIDE - 1u]); }
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
fn similarity(workgroup: Workgroup, me: Invocation) {
    let at = place(workgroup);
    if at.slice >= SLICES {
        return;
    }
    var sums: Sums;
    convolve(&sums, at, me);
    let tile = tile_of(&sums, me);
    let pixel = square_row(at, me, 0);
    let block = square_column(at, me, 0);
    store_dots(pixel, block, tile[0]);
    if TALL > 1u { store_dots(square_row(at, me, 1), block, tile[TALL - 1u]); }
    if WIDE > 1u {
        let next = square_column(at, me, 1);
        store_dots(pixel, next, tile[TALL * (WIDE - 1u)]);
        if TALL > 1u { store_dots(square_row(at, me, 1), next, tile[TALL * WIDE - 1u]); }
    }
}

@group(0) @binding(2) var<storage, read> x_tangent: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(4) var<storage, read_write> dual_z: array<Quad>;
@group(0) @binding(5) var<storage, read_write> dz: array<Quad>;

fn dx_quad(at: i32) -> Quad {
    return select(Quad(), x_tangent[max(at, 0)], at >= 0);
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

fn store_dual(pixel: i32, block: i32, value: Quad, tangent: Quad) {
    if pixel < IMAGES * OUT_HEIGHT * OUT_WIDTH && block < OUT_BLOCKS {
        dual_z[pixel * OUT_BLOCKS + block] = value;
        dz[pixel * OUT_BLOCKS + block] = tangent;
    }
}

// dual_z = conv(x, w), dz = conv(x_tangent, w) + conv(x, v) for TALL = WIDE = 2: tiles of 64 × 64
// numbers and their tangents.
@compute @workgroup_size(WORKGROUP)
fn dual(workgroup: Workgroup, me: Invocation) {
    let at = place(workgroup);
    if at.slice >= SLICES {
        return;
    }
    let p = part(me, true, false);
    let pixels = output_pixels(4 * (at.row * 16 + p.quad % 16), p);
    let out_block = at.column * 16 + p.quad % 16;
    let taps = forward_taps();
    var terms: Terms;
    var sums: Sums;
    var next = load_dual(p, pixels, out_block, taps, terms);
    while terms.row < taps.rows {
        stage(p, next);
        workgroupBarrier();
        terms = after(terms, taps);
        if terms.row < taps.rows {
            next = load_dual(p, pixels, out_block, taps, terms);
        }
        multiply_dual(&sums, me);
        workgroupBarrier();
    }
    let tile = tile_of(&sums, me);
    let pixel = 4 * (at.row * 16 + i32(me.local_index / 16u));
    let block = at.column * 16 + i32(me.local_index % 16u);
    store_dual(pixel, block, tile[0][0], tile[TALL - 1u][0]);
    store_dual(pixel + 1, block, tile[0][1], tile[TALL - 1u][1]);
    store_dual(pixel + 2, block, tile[0][2], tile[TALL - 1u][2]);
    store_dual(pixel + 3, block, tile[0][3], tile[TALL - 1u][3]);
}
