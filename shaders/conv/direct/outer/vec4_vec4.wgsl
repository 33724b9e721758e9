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

// Σ over four pixels of the outer product of output gradient and input.
fn outer_products(d0: Out, d1: Out, d2: Out, d3: Out, a0: In, a1: In, a2: In, a3: In) -> Block {
    return Block(d0, d1, d2, d3) * transpose(mat4x4<f32>(a0, a1, a2, a3));
}

fn store(at: i32, block: Block) {
    sums[at] = block[0];
    sums[at + OUT_BLOCKS] = block[1];
    sums[at + 2 * OUT_BLOCKS] = block[2];
    sums[at + 3 * OUT_BLOCKS] = block[3];
}
