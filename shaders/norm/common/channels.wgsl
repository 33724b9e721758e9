// What both steps of a normalisation over blocks of channels share: where statistics and affine
// parameters lie. Statistics are stored for every channel, [1 or n, 2, CHANNELS], groups or not, so
// that BatchNorm and GroupNorm are treated alike.

override RELU: bool = false;

override BLOCKS: u32 = CHANNELS / LANES;

// Where the first of the two statistics of a block lies; the second is BLOCKS further.
fn statistic_of(example: u32, block: u32) -> u32 {
    return select(0u, example * 2u * BLOCKS, PER_EXAMPLE) + block;
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
// Means, then reciprocal standard deviations.
@group(0) @binding(1) var<storage, read> moments: array<Stored>;
// CHANNELS scales, if there are any, then CHANNELS shifts.
@group(0) @binding(2) var<storage, read> affine: array<Stored>;
@group(0) @binding(2) var<storage, read> x_tangent: array<Stored>;
@group(0) @binding(3) var<storage, read> gradient: array<Stored>;

fn scale_of(block: u32) -> Lanes {
    if HAS_SCALE {
        return load(affine[block]);
    }
    return Lanes(1.0);
}

fn shift_of(block: u32) -> Lanes {
    if HAS_SCALE {
        return load(affine[BLOCKS + block]);
    }
    return load(affine[block]);
}

// `value` where the ReLU behind lets an element through; decided as the forward pass does.
fn through_relu(value: Lanes, normalised: Lanes, scale: Lanes, shift: Lanes) -> Lanes {
    if RELU {
        return through_rectifier(scale * normalised + shift, value);
    }
    return value;
}
