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

const S: i32 = i32(STRIDE);
