// Factors are staged rounded to 11 binary digits.
enable f16;

alias Element = f16;

// Output gradients are staged times this power of two, which is exact: f16 has all its digits from
// 6e-5 to 65,504.
const GRADIENT_SCALE: f32 = 4096.0;
