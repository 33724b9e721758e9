// Channels by fours, which lie in storage as two 64-bit integers: software adapters load element by
// element and invocation by invocation.
alias Lanes = vec4<f32>;
alias Bits = vec4<i32>;
alias Stored = vec2<u64>;
const LANES: u32 = 4u;

fn load(a: Stored) -> Lanes {
    let low = vec2<u32>(a);
    let high = vec2<u32>(a >> vec2<u32>(32u));
    return bitcast<Lanes>(vec4<u32>(low.x, high.x, low.y, high.y));
}

fn stored(a: Lanes) -> Stored {
    let bits = bitcast<vec4<u32>>(a);
    return Stored(bits.xz) | (Stored(bits.yw) << vec2<u32>(32u));
}
