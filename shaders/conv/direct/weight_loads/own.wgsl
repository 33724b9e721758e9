// Every invocation of a convolution loads what it needs itself.
const SHARED: bool = false;

// Whether a kernel row is left out that gives nothing to this invocation.
fn all_leave_out(outside: bool) -> bool {
    return outside;
}

// The tile of an invocation: blocks of channels vary fastest, so that neighbours share inputs.
fn place(i: i32, blocks: i32, columns: u32, height: i32, width: i32) -> Place {
    let tiles = (width + i32(TILE) - 1) / i32(TILE);
    let groups = blocks / i32(columns);
    let tile = i / groups;
    let block = i % groups * i32(columns);
    let image = tile / (tiles * height);
    return Place(image, tile / tiles % height, tile % tiles * i32(TILE), block, image < IMAGES);
}

// Takes the pixels of a span beyond the tile's own from the neighbouring tiles' invocations.
fn take_halo(first: i32, width: i32, span: ptr<function, array<In, SPAN>>) {}

fn take_out_halo(first: i32, width: i32, span: ptr<function, array<Out, SPAN>>) {}

fn weight_blocks(k: i32, second: i32) -> Blocks {
    var blocks: Blocks;
    blocks.first = weight_block(k);
    if COLUMNS > 1u { blocks.second = weight_block(k + second); }
    return blocks;
}
