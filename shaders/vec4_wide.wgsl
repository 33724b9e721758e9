// Four floats as they lie in storage: as two 64-bit integers, since software adapters load element
// by element and invocation by invocation.
alias Stored4 = vec2<u64>;

fn load4(a: Stored4) -> vec4<f32> {
    let low = vec2<u32>(a);
    let high = vec2<u32>(a >> vec2<u32>(32u));
    return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}
