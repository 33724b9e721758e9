// Sizes of a convolution in a uniform binding: one pipeline serves all sizes.
struct Sizes {
    images: i32,
    height: i32,
    width: i32,
    in_blocks: i32,
    out_blocks: i32,
    out_height: i32,
    out_width: i32,
}

// First binding behind those of the factors, the result and the sizes.
const NEXT_BINDING: u32 = 4u;

@group(0) @binding(3) var<uniform> sizes: Sizes;

var<private> IMAGES: i32;
var<private> HEIGHT: i32;
var<private> WIDTH: i32;
var<private> IN_BLOCKS: i32;
var<private> OUT_BLOCKS: i32;
var<private> OUT_HEIGHT: i32;
var<private> OUT_WIDTH: i32;

fn read_sizes() {
    IMAGES = sizes.images;
    HEIGHT = sizes.height;
    WIDTH = sizes.width;
    IN_BLOCKS = sizes.in_blocks;
    OUT_BLOCKS = sizes.out_blocks;
    OUT_HEIGHT = sizes.out_height;
    OUT_WIDTH = sizes.out_width;
}
