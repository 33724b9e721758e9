// The 8 invocations of a subgroup compute the gradients from IN_TILES blocks of input to OUT_TILES
// times COLUMNS blocks of output channels: each loads an eighth of both and hands it to the others.

// From the header: IN_TILES (2, 4 or 8), OUT_TILES (8 / IN_TILES; 2 or more unless COLUMNS is 2).

fn part(i: i32) -> Part {
    let outs = OUT_BLOCKS / i32(COLUMNS * OUT_TILES);
    let ins = IN_BLOCKS / i32(IN_TILES);
    let out = subgroup % outs * i32(OUT_TILES) + lane / i32(IN_TILES);
    let in = subgroup / outs % ins * i32(IN_TILES) + lane % i32(IN_TILES);
    let row = subgroup / (outs * ins);
    return Part(in, i32(COLUMNS) * out, row % i32(KERNEL_H), row / i32(KERNEL_H));
}

fn load_deltas(
    p: Part,
    out_row: i32,
    first: i32,
    weight: f32,
    d: ptr<function, array<Out, PIXELS>>,
    second_d: ptr<function, array<Out, PIXELS>>,
) {
    let blocks = i32(COLUMNS * OUT_TILES);
    let column = lane / i32(IN_TILES) * i32(COLUMNS);
    let first_block = p.out - column;
    var own: array<Out, DELTA_LOADS>;
    for (var k = 0; k < i32(DELTA_LOADS); k++) {
        let i = SUBGROUP * k + lane;
        own[k] = delta(out_row, first + i / blocks, first_block + i % blocks, weight);
    }
    for (var i = 0; i < i32(PIXELS); i++) {
        let k = i * blocks / SUBGROUP;
        let source = u32(i * blocks % SUBGROUP + column);
        (*d)[i] = subgroupShuffle(own[k], source);
        if COLUMNS == 2u { (*second_d)[i] = subgroupShuffle(own[k], source + 1u); }
    }
}

fn load_inputs(p: Part, row: i32, first: i32, a: ptr<function, array<In, SPAN>>) {
    let tiles = i32(IN_TILES);
    let first_block = p.in - lane % tiles;
    var own: array<In, INPUT_LOADS>;
    for (var k = 0; k < i32(INPUT_LOADS); k++) {
        let i = SUBGROUP * k + lane;
        own[k] = input(row, first + i / tiles, first_block + i % tiles, false);
    }
    for (var i = 0; i < i32(SPAN); i++) {
        let source = u32(i * tiles % SUBGROUP) + u32(lane) % IN_TILES;
        (*a)[i] = subgroupShuffle(own[i * tiles / SUBGROUP], source);
    }
}

const DELTA_LOADS: u32 = PIXELS * COLUMNS * OUT_TILES / 8u;
const INPUT_LOADS: u32 = (SPAN * IN_TILES + 7u) / 8u;
