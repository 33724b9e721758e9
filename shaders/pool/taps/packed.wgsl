// Taps of four channels, each below 256, in the bytes of a word.
alias Taps = vec4<u32>;

fn pack(taps: Taps) -> u32 {
    return taps.x | (taps.y << 8u) | (taps.z << 16u) | (taps.w << 24u);
}

fn unpack(word: u32) -> Taps {
    return (Taps(word) >> Taps(0u, 8u, 16u, 24u)) & Taps(255u);
}
