//! The convolution in plain tensor operations: k shifted products.

use burn::tensor::{Bool, DType, Int, Tensor, activation};

/// Computes what [`super::causal_conv1d`] computes, with gradients by Burn's autodiff.
pub fn causal_conv1d(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    initial: Option<Tensor<3>>,
    seq_idx: Option<Tensor<2, Int>>,
    silu: bool,
) -> (Tensor<3>, Tensor<3>) {
    let [b, l, d] = x.dims();
    let k = weight.dims()[1];
    let stored = x.dtype();
    let wide = match stored {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let device = x.device();
    let past = match initial {
        Some(past) => past.cast(wide),
        None => Tensor::zeros([b, k - 1, d], (&device, wide)),
    };
    let padded = Tensor::cat(vec![past, x.cast(wide)], 1);
    let padded_ids = seq_idx.as_ref().map(|ids| {
        let past = Tensor::zeros([b, k - 1], (&device, ids.dtype()));
        Tensor::cat(vec![past, ids.clone()], 1)
    });
    let weight = weight.cast(wide);
    let mut y = match bias {
        Some(bias) => bias.cast(wide).reshape([1, 1, d]).expand([b, l, d]),
        None => Tensor::zeros([b, l, d], (&device, wide)),
    };
    for j in 0..k {
        let tap = weight.clone().narrow(1, j, 1).reshape([1, 1, d]);
        let mut shifted = padded.clone().narrow(1, j, l);
        if let (Some(all), Some(now)) = (&padded_ids, &seq_idx) {
            shifted = keep(shifted, all.clone().narrow(1, j, l).equal(now.clone()));
        }
        y = y + shifted * tap;
    }
    if silu {
        y = activation::silu(y);
    }
    if let Some(ids) = &seq_idx {
        y = keep(y, ids.clone().greater_equal_elem(0));
    }
    let mut last = padded.narrow(1, l, k - 1);
    if let (Some(all), Some(ids)) = (padded_ids, seq_idx) {
        let end = ids.narrow(1, l - 1, 1);
        let own = all
            .narrow(1, l, k - 1)
            .equal(end.clone().expand([b, k - 1]))
            .bool_and(end.greater_equal_elem(0).expand([b, k - 1]));
        last = keep(last, own);
    }
    (y.cast(stored), last.cast(stored))
}

/// x, (b, l, d), where `mask`, (b, l), holds; zero elsewhere.
fn keep(x: Tensor<3>, mask: Tensor<2, Bool>) -> Tensor<3> {
    let shape = x.dims();
    x.mask_fill(mask.bool_not().unsqueeze_dim::<3>(2).expand(shape), 0)
}
