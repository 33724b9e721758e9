// Channels one by one.
alias Lanes = f32;
alias Bits = i32;
alias Stored = Lanes;
const LANES: u32 = 1u;

fn load(a: Stored) -> Lanes {
    return a;
}

fn stored(a: Lanes) -> Stored {
    return a;
}
