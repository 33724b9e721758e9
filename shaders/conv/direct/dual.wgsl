// A convolution together with its tangent.

// Whether the input has a tangent; images have none.
override INPUT_TANGENT: bool = true;
@group(0) @binding(2) var<storage, read> x_tangent: array<StoredIn>;
@group(0) @binding(NEXT_BINDING + 1u) var<storage, read_write> dual_z: array<Out>;
@group(0) @binding(NEXT_BINDING + 2u) var<storage, read_write> dz: array<Out>;

fn add_dual_tap(
    tile: ptr<function, array<Out, TILE>>,
    tangent: ptr<function, array<Out, TILE>>,
    span: ptr<function, array<In, SPAN>>,
    dspan: ptr<function, array<In, SPAN>>,
    kx: i32,
    k: i32,
) {
    let block = weight_block(k);
    let dblock = tangent_block(k);
    for (var r = 0; r < i32(TILE); r++) {
        let a = (*span)[r * S + kx];
        (*tile)[r] += to_out(block, a);
        (*tangent)[r] += to_out(dblock, a);
        if INPUT_TANGENT { (*tangent)[r] += to_out(block, (*dspan)[r * S + kx]); }
    }
}

// dual_z = conv(x, w), dz = conv(x_tangent, w) + conv(x, v): every input and weight is loaded
// once.
@compute @workgroup_size(WORKGROUP)
fn dual(workgroup: Workgroup, me: Invocation) {
    let i = begin(workgroup, me);
    let p = place(i, OUT_BLOCKS, 1u, OUT_HEIGHT, OUT_WIDTH);
    if !p.exists {
        return;
    }
    var tile: array<Out, TILE>;
    var tangent: array<Out, TILE>;
    for (var ky = 0; ky < i32(KERNEL_H); ky++) {
        let row = p.row * S + ky - PAD_TOP;
        if row < 0 || row >= HEIGHT {
            continue;
        }
        for (var in = 0; in < IN_BLOCKS; in++) {
            var span: array<In, SPAN>;
            var dspan: array<In, SPAN>;
            load_span(p, row, in, &span);
            if INPUT_TANGENT {
                for (var i = 0; i < i32(SPAN); i++) {
                    let column = p.first * S + i - PAD_LEFT;
                    if is_inside(i, column, WIDTH) {
                        let at = ((p.image * HEIGHT + row) * WIDTH + column) * IN_BLOCKS + in;
                        dspan[i] = load_in(x_tangent[at]);
                    }
                }
            }
            let k = weight_at(ky, in, p.block);
            let next = IN_BLOCKS * IN_LANES * OUT_BLOCKS;
            add_dual_tap(&tile, &tangent, &span, &dspan, 0, k);
            if KERNEL_W > 1u { add_dual_tap(&tile, &tangent, &span, &dspan, 1, k + next); }
            if KERNEL_W > 2u { add_dual_tap(&tile, &tangent, &span, &dspan, 2, k + 2 * next); }
            if KERNEL_W > 3u { add_dual_tap(&tile, &tangent, &span, &dspan, 3, k + 3 * next); }
            if KERNEL_W > 4u { add_dual_tap(&tile, &tangent, &span, &dspan, 4, k + 4 * next); }
            for (var kx = i32(MAX_UNROLLED_TAPS); kx < i32(KERNEL_W); kx++) {
                add_dual_tap(&tile, &tangent, &span, &dspan, kx, k + kx * next);
            }
        }
    }
    let pixel = (p.image * OUT_HEIGHT + p.row) * OUT_WIDTH + p.first;
    for (var r = 0; r < i32(TILE); r++) {
        if EXACT || p.first + r < OUT_WIDTH {
            dual_z[(pixel + r) * OUT_BLOCKS + p.block] = tile[r];
            dz[(pixel + r) * OUT_BLOCKS + p.block] = tangent[r];
        }
    }
}
