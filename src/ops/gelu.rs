//! The Gaussian error linear unit, and its derivative times what passes it.

use super::parts::{Lanes, wgsl};
use super::per_element;
use crate::gpu::{Binding, Recorder, TensorId};

/// `y = x · Φ(x)`, Φ the distribution function of the standard normal distribution (Hendrycks and
/// Gimpel, 2016): PyTorch's `GELU()` without an approximation. Φ is off by at most 1.2e-7 of
/// itself, besides the device's rounding of `exp`.
pub fn forward(rec: &mut Recorder, x: TensorId) -> TensorId {
    let len = rec.len(x);
    let y = rec.transient("gelu", len);
    let bindings = vec![rec.read(x), rec.write(y)];
    record(rec, "forward", bindings, len);
    y
}

/// `value · (Φ(x) + x · Φ'(x))`, for the input `x` of [`forward`]: its tangent and its gradient.
pub fn times_derivative(rec: &mut Recorder, x: TensorId, value: TensorId) -> TensorId {
    let len = rec.len(value);
    let product = rec.transient("gelu derivative", len);
    let bindings = vec![rec.read(x), rec.read(value), rec.write(product)];
    record(rec, "times_derivative", bindings, len);
    product
}

fn record(rec: &mut Recorder, entry: &'static str, bindings: Vec<Binding>, len: usize) {
    let lanes = Lanes::of(&[len], rec.tuning());
    // The fit has ten terms, and divisions and exponentials count as one each.
    let operations = 30 * len as u64;
    let kernel = lanes.kernel("gelu", wgsl!("gelu"), entry);
    rec.dispatch(kernel, bindings, per_element(len / lanes.count()), operations);
}
