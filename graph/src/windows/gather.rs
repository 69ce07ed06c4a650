//! Copying windows into batches, scaled on the way.
//!
//! A window is copied part by part as its blocks allow. Where the steps of a node lie side by
//! side, as they do in a batch, that is a copy of rows; where the nodes of a step do, it is a
//! transposition, done in tiles that stay in the first cache.

use arrow::datatypes::ArrowNativeType;
use ndarray::Array4;
use rayon::prelude::*;

use super::store::{Stretch, Windows};

/// Lanes and steps of a tile: 16 lanes fill a cache line of a step, and a tile stays in the first
/// cache.
const LANES: usize = 16;
const STEPS: usize = 64;

/// Values that one task copies at least: less is not worth handing to another thread.
const TASK: usize = 1 << 14;

/// What happens to a value of (node, feature) on the way.
pub(crate) trait Change<T>: Sync {
    /// Whether values stay as they are.
    fn is_copy(&self) -> bool {
        false
    }

    /// The changed value of lane node · f + feature.
    fn of(&self, lane: usize) -> impl Fn(T) -> T;

    /// The changed values of neighbouring lanes, one step each.
    fn across(&self, first: usize, from: &[T], to: &mut [T]);
}

/// Values stay as they are.
pub(crate) struct Copied;

impl<T: Copy> Change<T> for Copied {
    fn is_copy(&self) -> bool {
        true
    }

    fn of(&self, _lane: usize) -> impl Fn(T) -> T {
        |value| value
    }

    fn across(&self, _first: usize, from: &[T], to: &mut [T]) {
        to.copy_from_slice(from);
    }
}

/// (x − shift) / scale of each lane, in double precision.
pub(crate) struct Affine<'a> {
    pub shift: &'a [f32],
    pub scale: &'a [f32],
}

impl Change<f32> for Affine<'_> {
    fn of(&self, lane: usize) -> impl Fn(f32) -> f32 {
        let (shift, scale) = (f64::from(self.shift[lane]), f64::from(self.scale[lane]));
        move |value| affine(value, shift, scale)
    }

    fn across(&self, first: usize, from: &[f32], to: &mut [f32]) {
        let lanes = self.shift[first..].iter().zip(&self.scale[first..]);
        for ((to, from), (shift, scale)) in to.iter_mut().zip(from).zip(lanes) {
            *to = affine(*from, f64::from(*shift), f64::from(*scale));
        }
    }
}

fn affine(value: f32, shift: f64, scale: f64) -> f32 {
    ((f64::from(value) - shift) / scale) as f32
}

impl<T: ArrowNativeType> Windows<T> {
    /// The windows `index`, (b, v, l, f).
    ///
    /// # Panics
    /// When one of them does not exist, like an index.
    pub fn gather(&self, index: &[usize]) -> Array4<T> {
        let (_, v, l, f) = self.dim();
        let mut out = Array4::default((index.len(), v, l, f));
        if let Some(values) = out.as_slice_mut() {
            each_row(values, v * l * f, |row, out| {
                self.copy(index[row], out, &Copied)
            });
        }
        out
    }

    /// All windows, (n, v, l, f).
    pub fn to_array(&self) -> Array4<T> {
        self.gather(&(0..self.len()).collect::<Vec<_>>())
    }

    /// Writes window `i` as (v, l, f) to `out`.
    pub(crate) fn copy(&self, i: usize, out: &mut [T], change: &impl Change<T>) {
        let (_, _, l, f) = self.dim();
        if out.is_empty() {
            return;
        }
        self.stretches(i, |stretch| place(&stretch, out, (l, f), change));
    }
}

/// Calls `work` with each row of `size` values and its number, in parallel where it pays.
pub(crate) fn each_row<T: Send>(
    values: &mut [T],
    size: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    if size == 0 {
        return;
    }
    let rows = (TASK / size).max(1);
    let work = |(task, chunk): (usize, &mut [T])| {
        for (k, row) in chunk.chunks_exact_mut(size).enumerate() {
            work(task * rows + k, row);
        }
    };
    let tasks = values.par_chunks_mut(rows * size).enumerate();
    if tasks.len() > 1 {
        tasks.for_each(work);
    } else {
        work((0, values));
    }
}

/// Puts a part of a window into the window `out`, (v, l, f), of which nothing is empty.
fn place<T: ArrowNativeType>(
    stretch: &Stretch<'_, T>,
    out: &mut [T],
    (l, f): (usize, usize),
    change: &impl Change<T>,
) {
    let (node_stride, step) = stretch.strides;
    if step == f {
        let rows = out.chunks_exact_mut(l * f);
        for (node, to) in rows.enumerate() {
            let to = &mut to[stretch.at * f..(stretch.at + stretch.steps) * f];
            let from = &stretch.values[node * node_stride..][..stretch.steps * f];
            if change.is_copy() {
                to.copy_from_slice(from);
            } else if f == 1 {
                put(to, 1, from.iter().copied(), change.of(node));
            } else {
                for feature in 0..f {
                    let from = from[feature..].iter().step_by(f).copied();
                    put(&mut to[feature..], f, from, change.of(node * f + feature));
                }
            }
        }
        return;
    }
    let lanes = out.len() / l;
    // Steps are read and changed as they lie, lanes side by side, and turned from there.
    let mut tile = [[T::default(); LANES]; STEPS];
    for at in (0..stretch.steps).step_by(STEPS) {
        let steps = STEPS.min(stretch.steps - at);
        for first in (0..lanes).step_by(LANES) {
            let width = LANES.min(lanes - first);
            for (to, s) in tile.iter_mut().zip(at..at + steps) {
                let from = &stretch.values[s * step + first..][..width];
                change.across(first, from, &mut to[..width]);
            }
            for k in 0..width {
                let (node, feature) = ((first + k) / f, (first + k) % f);
                let row = (node * l + stretch.at + at) * f;
                let row = &mut out[row..row + steps * f];
                let from = tile[..steps].iter().map(|values| values[k]);
                put(&mut row[feature..], f, from, |value| value);
            }
        }
    }
}

/// Writes the changed values to every `f`-th place.
fn put<T>(to: &mut [T], f: usize, from: impl Iterator<Item = T>, change: impl Fn(T) -> T) {
    if f == 1 {
        // The usual case, without the multiplications of a stride.
        for (to, from) in to.iter_mut().zip(from) {
            *to = change(from);
        }
    } else {
        for (to, from) in to.iter_mut().step_by(f).zip(from) {
            *to = change(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::buffer::ScalarBuffer;
    use ndarray::{Array3, Axis, s};

    use super::*;
    use crate::windows::{Block, Order, Piece, Starts};

    fn recording(v: usize, t: usize, f: usize) -> Array3<f32> {
        Array3::from_shape_fn((v, t, f), |(v, t, f)| {
            (v * 10_000 + t * 10 + f) as f32 + 0.5
        })
    }

    /// `x` in blocks of these lengths.
    fn blocks(x: &Array3<f32>, lengths: &[usize], order: Order) -> Vec<Block> {
        let mut at = 0;
        let mut cut = |length: &usize| {
            let part = x.slice(s![.., at..at + length, ..]);
            at += length;
            let values: Vec<f32> = match order {
                Order::Nodes => part.iter().copied().collect(),
                Order::Time => part.permuted_axes([1, 0, 2]).iter().copied().collect(),
            };
            Block::new(ScalarBuffer::from(values), *length, order)
        };
        lengths.iter().map(&mut cut).collect()
    }

    #[test]
    fn every_storage_gives_the_same_windows() {
        let (l, stride) = (90, 7);
        for (v, f) in [(1, 1), (3, 1), (2, 3), (35, 1), (18, 2)] {
            let x = recording(v, 200, f);
            let ranges: Vec<_> = (5..=110).step_by(stride).map(|s| s..s + l).collect();
            let mut want = Array4::zeros((ranges.len(), v, l, f));
            for (mut to, range) in want.outer_iter_mut().zip(&ranges) {
                to.assign(&x.slice(s![.., range.clone(), ..]));
            }
            let mut all: Vec<Windows> = vec![want.clone().into()];
            for order in [Order::Nodes, Order::Time] {
                for lengths in [&[200][..], &[100, 100], &[1, 30, 0, 29, 80, 60]] {
                    let pieces = vec![Piece::Recording {
                        blocks: blocks(&x, lengths, order),
                        starts: Starts::of(&ranges),
                    }];
                    all.push(Windows::new((v, l, f), pieces).unwrap());
                }
            }
            let scale: Vec<f32> = (0..v * f).map(|i| 1.0 + i as f32).collect();
            let shift: Vec<f32> = (0..v * f).map(|i| 3.0 * i as f32).collect();
            for windows in &all {
                assert_eq!(windows.dim(), want.dim());
                assert_eq!(windows.to_array(), want);
                assert_eq!(windows, &all[0]);
                assert_eq!(windows.gather(&[4, 0, 4]), want.select(Axis(0), &[4, 0, 4]));
                assert_eq!(windows[[3, v - 1, 61, f - 1]], want[[3, v - 1, 61, f - 1]]);
                let mut out = vec![f32::NAN; v * l * f];
                let change = Affine {
                    shift: &shift,
                    scale: &scale,
                };
                windows.copy(2, &mut out, &change);
                let lanes = want.index_axis(Axis(0), 2);
                for (((node, _, feature), value), got) in lanes.indexed_iter().zip(out) {
                    let lane = node * f + feature;
                    assert_eq!(got, (value - shift[lane]) / scale[lane], "{node} {feature}");
                }
            }
        }
    }

    #[test]
    fn windows_of_several_recordings_in_their_order() {
        let pieces = [7, 3, 10]
            .iter()
            .enumerate()
            .map(|(i, t)| Piece::Recording {
                blocks: vec![Block::of(recording(2, *t, 1) + i as f32 * 1e5)],
                starts: Starts::of(
                    &(0..(t + 1usize).saturating_sub(4))
                        .step_by(3)
                        .map(|s| s..s + 4)
                        .collect::<Vec<_>>(),
                ),
            });
        let windows = Windows::new((2, 4, 1), pieces.collect()).unwrap();
        // 2 of the first, none of the second, which is too short, 3 of the third.
        assert_eq!(windows.len(), 5);
        let firsts: Vec<f32> = windows.iter().map(|w| w[[0, 0, 0]]).collect();
        assert_eq!(firsts, [0.5, 30.5, 200_000.5, 200_030.5, 200_060.5]);
    }

    #[test]
    fn a_million_windows_cost_no_more_than_their_recordings() {
        let steps = 3_000;
        let pieces = (0..1_000).map(|_| Piece::Recording {
            blocks: vec![Block::of(Array3::<f32>::zeros((1, steps, 1)))],
            starts: Starts::Every {
                first: 0,
                stride: 1,
                count: 1_001,
            },
        });
        let windows = Windows::new((1, 2_000, 1), pieces.collect()).unwrap();
        assert_eq!(windows.len(), 1_001_000);
        assert_eq!(windows.stored_bytes(), 1_000 * steps * 4);
        assert_eq!(windows.gather(&[1_000_999]).dim(), (1, 1, 2_000, 1));
    }

    #[test]
    fn pieces_must_hold_their_windows() {
        let piece = |steps, starts| {
            let blocks = vec![Block::of(Array3::<f32>::zeros((2, steps, 1)))];
            Windows::new((2, 4, 1), vec![Piece::Recording { blocks, starts }]).map(|w| w.len())
        };
        let every = |first, stride, count| Starts::Every {
            first,
            stride,
            count,
        };
        assert_eq!(piece(4, every(0, 1, 1)).unwrap(), 1);
        assert_eq!(piece(3, every(0, 1, 0)).unwrap(), 0);
        assert_eq!(piece(9, Starts::At(vec![5, 0])).unwrap(), 2);
        for (steps, starts) in [
            (3, every(0, 1, 1)),
            (4, every(0, 1, 2)),
            (9, Starts::At(vec![0, 6])),
            (9, every(usize::MAX, 1, 1)),
            (9, every(0, usize::MAX, 3)),
            (9, Starts::At(vec![usize::MAX])),
        ] {
            let text = piece(steps, starts).unwrap_err().to_string();
            assert!(text.contains("windows that end later"), "{text}");
        }
        let short = Piece::Stack {
            values: ScalarBuffer::from(vec![0.0f32; 15]),
            count: 2,
        };
        assert!(Windows::new((2, 4, 1), vec![short]).is_err());
        let huge = Block::new(ScalarBuffer::from(vec![0.0f32; 8]), usize::MAX, Order::Time);
        let huge = Piece::Recording {
            blocks: vec![huge],
            starts: every(0, 1, 1),
        };
        assert!(Windows::new((2, 4, 1), vec![huge]).is_err());
    }
}
