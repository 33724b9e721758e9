//! How parameters follow their gradient.

/// How parameters θ follow the gradient g of the weighted loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// v ← μ·v + g + λ·θ; θ ← θ − η·v, as PyTorch's `SGD`.
    Sgd {
        /// μ; a plan's iteration takes it from its [`Step`](super::Step).
        momentum: f32,
        /// θ ← θ − η·(g + λ·θ + μ·v) instead.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019, algorithm 2), as
    /// PyTorch's `AdamW`: θ decays by η·λ·θ.
    AdamW {
        /// β₁, share of the old first moment.
        beta1: f32,
        /// β₂, share of the old second moment.
        beta2: f32,
        /// ε, added to the root of the second moment.
        epsilon: f32,
    },
}

impl Optimizer {
    /// AdamW with PyTorch's defaults: β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸.
    pub const ADAMW: Self = Self::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    /// Gradient descent without momentum.
    pub const PLAIN: Self = Self::Sgd { momentum: 0.0, nesterov: false };
}
