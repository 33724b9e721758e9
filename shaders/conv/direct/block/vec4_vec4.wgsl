// Register blocks of 4 input by 4 output channels.
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

fn weight_block(k: i32) -> Block {
    return Block(
        load_out(w[k]),
        load_out(w[k + OUT_BLOCKS]),
        load_out(w[k + 2 * OUT_BLOCKS]),
        load_out(w[k + 3 * OUT_BLOCKS]),
    );
}

fn tangent_block(k: i32) -> Block {
    return Block(
        load_out(v[k]),
        load_out(v[k + OUT_BLOCKS]),
        load_out(v[k + 2 * OUT_BLOCKS]),
        load_out(v[k + 3 * OUT_BLOCKS]),
    );
}

fn to_out(block: Block, a: In) -> Out {
    return block * a;
}

fn to_in(block: Block, g: Out) -> In {
    return g * block;
}

fn sum_out(a: Out) -> f32 {
    return (a.x + a.y) + (a.z + a.w);
}
