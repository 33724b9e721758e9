// Geometry that all kernels of a convolution share; channels are counted in blocks. From the header:
// KERNEL_H, KERNEL_W, STRIDE.

override IMAGES: i32;
override HEIGHT: i32;
override WIDTH: i32;
override IN_BLOCKS: i32;
override OUT_BLOCKS: i32;
override OUT_HEIGHT: i32;
override OUT_WIDTH: i32;
override PAD_TOP: i32;
override PAD_LEFT: i32;
// Elements SAFE_FROM .. SAFE_TO of what an invocation loads at once lie in the image wherever it is.
override SAFE_FROM: i32;
override SAFE_TO: i32;
// Whether rows divide exactly into the pixels that an invocation takes at once.
override EXACT: bool;

const S: i32 = i32(STRIDE);
