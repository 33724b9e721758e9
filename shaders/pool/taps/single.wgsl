// A word for the tap of every channel.
alias Taps = u32;

fn pack(tap: Taps) -> u32 {
    return tap;
}

fn unpack(word: u32) -> Taps {
    return word;
}
