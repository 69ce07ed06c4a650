//! The backward kernel: a cube takes one sample, chunk and group and some of the group's heads, whose
//! share of dB and dC it adds up in registers. C · B is computed once for all of them.
//!
//! With W\[l, s\] = (C_l · B_s) exp(a_l - a_s), G\[l, s\] = dy_l · x_s, R the state before the chunk and
//! dR the gradient of the state after it:
//!
//! ```text
//! U_s = Σ_l W[l, s] dy_l + left_s dR B_s                 dx_s = Δ_s U_s + D dy_s
//! dC_l = Σ_s exp(a_l - a_s) Δ_s G[l, s] B_s + seen_l Rᵀ dy_l
//! dB_s = Σ_l exp(a_l - a_s) Δ_s G[l, s] C_l + left_s Δ_s dRᵀ x_s
//! ```
//!
//! What the gradients of Δ and A need is left by step for [`super::times`]: with
//! E\[l, s\] = W Δ_s G, `rows` = Σ_s E\[t, s\] - Σ_l E\[l, t\] + seen_t C_t · Rᵀ dy_t,
//! `inputs` = left_t Δ_t x_t · dR B_t, `direct` = x_t · U_t, and `kept` = exp(a_end) R · dR.

use super::forward::{decay, write_signals};
use super::load::*;
use super::plan::{Plan, Sizes};
use super::tile::*;
use cubecl::prelude::*;

/// The grids and products of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shapes {
    pub qq: Grid,
    pub qp: Grid,
    pub qn: Grid,
    /// C Bᵀ
    pub pairs: Lie,
    /// dy xᵀ
    pub signals: Lie,
    /// dy R, and x dR
    pub reads: Lie,
    /// B dRᵀ
    pub carried: Lie,
    /// Wᵀ dy
    pub within: Lie,
    /// V B
    pub rows: Lie,
    /// Vᵀ C
    pub columns: Lie,
}

impl Shapes {
    pub fn new(s: &Plan) -> Self {
        let (qq, qp, qn) = (s.qq(), s.qp(), s.qn());
        Self {
            qq,
            qp,
            qn,
            pairs: s.lie(qq, s.n, [s.n, s.n], false, true),
            signals: s.lie(qq, s.p, [s.p, s.p], false, true),
            reads: s.lie(qn, s.p, [s.p, s.n], false, false),
            carried: s.lie(qp, s.n, [s.n, s.n], false, true),
            within: s.lie(qp, s.q, [s.q, s.p], true, false),
            rows: s.lie(qn, s.q, [s.q, s.n], false, false),
            columns: s.lie(qn, s.q, [s.q, s.n], true, false),
        }
    }
}

/// values ·= factor of the row · (numbers of a matrix in shared memory), for sums over rows; the
/// matrix's rows are those of the results.
#[cube]
fn times_matrix<S: Float>(
    values: &Array<f32>,
    matrix: &Shared<[Word<S>]>,
    #[comptime] pitch: usize,
    #[comptime] grid: Grid,
) -> Array<f32> {
    let me = place(grid);
    let mut products = zeros(grid);
    if me.active {
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for half in 0..2usize {
                let r = me.row + comptime!(row(i, 2 * half));
                #[unroll]
                for j in 0..comptime!(2 * grid.tn) {
                    let word = matrix[r * pitch + (me.col + comptime!(8 * j)) / 2];
                    #[unroll]
                    for e in 0..2usize {
                        let here = comptime!(at(grid, i, j, 2 * half + e));
                        products[here] = values[here] * f32::cast_from(word.extract(e));
                    }
                }
            }
        }
    }
    products
}

/// acc += values, row by row times one or two factors.
#[cube]
fn add_rows(
    acc: &mut Array<f32>,
    values: &Array<f32>,
    factor: &Shared<[f32]>,
    other: &Shared<[f32]>,
    #[comptime] both: bool,
    #[comptime] grid: Grid,
) {
    let me = place(grid);
    if me.active {
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for half in 0..2usize {
                let r = me.row + comptime!(row(i, 2 * half));
                let mut scale = factor[r];
                if comptime!(both) {
                    scale *= other[r];
                }
                #[unroll]
                for j in 0..comptime!(2 * grid.tn) {
                    #[unroll]
                    for e in 0..2usize {
                        let here = comptime!(at(grid, i, j, 2 * half + e));
                        acc[here] = fma(scale, values[here], acc[here]);
                    }
                }
            }
        }
    }
}

/// Replaces one state in shared memory by another, and returns the unit's part of the sum of their
/// products.
#[cube]
fn replace_state<S: Float, NR: Size>(
    rs: &mut Shared<[Word<S>]>,
    from: &[Vector<S, NR>],
    first: usize,
    rows: usize,
    #[comptime] block: Block,
) -> f32 {
    let per = comptime!(block.columns / block.width);
    let count = comptime!(block.rows * per);
    let mut sum = 0.0f32;
    #[unroll]
    for round in 0..comptime!(count.div_ceil(block.units)) {
        let k = UNIT_POS as usize + comptime!(round * block.units);
        if k < count {
            let r = k / per;
            let mut value = Vector::<S, NR>::new(S::from_int(0));
            if r < rows {
                value = from[first / block.width + k];
            }
            let here = r * comptime!(block.pitch()) + k % per * comptime!(block.width / 2);
            #[unroll]
            for w in 0..comptime!(block.width / 2) {
                let old = rs[here + w];
                let mut new = Word::<S>::new(value.extract(comptime!(2 * w)));
                new.insert(1usize, value.extract(comptime!(2 * w + 1)));
                #[unroll]
                for c in 0..2usize {
                    sum += f32::cast_from(old.extract(c)) * f32::cast_from(new.extract(c));
                }
                rs[here + w] = new;
            }
        }
    }
    sum
}

/// Writes a share of dB or dC, (splits, b, l, g, n).
#[cube]
#[allow(clippy::too_many_arguments)]
fn write_share(
    into: &mut [f32],
    values: &Array<f32>,
    first: usize,
    t0: usize,
    size: &Sizes,
    #[comptime] grid: Grid,
) {
    let me = place(grid);
    if me.active {
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for half in 0..2usize {
                let t = me.row + comptime!(row(i, 2 * half));
                if t0 + t < size.l {
                    #[unroll]
                    for j in 0..comptime!(2 * grid.tn) {
                        #[unroll]
                        for e in 0..2usize {
                            let m = me.col + comptime!(col(j, e));
                            if m < size.n {
                                into[first + t * size.g * size.n + m] =
                                    values[comptime!(at(grid, i, j, 2 * half + e))];
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
pub fn backward_kernel<F: Float, S: Float, NX: Size, NB: Size, NR: Size, NY: Size>(
    x: &[Vector<F, NX>],
    dy: &[Vector<F, NX>],
    b: &[Vector<F, NB>],
    c: &[Vector<F, NB>],
    before: &[Vector<S, NR>],
    after: &[Vector<S, NR>],
    times: &[f32],
    steps: &[f32],
    skip: &[f32],
    ids: &[i32],
    dx: &mut [Vector<F, NY>],
    db: &mut [f32],
    dc: &mut [f32],
    rows_out: &mut [f32],
    inputs_out: &mut [f32],
    direct_out: &mut [f32],
    kept_out: &mut [f32],
    dskip: &mut [f32],
    size: Sizes,
    #[comptime] s: Plan,
    #[comptime] shapes: Shapes,
    #[define(F)] _stored: ElemType,
    #[define(S)] _multiplied: ElemType,
) {
    let unit = UNIT_POS as usize;
    let number = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    // Surplus cubes shadow the last one and write nothing.
    let exists = number < size.cubes;
    let cube = select(exists, number, size.cubes - 1);
    let split = cube % size.splits;
    let group = cube / size.splits % size.g;
    let place_of_chunk = cube / (size.splits * size.g);
    let chunk = place_of_chunk % size.chunks;
    let sample = place_of_chunk / size.chunks;
    let t0 = chunk * s.q;
    let rows = size.l - t0;

    let qq = comptime!(shapes.qq);
    let qp = comptime!(shapes.qp);
    let qn = comptime!(shapes.qn);
    let mut bs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_n()), 16usize);
    let mut cs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_n()), 16usize);
    let mut xs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_p()), 16usize);
    let mut ys = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_p()), 16usize);
    let mut ms = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.q * s.pitch_q()), 16usize);
    let mut rs = Shared::<[Word<S>]>::new_aligned_slice(comptime!(s.p * s.pitch_n()), 16usize);
    let mut a = Shared::<[f32]>::new_slice(s.q);
    let mut dt = Shared::<[f32]>::new_slice(s.q);
    let mut seen = Shared::<[f32]>::new_slice(s.q);
    let mut left = Shared::<[f32]>::new_slice(s.q);
    let mut sequence = Shared::<[i32]>::new_slice(s.q);
    let [by_row, by_column, by_step] = comptime!(s.sums());
    let mut row_sums = Shared::<[f32]>::new_slice(by_row);
    let mut column_sums = Shared::<[f32]>::new_slice(by_column);
    let mut read_sums = Shared::<[f32]>::new_slice(by_step);
    let mut input_sums = Shared::<[f32]>::new_slice(by_step);
    let mut direct_sums = Shared::<[f32]>::new_slice(by_step);
    let mut kept_sums = Shared::<[f32]>::new_slice(comptime!(s.units()));

    let stride_x = size.h * size.p;
    let stride_b = size.g * size.n;
    let of_b = ((sample * size.l + t0) * size.g + group) * size.n;
    load_rows::<F, S, NB>(
        &mut bs,
        b,
        of_b,
        stride_b,
        rows,
        size.n,
        comptime!(s.projections()),
    );
    load_rows::<F, S, NB>(
        &mut cs,
        c,
        of_b,
        stride_b,
        rows,
        size.n,
        comptime!(s.projections()),
    );
    sync_cube();
    let mut pairs = zeros(qq);
    product::<S>(&mut pairs, &cs, &bs, comptime!(shapes.pairs));
    // The gradient of C · B.
    let mut dpairs = zeros(qq);
    let mut db_share = zeros(qn);
    let mut dc_share = zeros(qn);

    let heads = size.h / size.g;
    let first = min(split * size.heads, heads);
    for member in first..min(first + size.heads, heads) {
        let head = group * heads + member;
        // Sums of the unit's step over the tiles of channels.
        let mut row_total = 0.0f32;
        let mut input_total = 0.0f32;
        let mut direct_total = 0.0f32;
        let mut kept_total = 0.0f32;
        let mut skip_total = 0.0f32;
        for tile in 0..size.tiles {
            let columns = size.p - tile * s.p;
            let of_x = ((sample * size.l + t0) * size.h + head) * size.p + tile * s.p;
            let state = ((sample * size.chunks + chunk) * size.h + head) * size.p + tile * s.p;
            let of_state = state * s.n;
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
            load_rows::<F, S, NX>(
                &mut xs,
                x,
                of_x,
                stride_x,
                rows,
                columns,
                comptime!(s.signals()),
            );
            load_rows::<F, S, NX>(
                &mut ys,
                dy,
                of_x,
                stride_x,
                rows,
                columns,
                comptime!(s.signals()),
            );
            load_rows::<S, S, NR>(
                &mut rs,
                before,
                of_state,
                comptime!(s.n).runtime(),
                columns,
                comptime!(s.n).runtime(),
                comptime!(s.states()),
            );
            sync_cube();

            // dy x: gradients within the chunk, and the matrix W.
            let mut met = zeros(qq);
            product::<S>(&mut met, &ys, &xs, comptime!(shapes.signals));
            let mut weights = zeros(qq);
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
                            let factor = decay(&a, &sequence, late, early, s);
                            let arriving = factor * dt[early] * met[here];
                            dpairs[here] += arriving;
                            weights[here] = factor * pairs[here];
                            met[here] = arriving * pairs[here];
                        }
                    }
                }
            }
            put::<S>(&mut ms, &weights, comptime!(s.pitch_q()), qq);
            put_row_sums(&mut row_sums, &met, qq);
            put_column_sums(&mut column_sums, &met, qq);
            // dy R: what the state before the chunk gives.
            let mut reads = zeros(qn);
            product::<S>(&mut reads, &ys, &rs, comptime!(shapes.reads));
            add_rows(&mut dc_share, &reads, &seen, &seen, false, qn);
            let products = times_matrix::<S>(&reads, &cs, comptime!(s.pitch_n()), qn);
            put_row_sums(&mut read_sums, &products, qn);
            if comptime!(s.spec.skip) {
                if unit < s.p {
                    let mut sum = 0.0f32;
                    for t in 0..s.q.runtime() {
                        let place = t * comptime!(s.pitch_p()) + unit / 2;
                        let (from, to) = (xs[place], ys[place]);
                        let low = f32::cast_from(from.extract(0usize))
                            * f32::cast_from(to.extract(0usize));
                        let high = f32::cast_from(from.extract(1usize))
                            * f32::cast_from(to.extract(1usize));
                        sum += select(unit % 2 == 1, high, low);
                    }
                    if comptime!(s.spec.wide_skip) {
                        let channel = tile * s.p + unit;
                        if exists && channel < size.p {
                            let place = (sample * size.chunks + chunk) * size.h + head;
                            dskip[place * size.p + channel] = sum;
                        }
                    } else {
                        skip_total += sum;
                    }
                }
            }
            sync_cube();

            let part =
                replace_state::<S, NR>(&mut rs, after, of_state, columns, comptime!(s.states()));
            kept_sums[unit] = part;
            if unit < s.q {
                row_total += gathered(&row_sums, unit, comptime!(qq.per_row()))
                    - gathered(&column_sums, unit, comptime!(qq.per_column()))
                    + seen[unit] * gathered(&read_sums, unit, comptime!(qn.per_row()));
            }
            sync_cube();

            // U: what x gives to the outputs of the chunk and to the state after it.
            let mut given = zeros(qp);
            product::<S>(&mut given, &bs, &rs, comptime!(shapes.carried));
            scale_rows(&mut given, &left, qp);
            let products = times_matrix::<S>(&given, &xs, comptime!(s.pitch_p()), qp);
            put_row_sums(&mut input_sums, &products, qp);
            product::<S>(&mut given, &ms, &ys, comptime!(shapes.within));
            let products = times_matrix::<S>(&given, &xs, comptime!(s.pitch_p()), qp);
            put_row_sums(&mut direct_sums, &products, qp);
            scale_rows(&mut given, &dt, qp);
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
                                    let word = ys[r * comptime!(s.pitch_p()) + channel / 2];
                                    given[here] =
                                        fma(d, f32::cast_from(word.extract(e)), given[here]);
                                }
                            }
                        }
                    }
                }
            }
            if exists {
                write_signals::<F, NY>(dx, &given, sample, head, tile, chunk, &size, s, qp);
            }
            let mut reads = zeros(qn);
            product::<S>(&mut reads, &xs, &rs, comptime!(shapes.reads));
            add_rows(&mut db_share, &reads, &left, &dt, true, qn);
            sync_cube();
            if unit < s.q {
                input_total += dt[unit] * gathered(&input_sums, unit, comptime!(qp.per_row()));
                direct_total += gathered(&direct_sums, unit, comptime!(qp.per_row()));
            }
            if unit == 0 {
                let mut sum = 0.0f32;
                for i in 0..comptime!(s.units()).runtime() {
                    sum += kept_sums[i];
                }
                kept_total += kept * sum;
            }
        }
        if exists {
            if unit < s.q {
                let base = steps_of(sample, head, chunk, &size, s);
                rows_out[base + unit] = row_total;
                inputs_out[base + unit] = input_total;
                direct_out[base + unit] = direct_total;
            }
            if unit == 0 {
                kept_out[(sample * size.chunks + chunk) * size.h + head] = kept_total;
            }
        }
        if comptime!(s.spec.skip && !s.spec.wide_skip) {
            sync_cube();
            kept_sums[unit] = skip_total;
            sync_cube();
            if exists && unit == 0 {
                let mut sum = 0.0f32;
                for i in 0..s.p.runtime() {
                    sum += kept_sums[i];
                }
                dskip[(sample * size.chunks + chunk) * size.h + head] = sum;
            }
        }
    }
    sync_cube();
    put::<S>(&mut ms, &dpairs, comptime!(s.pitch_q()), qq);
    sync_cube();
    product::<S>(&mut dc_share, &ms, &bs, comptime!(shapes.rows));
    product::<S>(&mut db_share, &ms, &cs, comptime!(shapes.columns));
    if exists {
        let batch = size.cubes / (size.splits * size.g * size.chunks);
        let share = of_b + split * batch * size.l * stride_b;
        write_share(db, &db_share, share, t0, &size, qn);
        write_share(dc, &dc_share, share, t0, &size, qn);
    }
}
