// The 8 invocations of a subgroup compute the same channels of 8 tiles: each loads an eighth of the weights and hands
// it to the others. All of them have to stay until the end for that.
const SHARED: bool = true;

fn all_leave_out(outside: bool) -> bool {
    return subgroupAll(outside);
}

// The tile of an invocation: images vary fastest, so that kernel rows lie outside for all tiles of a subgroup at once.
fn place(i: i32, blocks: i32, columns: u32, height: i32, width: i32) -> Place {
    let tiles = (width + i32(TILE) - 1) / i32(TILE);
    let groups = blocks / i32(columns);
    let block = i / SUBGROUP % groups * i32(columns);
    let wanted = i / (SUBGROUP * groups) * SUBGROUP + lane;
    let count = tiles * height * IMAGES;
    let at = min(wanted, count - 1);
    let position = at / IMAGES;
    let row = position / tiles;
    return Place(at % IMAGES, row, position % tiles * i32(TILE), block, wanted < count);
}

fn weight_blocks(k: i32, second: i32) -> Blocks {
    var at = k + lane % 4 * OUT_BLOCKS;
    if COLUMNS > 1u { at += lane / 4 * second; }
    let own = load_out(w[at]);
    var blocks: Blocks;
    blocks.first = Block(
        subgroupShuffle(own, 0u),
        subgroupShuffle(own, 1u),
        subgroupShuffle(own, 2u),
        subgroupShuffle(own, 3u),
    );
    if COLUMNS > 1u {
        blocks.second = Block(
            subgroupShuffle(own, 4u),
            subgroupShuffle(own, 5u),
            subgroupShuffle(own, 6u),
            subgroupShuffle(own, 7u),
        );
    }
    return blocks;
}
