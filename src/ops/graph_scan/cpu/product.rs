//! Matrix products whose elements are vectors of sixteen channels, in tiles of registers.
//!
//! `out[i][j] (+)= Σ_k a(i, k) · b(j, k)`, where each of a and b is either a matrix of numbers
//! (spread over the lanes) or of packs. All products of the graph scan are of this form, so that
//! none needs sums over lanes, but for the gradient of P ([`Contract`]).

use std::ops::Range;

use crate::ops::simd::{Kernel, LANES, Lanes, Pack, Real, flat};

/// What an operand is made of: numbers, or packs.
pub trait Element<T: Real>: Copy {
    /// # Safety
    /// `at` must be valid for reading.
    unsafe fn lanes<V: Lanes<T>>(at: *const Self) -> V;
}

impl<T: Real> Element<T> for T {
    #[inline(always)]
    unsafe fn lanes<V: Lanes<T>>(at: *const T) -> V {
        // SAFETY: the caller's.
        V::splat(unsafe { *at })
    }
}

impl<T: Real> Element<T> for Pack<T> {
    #[inline(always)]
    unsafe fn lanes<V: Lanes<T>>(at: *const Pack<T>) -> V {
        // SAFETY: the caller's.
        unsafe { V::read(at.cast()) }
    }
}

/// The operand a: element (i, k) is `data[i · outer + k · depth]`.
#[derive(Clone, Copy)]
pub struct Left<'a, E> {
    pub data: &'a [E],
    pub outer: usize,
    pub depth: usize,
}

/// The operand b: element (j, k) is `data[j + k · depth]`.
#[derive(Clone, Copy)]
pub struct Right<'a, E> {
    pub data: &'a [E],
    pub depth: usize,
}

/// Rows of a tile: 5 × 4 accumulators, 4 of b and 5 of a fit in the 32 registers of AVX-512 (a sixth
/// row would spill, since compilers load all operands of a step first).
pub const TILE_ROWS: usize = 5;
/// Depth of a block when tiles are taken column by column: 96 × 4 packs stay in the first cache.
const DEPTH: usize = 96;

/// `out[i][j] (+)= Σ_k a(i, k) b(j, k)`, i < rows, j < columns, k < depth, plus the same of a
/// second pair (a, b) if there is one; out is (rows, columns).
pub struct Product<'a, T, A, B> {
    pub out: &'a mut [Pack<T>],
    pub first: (Left<'a, A>, Right<'a, B>),
    pub second: Option<(Left<'a, A>, Right<'a, B>)>,
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    /// Whether to add to `out`.
    pub add: bool,
    /// Order of the tiles: by columns where b is the larger operand, else by rows.
    pub by_columns: bool,
}

impl<T: Real, A: Element<T>, B: Element<T>> Kernel<T> for Product<'_, T, A, B> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<T>>(self) {
        let Self {
            out,
            first,
            second,
            rows,
            columns,
            depth,
            add,
            by_columns,
        } = self;
        assert!(rows > 0 && columns > 0 && depth > 0, "empty product");
        for (a, b) in std::iter::once(first).chain(second) {
            let last = (rows - 1) * a.outer + (depth - 1) * a.depth;
            assert!(
                last < a.data.len(),
                "product reaches outside its left operand"
            );
            let last = columns - 1 + (depth - 1) * b.depth;
            assert!(
                last < b.data.len(),
                "product reaches outside its right operand"
            );
        }
        assert_eq!(out.len(), rows * columns, "size of the product");
        let (most_rows, wide) = if V::WIDE { (TILE_ROWS, 4) } else { (3, 2) };
        // Rows in tiles as equal as can be: 19 = 5 + 5 + 5 + 4, not 6 + 6 + 6 + 1.
        let row_tiles = rows.div_ceil(most_rows);
        // Then `whole` wide tiles of columns, and the rest one by one.
        let whole = columns / wide;
        let column_tiles = whole + columns % wide;
        let block = if by_columns { DEPTH } else { depth };
        for k in (0..depth).step_by(block) {
            let depths = k..(k + block).min(depth);
            let add = add || k > 0;
            let (outer, inner) = if by_columns {
                (column_tiles, row_tiles)
            } else {
                (row_tiles, column_tiles)
            };
            for outer in 0..outer {
                for inner in 0..inner {
                    let (r, c) = if by_columns {
                        (inner, outer)
                    } else {
                        (outer, inner)
                    };
                    let (i, end) = (r * rows / row_tiles, (r + 1) * rows / row_tiles);
                    let (j, width) = if c < whole {
                        (c * wide, wide)
                    } else {
                        (whole * (wide - 1) + c, 1)
                    };
                    let mut tile = Tile {
                        out: &mut *out,
                        columns,
                        first,
                        second,
                        i,
                        j,
                        add,
                    };
                    let depths = depths.clone();
                    // SAFETY: rows i..end, columns j..j + width and the depths were checked.
                    unsafe {
                        match (width, end - i) {
                            (4, 5) => tile.run::<V, 5, 4>(depths),
                            (4, 4) => tile.run::<V, 4, 4>(depths),
                            (4, 3) => tile.run::<V, 3, 4>(depths),
                            (4, 2) => tile.run::<V, 2, 4>(depths),
                            (4, 1) => tile.run::<V, 1, 4>(depths),
                            (2, 3) => tile.run::<V, 3, 2>(depths),
                            (2, 2) => tile.run::<V, 2, 2>(depths),
                            (2, 1) => tile.run::<V, 1, 2>(depths),
                            (_, 5) => tile.run::<V, 5, 1>(depths),
                            (_, 4) => tile.run::<V, 4, 1>(depths),
                            (_, 3) => tile.run::<V, 3, 1>(depths),
                            (_, 2) => tile.run::<V, 2, 1>(depths),
                            _ => tile.run::<V, 1, 1>(depths),
                        }
                    }
                }
            }
        }
    }
}

struct Tile<'a, T, A, B> {
    out: &'a mut [Pack<T>],
    columns: usize,
    first: (Left<'a, A>, Right<'a, B>),
    second: Option<(Left<'a, A>, Right<'a, B>)>,
    i: usize,
    j: usize,
    add: bool,
}

impl<T: Real, A: Element<T>, B: Element<T>> Tile<'_, T, A, B> {
    /// # Safety
    /// The tile of R × C at (i, j) must lie inside the product, and `depths` inside its depth.
    #[inline(always)]
    unsafe fn run<V: Lanes<T>, const R: usize, const C: usize>(&mut self, depths: Range<usize>) {
        let mut sums = [[V::splat(T::ZERO); C]; R];
        if self.add {
            for (r, row) in sums.iter_mut().enumerate() {
                let start = (self.i + r) * self.columns + self.j;
                for (sum, from) in row.iter_mut().zip(&self.out[start..start + C]) {
                    *sum = V::load(from);
                }
            }
        }
        // SAFETY: the caller's.
        unsafe {
            self.accumulate(&mut sums, self.first, depths.clone());
            if let Some(second) = self.second {
                self.accumulate(&mut sums, second, depths);
            }
        }
        for (r, row) in sums.iter().enumerate() {
            let start = (self.i + r) * self.columns + self.j;
            for (sum, to) in row.iter().zip(&mut self.out[start..start + C]) {
                sum.store(to);
            }
        }
    }

    /// # Safety
    /// As of `run`.
    #[inline(always)]
    unsafe fn accumulate<V: Lanes<T>, const R: usize, const C: usize>(
        &self,
        sums: &mut [[V; C]; R],
        (a, b): (Left<A>, Right<B>),
        depths: Range<usize>,
    ) {
        // Two pointers that walk along the depth: fewer registers than computed addresses.
        let mut left = a
            .data
            .as_ptr()
            .wrapping_add(self.i * a.outer + depths.start * a.depth);
        let mut right = b
            .data
            .as_ptr()
            .wrapping_add(self.j + depths.start * b.depth);
        for _ in depths {
            let mut columns = [V::splat(T::ZERO); C];
            for (c, column) in columns.iter_mut().enumerate() {
                // SAFETY: column j + c at this depth, which is inside by the contract.
                *column = unsafe { B::lanes(right.wrapping_add(c)) };
            }
            for (r, row) in sums.iter_mut().enumerate() {
                // SAFETY: row i + r at this depth, which is inside by the contract.
                let a: V = unsafe { A::lanes(left.wrapping_add(r * a.outer)) };
                for (sum, column) in row.iter_mut().zip(columns) {
                    *sum = a.mul_add(column, *sum);
                }
            }
            left = left.wrapping_add(a.depth);
            right = right.wrapping_add(b.depth);
        }
    }
}

/// Two matrices of packs, (vertices, states).
pub type Pair<'a, T> = (&'a [Pack<T>], &'a [Pack<T>]);

/// `out[i, j] += Σ_{n, lane} x[i][n] h[j][n]`, plus the same of a second pair if there is one;
/// x, h are (vertices, states) of packs and out is (vertices, vertices) of numbers.
pub struct Contract<'a, T> {
    pub out: &'a mut [T],
    pub first: Pair<'a, T>,
    pub second: Option<Pair<'a, T>>,
    pub vertices: usize,
    pub states: usize,
}

/// Side of a tile of [`Contract`]: its 16 sums are reduced together.
const SIDE: usize = 4;
/// Packs of a block of rows of [`Contract`], which stays in the first cache (16 KiB for f32).
const BLOCK: usize = 256;

impl<T: Real> Kernel<T> for Contract<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<T>>(self) {
        let Self {
            out,
            first,
            second,
            vertices: v,
            states: n,
        } = self;
        assert_eq!(out.len(), v * v, "size of the product");
        for (x, h) in std::iter::once(first).chain(second) {
            assert!(x.len() == v * n && h.len() == v * n, "size of the operands");
        }
        let rows = (BLOCK / n).max(SIDE).next_multiple_of(SIDE);
        for block in (0..v).step_by(rows) {
            for j in (0..v).step_by(SIDE) {
                for i in (block..(block + rows).min(v)).step_by(SIDE) {
                    let mut sums = [V::splat(T::ZERO); LANES];
                    // SAFETY: `at` stays below v, and the sizes were checked.
                    unsafe {
                        accumulate(&mut sums, first, i, j, v, n);
                        if let Some(second) = second {
                            accumulate(&mut sums, second, i, j, v, n);
                        }
                    }
                    let sums = V::sums(&sums).pack();
                    for (row, sums) in sums.0.chunks_exact(SIDE).take(v - i).enumerate() {
                        let start = (i + row) * v + j;
                        let end = start + SIDE.min(v - j);
                        for (out, sum) in out[start..end].iter_mut().zip(sums) {
                            *out += *sum;
                        }
                    }
                }
            }
        }
    }
}

/// Adds the products of rows i.. of x with rows j.. of h; rows past the last repeat it, and their
/// sums are dropped.
///
/// # Safety
/// x and h must hold v · n packs each, with i, j < v.
#[inline(always)]
unsafe fn accumulate<T: Real, V: Lanes<T>>(
    sums: &mut [V; LANES],
    (x, h): Pair<T>,
    i: usize,
    j: usize,
    v: usize,
    n: usize,
) {
    // SAFETY: the rows are at most v − 1.
    unsafe {
        let (x, h) = (flat(x).as_ptr(), flat(h).as_ptr());
        for k in 0..n {
            let mut columns = [V::splat(T::ZERO); SIDE];
            for (c, column) in columns.iter_mut().enumerate() {
                *column = V::read(h.add(((j + c).min(v - 1) * n + k) * LANES));
            }
            for r in 0..SIDE {
                let x = V::read(x.add(((i + r).min(v - 1) * n + k) * LANES));
                for (c, column) in columns.iter().enumerate() {
                    sums[r * SIDE + c] = x.mul_add(*column, sums[r * SIDE + c]);
                }
            }
        }
    }
}
