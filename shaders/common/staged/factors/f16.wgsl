// Factors are staged rounded to 11 binary digits.
enable f16;

alias Element = f16;

// Output gradients are staged as multiples of this, which is exact: f16 holds 6e-5 to 65,504 in full.
const GRADIENT_SCALE: f32 = 4096.0;
