//! Propagation matrices from adjacency matrices, on tensors (differentiable).
//!
//! Matrices are (.., v, w) with entry [target, source]: the weight of the edge source → target.
//! Sources: Morris et al. (arXiv:1810.02244), Kipf & Welling (arXiv:1609.02907), Defferrard et
//! al. (arXiv:1606.09375), in the conventions of PyTorch Geometric.

use burn::tensor::{Bool, Tensor};
use tgmamba_graph::topology::CsrGraph;

use super::graph_conv::{ConvType, StateMixing};
use crate::error::{Error, Result};

/// `true` on the diagonal, (1, 1, v, v).
pub fn diagonal(like: &Tensor<4>) -> Tensor<4, Bool> {
    let v = like.dims()[3];
    Tensor::<2>::eye(v, &like.device())
        .greater_elem(0.5)
        .reshape([1, 1, v, v])
}

/// Diagonal mask of the full shape of `a`.
pub fn diagonal_of(a: &Tensor<4>) -> Tensor<4, Bool> {
    diagonal(a).expand(a.dims())
}

/// `x^-½` where x > 0, else 0; finite gradients everywhere.
fn inverse_sqrt(x: Tensor<4>) -> Tensor<4> {
    let empty = x.clone().lower_equal_elem(0.0);
    x.mask_fill(empty.clone(), 1.0)
        .powf_scalar(-0.5)
        .mask_fill(empty, 0.0)
}

/// `D̃^-½ Ã D̃^-½`: Ã has a self loop of weight 1 wherever there is none, D̃ its row sums.
pub fn gcn(a: Tensor<4>) -> Tensor<4> {
    let missing = a.clone().equal_elem(0.0).bool_and(diagonal_of(&a));
    let a = a.mask_fill(missing, 1.0);
    let d = inverse_sqrt(a.clone().sum_dim(3));
    a * d.clone() * d.swap_dims(2, 3)
}

/// `-D^-½ A D^-½` without self loops, D the column sums (out-degrees): the rescaled Laplacian of
/// a Chebyshev convolution for λmax = 2.
pub fn cheb(a: Tensor<4>) -> Tensor<4> {
    let diagonal = diagonal_of(&a);
    let a = a.mask_fill(diagonal, 0.0);
    let d = inverse_sqrt(a.clone().sum_dim(2));
    (a * d.clone() * d.swap_dims(2, 3)).neg()
}

/// Divides every row by its sum of absolute values; empty rows stay zero.
pub fn row_normalised(p: Tensor<4>) -> Tensor<4> {
    let sum = p.clone().abs().sum_dim(3);
    let empty = sum.clone().equal_elem(0.0);
    p / sum.mask_fill(empty, 1.0)
}

/// The matrix of [`propagation_matrix`](super::graph_conv::propagation_matrix) for a sparse graph;
/// entries that become zero are left out.
///
/// # Errors
/// A convolution without a matrix (gatv2conv, none).
pub fn sparse(conv_type: ConvType, mixing: StateMixing, graph: &CsrGraph) -> Result<CsrGraph> {
    let p = match conv_type {
        ConvType::GraphConv => graph.clone(),
        ConvType::GcnConv => graph.gcn(),
        ConvType::ChebConv => graph.chebyshev(),
        ConvType::GatV2Conv | ConvType::None => {
            return Err(Error::config(
                "model.conv_type",
                "has no sparse matrix",
                "use graphconv, gcnconv or chebconv, or --sparse-graph false",
            ));
        }
    };
    Ok(match mixing {
        StateMixing::Bounded => p.row_normalised(),
        StateMixing::Reference => p,
    })
}
