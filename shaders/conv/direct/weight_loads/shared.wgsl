// The 8 invocations of a subgroup compute the same channels of 8 tiles: each loads an eighth of the
// weights and hands it to the others, and the pixels beyond its tile come from its neighbours. All
// of them have to stay until the end.
const SHARED: bool = true;

fn all_leave_out(outside: bool) -> bool {
    return subgroupAll(outside);
}

// The tile of an invocation. Tiles of a subgroup lie in the same rows of several images, so that
// kernel rows lie outside for all of them at once. Where neighbours hand on pixels, the tiles of a
// row vary fastest; elsewhere images, so that pixels lie outside for all as well.
fn place(i: i32, blocks: i32, columns: u32, height: i32, width: i32) -> Place {
    let tiles = (width + i32(TILE) - 1) / i32(TILE);
    let groups = blocks / i32(columns);
    let block = subgroup % groups * i32(columns);
    let wanted = subgroup / groups * SUBGROUP + lane;
    let count = tiles * height * IMAGES;
    let at = min(wanted, count - 1);
    if HALO {
        let row = at / tiles;
        return Place(row % IMAGES, row / IMAGES, at % tiles * i32(TILE), block, wanted < count);
    }
    let position = at / IMAGES;
    let row = position / tiles;
    return Place(at % IMAGES, row, position % tiles * i32(TILE), block, wanted < count);
}

// What the invocation `distance` further holds in the place of `own`; zero beyond the border.
fn of_neighbour(own: vec4<f32>, distance: i32, exists: bool) -> vec4<f32> {
    let source = u32(lane + SUBGROUP + distance) % u32(SUBGROUP);
    let held = subgroupShuffle(own, source);
    return select(Lanes(), held, exists);
}

fn take_halo(first: i32, width: i32, span: ptr<function, array<In, SPAN>>) {
    if !HALO { return; }
    for (var i = 0; i < i32(SPAN); i++) {
        if i < SAFE_FROM { (*span)[i] = of_neighbour((*span)[i + i32(TILE)], -1, first > 0); }
        if i >= SAFE_TO {
            (*span)[i] = of_neighbour((*span)[i - i32(TILE)], 1, first + i32(TILE) < width);
        }
    }
}

// The same of output gradients; naga takes aliases of one type for two.
fn take_out_halo(first: i32, width: i32, span: ptr<function, array<Out, SPAN>>) {
    if !HALO { return; }
    for (var i = 0; i < i32(SPAN); i++) {
        if i < SAFE_FROM { (*span)[i] = of_neighbour((*span)[i + i32(TILE)], -1, first > 0); }
        if i >= SAFE_TO {
            (*span)[i] = of_neighbour((*span)[i - i32(TILE)], 1, first + i32(TILE) < width);
        }
    }
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
