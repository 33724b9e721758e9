// Gradient of convolution weights [KERNEL_H, KERNEL_W, IN, OUT] as sums over splits of the output
// rows of IMAGES images; the splits are added up afterwards. One split an image gives the gradients
// of the examples.
//
// One invocation computes one kernel row for one block of input and COLUMNS blocks of output
// channels. It walks along the output rows of its split, PIXELS pixels at a time.

override SPLITS: i32;
// Output rows of a split.
override ROWS: i32;
// Whether the output gradient is multiplied by the weight of its example.
override WEIGHTED: bool = false;
// Whether a row holds one pixel of each example (a linear layer) rather than many of one.
override EXAMPLE_PER_PIXEL: bool = false;

// From the header: COLUMNS (1 or 2), PIXELS (2 or 4).
const SPAN: u32 = (PIXELS - 1u) * STRIDE + KERNEL_W;

// Blocks of channels, kernel row and split of an invocation.
struct Part { in: i32, out: i32, ky: i32, split: i32 }

@group(0) @binding(0) var<storage, read> x: array<StoredIn>;
@group(0) @binding(1) var<storage, read> dy: array<StoredOut>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
// [SPLITS, KERNEL_H, KERNEL_W, IN, OUT]
@group(0) @binding(3) var<storage, read_write> sums: array<Out>;

alias Taps = array<Block, KERNEL_W>;

fn add_tap(
    taps: ptr<function, Taps>,
    a: ptr<function, array<In, SPAN>>,
    d: ptr<function, array<Out, PIXELS>>,
    kx: i32,
) {
    for (var i = 0; i < i32(PIXELS); i++) {
        (*taps)[kx] = add_outer_product((*taps)[kx], (*d)[i], (*a)[kx + i * S]);
    }
}

fn add_taps(
    taps: ptr<function, Taps>,
    a: ptr<function, array<In, SPAN>>,
    d: ptr<function, array<Out, PIXELS>>,
) {
    // Written out, since drivers unroll a loop of this size only below a limit.
    add_tap(taps, a, d, 0);
    if KERNEL_W > 1u { add_tap(taps, a, d, 1); }
    if KERNEL_W > 2u { add_tap(taps, a, d, 2); }
    if KERNEL_W > 3u { add_tap(taps, a, d, 3); }
    if KERNEL_W > 4u { add_tap(taps, a, d, 4); }
    for (var kx = 5; kx < i32(KERNEL_W); kx++) {
        add_tap(taps, a, d, kx);
    }
}

// The output gradient at a pixel of an output row, times the weight of its example.
fn delta(out_row: i32, column: i32, block: i32, weight_of_row: f32) -> Out {
    var weight = weight_of_row;
    if EXACT || column < OUT_WIDTH {
        if WEIGHTED && EXAMPLE_PER_PIXEL {
            weight = weights[column];
        }
        // A weight of zero keeps out even what is not finite.
        if weight != 0.0 {
            return weight * load_out(dy[(out_row * OUT_WIDTH + column) * OUT_BLOCKS + block]);
        }
    }
    return Out();
}

// The input at a pixel of an image row, whose first pixel is `row`; zero outside.
fn input(row: i32, column: i32, block: i32, is_safe: bool) -> In {
    var used = is_safe || (column >= 0 && column < WIDTH);
    if WEIGHTED && EXAMPLE_PER_PIXEL && used {
        used = weights[column] != 0.0;
    }
    if used {
        return load_in(x[(row + column) * IN_BLOCKS + block]);
    }
    return In();
}

fn store_tap(p: Part, kx: i32, taps: ptr<function, Taps>, second_taps: ptr<function, Taps>) {
    let kernel_row = (p.split * i32(KERNEL_H) + p.ky) * i32(KERNEL_W);
    let at = ((kernel_row + kx) * IN_BLOCKS + p.in) * IN_LANES * OUT_BLOCKS + p.out;
    store(at, (*taps)[kx]);
    if COLUMNS == 2u { store(at + 1, (*second_taps)[kx]); }
}

@compute @workgroup_size(WORKGROUP)
fn split_sums(workgroup: Workgroup, me: Invocation) {
    let p = part(begin(workgroup, me));
    if p.split >= SPLITS {
        return;
    }
    var taps: Taps;
    var second_taps: Taps;
    let end = min((p.split + 1) * ROWS, IMAGES * OUT_HEIGHT);
    // Not known beforehand, so that drivers do not unroll the loop over a row of few pixels.
    let width = OUT_WIDTH + min(p.split, 0);
    for (var out_row = p.split * ROWS; out_row < end; out_row++) {
        let image = out_row / OUT_HEIGHT;
        let row = out_row % OUT_HEIGHT * S + p.ky - PAD_TOP;
        if row < 0 || row >= HEIGHT {
            continue;
        }
        var weight = 1.0;
        if WEIGHTED && !EXAMPLE_PER_PIXEL {
            weight = weights[image];
            if weight == 0.0 {
                continue;
            }
        }
        for (var first = 0; first < width; first += i32(PIXELS)) {
            var d: array<Out, PIXELS>;
            var second_d: array<Out, PIXELS>;
            load_deltas(p, out_row, first, weight, &d, &second_d);
            var a: array<In, SPAN>;
            load_inputs(p, (image * HEIGHT + row) * WIDTH, first * S - PAD_LEFT, &a);
            add_taps(&taps, &a, &d);
            if COLUMNS == 2u {
                add_taps(&second_taps, &a, &second_d);
            }
        }
    }
    // Written out, since taps whose number is not known while compiling lie in memory.
    store_tap(p, 0, &taps, &second_taps);
    if KERNEL_W > 1u { store_tap(p, 1, &taps, &second_taps); }
    if KERNEL_W > 2u { store_tap(p, 2, &taps, &second_taps); }
    if KERNEL_W > 3u { store_tap(p, 3, &taps, &second_taps); }
    if KERNEL_W > 4u { store_tap(p, 4, &taps, &second_taps); }
    for (var kx = 5; kx < i32(KERNEL_W); kx++) {
        store_tap(p, kx, &taps, &second_taps);
    }
}
