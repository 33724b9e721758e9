// Register blocks of 1 input by 4 output channels.
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

fn weight_block(k: i32) -> Block {
    return load_out(w[k]);
}

fn tangent_block(k: i32) -> Block {
    return load_out(v[k]);
}

fn to_out(block: Block, a: In) -> Out {
    return block * a;
}

fn to_in(block: Block, g: Out) -> In {
    return dot(block, g);
}

fn sum_out(a: Out) -> f32 {
    return (a.x + a.y) + (a.z + a.w);
}
