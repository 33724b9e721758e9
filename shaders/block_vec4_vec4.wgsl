// Register blocks of 4 input by 4 output channels.
alias In = vec4<f32>;
alias Out = vec4<f32>;
alias Block = mat4x4<f32>;

const IN_LANES: i32 = 4;

fn weight_block(k: i32) -> Block {
    return Block(w[k], w[k + OUT_BLOCKS], w[k + 2 * OUT_BLOCKS], w[k + 3 * OUT_BLOCKS]);
}

fn tangent_block(k: i32) -> Block {
    return Block(v[k], v[k + OUT_BLOCKS], v[k + 2 * OUT_BLOCKS], v[k + 3 * OUT_BLOCKS]);
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
