// Gradient of convolution weights as a matrix product that is staged through workgroup memory, in
// sums over splits of the output pixels, which are added up afterwards. Rows are the input channels
// of all taps, columns output channels, terms pixels; slices are splits. Channels come in quads.

// Output pixels of a split, a multiple of 16.
override PIXELS: i32;
// Whether the output gradient is multiplied by the weight of its example.
override WEIGHTED: bool = false;

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read> dy: array<Quad>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
// [SLICES, KERNEL_H, KERNEL_W, IN, OUT]
@group(0) @binding(3) var<storage, read_write> sums: array<Quad>;

// Whether all examples of the pixels have the weight 0.
fn is_left_out(first: i32, end: i32) -> bool {
    let image_len = OUT_HEIGHT * OUT_WIDTH;
    for (var image = first / image_len; image <= (end - 1) / image_len; image++) {
        if weights[image] != 0.0 {
            return false;
        }
    }
    return true;
}

// The first of the next 16 pixels that count.
fn next_pixels(first: i32, end: i32) -> i32 {
    var next = first;
    if WEIGHTED {
        while next < end && is_left_out(next, min(next + STEP, end)) {
            next += STEP;
        }
    }
    return next;
}

// What an invocation loads of the inputs: offset of its tap from where a pixel sees the first one,
// and its quad of channels.
struct Tap { row: i32, column: i32, block: i32, exists: bool }

fn tap(quad: i32) -> Tap {
    let i = quad / IN_BLOCKS;
    let ky = i / i32(KERNEL_W);
    return Tap(ky - PAD_TOP, i % i32(KERNEL_W) - PAD_LEFT, quad % IN_BLOCKS, ky < i32(KERNEL_H));
}

fn x_quad(t: Tap, pixel: i32, end: i32) -> Quad {
    let image_row = pixel / OUT_WIDTH;
    let image = image_row / OUT_HEIGHT;
    let row = (image_row - image * OUT_HEIGHT) * S + t.row;
    let column = (pixel - image_row * OUT_WIDTH) * S + t.column;
    let in_image = row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH;
    var inside = t.exists && pixel < end && in_image;
    if WEIGHTED && inside {
        // A weight of zero keeps out even what is not finite.
        inside = weights[image] != 0.0;
    }
    let at = ((image * HEIGHT + row) * WIDTH + column) * IN_BLOCKS + t.block;
    return select(Quad(), x[select(0, at, inside)], inside);
}

fn dy_quad(block: i32, pixel: i32, end: i32) -> Quad {
    let inside = block < OUT_BLOCKS && pixel < end;
    let at = select(0, pixel * OUT_BLOCKS + block, inside);
    var weight = select(0.0, GRADIENT_SCALE, inside);
    if WEIGHTED && inside {
        weight *= weights[pixel / (OUT_HEIGHT * OUT_WIDTH)];
    }
    return select(Quad(), weight * dy[at], weight != 0.0);
}

fn load(p: Part, t: Tap, out_block: i32, first: i32, end: i32) -> Square {
    let pixel = first + 4 * p.term;
    if p.is_left {
        return Square(
            x_quad(t, pixel, end),
            x_quad(t, pixel + 1, end),
            x_quad(t, pixel + 2, end),
            x_quad(t, pixel + 3, end),
        );
    }
    if !p.is_right { return Square(); }
    return Square(
        dy_quad(out_block, pixel, end),
        dy_quad(out_block, pixel + 1, end),
        dy_quad(out_block, pixel + 2, end),
        dy_quad(out_block, pixel + 3, end),
    );
}

fn store_row(slice: i32, row: i32, block: i32, quad: Quad) {
    let rows = i32(KERNEL_H * KERNEL_W) * IN_BLOCKS * 4;
    if row < rows && block < OUT_BLOCKS {
        sums[(slice * rows + row) * OUT_BLOCKS + block] = quad * (1.0 / GRADIENT_SCALE);
    }
}

fn store(slice: i32, row: i32, block: i32, square: Square) {
    store_row(slice, row, block, square[0]);
    store_row(slice, row + 1, block, square[1]);
    store_row(slice, row + 2, block, square[2]);
    store_row(slice, row + 3, block, square[3]);
}

@compute @workgroup_size(WORKGROUP)
fn split_sums(workgroup: Workgroup, me: Invocation) {
    let at = place(workgroup);
    if at.slice >= SLICES {
        return;
    }
    let p = part(me, false, false);
    let t = tap(at.row * LEFT + p.quad);
    let out_block = at.column * RIGHT + p.quad;
    let end = min((at.slice + 1) * PIXELS, IMAGES * OUT_HEIGHT * OUT_WIDTH);
    var pixel = next_pixels(at.slice * PIXELS, end);
    var sums: Sums;
    var next = load(p, t, out_block, pixel, end);
    while pixel < end {
        stage(p, next);
        workgroupBarrier();
        pixel = next_pixels(pixel + STEP, end);
        if pixel < end {
            next = load(p, t, out_block, pixel, end);
        }
        multiply(&sums, me);
        workgroupBarrier();
    }
    let tile = tile_of(&sums, me);
    let row = square_row(at, me, 0);
    let block = square_column(at, me, 0);
    store(at.slice, row, block, tile[0]);
    if TALL > 1u { store(at.slice, square_row(at, me, 1), block, tile[TALL - 1u]); }
    if WIDE > 1u {
        let more = square_column(at, me, 1);
        store(at.slice, row, more, tile[TALL * (WIDE - 1u)]);
        if TALL > 1u { store(at.slice, square_row(at, me, 1), more, tile[TALL * WIDE - 1u]); }
    }
}
