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

fn add_outer_product(sum: Block, d: Out, a: In) -> Block {
    return sum + d * a;
}

fn store(at: i32, block: Block) {
    sums[at] = block;
}
