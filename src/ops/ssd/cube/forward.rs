//! The forward kernel: a cube takes one sample, head and tile of channels, and runs over the chunks
//! with the state in registers. Nothing between the operands and y goes through memory.

use super::load::*;
use super::plan::{Plan, Sizes};
use super::tile::*;
use cubecl::prelude::*;

/// (sample, head, tile of channels, whether there is work) of a cube.
#[cube]
pub fn head_of(size: &Sizes) -> (usize, usize, usize, bool) {
    let number = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    // Surplus cubes shadow the last one and write nothing.
    let exists = number < size.cubes;
    let cube = select(exists, number, size.cubes - 1);
    let row = cube / size.tiles;
    (row / size.h, row % size.h, cube % size.tiles, exists)
}

/// The state of a unit, from a (b, h, p, n) tensor.
#[cube]
pub fn read_state(
    from: &[f32],
    sample: usize,
    head: usize,
    tile: usize,
    size: &Sizes,
    #[comptime] s: Plan,
    #[comptime] grid: Grid,
) -> Array<f32> {
    let me = place(grid);
    let mut state = zeros(grid);
    if me.active {
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for j in 0..comptime!(2 * grid.tn) {
                #[unroll]
                for e in 0..4usize {
                    let channel = tile * s.p + me.row + comptime!(row(i, e));
                    let m = me.col + comptime!(col(j, e));
                    if channel < size.p && m < size.n {
                        let row = (sample * size.h + head) * size.p + channel;
                        state[comptime!(at(grid, i, j, e))] = from[row * size.n + m];
                    }
                }
            }
        }
    }
    state
}

/// Writes the state of a unit into a (b, h, p, n) tensor.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn write_state(
    into: &mut [f32],
    state: &Array<f32>,
    sample: usize,
    head: usize,
    tile: usize,
    size: &Sizes,
    #[comptime] s: Plan,
    #[comptime] grid: Grid,
) {
    let me = place(grid);
    if me.active {
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for j in 0..comptime!(2 * grid.tn) {
                #[unroll]
                for e in 0..4usize {
                    let channel = tile * s.p + me.row + comptime!(row(i, e));
                    let m = me.col + comptime!(col(j, e));
                    if channel < size.p && m < size.n {
                        let row = (sample * size.h + head) * size.p + channel;
                        into[row * size.n + m] = state[comptime!(at(grid, i, j, e))];
                    }
                }
            }
        }
    }
}

#[cube]
pub fn multiply_all(values: &mut Array<f32>, factor: f32, #[comptime] grid: Grid) {
    #[unroll]
    for i in 0..comptime!(grid.len()) {
        values[i] = values[i] * factor;
    }
}

/// exp(a_l - a_s) where step l sees step s of its own sequence, else zero.
#[cube]
pub fn decay(
    a: &Shared<[f32]>,
    sequence: &Shared<[i32]>,
    l: usize,
    s: usize,
    #[comptime] plan: Plan,
) -> f32 {
    let mut hidden = s > l;
    if comptime!(plan.spec.ids) {
        hidden = hidden || sequence[l] != sequence[s];
    }
    // The exponent of what is hidden may be large.
    let exponent = select(hidden, 0.0f32, a[l] - a[s]);
    select(hidden, 0.0f32, exponent.exp())
}

/// Writes results of steps × channels into a (b, l, h, p) tensor.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn write_signals<F: Float, N: Size>(
    into: &mut [Vector<F, N>],
    values: &Array<f32>,
    sample: usize,
    head: usize,
    tile: usize,
    chunk: usize,
    size: &Sizes,
    #[comptime] s: Plan,
    #[comptime] grid: Grid,
) {
    let me = place(grid);
    if me.active {
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for half in 0..2usize {
                let t = chunk * s.q + me.row + comptime!(row(i, 2 * half));
                let start = ((sample * size.l + t) * size.h + head) * size.p;
                if t < size.l {
                    #[unroll]
                    for j in 0..comptime!(2 * grid.tn) {
                        let channel = tile * s.p + me.col + comptime!(8 * j);
                        let low = values[comptime!(at(grid, i, j, 2 * half))];
                        let high = values[comptime!(at(grid, i, j, 2 * half + 1))];
                        if comptime!(s.width_x > 1) {
                            if channel < size.p {
                                let mut pair = Vector::<F, N>::new(F::cast_from(low));
                                pair.insert(1usize, F::cast_from(high));
                                into[(start + channel) / 2] = pair;
                            }
                        } else {
                            if channel < size.p {
                                into[start + channel] = Vector::new(F::cast_from(low));
                            }
                            if channel + 1 < size.p {
                                into[start + channel + 1] = Vector::new(F::cast_from(high));
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn forward_kernel<F: Float, S: Float, NX: Size, NB: Size, NY: Size>(
    x: &[Vector<F, NX>],
    b: &[Vector<F, NB>],
    c: &[Vector<F, NB>],
    times: &[f32],
    steps: &[f32],
    skip: &[f32],
    initial: &[f32],
    ids: &[i32],
    y: &mut [Vector<F, NY>],
    last: &mut [f32],
    size: Sizes,
    #[comptime] s: Plan,
    #[comptime] qq: Grid,
    #[comptime] qp: Grid,
    #[comptime] pn: Grid,
    #[comptime] lies: [Lie; 4],
    #[define(F)] _stored: ElemType,
    #[define(S)] _multiplied: ElemType,
) {
    let (sample, head, tile, exists) = head_of(&size);
    let group = head / (size.h / size.g);
    let mut xs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_p()), 16usize);
    let mut weighted =
        Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_p()), 16usize);
    let mut bs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_n()), 16usize);
    let mut cs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_n()), 16usize);
    let mut ms = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_q()), 16usize);
    let mut rs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.p * s.pitch_n()), 16usize);
    let mut a = Shared::<[f32]>::new_slice(s.q);
    let mut dt = Shared::<[f32]>::new_slice(s.q);
    let mut seen = Shared::<[f32]>::new_slice(s.q);
    let mut left = Shared::<[f32]>::new_slice(s.q);
    let mut sequence = Shared::<[i32]>::new_slice(s.q);

    let mut state = zeros(pn);
    if comptime!(s.spec.state) {
        state = read_state(initial, sample, head, tile, &size, s, pn);
    }
    let columns = size.p - tile * s.p;
    for chunk in 0..size.chunks {
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
            &mut cs,
            c,
            of_b,
            stride_b,
            rows,
            size.n,
            comptime!(s.projections()),
        );
        load_rows::<F, S, NB>(
            &mut bs,
            b,
            of_b,
            stride_b,
            rows,
            size.n,
            comptime!(s.projections()),
        );
        load_rows::<F, S, NX>(
            &mut xs,
            x,
            of_x,
            stride_x,
            rows,
            columns,
            comptime!(s.signals()),
        );
        put::<S>(&mut rs, &state, comptime!(s.pitch_n()), pn);
        sync_cube();

        // Within the chunk: C · B, decay and Δ.
        scaled_rows::<S>(&mut weighted, &xs, &left, &dt, true, comptime!(s.signals()));
        let mut pairs = zeros(qq);
        product::<S>(&mut pairs, &cs, &bs, comptime!(lies[0]));
        let me = place(qq);
        if me.active {
            #[unroll]
            for i in 0..qq.tm {
                #[unroll]
                for j in 0..comptime!(2 * qq.tn) {
                    #[unroll]
                    for e in 0..4usize {
                        let here = comptime!(at(qq, i, j, e));
                        let late = me.row + comptime!(row(i, e));
                        let early = me.col + comptime!(col(j, e));
                        pairs[here] =
                            pairs[here] * decay(&a, &sequence, late, early, s) * dt[early];
                    }
                }
            }
        }
        put::<S>(&mut ms, &pairs, comptime!(s.pitch_q()), qq);
        // The state before the chunk.
        let mut out = zeros(qp);
        product::<S>(&mut out, &cs, &rs, comptime!(lies[1]));
        scale_rows(&mut out, &seen, qp);
        sync_cube();

        product::<S>(&mut out, &ms, &xs, comptime!(lies[2]));
        if comptime!(s.spec.skip) {
            let me = place(qp);
            if me.active {
                #[unroll]
                for j in 0..comptime!(2 * qp.tn) {
                    #[unroll]
                    for e in 0..2usize {
                        let channel = me.col + comptime!(col(j, e));
                        let mut d = skip[head];
                        if comptime!(s.spec.wide_skip) {
                            d = skip[head * size.p + min(tile * s.p + channel, size.p - 1)];
                        }
                        #[unroll]
                        for i in 0..qp.tm {
                            #[unroll]
                            for half in 0..2usize {
                                let here = comptime!(at(qp, i, j, 2 * half + e));
                                let r = me.row + comptime!(row(i, 2 * half));
                                let word = xs[r * comptime!(s.pitch_p()) + channel / 2];
                                out[here] = fma(d, f32::cast_from(word.extract(e)), out[here]);
                            }
                        }
                    }
                }
            }
        }
        if exists {
            write_signals::<F, NY>(y, &out, sample, head, tile, chunk, &size, s, qp);
        }
        multiply_all(&mut state, kept, pn);
        product::<S>(&mut state, &weighted, &bs, comptime!(lies[3]));
    }
    if exists {
        write_state(last, &state, sample, head, tile, &size, s, pn);
    }
}
