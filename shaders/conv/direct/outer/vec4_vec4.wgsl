// Register blocks of 4 input by 4 output channels, added up over pixels.
alias In = Lanes;
alias Out = Lanes;
alias Block = mat4x4<f32>;
alias StoredIn = Stored;
alias StoredOut = Stored;

const IN_LANES: i32 = 4;

fn load_in(a: StoredIn) -> In {
    return load(a);
}

fn load_out(a: StoredOut) -> Out {
    return load(a);
}

fn add_outer_product(sum: Block, d: Out, a: In) -> Block {
    return Block(sum[0] + d * a.x, sum[1] + d * a.y, sum[2] + d * a.z, sum[3] + d * a.w);
}

fn store(at: i32, block: Block) {
    sums[at] = block[0];
    sums[at + OUT_BLOCKS] = block[1];
    sums[at + 2 * OUT_BLOCKS] = block[2];
    sums[at + 3 * OUT_BLOCKS] = block[3];
}
