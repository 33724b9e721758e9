// Whether a number is finite, and whether it is one. By its bits: compilers may take it for granted
// that all numbers are finite, and what a device's functions make of others is left to it.

fn is_finite(bits: u32) -> bool {
    return (bits & 0x7f800000u) != 0x7f800000u;
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}
