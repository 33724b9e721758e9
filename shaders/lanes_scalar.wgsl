// Channels one by one.
alias Lanes = f32;
const LANES: u32 = 1u;
