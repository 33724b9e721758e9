// Values of examples as one float a word.

// The word that holds value `place`.
fn word_of(place: u32) -> u32 {
    return place;
}

// Value `place`, which is all of its word.
fn value_of(word: u32, place: u32) -> f32 {
    return bitcast<f32>(word);
}
