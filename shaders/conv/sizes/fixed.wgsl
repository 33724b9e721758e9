// Sizes of a convolution that its pipeline is compiled for.
override IMAGES: i32;
override HEIGHT: i32;
override WIDTH: i32;
override IN_BLOCKS: i32;
override OUT_BLOCKS: i32;
override OUT_HEIGHT: i32;
override OUT_WIDTH: i32;

// For what has them in a binding.
fn read_sizes() {}

// First binding behind those of the factors, the result and the sizes.
const NEXT_BINDING: u32 = 3u;
