//! Attention over neighbours, GATv2 with one head.

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{
    Device, Tensor,
    activation::{leaky_relu, softmax},
};

use super::graph_conv::LinearForm;
use super::propagation::diagonal_of;
use crate::ops::matmul::matmul;

/// `out_i = Σ_j α_ij W_l h_j`, `α_i = softmax_j(attᵀ leaky_relu_0.2(W_l h_j + W_r h_i [+ w_e e_ij]))`
/// over the edges j → i that exist, self loops included.
///
/// A self loop's weight e_ii is the mean weight of the other edges into i. Names and conventions
/// as in PyTorch Geometric's `GATv2Conv` (`lin_l` acts on the source); formula of Brody et al.
/// (arXiv:2105.14491).
#[derive(Module, Debug)]
pub struct GatV2Conv {
    /// Attention vector, (1, 1, c).
    pub att: Param<Tensor<3>>,
    /// Source transform W_l.
    pub lin_l: Linear,
    /// Target transform W_r.
    pub lin_r: Linear,
    /// Edge weight transform w_e, if edge weights take part.
    pub lin_edge: Option<Linear>,
}

impl GatV2Conv {
    /// Glorot-uniform attention and target transform around the given source transform.
    pub fn new(channels: usize, lin_l: Linear, edge_weights: bool, device: &Device) -> Self {
        let glorot = || Initializer::XavierUniform { gain: 1.0 };
        let linear = |d_input: usize| {
            LinearConfig::new(d_input, channels)
                .with_bias(false)
                .with_initializer(glorot())
                .init(device)
        };
        Self {
            att: glorot().init_with([1, 1, channels], Some(channels), Some(1), device),
            lin_l,
            lin_r: linear(channels),
            lin_edge: edge_weights.then(|| linear(1)),
        }
    }

    /// x: (b, g, v, c) with any group axis g; a: (b or 1, g or 1, v, w), whose non-zero entries
    /// are the edges. `bounded` scales the columns of W_l as [`LinearForm::bounded`] does.
    pub fn forward(&self, x: Tensor<4>, a: Tensor<4>, bounded: bool) -> Tensor<4> {
        let [b, g, v, c_in] = x.dims();
        let c = self.att.dims()[2];
        let apply = |w: Tensor<2>| {
            let x = x.clone().reshape([b * g * v, c_in]);
            matmul(x, w).reshape([b, g, v, c])
        };
        let mut w_l = LinearForm {
            root: None,
            rel: self.lin_l.weight.val(),
        };
        if bounded {
            w_l = w_l.bounded();
        }
        let source = apply(w_l.rel);
        let target = apply(self.lin_r.weight.val());
        let mut joint = source.clone().unsqueeze_dim::<5>(2) + target.unsqueeze_dim::<5>(3);
        let diagonal = diagonal_of(&a);
        if let Some(lin_edge) = &self.lin_edge {
            let others = a.clone().mask_fill(diagonal.clone(), 0.0);
            let count = others.clone().not_equal_elem(0.0).float().sum_dim(3);
            let mean = others.clone().sum_dim(3) / count.clamp_min(1.0);
            let weights = others.clone()
                + mean
                    .expand(others.dims())
                    .mask_fill(diagonal.clone().bool_not(), 0.0);
            let w_e = lin_edge.weight.val().reshape([1, 1, 1, 1, c]);
            joint = joint + weights.unsqueeze_dim::<5>(4) * w_e;
        }
        let att = self.att.val().reshape([1, 1, 1, 1, c]);
        let score = (leaky_relu(joint, 0.2) * att)
            .sum_dim(4)
            .squeeze_dim::<4>(4);
        let absent = a
            .equal_elem(0.0)
            .bool_and(diagonal.bool_not())
            .expand([b, g, v, v]);
        let alpha = softmax(score.mask_fill(absent, f32::NEG_INFINITY), 3);
        matmul(alpha, source)
    }
}
