// How an invocation of a convolution kernel meets the borders of the image.

// Elements SAFE_FROM .. SAFE_TO of what an invocation loads at once always lie in the image.
override SAFE_FROM: i32;
override SAFE_TO: i32;
// Whether rows divide exactly into the pixels that an invocation takes at once.
override EXACT: bool;
// Whether neighbouring invocations load the elements of a span that lie outside for some tiles.
override HALO: bool = false;
