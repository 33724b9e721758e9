// The rectifier max(x, 0), of which a NaN stays a NaN as in PyTorch. By its bits: max() may drop a
// NaN, and of a comparison a compiler that expects none may make max().

fn rectified(x: Lanes) -> Lanes {
    // As integers, what lies at or below −∞ are the numbers from −0 to −∞ and nothing else.
    return select(x, Lanes(), bitcast<Bits>(x) <= Bits(-0x800000));
}

// `value` where the rectifier lets through what stands behind `x`: its tangent and its gradient.
fn through_rectifier(x: Lanes, value: Lanes) -> Lanes {
    return select(value, Lanes(), x <= Lanes());
}
