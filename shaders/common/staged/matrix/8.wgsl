// Cooperative matrices of 8 × 8.
enable wgpu_cooperative_matrix;

const SIDE: u32 = 8u;

alias LeftMatrix = coop_mat8x8<Element, A>;
alias RightMatrix = coop_mat8x8<Element, B>;
alias SumMatrix = coop_mat8x8<f32, C>;
