// Geometry that all kernels of a convolution share; channels are counted in blocks. From the
// header: KERNEL_H, KERNEL_W, STRIDE.

override PAD_TOP: i32;
override PAD_LEFT: i32;

const S: i32 = i32(STRIDE);
