// Convolution of IMAGES images [HEIGHT, WIDTH, IN] with weights [KERNEL_H, KERNEL_W, IN, OUT]:
// forward, reduced against an output gradient, and transposed.
//
// One invocation computes a tile: TILE neighbouring pixels of one row, for COLUMNS blocks of
// channels. The inputs that its pixels see are loaded once a kernel row and serve all taps of that
// row. Channels come in blocks of 4 or 1: In, Out, Block and the functions on them are in
// shaders/conv/direct/block. The weights `w` and their tangent `v` are declared in
// shaders/conv/direct/weights.

// Whether the similarity is wanted for every pixel rather than for every tile.
override PER_PIXEL: bool = false;
// Whether something is added to the output.
override HAS_ADDEND: bool = false;

// From the header: TILE, COLUMNS (1 or 2), SPAN (pixels that a tile sees), FIRST (offset of the
// first output that a tile of the transposed convolution sees, plus FIRST_BIAS).
const FIRST_OFFSET: i32 = i32(FIRST) - i32(FIRST_BIAS);

// Where the tile of an invocation lies; beyond the last one `exists` is false.
struct Place { image: i32, row: i32, first: i32, block: i32, exists: bool }

// Weights of one tap: of one or two blocks of channels.
struct Blocks { first: Block, second: Block }

fn next_block(p: Place) -> Place {
    return Place(p.image, p.row, p.first, p.block + 1, p.exists);
}

fn is_inside(i: i32, column: i32, width: i32) -> bool {
    return (i >= SAFE_FROM && i < SAFE_TO) || (!HALO && column >= 0 && column < width);
}

// Vec index of the weights of kernel row `ky`, column 0, input block `in`, output block `out`.
fn weight_at(ky: i32, in: i32, out: i32) -> i32 {
    return (ky * i32(KERNEL_W) * IN_BLOCKS + in) * IN_LANES * OUT_BLOCKS + out;
}

const MAX_UNROLLED_TAPS: u32 = 5u;

@group(0) @binding(0) var<storage, read> x: array<StoredIn>;
@group(0) @binding(2) var<storage, read_write> z: array<Out>;
@group(0) @binding(NEXT_BINDING) var<storage, read> addend: array<StoredOut>;

fn load_span(p: Place, input_row: i32, in: i32, span: ptr<function, array<In, SPAN>>) {
    let row = (p.image * HEIGHT + input_row) * WIDTH;
    for (var i = 0; i < i32(SPAN); i++) {
        let column = p.first * S + i - PAD_LEFT;
        (*span)[i] = In();
        if is_inside(i, column, WIDTH) {
            (*span)[i] = load_in(x[(row + column) * IN_BLOCKS + in]);
        }
    }
}

// Adds what tap `kx` of a kernel row gives to each pixel of the tile.
fn add_tap(
    tile: ptr<function, array<Out, TILE>>,
    span: ptr<function, array<In, SPAN>>,
    kx: i32,
    block: Block,
) {
    for (var r = 0; r < i32(TILE); r++) {
        (*tile)[r] += to_out(block, (*span)[r * S + kx]);
    }
}

fn add_taps(
    tile: ptr<function, array<Out, TILE>>,
    second: ptr<function, array<Out, TILE>>,
    span: ptr<function, array<In, SPAN>>,
    kx: i32,
    k: i32,
) {
    let blocks = weight_blocks(k, 1);
    add_tap(tile, span, kx, blocks.first);
    if COLUMNS > 1u { add_tap(second, span, kx, blocks.second); }
}

fn convolve(
    p: Place,
    tile: ptr<function, array<Out, TILE>>,
    second: ptr<function, array<Out, TILE>>,
) {
    for (var ky = 0; ky < i32(KERNEL_H); ky++) {
        let row = p.row * S + ky - PAD_TOP;
        let outside = row < 0 || row >= HEIGHT;
        if all_leave_out(outside) {
            continue;
        }
        for (var in = 0; in < IN_BLOCKS; in++) {
            var span: array<In, SPAN>;
            if !SHARED || !outside { load_span(p, row, in, &span); }
            take_halo(p.first, OUT_WIDTH, &span);
            let k = weight_at(ky, in, p.block);
            let next = IN_BLOCKS * IN_LANES * OUT_BLOCKS;
            // Written out, since drivers unroll a loop of this size only below a limit.
            add_taps(tile, second, &span, 0, k);
            if KERNEL_W > 1u { add_taps(tile, second, &span, 1, k + next); }
            if KERNEL_W > 2u { add_taps(tile, second, &span, 2, k + 2 * next); }
            if KERNEL_W > 3u { add_taps(tile, second, &span, 3, k + 3 * next); }
            if KERNEL_W > 4u { add_taps(tile, second, &span, 4, k + 4 * next); }
            for (var kx = i32(MAX_UNROLLED_TAPS); kx < i32(KERNEL_W); kx++) {
                add_taps(tile, second, &span, kx, k + kx * next);
            }
        }
    }
}

fn store_outputs(p: Place, tile: ptr<function, array<Out, TILE>>) {
    if !p.exists {
        return;
    }
    let pixel = (p.image * OUT_HEIGHT + p.row) * OUT_WIDTH + p.first;
    for (var r = 0; r < i32(TILE); r++) {
        if EXACT || p.first + r < OUT_WIDTH {
            let at = (pixel + r) * OUT_BLOCKS + p.block;
            if HAS_ADDEND { (*tile)[r] += load_out(addend[at]); }
            z[at] = (*tile)[r];
        }
    }
}

// z = conv(x, w), or addend + conv(x, w)
@compute @workgroup_size(WORKGROUP)
fn forward(workgroup: Workgroup, me: Invocation) {
    let i = begin(workgroup, me);
    let p = place(i, OUT_BLOCKS, COLUMNS, OUT_HEIGHT, OUT_WIDTH);
    if !SHARED && !p.exists {
        return;
    }
    var tile: array<Out, TILE>;
    var second: array<Out, TILE>;
    convolve(p, &tile, &second);
    store_outputs(p, &tile);
    if COLUMNS > 1u { store_outputs(next_block(p), &second); }
}

@group(0) @binding(2) var<storage, read> gradient: array<StoredOut>;
@group(0) @binding(NEXT_BINDING) var<storage, read_write> dots: array<f32>;

fn dot_with_gradient(p: Place, tile: ptr<function, array<Out, TILE>>) -> f32 {
    let pixel = (p.image * OUT_HEIGHT + p.row) * OUT_WIDTH + p.first;
    var sum = 0.0;
    for (var r = 0; r < i32(TILE); r++) {
        if EXACT || p.first + r < OUT_WIDTH {
            let at = (pixel + r) * OUT_BLOCKS + p.block;
            let dot = sum_out((*tile)[r] * load_out(gradient[at]));
            if PER_PIXEL && p.exists {
                dots[at] = dot;
            }
            sum += dot;
        }
    }
    return sum;
}

// dots = ⟨gradient, conv(x, w)⟩ over the channels of the blocks and the pixels of the tile (or of
// each pixel and block): for w = G the similarity in gradient form, before the sum over an example.
@compute @workgroup_size(WORKGROUP)
fn similarity(workgroup: Workgroup, me: Invocation) {
    let i = begin(workgroup, me);
    let p = place(i, OUT_BLOCKS, COLUMNS, OUT_HEIGHT, OUT_WIDTH);
    if !SHARED && !p.exists {
        return;
    }
    var tile: array<Out, TILE>;
    var second: array<Out, TILE>;
    convolve(p, &tile, &second);
    var sum = dot_with_gradient(p, &tile);
    if COLUMNS > 1u {
        sum += dot_with_gradient(next_block(p), &second);
    }
    if !PER_PIXEL && p.exists {
        let tiles = (OUT_WIDTH + i32(TILE) - 1) / i32(TILE);
        let tile = (p.image * OUT_HEIGHT + p.row) * tiles + p.first / i32(TILE);
        dots[(tile * OUT_BLOCKS + p.block) / i32(COLUMNS)] = sum;
    }
}

@group(0) @binding(0) var<storage, read> dy: array<StoredOut>;
@group(0) @binding(2) var<storage, read_write> input_gradient: array<In>;

// Pixel first + r meets tap kx at the output pixel first / STRIDE + FIRST_OFFSET + t / STRIDE.
fn add_transposed_tap(
    tile: ptr<function, array<In, TILE>>,
    span: ptr<function, array<Out, SPAN>>,
    kx: i32,
    block: Block,
) {
    for (var r = 0; r < i32(TILE); r++) {
        // Never negative. FXC loses taps where a signed number is divided by a stride of 1.
        let t = u32(r + PAD_LEFT - kx - FIRST_OFFSET * S);
        if t % STRIDE == 0u {
            (*tile)[r] += to_in(block, (*span)[t / STRIDE]);
        }
    }
}

fn add_transposed_taps(
    tile: ptr<function, array<In, TILE>>,
    second: ptr<function, array<In, TILE>>,
    span: ptr<function, array<Out, SPAN>>,
    kx: i32,
    k: i32,
) {
    let blocks = weight_blocks(k, IN_LANES * OUT_BLOCKS);
    add_transposed_tap(tile, span, kx, blocks.first);
    if COLUMNS > 1u { add_transposed_tap(second, span, kx, blocks.second); }
}

fn store_input_gradient(p: Place, tile: ptr<function, array<In, TILE>>) {
    if !p.exists {
        return;
    }
    let pixel = (p.image * HEIGHT + p.row) * WIDTH + p.first;
    for (var r = 0; r < i32(TILE); r++) {
        if EXACT || p.first + r < WIDTH {
            input_gradient[(pixel + r) * IN_BLOCKS + p.block] = (*tile)[r];
        }
    }
}

// input_gradient[y, x, in] =
//     Σ dy[(y + PAD_TOP − ky) / STRIDE, (x + PAD_LEFT − kx) / STRIDE, out] · w[ky, kx, in, out]
@compute @workgroup_size(WORKGROUP)
fn transposed(workgroup: Workgroup, me: Invocation) {
    let i = begin(workgroup, me);
    let p = place(i, IN_BLOCKS, COLUMNS, HEIGHT, WIDTH);
    if !SHARED && !p.exists {
        return;
    }
    var tile: array<In, TILE>;
    var second: array<In, TILE>;
    for (var ky = 0; ky < i32(KERNEL_H); ky++) {
        let t = p.row + PAD_TOP - ky;
        let row = t / S;
        let outside = t < 0 || t % S != 0 || row >= OUT_HEIGHT;
        if all_leave_out(outside) {
            continue;
        }
        let first = p.first / S + FIRST_OFFSET;
        for (var out = 0; out < OUT_BLOCKS; out++) {
            var span: array<Out, SPAN>;
            for (var i = 0; i < i32(SPAN); i++) {
                if (!SHARED || !outside) && is_inside(i, first + i, OUT_WIDTH) {
                    let pixel = (p.image * OUT_HEIGHT + row) * OUT_WIDTH + first + i;
                    span[i] = load_out(dy[pixel * OUT_BLOCKS + out]);
                }
            }
            take_out_halo(p.first, WIDTH, &span);
            let k = weight_at(ky, p.block, out);
            let next = IN_BLOCKS * IN_LANES * OUT_BLOCKS;
            add_transposed_taps(&tile, &second, &span, 0, k);
            if KERNEL_W > 1u { add_transposed_taps(&tile, &second, &span, 1, k + next); }
            if KERNEL_W > 2u { add_transposed_taps(&tile, &second, &span, 2, k + 2 * next); }
            if KERNEL_W > 3u { add_transposed_taps(&tile, &second, &span, 3, k + 3 * next); }
            if KERNEL_W > 4u { add_transposed_taps(&tile, &second, &span, 4, k + 4 * next); }
            for (var kx = i32(MAX_UNROLLED_TAPS); kx < i32(KERNEL_W); kx++) {
                add_transposed_taps(&tile, &second, &span, kx, k + kx * next);
            }
        }
    }
    store_input_gradient(p, &tile);
    if COLUMNS > 1u { store_input_gradient(next_block(p), &second); }
}
