//! Twin of `shaders/not_finite.wgsl`.

use crate::ops::not_finite::{Quantity, SLOTS, STEP_SLOT};

/// What is not finite in each vector, added to `found` `[SLOTS]`.
pub fn look(step: u32, vectors: &[(Quantity, &[f32])], found: &mut [u32; SLOTS]) {
    for (quantity, vector) in vectors {
        if let Some(place) = vector.iter().position(|value| !value.is_finite()) {
            let slot = *quantity as usize;
            found[slot] = found[slot].max(u32::MAX - place as u32);
            found[STEP_SLOT] = found[STEP_SLOT].max(u32::MAX - step);
        }
    }
}

/// Twin of `shaders/unusable.wgsl`.
pub fn leave_out(images: &mut [f32], labels: &mut [u32], classes: u32) {
    let image = images.len() / labels.len();
    for (pixels, label) in images.chunks_mut(image).zip(labels) {
        if pixels.iter().any(|value| !value.is_finite()) {
            pixels.fill(0.0);
            *label = classes;
        }
    }
}
