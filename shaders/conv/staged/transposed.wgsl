// Staged transposed convolutions: gradients of inputs.

@group(0) @binding(2) var<storage, read_write> input_gradient: array<Quad>;

// Input pixels STRIDE apart in both directions, from (y, x) on: those that the same taps reach,
// which lie STRIDE apart as well. Height and width are those of the largest phase.
struct Phase { y: i32, x: i32, height: i32, width: i32 }

fn phase(slice: i32) -> Phase {
    return Phase(slice / S, slice % S, (HEIGHT + S - 1) / S, (WIDTH + S - 1) / S);
}

fn transposed_taps(f: Phase) -> Taps {
    let ky = (f.y + PAD_TOP) % S;
    let kx = (f.x + PAD_LEFT) % S;
    let rows = (i32(KERNEL_H) - ky + S - 1) / S;
    let columns = (i32(KERNEL_W) - kx + S - 1) / S;
    return Taps(
        OUT_HEIGHT,
        OUT_WIDTH,
        OUT_BLOCKS,
        ky,
        kx,
        S,
        select(0, rows, columns > 0),
        columns,
        -1,
    );
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
    if p.is_left { return GRADIENT_SCALE * x_square(indices(p, pixels, taps, terms)); }
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
        let i = ((image * HEIGHT + row) * WIDTH + column) * IN_BLOCKS + block;
        input_gradient[i] = quad * (1.0 / GRADIENT_SCALE);
    }
}

fn store_input_gradients(f: Phase, pixel: i32, block: i32, square: Square) {
    store_input_gradient(f, pixel, block, square[0]);
    store_input_gradient(f, pixel + 1, block, square[1]);
    store_input_gradient(f, pixel + 2, block, square[2]);
    store_input_gradient(f, pixel + 3, block, square[3]);
}

// input_gradient[y, x, in] =
//     Σ dy[(y + PAD_TOP − ky) / STRIDE, (x + PAD_LEFT − kx) / STRIDE, out] · w[ky, kx, in, out]
// for dy in the place of x, a slice for each phase
@compute @workgroup_size(WORKGROUP)
fn transposed(workgroup: Workgroup, me: Invocation) {
    let at = place(workgroup);
    if at.slice >= SLICES {
        return;
    }
    let f = phase(at.slice);
    let taps = transposed_taps(f);
    let p = part(me, true, true);
    let pixels = input_pixels(4 * (at.row * LEFT + p.quad), p, f);
    let in_block = at.column * RIGHT + p.quad;
    var terms: Terms;
    var sums: Sums;
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
        multiply(&sums, me);
        workgroupBarrier();
    }
    let tile = tile_of(&sums, me);
    let pixel = square_row(at, me, 0);
    let block = square_column(at, me, 0);
    store_input_gradients(f, pixel, block, tile[0]);
    if TALL > 1u { store_input_gradients(f, square_row(at, me, 1), block, tile[TALL - 1u]); }
    if WIDE > 1u {
        let more = square_column(at, me, 1);
        store_input_gradients(f, pixel, more, tile[TALL * (WIDE - 1u)]);
        if TALL > 1u {
            store_input_gradients(f, square_row(at, me, 1), more, tile[TALL * WIDE - 1u]);
        }
    }
}
