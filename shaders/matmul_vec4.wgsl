// Register blocks of 4 by 4: for sizes that are multiples of 4.
alias Lanes = vec4<f32>;
alias Block = mat4x4<f32>;

const LANES: i32 = 4;

// Four rows of the right factor that lie `pitch` apart.
fn block_at(i: i32, pitch: i32) -> Block {
    return Block(b[i], b[i + pitch], b[i + 2 * pitch], b[i + 3 * pitch]);
}

fn lane(lanes: Lanes, i: i32) -> f32 {
    return lanes[i];
}
