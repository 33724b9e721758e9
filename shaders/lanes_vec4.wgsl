// Channels by fours: for channel counts that are multiples of 4.
alias Lanes = vec4<f32>;
const LANES: u32 = 4u;
