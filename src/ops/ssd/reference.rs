//! The chunked form in plain tensor operations: runs on every device and is the oracle of faster
//! versions. It keeps a (chunk, chunk) matrix for every chunk and head.

use burn::tensor::{Bool, DType, Int, Tensor};

use super::segments::Segments;
use super::{SsdInput, SsdOutput};
use crate::ops::matmul::matmul;

/// Computes what [`super::ssd`] computes, with gradients by Burn's autodiff.
pub fn ssd(input: SsdInput) -> SsdOutput {
    let [batch, l, h, p] = input.x.dims();
    let [_, _, g, n] = input.b.dims();
    let r = h / g;
    let q = input.chunk.min(l);
    let chunks = l.div_ceil(q);
    let all = batch * chunks;
    let stored = input.x.dtype();
    let wide = match stored {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let segments = input.seq_idx.map(Segments::new);
    let mut dt = input.dt.cast(wide);
    if let Some(segments) = &segments {
        dt = segments.silence(dt);
    }
    let x = input.x.cast(wide);

    // Whole chunks: steps of size zero at the end change nothing.
    let extra = chunks * q - l;
    // (b · chunks, g, r, q)
    let dt = extended(dt, extra)
        .reshape([all, q, g, r])
        .permute([0, 2, 3, 1]);
    // (b · chunks, g, r, q, p)
    let drive = extended(x.clone(), extra)
        .reshape([all, q, g, r, p])
        .permute([0, 2, 3, 1, 4])
        * dt.clone().unsqueeze_dim::<5>(4);
    // (b · chunks, g, 1, q, n)
    let projection = |t: Tensor<4>| {
        let t = extended(t.cast(wide), extra).reshape([all, q, g, n]);
        t.swap_dims(1, 2).unsqueeze_dim::<5>(2)
    };
    let (b, c) = (projection(input.b), projection(input.c));
    let a = (dt * input.a.cast(wide).reshape([1, g, r, 1])).cumsum(3);
    let masks = segments
        .as_ref()
        .map(|s| Masks::new(s, [batch, chunks, q, extra]));

    // Within a chunk.
    let wide_a = [all, g, r, q, q];
    let exponent = a.clone().unsqueeze_dim::<5>(4).expand(wide_a)
        - a.clone().unsqueeze_dim::<5>(3).expand(wide_a);
    let mut hidden = Tensor::<2, Bool>::tril_mask([q, q], 0, &x.device()).expand([all, q, q]);
    if let Some(masks) = &masks {
        hidden = hidden.bool_or(masks.apart.clone());
    }
    let hidden = hidden.reshape([all, 1, 1, q, q]).expand(wide_a);
    let decay = exponent.mask_fill(hidden, f64::NEG_INFINITY).exp();
    let seen = matmul(c.clone(), b.clone().swap_dims(3, 4));
    let mut y = matmul(seen * decay, drive.clone());

    // What a chunk adds to the state, and what the state before it adds to the output.
    let last = a.clone().narrow(3, q - 1, 1);
    let mut left = (last.clone() - a.clone()).exp();
    let mut entered = a.exp();
    let mut kept = last.exp();
    if let Some(masks) = masks {
        left = left.mask_fill(shared(masks.gone, g, r), 0);
        entered = entered.mask_fill(shared(masks.unseen, g, r), 0);
        kept = kept.mask_fill(shared(masks.reset, g, r), 0);
    }
    let drive = drive * left.unsqueeze_dim::<5>(4);
    let added = matmul(drive.swap_dims(3, 4), b.expand([all, g, r, q, n]))
        .reshape([batch, chunks, h, p, n]);
    let kept = kept.reshape([batch, chunks, h, 1, 1]);
    let mut state = match input.initial {
        Some(state) => state.cast(wide),
        None => Tensor::zeros([batch, h, p, n], (&x.device(), wide)),
    };
    let mut before = Vec::with_capacity(chunks);
    for chunk in 0..chunks {
        before.push(state.clone().unsqueeze_dim::<5>(1));
        let of = |t: &Tensor<5>| t.clone().narrow(1, chunk, 1).squeeze_dim::<4>(1);
        state = of(&kept) * state + of(&added);
    }
    let before = Tensor::cat(before, 1).reshape([all, g, r, p, n]);
    let carried = matmul(c.expand([all, g, r, q, n]), before.swap_dims(3, 4));
    y = y + carried * entered.unsqueeze_dim::<5>(4);

    let y = y
        .permute([0, 3, 1, 2, 4])
        .reshape([batch, chunks * q, h, p]);
    let mut y = y.narrow(1, 0, l);
    if let Some(skip) = input.d {
        let width = skip.dims()[1];
        y = y + x * skip.cast(wide).reshape([1, 1, h, width]);
    }
    if let Some(segments) = &segments {
        y = segments.silence(y);
    }
    SsdOutput {
        y: y.cast(stored),
        state,
    }
}

/// `extra` zeros at the end of axis 1.
fn extended<const D: usize>(x: Tensor<D>, extra: usize) -> Tensor<D> {
    if extra == 0 {
        return x;
    }
    let mut shape = x.dims();
    shape[1] = extra;
    let zeros = Tensor::zeros(shape, (&x.device(), x.dtype()));
    Tensor::cat(vec![x, zeros], 1)
}

/// What packed sequences hide, of chunks: (b · chunks, ..).
struct Masks {
    /// Step and earlier step of different sequences, (.., q, q).
    apart: Tensor<3, Bool>,
    /// A step that does not belong to the sequence of the chunk's end, (.., q).
    gone: Tensor<2, Bool>,
    /// A step that does not belong to the sequence of the state before the chunk, (.., q).
    unseen: Tensor<2, Bool>,
    /// The sequence changes between the ends of the chunk before and this one, (.., 1).
    reset: Tensor<2, Bool>,
}

impl Masks {
    fn new(segments: &Segments, [batch, chunks, q, extra]: [usize; 4]) -> Self {
        let owner = segments.owner.clone();
        let l = chunks * q - extra;
        let end = owner.clone().narrow(1, l - 1, 1);
        let owner = match extra {
            0 => owner,
            _ => Tensor::cat(vec![owner, end.expand([batch, extra])], 1),
        };
        let owner = owner.reshape([batch, chunks, q]);
        let ends = owner.clone().narrow(2, q - 1, 1);
        let start = Tensor::<3, Int>::zeros([batch, 1, 1], (&owner.device(), owner.dtype()));
        let before = match chunks {
            1 => start,
            _ => Tensor::cat(vec![start, ends.clone().narrow(1, 0, chunks - 1)], 1),
        };
        let all = batch * chunks;
        let flat = |t: Tensor<3, Int>, width: usize| {
            t.expand([batch, chunks, width]).reshape([all, width])
        };
        let steps = flat(owner, q);
        let late = steps.clone().unsqueeze_dim::<3>(2).expand([all, q, q]);
        let early = steps.clone().unsqueeze_dim::<3>(1).expand([all, q, q]);
        Self {
            apart: late.not_equal(early),
            gone: steps.clone().not_equal(flat(ends.clone(), q)),
            unseen: steps.not_equal(flat(before.clone(), q)),
            reset: flat(ends, 1).not_equal(flat(before, 1)),
        }
    }
}

/// A mask (b · chunks, q) for all heads.
fn shared(mask: Tensor<2, Bool>, g: usize, r: usize) -> Tensor<4, Bool> {
    let [all, q] = mask.dims();
    mask.reshape([all, 1, 1, q]).expand([all, g, r, q])
}
