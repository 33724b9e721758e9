// Register blocks of 1 input by 1 output channel, added up over pixels.
alias In = Lanes;
alias Out = Lanes;
alias Block = Lanes;
alias StoredIn = Stored;
alias StoredOut = Stored;

const IN_LANES: i32 = 1;

fn load_in(a: StoredIn) -> In {
    return a;
}

fn load_out(a: StoredOut) -> Out {
    return a;
}

// Σ over four pixels of output gradient times input.
fn outer_products(d0: Out, d1: Out, d2: Out, d3: Out, a0: In, a1: In, a2: In, a3: In) -> Block {
    return (d0 * a0 + d1 * a1) + (d2 * a2 + d3 * a3);
}

fn store(at: i32, block: Block) {
    sums[at] = block;
}
