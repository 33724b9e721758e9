use super::Context;

/// How kernels are written where adapters differ. Results agree to rounding; which choice is
/// faster depends on the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// A convolution with its tangent is composed of three plain ones instead of one kernel that
    /// loads every input and weight once. Kernels wider than 3 are composed all the same.
    pub composed_dual: bool,
    /// Convolution weights of up to 64 KiB are read through uniform instead of storage bindings.
    pub uniform_weights: bool,
    /// Four floats are read and written as two 64-bit integers, which the device must offer
    /// (`SHADER_INT64`).
    pub wide_loads: bool,
    /// An invocation of a convolution computes two blocks of channels instead of one where their
    /// number is even.
    pub two_blocks: bool,
    /// Invocations over which long sums are split.
    pub split_invocations: usize,
    /// Positions of an image that one invocation of a reduction takes.
    pub chunk: usize,
    /// A workgroup, through its memory, rather than an invocation combines the parts of a
    /// reduction.
    pub trees: bool,
    /// Which convolutions and matrix products stage their factors through workgroup memory, if any.
    /// It takes 256 invocations and 16 KiB of memory a workgroup, WebGPU's default limits.
    pub staging: Option<Staging>,
}

/// From which sizes on kernels stage their factors through workgroup memory, and how. Sizes whose
/// rows in memory do not come by fours are never staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Staging {
    /// Least number of input and of output channels of a convolution.
    pub channels: usize,
    /// Least number of rows, of columns and of terms of a matrix product.
    pub product: usize,
    /// Workgroups compute 128 instead of 64 columns where the columns fill them.
    pub wide_tiles: bool,
    /// Workgroups over which long sums are split.
    pub split_workgroups: usize,
}

impl Tuning {
    /// What suits a GPU.
    pub const GPU: Self = Self {
        composed_dual: false,
        uniform_weights: false,
        wide_loads: false,
        two_blocks: false,
        split_invocations: 8192,
        chunk: 32,
        trees: true,
        staging: Some(Staging {
            channels: 64,
            product: 128,
            wide_tiles: false,
            split_workgroups: 512,
        }),
    };

    /// What suits an adapter that computes on the CPU: it loads element by element and invocation
    /// by invocation.
    pub const SOFTWARE: Self = Self {
        composed_dual: true,
        uniform_weights: true,
        wide_loads: true,
        two_blocks: true,
        split_invocations: 1024,
        chunk: 256,
        trees: false,
        staging: None,
    };

    /// What suits the context's adapter, with what its device offers.
    pub fn of(context: &Context) -> Self {
        if !context.is_software() {
            let limits = context.device.limits();
            let is_offered = limits.max_compute_invocations_per_workgroup >= 256
                && limits.max_compute_workgroup_size_x >= 256
                && limits.max_compute_workgroup_storage_size >= 16 << 10;
            return Self { staging: Self::GPU.staging.filter(|_| is_offered), ..Self::GPU };
        }
        let wide_loads = context.device.features().contains(wgpu::Features::SHADER_INT64);
        Self { wide_loads, ..Self::SOFTWARE }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self::GPU
    }
}
