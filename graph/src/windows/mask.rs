//! What was observed, window by window.

use arrow::buffer::ScalarBuffer;
use ndarray::{Array2, Array3, Axis};

use super::store::{Block, Piece, Windows};
use crate::Result;

/// `true` where observed, (n, v, l); stored as bytes, 0 where missing, each once like the values
/// of [`Windows`].
#[derive(Debug, Clone, PartialEq)]
pub struct Mask(Windows<u8>);

impl Mask {
    /// Windows of shape (v, l) in `pieces`, whose features number 1.
    ///
    /// # Errors
    /// As [`Windows::new`].
    pub fn new(shape: (usize, usize), pieces: Vec<Piece<u8>>) -> Result<Self> {
        Ok(Self(Windows::new((shape.0, shape.1, 1), pieces)?))
    }

    /// (n, v, l).
    pub fn dim(&self) -> (usize, usize, usize) {
        let (n, v, l, _) = self.0.dim();
        (n, v, l)
    }

    /// What was observed of window `i`, (v, l).
    ///
    /// # Panics
    /// When there is no window `i`, like an index.
    pub fn window(&self, i: usize) -> Array2<bool> {
        self.0
            .window(i)
            .index_axis(Axis(2), 0)
            .mapv(|seen| seen != 0)
    }

    /// The masks of the windows `index`, (b, v, l).
    ///
    /// # Panics
    /// When one of the windows does not exist, like an index.
    pub fn gather(&self, index: &[usize]) -> Array3<bool> {
        let (_, v, l) = self.dim();
        let mut out = Array3::from_elem((index.len(), v, l), true);
        for (mut row, i) in out.outer_iter_mut().zip(index) {
            self.0.stretches(*i, |stretch| {
                if let Some(view) = stretch.view(v, 1) {
                    let to = stretch.at..stretch.at + stretch.steps;
                    row.slice_mut(ndarray::s![.., to])
                        .zip_mut_with(&view.index_axis(Axis(2), 0), |to, seen| *to = *seen != 0);
                }
            });
        }
        out
    }

    /// The masks of consecutive windows, one after the other.
    pub(crate) fn bytes(&self, windows: std::ops::Range<usize>) -> ScalarBuffer<u8> {
        let masks = windows.map(|i| self.window(i));
        let bytes = masks.flat_map(|m| m.into_iter().map(u8::from));
        ScalarBuffer::from(bytes.collect::<Vec<u8>>())
    }

    /// The bytes behind the mask.
    pub fn stored(&self) -> &Windows<u8> {
        &self.0
    }

    /// Entries of one recording, (v, t), as a block.
    pub(crate) fn block(mask: Array2<bool>) -> Block<u8> {
        Block::of(mask.mapv(u8::from).insert_axis(Axis(2)))
    }

    /// Masks of whole windows.
    pub(crate) fn stack(masks: Vec<Array2<bool>>) -> Piece<u8> {
        let bytes = masks
            .iter()
            .flat_map(|m| m.iter().map(|seen| u8::from(*seen)));
        Piece::Stack {
            values: ScalarBuffer::from(bytes.collect::<Vec<u8>>()),
            count: masks.len(),
        }
    }
}

impl From<Array3<bool>> for Mask {
    fn from(mask: Array3<bool>) -> Self {
        Self(mask.mapv(u8::from).insert_axis(Axis(3)).into())
    }
}

impl std::ops::Index<[usize; 3]> for Mask {
    type Output = bool;

    /// Whether (window, node, step) was observed.
    fn index(&self, [n, v, l]: [usize; 3]) -> &bool {
        match self.0[[n, v, l, 0]] {
            0 => &false,
            _ => &true,
        }
    }
}
