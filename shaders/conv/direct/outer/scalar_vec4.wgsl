// Register blocks of 1 input by 4 output channels, added up over pixels.
alias In = f32;
alias Out = Lanes;
alias Block = Out;
alias StoredIn = In;
alias StoredOut = Stored;

const IN_LANES: i32 = 1;

fn load_in(a: StoredIn) -> In {
    return a;
}

fn load_out(a: StoredOut) -> Out {
    return load(a);
}

fn add_outer_product(sum: Block, d: Out, a: In) -> Block {
    return sum + d * a;
}

fn store(at: i32, block: Block) {
    sums[at] = block;
}
