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

const PIXELS: i32 = 4;
// From the header: COLUMNS (1 or 2).
const SPAN: u32 = 3u * STRIDE + KERNEL_W;

@group(0) @binding(0) var<storage, read> x: array<StoredIn>;
@group(0) @binding(1) var<storage, read> dy: array<StoredOut>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
// [SPLITS, KERNEL_H, KERNEL_W, IN, OUT]
@group(0) @binding(3) var<storage, read_write> sums: array<Out>;

alias Taps = array<Block, KERNEL_W>;
alias Inputs = array<In, SPAN>;
alias Deltas = array<Out, PIXELS>;

fn add_tap(taps: ptr<function, Taps>, a: ptr<function, Inputs>, d: ptr<function, Deltas>, kx: i32) {
    (*taps)[kx] += outer_products(
        (*d)[0], (*d)[1], (*d)[2], (*d)[3],
        (*a)[kx], (*a)[kx + S], (*a)[kx + 2 * S], (*a)[kx + 3 * S],
    );
}

fn add_taps(taps: ptr<function, Taps>, a: ptr<function, Inputs>, d: ptr<function, Deltas>) {
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

@compute @workgroup_size(WORKGROUP)
fn split_sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = i32(linear_index(id, groups));
    let outs = OUT_BLOCKS / i32(COLUMNS);
    let out = i % outs * i32(COLUMNS);
    let in = i / outs % IN_BLOCKS;
    let ky = i / (outs * IN_BLOCKS) % i32(KERNEL_H);
    let split = i / (outs * IN_BLOCKS * i32(KERNEL_H));
    if split >= SPLITS {
        return;
    }
    var taps: Taps;
    var second_taps: Taps;
    let end = min((split + 1) * ROWS, IMAGES * OUT_HEIGHT);
    // Not known beforehand, so that drivers do not unroll the loop over a row of few pixels.
    let width = OUT_WIDTH + min(split, 0);
    for (var out_row = split * ROWS; out_row < end; out_row++) {
        let image = out_row / OUT_HEIGHT;
        let row = out_row % OUT_HEIGHT * S + ky - PAD_TOP;
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
        for (var first = 0; first < width; first += PIXELS) {
            var d: Deltas;
            var second_d: Deltas;
            for (var p = 0; p < PIXELS; p++) {
                if EXACT || first + p < OUT_WIDTH {
                    if WEIGHTED && EXAMPLE_PER_PIXEL {
                        weight = weights[first + p];
                    }
                    // A weight of zero keeps out even what is not finite.
                    if weight != 0.0 {
                        let at = (out_row * OUT_WIDTH + first + p) * OUT_BLOCKS + out;
                        d[p] = weight * load_out(dy[at]);
                        if COLUMNS == 2u {
                            second_d[p] = weight * load_out(dy[at + 1]);
                        }
                    }
                }
            }
            var a: Inputs;
            for (var p = 0; p < i32(SPAN); p++) {
                let column = first * S + p - PAD_LEFT;
                var used = (p >= SAFE_FROM && p < SAFE_TO) || (column >= 0 && column < WIDTH);
                if WEIGHTED && EXAMPLE_PER_PIXEL && used {
                    used = weights[column] != 0.0;
                }
                if used {
                    a[p] = load_in(x[((image * HEIGHT + row) * WIDTH + column) * IN_BLOCKS + in]);
                }
            }
            add_taps(&taps, &a, &d);
            if COLUMNS == 2u {
                add_taps(&second_taps, &a, &second_d);
            }
        }
    }
    let kernel_row = (split * i32(KERNEL_H) + ky) * i32(KERNEL_W);
    for (var kx = 0; kx < i32(KERNEL_W); kx++) {
        let at = ((kernel_row + kx) * IN_BLOCKS + in) * IN_LANES * OUT_BLOCKS + out;
        store(at, taps[kx]);
        if COLUMNS == 2u {
            store(at + 1, second_taps[kx]);
        }
    }
}
