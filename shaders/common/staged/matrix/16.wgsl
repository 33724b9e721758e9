// Cooperative matrices of 16 × 16.
enable wgpu_cooperative_matrix;

const SIDE: u32 = 16u;

alias LeftMatrix = coop_mat16x16<Element, A>;
alias RightMatrix = coop_mat16x16<Element, B>;
alias SumMatrix = coop_mat16x16<f32, C>;
