//! Matrices with zeros behind their rows and columns, or without what lies there.

use super::WORKGROUP;
use super::parts::{GRID, wgsl};
use crate::gpu::{Kernel, Recorder, Shader, TensorId, fold_workgroups};

/// `shaders/pad.wgsl`
static SHADER: Shader = Shader::new("pad", &[GRID, wgsl!("pad")]);

/// `x` `[rows, columns]` of `from`, not 0, as one of `to`: with zeros behind rows and columns, or
/// without what lies there. `x` itself where nothing changes.
pub fn resize(rec: &mut Recorder, x: TensorId, from: [usize; 2], to: [usize; 2]) -> TensorId {
    if from == to {
        return x;
    }
    let resized = rec.transient("resized", to[0] * to[1]);
    let kernel = Kernel::new(&SHADER, "resize")
        .size("ROWS", from[0])
        .size("COLUMNS", from[1])
        .size("NEW_ROWS", to[0])
        .size("NEW_COLUMNS", to[1]);
    let bindings = vec![rec.read(x), rec.write(resized)];
    let [y, z, _] = fold_workgroups(to[0]);
    rec.dispatch(kernel, bindings, [to[1].div_ceil(WORKGROUP) as u32, y, z], 0);
    resized
}
