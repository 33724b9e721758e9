// Register blocks of 1 input by 4 output channels.
alias In = f32;
alias Out = vec4<f32>;
alias Block = vec4<f32>;

const IN_LANES: i32 = 1;

fn weight_block(k: i32) -> Block {
    return w[k];
}

fn tangent_block(k: i32) -> Block {
    return v[k];
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
