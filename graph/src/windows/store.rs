//! Where the values of windows lie: in memory or in a mapped file, each stored once.
//!
//! [`Windows`] knows for every window where it begins, so that overlapping windows of a recording
//! share their values and a million of them cost as much memory as the list of recordings. What
//! is copied is copied by [`super::gather`], into batches.
//!
//! | letter | |
//! |---|---|
//! | n | windows |
//! | v | nodes |
//! | t | time steps of a recording, or of a block of it |
//! | l | time steps of a window |
//! | f | features |

use std::ops::Range;
use std::sync::Arc;

use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;
use ndarray::{Array3, Array4, ArrayView3, Axis, CowArray, Ix3, ShapeBuilder, s};

use crate::{Error, Result};

/// How the values of a block lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// (v, t, f): the steps of a node side by side, best where windows are long.
    Nodes,
    /// (t, v, f): the nodes of a step side by side, best where nodes are many and windows short.
    Time,
}

/// Consecutive time steps of a recording.
#[derive(Debug, Clone)]
pub struct Block<T: ArrowNativeType = f32> {
    values: ScalarBuffer<T>,
    steps: usize,
    order: Order,
}

impl<T: ArrowNativeType> Block<T> {
    /// `steps` time steps whose values lie in `order`.
    pub fn new(values: ScalarBuffer<T>, steps: usize, order: Order) -> Self {
        Self {
            values,
            steps,
            order,
        }
    }

    /// A recording, (v, t, f), as one block; its memory is taken over where it is contiguous.
    pub fn of(x: Array3<T>) -> Self {
        let steps = x.len_of(Axis(1));
        Self::new(contiguous(x), steps, Order::Nodes)
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// How the values lie.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The values in their order.
    pub fn values(&self) -> &ScalarBuffer<T> {
        &self.values
    }
}

/// Where the windows of a recording begin.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Starts {
    /// At `first`, and then every `stride` steps.
    Every {
        first: usize,
        stride: usize,
        count: usize,
    },
    /// At these steps.
    At(Vec<usize>),
}

impl Starts {
    /// The starts of `ranges`, in the short form where they are evenly spaced.
    pub fn of(ranges: &[Range<usize>]) -> Self {
        let first = ranges.first().map_or(0, |r| r.start);
        let stride = match ranges {
            [a, b, ..] if b.start > a.start => b.start - a.start,
            _ => 1,
        };
        let even = |(k, r): (usize, &Range<usize>)| r.start == first + k * stride;
        if ranges.iter().enumerate().all(even) {
            let count = ranges.len();
            return Self::Every {
                first,
                stride,
                count,
            };
        }
        Self::At(ranges.iter().map(|r| r.start).collect())
    }

    /// Number of windows.
    pub fn count(&self) -> usize {
        match self {
            Self::Every { count, .. } => *count,
            Self::At(starts) => starts.len(),
        }
    }

    /// Whether there are no more windows than steps.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Every { stride, count, .. } => *stride > 0 || *count < 2,
            Self::At(_) => true,
        }
    }

    /// Start of window `k`.
    pub(crate) fn get(&self, k: usize) -> usize {
        match self {
            Self::Every { first, stride, .. } => first + k * stride,
            Self::At(starts) => starts[k],
        }
    }

    /// The largest start; `None` without a window, or beyond what can be counted.
    fn last(&self) -> Option<usize> {
        match self {
            Self::Every {
                first,
                stride,
                count,
            } => stride
                .checked_mul(count.checked_sub(1)?)?
                .checked_add(*first),
            Self::At(starts) => starts.iter().max().copied(),
        }
    }
}

/// Windows with a common home.
#[derive(Debug, Clone)]
pub enum Piece<T: ArrowNativeType = f32> {
    /// Whole windows one after the other, (n, v, l, f).
    Stack {
        values: ScalarBuffer<T>,
        count: usize,
    },
    /// Windows that lie, perhaps overlapping, in a recording. Blocks follow each other in time.
    Recording {
        blocks: Vec<Block<T>>,
        starts: Starts,
    },
}

impl<T: ArrowNativeType> Piece<T> {
    /// Number of windows.
    pub fn count(&self) -> usize {
        match self {
            Self::Stack { count, .. } => *count,
            Self::Recording { starts, .. } => starts.count(),
        }
    }
}

/// Windows of one shape, (n, v, l, f), wherever their values are. Clones share them.
#[derive(Debug, Clone)]
pub struct Windows<T: ArrowNativeType = f32> {
    shape: (usize, usize, usize),
    pieces: Arc<Vec<Placed<T>>>,
    /// Whether all values are known to be finite.
    finite: bool,
}

#[derive(Debug)]
struct Placed<T: ArrowNativeType> {
    piece: Piece<T>,
    /// Windows up to the end of this piece.
    end: usize,
    /// First step behind each block of a recording.
    block_ends: Vec<usize>,
}

impl<T: ArrowNativeType> Windows<T> {
    /// Windows of `shape` (v, l, f) in `pieces`, in their order.
    ///
    /// # Errors
    /// [`Error::Config`] when a piece has not as many values as its shape demands, or a window
    /// lies outside its recording.
    pub fn new(shape: (usize, usize, usize), pieces: Vec<Piece<T>>) -> Result<Self> {
        let (v, l, f) = shape;
        let fault = |number: usize, problem: String| {
            Error::config(
                format!("windows, piece {number}"),
                problem,
                "give every piece the values of its windows",
            )
        };
        let product = |a: usize, b: usize| {
            let size = a.checked_mul(v)?.checked_mul(b)?.checked_mul(f)?;
            size.checked_mul(size_of::<T>()).map(|_| size)
        };
        let mut end = 0usize;
        let mut placed = Vec::with_capacity(pieces.len());
        for (number, piece) in pieces.into_iter().enumerate() {
            let mut block_ends = Vec::new();
            match &piece {
                Piece::Stack { values, count } => {
                    if product(*count, l) != Some(values.len()) {
                        let problem = format!(
                            "has {} values for {count} windows of shape {shape:?}",
                            values.len()
                        );
                        return Err(fault(number, problem));
                    }
                }
                Piece::Recording { blocks, starts } => {
                    let mut steps = 0usize;
                    for block in blocks {
                        if product(1, block.steps) != Some(block.values.len()) {
                            let problem = format!(
                                "has {} values for {} steps of {v} nodes and {f} features",
                                block.values.len(),
                                block.steps
                            );
                            return Err(fault(number, problem));
                        }
                        steps = steps.saturating_add(block.steps);
                        block_ends.push(steps);
                    }
                    let fits = |last: usize| last.checked_add(l).is_some_and(|end| end <= steps);
                    if starts.count() > 0 && !starts.last().is_some_and(fits) {
                        let problem = format!("has {steps} steps, and windows that end later");
                        return Err(fault(number, problem));
                    }
                }
            }
            end = end
                .checked_add(piece.count())
                .ok_or_else(|| fault(number, "has more windows than can be counted".into()))?;
            placed.push(Placed {
                piece,
                end,
                block_ends,
            });
        }
        Ok(Self {
            shape,
            pieces: Arc::new(placed),
            finite: false,
        })
    }

    /// The same windows, of which the caller knows that all values are finite.
    pub(crate) fn known_finite(self) -> Self {
        Self {
            finite: true,
            ..self
        }
    }

    /// Whether all values are known to be finite; if not, some may yet be.
    pub(crate) fn is_finite(&self) -> bool {
        self.finite
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.pieces.last().map_or(0, |p| p.end)
    }

    /// Whether there is no window.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// (n, v, l, f).
    pub fn dim(&self) -> (usize, usize, usize, usize) {
        let (v, l, f) = self.shape;
        (self.len(), v, l, f)
    }

    /// Bytes of the values behind the windows, each counted once.
    pub fn stored_bytes(&self) -> usize {
        let size = |values: &ScalarBuffer<T>| size_of_val::<[T]>(values);
        self.pieces
            .iter()
            .map(|p| match &p.piece {
                Piece::Stack { values, .. } => size(values),
                Piece::Recording { blocks, .. } => blocks.iter().map(|b| size(&b.values)).sum(),
            })
            .sum()
    }

    /// The pieces the windows lie in.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece<T>> {
        self.pieces.iter().map(|p| &p.piece)
    }

    /// Window `i`, (v, l, f): a view where its values lie in one block, else a copy.
    ///
    /// # Panics
    /// When there is no window `i`, like an index.
    pub fn window(&self, i: usize) -> CowArray<'_, T, Ix3> {
        let (v, l, f) = self.shape;
        let mut copy: Option<Array3<T>> = None;
        let mut whole = None;
        self.stretches(i, |stretch| {
            let Some(view) = stretch.view(v, f) else {
                return;
            };
            if stretch.steps == l {
                whole = Some(view);
                return;
            }
            let copy = copy.get_or_insert_with(|| Array3::default((v, l, f)));
            let to = stretch.at..stretch.at + stretch.steps;
            copy.slice_mut(s![.., to, ..]).assign(&view);
        });
        match (whole, copy) {
            (Some(view), _) => view.into(),
            (None, Some(copy)) => copy.into(),
            (None, None) => Array3::default((v, l, f)).into(),
        }
    }

    /// All windows in their order, see [`window`](Self::window).
    pub fn iter(&self) -> impl Iterator<Item = CowArray<'_, T, Ix3>> {
        (0..self.len()).map(|i| self.window(i))
    }

    /// Calls `visit` with the consecutive parts of window `i`.
    pub(super) fn stretches<'a>(&'a self, i: usize, mut visit: impl FnMut(Stretch<'a, T>)) {
        let (v, l, f) = self.shape;
        let number = self.pieces.partition_point(|p| p.end <= i);
        let placed = &self.pieces[number];
        let k = i - (placed.end - placed.piece.count());
        match &placed.piece {
            Piece::Stack { values, .. } => {
                let size = v * l * f;
                visit(Stretch {
                    values: &values[k * size..(k + 1) * size],
                    strides: (l * f, f),
                    steps: l,
                    at: 0,
                });
            }
            Piece::Recording { blocks, starts } => {
                let (start, mut done) = (starts.get(k), 0);
                let mut number = placed.block_ends.partition_point(|end| *end <= start);
                while done < l {
                    let block = &blocks[number];
                    let from = start + done - (placed.block_ends[number] - block.steps);
                    let steps = (block.steps - from).min(l - done);
                    let strides = match block.order {
                        Order::Nodes => (block.steps * f, f),
                        Order::Time => (f, v * f),
                    };
                    // A block may be empty.
                    if steps > 0 {
                        visit(Stretch {
                            values: &block.values[from * strides.1..],
                            strides,
                            steps,
                            at: done,
                        });
                    }
                    done += steps;
                    number += 1;
                }
            }
        }
    }
}

/// Consecutive steps of a window that lie in one block.
pub(super) struct Stretch<'a, T> {
    /// From the first of them of the first node on, and perhaps beyond the last.
    pub values: &'a [T],
    /// From node to node, and from step to step; features lie side by side.
    pub strides: (usize, usize),
    pub steps: usize,
    /// The step of the window they begin at.
    pub at: usize,
}

impl<'a, T> Stretch<'a, T> {
    /// The values as (v, t, f); `None` when some are missing, which [`Windows::new`] rules out.
    pub fn view(&self, nodes: usize, features: usize) -> Option<ArrayView3<'a, T>> {
        let shape = (nodes, self.steps, features);
        let strides = (self.strides.0, self.strides.1, 1);
        ArrayView3::from_shape(shape.strides(strides), self.values).ok()
    }
}

/// The values in row-major order, without a copy where they lie so.
pub(super) fn contiguous<T: ArrowNativeType, D: ndarray::Dimension>(
    x: ndarray::Array<T, D>,
) -> ScalarBuffer<T> {
    let count = x.len();
    let values = if x.is_standard_layout() {
        let (values, offset) = x.into_raw_vec_and_offset();
        match offset {
            Some(0) | None if values.len() == count => values,
            offset => values[offset.unwrap_or(0)..][..count].to_vec(),
        }
    } else {
        x.iter().copied().collect()
    };
    ScalarBuffer::new(Buffer::from_vec(values), 0, count)
}

impl<T: ArrowNativeType> From<Array4<T>> for Windows<T> {
    /// Windows (n, v, l, f) in memory.
    fn from(x: Array4<T>) -> Self {
        let (count, v, l, f) = x.dim();
        let values = contiguous(x);
        Self {
            shape: (v, l, f),
            pieces: Arc::new(vec![Placed {
                piece: Piece::Stack { values, count },
                end: count,
                block_ends: Vec::new(),
            }]),
            finite: false,
        }
    }
}

impl<T: ArrowNativeType> std::ops::Index<[usize; 4]> for Windows<T> {
    type Output = T;

    /// The value at (window, node, step, feature).
    fn index(&self, [n, v, l, f]: [usize; 4]) -> &T {
        let mut found = None;
        let (_, nodes, _, features) = self.dim();
        self.stretches(n, |stretch| {
            let inside = (stretch.at..stretch.at + stretch.steps).contains(&l);
            if inside && v < nodes && f < features {
                let (node, step) = stretch.strides;
                found = stretch.values.get(v * node + (l - stretch.at) * step + f);
            }
        });
        found.unwrap_or_else(|| panic!("no value at {:?} of {:?}", (n, v, l, f), self.dim()))
    }
}

impl<T: ArrowNativeType> PartialEq for Windows<T> {
    /// Same shape and values, wherever they lie.
    fn eq(&self, other: &Self) -> bool {
        self.dim() == other.dim() && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}
