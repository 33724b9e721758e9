// Values of examples as 8 bits each, four a word, the first in the lowest bits.

// The word that holds value `place`.
fn word_of(place: u32) -> u32 {
    return place / 4u;
}

// Value `place` of its word, in [0, 1].
fn value_of(word: u32, place: u32) -> f32 {
    return f32((word >> (8u * (place % 4u))) & 255u) / 255.0;
}
