// A team of invocations, a subgroup or half of one, computes the gradients from IN_TILES blocks of input to OUT_TILES
// pairs of blocks of output channels: each loads a part of both and hands it to the others.

// From the header: IN_TILES and OUT_TILES, whose product divides SUBGROUP.
const TEAM: i32 = i32(IN_TILES * OUT_TILES);

fn part(i: i32) -> Part {
    let outs = OUT_BLOCKS / (2 * i32(OUT_TILES));
    let ins = IN_BLOCKS / i32(IN_TILES);
    let team = i / TEAM;
    let member = lane % TEAM;
    let out = team % outs * i32(OUT_TILES) + member / i32(IN_TILES);
    let in = team / outs % ins * i32(IN_TILES) + member % i32(IN_TILES);
    let row = team / (outs * ins);
    return Part(in, 2 * out, row % i32(KERNEL_H), row / i32(KERNEL_H));
}

fn load_deltas(
    p: Part,
    out_row: i32,
    first: i32,
    weight: f32,
    d: ptr<function, Deltas>,
    second_d: ptr<function, Deltas>,
) {
    let blocks = 2 * i32(OUT_TILES);
    let member = lane % TEAM;
    let pair = member / i32(IN_TILES) * 2;
    let first_block = p.out - pair;
    var own: array<Out, DELTA_LOADS>;
    for (var k = 0; k < i32(DELTA_LOADS); k++) {
        let i = TEAM * k + member;
        own[k] = delta(out_row, first + i / blocks, first_block + i % blocks, weight);
    }
    for (var i = 0; i < PIXELS; i++) {
        let k = i * blocks / TEAM;
        let source = u32(lane - member + i * blocks % TEAM + pair);
        (*d)[i] = subgroupShuffle(own[k], source);
        (*second_d)[i] = subgroupShuffle(own[k], source + 1u);
    }
}

fn load_inputs(p: Part, row: i32, first: i32, a: ptr<function, Inputs>) {
    let tiles = i32(IN_TILES);
    let member = lane % TEAM;
    let first_block = p.in - member % tiles;
    var own: array<In, INPUT_LOADS>;
    for (var k = 0; k < i32(INPUT_LOADS); k++) {
        let i = TEAM * k + member;
        own[k] = input(row, first + i / tiles, first_block + i % tiles, false);
    }
    for (var i = 0; i < i32(SPAN); i++) {
        let source = u32(lane - member + i * tiles % TEAM + member % tiles);
        (*a)[i] = subgroupShuffle(own[i * tiles / TEAM], source);
    }
}

const DELTA_LOADS: u32 = 4u * 2u * OUT_TILES / u32(TEAM);
const INPUT_LOADS: u32 = (SPAN * IN_TILES + u32(TEAM) - 1u) / u32(TEAM);
