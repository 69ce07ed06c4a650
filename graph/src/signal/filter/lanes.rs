//! Sections over several nodes at once.
//!
//! A recursive filter has nothing to do in parallel along time: each value waits for the one
//! before. So [`LANES`] nodes go through together, a lane of a vector each, and up to four sections
//! in one loop, whose chains of waiting overlap. No operation is fused with another: results are
//! the same to the last bit on every machine, and whatever nodes go together.

use ndarray::{ArrayView2, ArrayViewMut2, s};
use pulp::Arch;

use super::{Memory, Section};
use crate::signal::Sample;

/// Nodes that go through together.
pub(super) const LANES: usize = 8;

/// Time steps that pass all sections before the next ones do, so that they stay in the cache.
const BLOCK: usize = 128;

/// A value of each node.
pub(super) type Lanes = [f64; LANES];

/// What a section remembers (transposed direct form II).
pub(super) type State = [Lanes; 2];

/// Up to [`LANES`] nodes on their way through the sections.
///
/// The steady state of a value is kept by subtracting it before the sections, which are then at
/// rest, and adding it behind them times the gain: a large offset costs no digits of the signal.
pub(super) struct Group<'a> {
    sections: &'a [Section],
    memory: Memory,
}

impl<'a> Group<'a> {
    /// At rest.
    pub(super) fn new(sections: &'a [Section]) -> Self {
        let memory = Memory {
            state: vec![[[0.0; LANES]; 2]; sections.len()],
            offset: [0.0; LANES],
            added: [0.0; LANES],
        };
        Self { sections, memory }
    }

    /// Where another left off.
    pub(super) fn of(sections: &'a [Section], memory: Memory) -> Self {
        Self { sections, memory }
    }

    pub(super) fn memory(self) -> Memory {
        self.memory
    }

    /// Brings the sections into the steady state of the first values of `rows`.
    pub(super) fn settle<T: Sample>(&mut self, rows: ArrayView2<'_, T>, gain: f64) {
        for (lane, row) in rows.outer_iter().enumerate() {
            let first = row.first().map_or(0.0, |v| v.to_f64());
            self.memory.offset[lane] = first;
            self.memory.added[lane] = first * gain;
        }
    }

    /// Filters (at most [`LANES`] nodes, time) in place.
    pub(super) fn forward<T: Sample>(&mut self, rows: ArrayViewMut2<'_, T>) {
        Arch::new().dispatch(
            #[inline(always)]
            || self.forward_here(rows),
        );
    }

    #[inline(always)]
    fn forward_here<T: Sample>(&mut self, mut rows: ArrayViewMut2<'_, T>) {
        let Memory {
            state,
            offset,
            added,
        } = &mut self.memory;
        let mut block = [[0.0; LANES]; BLOCK];
        for start in (0..rows.ncols()).step_by(BLOCK) {
            let end = (start + BLOCK).min(rows.ncols());
            let block = &mut block[..end - start];
            load(block, rows.slice(s![.., start..end]), offset);
            forward(self.sections, state, block);
            store(block, rows.slice_mut(s![.., start..end]), added);
        }
    }
}

/// Filters (at most [`LANES`] nodes, time) forward and backward in place, extended by `pad` at
/// both ends, which is less than the time there is; `gain` is that of the sections at 0.
pub(super) fn both_ways<T: Sample>(
    sections: &[Section],
    gain: f64,
    pad: usize,
    rows: ArrayViewMut2<'_, T>,
) {
    Arch::new().dispatch(
        #[inline(always)]
        || both_ways_here(sections, gain, pad, rows),
    );
}

#[inline(always)]
fn both_ways_here<T: Sample>(
    sections: &[Section],
    gain: f64,
    pad: usize,
    mut rows: ArrayViewMut2<'_, T>,
) {
    let n = rows.ncols();
    let value = |row: usize, t: usize| rows[[row, t]].to_f64();
    let ends: Vec<[f64; 2]> = (0..rows.nrows())
        .map(|row| [value(row, 0), value(row, n - 1)])
        .collect();
    let mut offset = [0.0; LANES];
    for (lane, [first, _]) in ends.iter().enumerate() {
        offset[lane] = 2.0 * first - value(lane, pad);
    }
    let mut before = vec![[0.0; LANES]; pad];
    let mut behind = before.clone();
    for (i, (before, behind)) in before.iter_mut().zip(&mut behind).enumerate() {
        for (lane, [first, last]) in ends.iter().enumerate() {
            before[lane] = 2.0 * first - value(lane, pad - i) - offset[lane];
            behind[lane] = 2.0 * last - value(lane, n - 2 - i) - offset[lane];
        }
    }

    let mut state = vec![[[0.0; LANES]; 2]; sections.len()];
    let mut long = vec![[0.0; LANES]; n];
    forward(sections, &mut state, &mut before);
    for (i, block) in long.chunks_mut(BLOCK).enumerate() {
        let start = i * BLOCK;
        load(
            block,
            rows.slice(s![.., start..start + block.len()]),
            &offset,
        );
        forward(sections, &mut state, block);
    }
    forward(sections, &mut state, &mut behind);

    // The way back starts at the last value, extension included.
    let last = behind.last().or(long.last()).copied().unwrap_or_default();
    let mut added = [0.0; LANES];
    for lane in 0..LANES {
        added[lane] = gain * (last[lane] + gain * offset[lane]);
    }
    state.fill([[0.0; LANES]; 2]);
    let from_last = |block: &mut [Lanes]| {
        for v in block {
            for (v, last) in v.iter_mut().zip(last) {
                *v -= last;
            }
        }
    };
    from_last(&mut behind);
    backward(sections, &mut state, &mut behind);
    for (i, block) in long.chunks_mut(BLOCK).enumerate().rev() {
        let start = i * BLOCK;
        from_last(block);
        backward(sections, &mut state, block);
        store(
            block,
            rows.slice_mut(s![.., start..start + block.len()]),
            &added,
        );
    }
}

/// Rows become lanes, less `offset`; lanes without a row stay as they are.
#[inline(always)]
fn load<T: Sample>(block: &mut [Lanes], rows: ArrayView2<'_, T>, offset: &Lanes) {
    for (lane, row) in rows.outer_iter().enumerate() {
        let offset = offset[lane];
        match row.as_slice() {
            Some(row) => {
                for (to, from) in block.iter_mut().zip(row) {
                    to[lane] = from.to_f64() - offset;
                }
            }
            None => {
                for (to, from) in block.iter_mut().zip(row) {
                    to[lane] = from.to_f64() - offset;
                }
            }
        }
    }
}

/// Lanes become rows, plus `added`.
#[inline(always)]
fn store<T: Sample>(block: &[Lanes], mut rows: ArrayViewMut2<'_, T>, added: &Lanes) {
    for (lane, mut row) in rows.outer_iter_mut().enumerate() {
        let added = added[lane];
        match row.as_slice_mut() {
            Some(row) => {
                for (to, from) in row.iter_mut().zip(block) {
                    *to = T::from_f64(from[lane] + added);
                }
            }
            None => {
                for (to, from) in row.iter_mut().zip(block) {
                    *to = T::from_f64(from[lane] + added);
                }
            }
        }
    }
}

#[inline(always)]
fn forward(sections: &[Section], state: &mut [State], block: &mut [Lanes]) {
    cascade::<false>(sections, state, block);
}

/// As [`forward`], from the last step to the first.
#[inline(always)]
fn backward(sections: &[Section], state: &mut [State], block: &mut [Lanes]) {
    cascade::<true>(sections, state, block);
}

#[inline(always)]
fn cascade<const BACK: bool>(sections: &[Section], state: &mut [State], block: &mut [Lanes]) {
    let (fours, rest) = sections.as_chunks::<4>();
    let (four_states, rest_states) = state.as_chunks_mut::<4>();
    for (sections, state) in fours.iter().zip(four_states) {
        fused::<BACK, 4>(sections, state, block);
    }
    let (twos, rest) = rest.as_chunks::<2>();
    let (two_states, rest_states) = rest_states.as_chunks_mut::<2>();
    for (sections, state) in twos.iter().zip(two_states) {
        fused::<BACK, 2>(sections, state, block);
    }
    for (section, state) in rest.iter().zip(rest_states) {
        fused::<BACK, 1>(
            std::array::from_ref(section),
            std::array::from_mut(state),
            block,
        );
    }
}

#[inline(always)]
fn fused<const BACK: bool, const S: usize>(
    sections: &[Section; S],
    state: &mut [State; S],
    block: &mut [Lanes],
) {
    let mut z = *state;
    let step = |v: &mut Lanes| {
        let mut x = *v;
        for (Section { b, a }, [z0, z1]) in sections.iter().zip(&mut z) {
            for i in 0..LANES {
                let y = b[0] * x[i] + z0[i];
                // Only the last difference waits for y.
                z0[i] = (b[1] * x[i] + z1[i]) - a[0] * y;
                z1[i] = b[2] * x[i] - a[1] * y;
                x[i] = y;
            }
        }
        *v = x;
    };
    if BACK {
        block.iter_mut().rev().for_each(step);
    } else {
        block.iter_mut().for_each(step);
    }
    *state = z;
}
