//! The states before every chunk, and the gradients of the states after them, for the backward
//! kernel: a cube takes one sample, head and tile of channels and runs over the chunks, forwards or
//! backwards.
//!
//! ```text
//! R' = exp(a_end) R + Σ_s left_s Δ_s x_s B_sᵀ            dR = exp(a_end) dR' + Σ_l seen_l dy_l C_lᵀ
//! ```

use super::forward::{head_of, multiply_all, read_state, write_state};
use super::load::*;
use super::plan::{Plan, Sizes};
use super::tile::*;
use cubecl::prelude::*;

/// `signals` are x or dy, `rows` B or C; `states` (b, chunks, h, p, padded n) gets what there is
/// before a chunk is added, in the direction of the run.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn carry_kernel<F: Float, S: Float, NX: Size, NB: Size>(
    signals: &[Vector<F, NX>],
    projections: &[Vector<F, NB>],
    times: &[f32],
    steps: &[f32],
    ids: &[i32],
    initial: &[f32],
    states: &mut [Word<S>],
    last: &mut [f32],
    size: Sizes,
    #[comptime] s: Plan,
    #[comptime] pn: Grid,
    #[comptime] lie: Lie,
    #[comptime] reverse: bool,
    #[comptime] from_initial: bool,
    #[comptime] to_last: bool,
    #[define(F)] _stored: ElemType,
    #[define(S)] _multiplied: ElemType,
) {
    let (sample, head, tile, exists) = head_of(&size);
    let group = head / (size.h / size.g);
    let mut xs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_p()), 16usize);
    let mut weighted =
        Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_p()), 16usize);
    let mut bs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_n()), 16usize);
    let mut a = Shared::<[f32]>::new_slice(s.q);
    let mut dt = Shared::<[f32]>::new_slice(s.q);
    let mut seen = Shared::<[f32]>::new_slice(s.q);
    let mut left = Shared::<[f32]>::new_slice(s.q);
    let mut sequence = Shared::<[i32]>::new_slice(s.q);

    let mut state = zeros(pn);
    if comptime!(from_initial) {
        state = read_state(initial, sample, head, tile, &size, s, pn);
    }
    let columns = size.p - tile * s.p;
    for round in 0..size.chunks {
        let mut chunk = round;
        if comptime!(reverse) {
            chunk = size.chunks - 1 - round;
        }
        let t0 = chunk * s.q;
        let rows = size.l - t0;
        sync_cube();
        let kept = lay_steps(
            &mut a,
            &mut dt,
            &mut seen,
            &mut left,
            &mut sequence,
            times,
            steps,
            ids,
            sample,
            head,
            chunk,
            &size,
            s,
        );
        let step = sample * size.l + t0;
        let of_x = (step * size.h + head) * size.p + tile * s.p;
        let of_b = (step * size.g + group) * size.n;
        let stride_x = size.h * size.p;
        let stride_b = size.g * size.n;
        load_rows::<F, S, NB>(
            &mut bs,
            projections,
            of_b,
            stride_b,
            rows,
            size.n,
            comptime!(s.projections()),
        );
        load_rows::<F, S, NX>(
            &mut xs,
            signals,
            of_x,
            stride_x,
            rows,
            columns,
            comptime!(s.signals()),
        );
        let me = place(pn);
        if exists && me.active {
            #[unroll]
            for i in 0..pn.tm {
                #[unroll]
                for half in 0..2usize {
                    let channel = tile * s.p + me.row + comptime!(row(i, 2 * half));
                    let number = (sample * size.chunks + chunk) * size.h + head;
                    let start = (number * size.p + channel) * comptime!(s.n / 2);
                    if channel < size.p {
                        #[unroll]
                        for j in 0..comptime!(2 * pn.tn) {
                            states[start + me.col / 2 + comptime!(4 * j)] = word::<S>(
                                state[comptime!(at(pn, i, j, 2 * half))],
                                state[comptime!(at(pn, i, j, 2 * half + 1))],
                            );
                        }
                    }
                }
            }
        }
        sync_cube();
        if comptime!(reverse) {
            scaled_rows::<S>(
                &mut weighted,
                &xs,
                &seen,
                &seen,
                false,
                comptime!(s.signals()),
            );
        } else {
            scaled_rows::<S>(&mut weighted, &xs, &left, &dt, true, comptime!(s.signals()));
        }
        sync_cube();
        multiply_all(&mut state, kept, pn);
        product::<S>(&mut state, &weighted, &bs, lie);
    }
    if comptime!(to_last) {
        if exists {
            write_state(last, &state, sample, head, tile, &size, s, pn);
        }
    }
}
