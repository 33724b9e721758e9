// How an invocation of a convolution kernel meets the borders of the image.

// Elements SAFE_FROM .. SAFE_TO of what an invocation loads at once lie in the image wherever it is.
override SAFE_FROM: i32;
override SAFE_TO: i32;
// Whether rows divide exactly into the pixels that an invocation takes at once.
override EXACT: bool;
// Whether the elements of a span that lie outside for some tiles are what neighbouring invocations load.
override HALO: bool = false;
