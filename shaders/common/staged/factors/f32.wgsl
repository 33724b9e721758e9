// Factors are staged as they are.
alias Element = f32;

const GRADIENT_SCALE: f32 = 1.0;
