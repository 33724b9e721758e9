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
    };

    /// What suits the context's adapter, with what its device offers.
    pub fn of(context: &Context) -> Self {
        if !context.is_software() {
            return Self::GPU;
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
