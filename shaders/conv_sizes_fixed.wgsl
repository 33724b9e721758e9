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

// Binding of what the similarity gives.
const DOTS: u32 = 3u;
