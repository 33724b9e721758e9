// Register blocks of 4 by 4: for sizes that are multiples of 4.
alias Block = mat4x4<f32>;

// Four rows of the right factor that lie `pitch` apart.
fn block_at(i: i32, pitch: i32) -> Block {
    return Block(load(b[i]), load(b[i + pitch]), load(b[i + 2 * pitch]), load(b[i + 3 * pitch]));
}

fn lane(lanes: Lanes, i: i32) -> f32 {
    return lanes[i];
}
