// Register blocks of 1 by 1: for any size.
alias Block = Lanes;

fn block_at(i: i32, pitch: i32) -> Block {
    return b[i];
}

fn lane(lanes: Lanes, i: i32) -> f32 {
    return lanes;
}
