// The invocations of a subgroup compute the same channels of SUBGROUP tiles: each loads a part of the weights and hands
// it to the others. All of them have to stay until the end for that.
const SHARED: bool = true;

// Vec4s of the weights of a tap, and taps whose weights a subgroup loads at once.
const TAP: u32 = 4u * COLUMNS;
const TAPS_AT_ONCE: u32 = SUBGROUP / TAP;

fn all_leave_out(outside: bool) -> bool {
    return subgroupAll(outside);
}

// The tile of an invocation. All tiles of a subgroup lie in the same row, so that kernel rows lie outside for all of
// them at once: the tiles of a row and then images vary fastest where neighbours hand on pixels; elsewhere images,
// whose tiles meet the borders all at once.
fn place(i: i32, blocks: i32, columns: u32, height: i32, width: i32) -> Place {
    let tiles = (width + i32(TILE) - 1) / i32(TILE);
    let groups = blocks / i32(columns);
    let subgroup = i / i32(SUBGROUP);
    let block = subgroup % groups * i32(columns);
    let wanted = subgroup / groups * i32(SUBGROUP) + lane;
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

// What the invocation `distance` further holds in the place of `own`; zero beyond the image's border.
fn of_neighbour(own: vec4<f32>, distance: i32, exists: bool) -> vec4<f32> {
    let source = u32(lane + i32(SUBGROUP) + distance) % SUBGROUP;
    let held = subgroupShuffle(own, source);
    return select(vec4<f32>(), held, exists);
}

fn take_halo(first: i32, width: i32, span: ptr<function, InSpan>) {
    if !HALO { return; }
    for (var i = 0; i < i32(SPAN); i++) {
        if i < SAFE_FROM { (*span)[i] = of_neighbour((*span)[i + i32(TILE)], -1, first > 0); }
        if i >= SAFE_TO { (*span)[i] = of_neighbour((*span)[i - i32(TILE)], 1, first + i32(TILE) < width); }
    }
}

fn take_out_halo(first: i32, width: i32, span: ptr<function, OutSpan>) {
    if !HALO { return; }
    for (var i = 0; i < i32(SPAN); i++) {
        if i < SAFE_FROM { (*span)[i] = of_neighbour((*span)[i + i32(TILE)], -1, first > 0); }
        if i >= SAFE_TO { (*span)[i] = of_neighbour((*span)[i - i32(TILE)], 1, first + i32(TILE) < width); }
    }
}

fn weight_blocks(row: i32, kx: i32, second: i32, own: ptr<function, Out>) -> Blocks {
    let at_once = i32(TAPS_AT_ONCE);
    if kx % at_once == 0 {
        let tap = min(kx + lane / i32(TAP), i32(KERNEL_W) - 1);
        var at = row + tap * tap_len() + lane % 4 * OUT_BLOCKS;
        if COLUMNS > 1u { at += lane / 4 % 2 * second; }
        *own = load_out(w[at]);
    }
    let source = u32(kx % at_once) * TAP;
    var blocks: Blocks;
    blocks.first = Block(
        subgroupShuffle(*own, source),
        subgroupShuffle(*own, source + 1u),
        subgroupShuffle(*own, source + 2u),
        subgroupShuffle(*own, source + 3u),
    );
    if COLUMNS > 1u {
        blocks.second = Block(
            subgroupShuffle(*own, source + 4u),
            subgroupShuffle(*own, source + 5u),
            subgroupShuffle(*own, source + 6u),
            subgroupShuffle(*own, source + 7u),
        );
    }
    return blocks;
}
