//! The cooperative matrices that an adapter offers.

use serde::{Deserialize, Serialize};

use super::Precision;

/// Cooperative matrices, which the invocations of a subgroup hold together and multiply at once,
/// for the products of staged kernels ([`Staging::matrices`](super::Staging)). Sums have 32 bits.
///
/// wgpu calls them experimental: a device has them only where whoever makes it agrees, in `unsafe`
/// code, that wgpu's side of them may still have undefined behaviour. This crate does not agree for
/// its callers; an application that does hands over its own device.
///
/// ```no_run
/// # async fn open(
/// #     adapter: wgpu::Adapter,
/// # ) -> Result<l2rw::gpu::Context, wgpu::RequestDeviceError> {
/// use l2rw::gpu::{Context, Matrices, ShaderChecks};
///
/// let matrices = Matrices::of(&adapter);
/// let mut descriptor = Context::device_descriptor(&adapter);
/// if matrices.is_some() {
///     descriptor.required_features |= Matrices::FEATURES;
///     descriptor.required_limits.max_compute_workgroup_storage_size = Matrices::WORKGROUP_MEMORY;
///     // SAFETY: the application accepts that wgpu's cooperative matrices are work in progress.
///     descriptor.experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
/// }
/// let (device, queue) = adapter.request_device(&descriptor).await?;
/// let info = adapter.get_info();
/// let context = Context::from_device(device, queue, info, ShaderChecks::default());
/// let mut tuning = context.tuning();
/// if let Some(staging) = &mut tuning.staging {
///     staging.matrices = matrices;
/// }
/// Ok(context.with_tuning(tuning))
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrices {
    subgroup_size: u32,
    full: bool,
    half: Option<u32>,
}

/// Invocations of a workgroup, and rows and columns of the results that its subgroups share.
const WORKGROUP: u32 = 256;
const PART: u32 = 64;

impl Matrices {
    /// What a device has to have been made with.
    pub const FEATURES: wgpu::Features =
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SUBGROUP);
    /// The same of memory of a workgroup, in bytes.
    pub const WORKGROUP_MEMORY: u32 = 32 << 10;

    /// Those of an adapter, if it has any that suit: 8 × 8 with 32-bit factors, 8 × 8 or 16 × 16
    /// with 16-bit ones, and subgroups of one size that is known beforehand.
    pub fn of(adapter: &wgpu::Adapter) -> Option<Self> {
        let memory = adapter.limits().max_compute_workgroup_storage_size;
        if !adapter.features().contains(Self::FEATURES) || memory < Self::WORKGROUP_MEMORY {
            return None;
        }
        let info = adapter.get_info();
        let subgroup_size = match (info.backend, info.subgroup_min_size, info.subgroup_max_size) {
            // wgpu knows no sizes here; all GPUs of Apple's have this one.
            (wgpu::Backend::Metal, ..) if info.name.starts_with("Apple") => 32,
            (_, least, most) if least == most => least,
            _ => return None,
        };
        let offered = adapter.cooperative_matrix_properties();
        let has = |side: u32, factors: wgpu::CooperativeScalarType| {
            offered.iter().any(|m| {
                [m.m_size, m.n_size, m.k_size] == [side; 3]
                    && m.ab_type == factors
                    && m.cr_type == wgpu::CooperativeScalarType::F32
                    && !m.saturating_accumulation
            })
        };
        let has_f16 = adapter.features().contains(wgpu::Features::SHADER_F16);
        let has_half = |side: &u32| {
            has_f16
                && has(*side, wgpu::CooperativeScalarType::F16)
                && subgroups(subgroup_size, *side).is_some()
        };
        let full = has(8, wgpu::CooperativeScalarType::F32);
        Self::new(subgroup_size, full, [16, 8].into_iter().find(has_half))
    }

    /// Matrices that subgroups of so many invocations hold, 8 × 8 with 32-bit factors if `full`,
    /// with 16-bit factors of the side `half`, 8 or 16. `None` where no workgroup of 256 can divide
    /// 64 × 64 results among its subgroups, or there are none.
    pub fn new(subgroup_size: u32, full: bool, half: Option<u32>) -> Option<Self> {
        let matrices = Self { subgroup_size, full, half };
        matrices.is_valid().then_some(matrices)
    }

    fn is_valid(&self) -> bool {
        let sides = self.full.then_some(8).into_iter().chain(self.half);
        (self.full || self.half.is_some())
            && sides.into_iter().all(|side| subgroups(self.subgroup_size, side).is_some())
    }

    /// Whether a device was made with what they need. What its adapter offers is not known to it.
    pub(super) fn is_offered(&self, device: &wgpu::Device) -> bool {
        let memory = device.limits().max_compute_workgroup_storage_size;
        self.is_valid()
            && device.features().contains(Self::FEATURES)
            && (self.half.is_none() || device.features().contains(wgpu::Features::SHADER_F16))
            && memory >= Self::WORKGROUP_MEMORY
    }

    /// Side of the matrices of such factors, and how many subgroups divide the rows and columns of
    /// 64 × 64 results among them.
    pub(crate) fn side_and_subgroups(&self, precision: Precision) -> Option<(u32, [u32; 2])> {
        let side = match precision {
            Precision::F32 => self.full.then_some(8),
            Precision::F16 => self.half,
        }?;
        Some((side, subgroups(self.subgroup_size, side)?))
    }
}

fn subgroups(size: u32, side: u32) -> Option<[u32; 2]> {
    let grid = match WORKGROUP.checked_div(size)? {
        4 => [2, 2],
        8 => [4, 2],
        16 => [4, 4],
        32 => [8, 4],
        _ => return None,
    };
    let is_whole = matches!(side, 8 | 16) && grid.iter().all(|&n| n * side <= PART);
    (is_whole && size.is_power_of_two()).then_some(grid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subgroups_divide_the_results_or_there_are_no_matrices() {
        let grid = |size, side| {
            let (found, grid) =
                Matrices::new(size, false, Some(side))?.side_and_subgroups(Precision::F16)?;
            assert_eq!((found, grid[0] * grid[1] * size), (side, 256));
            Some(grid)
        };
        assert_eq!(grid(32, 8), Some([4, 2]));
        assert_eq!(grid(64, 16), Some([2, 2]));
        // More subgroups than there are matrices of 16 × 16 in a column.
        assert_eq!(grid(8, 16), None);
        for (size, side) in [(0, 8), (128, 8), (48, 8), (4, 8), (32, 4), (32, 0)] {
            assert_eq!(grid(size, side), None, "{side} in subgroups of {size}");
        }
        assert_eq!(Matrices::new(32, false, None), None);
        let full = Matrices::new(32, true, None).unwrap();
        assert_eq!(full.side_and_subgroups(Precision::F32), Some((8, [4, 2])));
        assert_eq!(full.side_and_subgroups(Precision::F16), None);
    }
}
