//! What is done to features on their way from the windows of a data set into a batch.
//!
//! The values of a data set stay as they are, perhaps in a mapped file; each fold of a
//! cross-validation has its own scale, and applies it to what it loads while it is copied.

use std::sync::Arc;

use ndarray::{Array2, Array3};

use crate::scale::Scaler;
use crate::windows::{Affine, Copied, Windows, each_row};

/// Scaling, then features that tell nodes apart. Nothing by default. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preparation {
    /// Shift and scale; missing entries become 0.
    pub(crate) scaler: Option<Arc<Scaler>>,
    /// Constant features of each node, appended to its own.
    pub(crate) constants: Option<Arc<Constants>>,
}

/// Features of nodes that do not change in time.
#[derive(Debug, PartialEq)]
pub(crate) struct Constants {
    /// (v, k).
    pub table: Array2<f32>,
    /// Whether the features of node i first move to slot i of v slots.
    pub slots: bool,
}

impl Preparation {
    /// The scale, if one was set.
    pub fn scaler(&self) -> Option<&Scaler> {
        self.scaler.as_deref()
    }

    /// Number of features that `f` features of `v` nodes become.
    pub fn features(&self, v: usize, f: usize) -> usize {
        match &self.constants {
            None => f,
            Some(c) if c.slots => v * f + c.table.ncols(),
            Some(c) => f + c.table.ncols(),
        }
    }

    /// Writes the windows `index` of `x`, prepared, to `out`, (b, v, l, f). `mask` is theirs,
    /// (b, v, l).
    pub(crate) fn gather(
        &self,
        x: &Windows,
        index: &[usize],
        mask: Option<&Array3<bool>>,
        out: &mut [f32],
    ) {
        let (_, v, l, f) = x.dim();
        let scaler = self.scaler.as_deref().filter(|s| !s.is_identity());
        let scaled = |row: usize, out: &mut [f32]| {
            match scaler {
                None => x.copy(index[row], out, &Copied),
                Some(s) => {
                    let (shift, scale) = (&s.shift, &s.scale);
                    x.copy(index[row], out, &Affine { shift, scale });
                }
            }
            if let Some(mask) = mask
                && self.scaler.is_some()
            {
                let seen = mask.index_axis(ndarray::Axis(0), row);
                for (step, seen) in out.chunks_exact_mut(f).zip(seen) {
                    if !seen {
                        step.fill(0.0);
                    }
                }
            }
        };
        let Some(constants) = &self.constants else {
            return each_row(out, v * l * f, scaled);
        };
        let all = self.features(v, f);
        each_row(out, v * l * all, |row, out| {
            let mut own = vec![0.0; v * l * f];
            scaled(row, &mut own);
            for (node, (to, from)) in out
                .chunks_exact_mut(l * all)
                .zip(own.chunks_exact(l * f))
                .enumerate()
            {
                let (first, constant) = match constants.slots {
                    true => (node * f, v * f),
                    false => (0, f),
                };
                for (to, from) in to.chunks_exact_mut(all).zip(from.chunks_exact(f)) {
                    to[..constant].fill(0.0);
                    to[first..first + f].copy_from_slice(from);
                    for (to, value) in to[constant..].iter_mut().zip(constants.table.row(node)) {
                        *to = *value;
                    }
                }
            }
        });
    }
}
