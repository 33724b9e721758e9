// Shape of a normalisation of [n, POSITIONS, CHANNELS].

override POSITIONS: u32;
override CHANNELS: u32;
// Positions of a chunk, and chunks of an example.
override CHUNK: u32;
override CHUNKS: u32;
// Whether each example has statistics of its own (GroupNorm), one for every GROUP channels.
override PER_EXAMPLE: bool;
override GROUP: u32 = 1u;
override HAS_SCALE: bool = true;
// Numbers that a channel of a chunk has among the parts.
override QUANTITIES: u32 = 2u;

// The first member has a name that nothing else has: tests/kernels/portability/metal.rs says why.
struct Invocation {
    @builtin(local_invocation_index) local_index: u32,
}
