//! The graph selective scan: a selective state space whose state is mixed over a graph at every
//! step.
//!
//! With `b` batch, `v`/`w` vertices, `l` time, `d` channels, `n` state:
//!
//! ```text
//! h_t = exp(Δ_t A) ⊙ gconv_A(h_{t-1}; P_t) + (Δ_t u_t) B_t        h: (b, v, d, n)
//! y_t = Σ_n gconv_C(h_t; P_t)[.., n] C_t[.., n] + D u_t            y: (b, v, d)
//! gconv(H) = H W_root + (P H) W_rel                               W: (n, n), P: (v, w)
//! ```
//!
//! The output convolution is folded into C before the scan: with `C1 = C W_rootᵀ` and
//! `C2 = C W_relᵀ` (both of gconv_C), `y_t = Σ_n h_t C1_t + Σ_n (P_t h_t) C2_t + D u_t`, which
//! costs 2n instead of n² per element; when P is constant the product `P h_t` also serves step
//! t + 1.
//!
//! Source: selective scan of Gu & Dao, "Mamba" (arXiv:2312.00752), §3.2; graph mixing of TGMamba.

pub mod reference;

use burn::tensor::Tensor;

/// Signals and parameters of a selective scan.
#[derive(Debug, Clone)]
pub struct ScanInput {
    /// Input u, (b, v, l, d).
    pub u: Tensor<4>,
    /// Step size Δ > 0, (b, v, l, d).
    pub delta: Tensor<4>,
    /// State matrix A < 0, (d, n), diagonal for each channel.
    pub a: Tensor<2>,
    /// Input projection B, (b, v, l, n).
    pub b: Tensor<4>,
    /// Output projection C, (b, v, l, n).
    pub c: Tensor<4>,
    /// Skip D, (d).
    pub d: Option<Tensor<1>>,
    /// State before the first step, (b, v, d, n); zero if absent.
    pub initial_state: Option<Tensor<4>>,
}

/// The graph and the two linear graph convolutions that act on the state.
#[derive(Debug, Clone)]
pub struct GraphMixing {
    /// Propagation matrix P, (b or 1, l or 1, v, w); entry [target, source].
    pub p: Tensor<4>,
    /// W_root of gconv_A, (n, n), rows are inputs; absent means zero.
    pub a_root: Option<Tensor<2>>,
    /// W_rel of gconv_A, (n, n).
    pub a_rel: Tensor<2>,
    /// W_root of gconv_C, (n, n); absent means zero.
    pub c_root: Option<Tensor<2>>,
    /// W_rel of gconv_C, (n, n).
    pub c_rel: Tensor<2>,
}

/// Result of a scan.
#[derive(Debug, Clone)]
pub struct ScanOutput {
    /// Output y, (b, v, l, d).
    pub y: Tensor<4>,
    /// State after the last step, (b, v, d, n).
    pub state: Tensor<4>,
}

/// Runs the graph selective scan; without `mixing` it is the plain selective scan.
///
/// Differentiable in every tensor of `input` and `mixing`. Runs on every device.
///
/// # Panics
/// If the shapes do not fit together as documented on the fields, or `l` is zero.
pub fn graph_scan(input: ScanInput, mixing: Option<GraphMixing>) -> ScanOutput {
    reference::graph_scan(input, mixing)
}
