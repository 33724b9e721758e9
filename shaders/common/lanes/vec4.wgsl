// Channels by fours: for channel counts that are multiples of 4.
alias Lanes = vec4<f32>;
alias Bits = vec4<i32>;
alias Stored = Lanes;
const LANES: u32 = 4u;

fn load(a: Stored) -> Lanes {
    return a;
}

fn stored(a: Lanes) -> Stored {
    return a;
}
