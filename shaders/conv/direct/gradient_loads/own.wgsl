// Every invocation of a weight gradient loads what it needs itself.
fn part(i: i32) -> Part {
    let outs = OUT_BLOCKS / i32(COLUMNS);
    let row = i / (outs * IN_BLOCKS);
    return Part(
        i / outs % IN_BLOCKS,
        i % outs * i32(COLUMNS),
        row % i32(KERNEL_H),
        row / i32(KERNEL_H),
    );
}

fn load_deltas(
    p: Part,
    out_row: i32,
    first: i32,
    weight: f32,
    d: ptr<function, array<Out, PIXELS>>,
    second_d: ptr<function, array<Out, PIXELS>>,
) {
    for (var i = 0; i < i32(PIXELS); i++) {
        (*d)[i] = delta(out_row, first + i, p.out, weight);
        if COLUMNS == 2u { (*second_d)[i] = delta(out_row, first + i, p.out + 1, weight); }
    }
}

fn load_inputs(p: Part, row: i32, first: i32, a: ptr<function, array<In, SPAN>>) {
    for (var i = 0; i < i32(SPAN); i++) {
        (*a)[i] = input(row, first + i, p.in, i >= SAFE_FROM && i < SAFE_TO);
    }
}
