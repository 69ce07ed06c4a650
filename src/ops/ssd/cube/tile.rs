//! Products of small matrices in shared memory, with the results in registers.
//!
//! A matrix in shared memory is rows of words, two neighbouring numbers each. The results of a
//! product are spread over the units as `mma.m16n8k16` leaves them: a plane of 32 units owns tiles of
//! 16 × 8, of which unit 4 g + t holds rows g and g + 8 and columns 2 t and 2 t + 1. Where there are
//! no tensor cores for the type, the same units compute the same results by multiply-adds, so that
//! all that is done with results is written once.

use cubecl::{
    cmma::{MatrixIdent, MmaDefinition},
    prelude::*,
};

/// Two neighbouring numbers of a row.
pub type Word<S> = Vector<S, Const<2>>;
type V2 = Vector<f32, Const<2>>;

/// How the planes of a cube share the results of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Planes along the rows.
    pub planes_m: usize,
    /// Planes along the columns.
    pub planes_n: usize,
    /// Tiles of 16 rows of a plane.
    pub tm: usize,
    /// Tiles of 16 columns of a plane.
    pub tn: usize,
}

impl Grid {
    /// For (rows, columns), multiples of 16: as many of the planes as possible, then the fewest
    /// reads.
    pub fn new(rows: usize, columns: usize, planes: usize) -> Self {
        let (m, n) = (rows / 16, columns / 16);
        let mut grids = Vec::new();
        for planes_m in (1..=m.min(planes)).filter(|p| m.is_multiple_of(*p)) {
            for planes_n in (1..=n.min(planes / planes_m)).filter(|p| n.is_multiple_of(*p)) {
                grids.push(Self {
                    planes_m,
                    planes_n,
                    tm: m / planes_m,
                    tn: n / planes_n,
                });
            }
        }
        let cost = |grid: &Self| (grid.tm * grid.tn, grid.tm + grid.tn, grid.tm);
        let best = grids.into_iter().min_by_key(cost);
        best.unwrap_or(Self {
            planes_m: 1,
            planes_n: 1,
            tm: m,
            tn: n,
        })
    }

    pub const fn planes(&self) -> usize {
        self.planes_m * self.planes_n
    }

    /// Results of a unit.
    pub const fn len(&self) -> usize {
        self.tm * self.tn * 8
    }

    /// Partial sums of a row, over the units that share it.
    pub const fn per_row(&self) -> usize {
        4 * self.planes_n
    }

    /// Partial sums of a column.
    pub const fn per_column(&self) -> usize {
        8 * self.planes_m
    }
}

/// Where a unit stands in a grid.
#[derive(CubeType, Clone, Copy)]
pub struct Place {
    /// The first row of the unit's results.
    pub row: usize,
    /// The first column.
    pub col: usize,
    pub plane_m: usize,
    pub plane_n: usize,
    pub g: usize,
    pub t: usize,
    pub lane: usize,
    /// The plane has results.
    pub active: bool,
}

#[cube]
pub fn place(#[comptime] grid: Grid) -> Place {
    let plane = UNIT_POS as usize / 32;
    let lane = UNIT_POS as usize % 32;
    let plane_m = plane / grid.planes_n;
    let plane_n = plane % grid.planes_n;
    let g = lane / 4;
    let t = lane % 4;
    Place {
        row: plane_m * comptime!(16 * grid.tm) + g,
        col: plane_n * comptime!(16 * grid.tn) + 2 * t,
        plane_m,
        plane_n,
        g,
        t,
        lane,
        active: plane < comptime!(grid.planes()),
    }
}

/// The row of result (i, j, e), relative to the unit's first: tile i of 16 rows, element e.
pub const fn row(i: usize, e: usize) -> usize {
    16 * i + 8 * (e / 2)
}

/// The column, of tile j of eight.
pub const fn col(j: usize, e: usize) -> usize {
    8 * j + e % 2
}

/// Where (i, j, e) is in a unit's array.
pub const fn at(grid: Grid, i: usize, j: usize, e: usize) -> usize {
    (i * 2 * grid.tn + j) * 4 + e
}

#[cube]
pub fn zeros(#[comptime] grid: Grid) -> Array<f32> {
    let mut values = Array::<f32>::new(comptime!(grid.len()));
    #[unroll]
    for i in 0..comptime!(grid.len()) {
        values[i] = 0.0f32;
    }
    values
}

#[cube]
pub fn word<S: Float>(low: f32, high: f32) -> Word<S> {
    let mut word = Word::<S>::new(S::cast_from(low));
    word.insert(1usize, S::cast_from(high));
    word
}

/// How the operands of a product lie in shared memory; distances between rows in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lie {
    pub grid: Grid,
    /// Terms of a sum, a multiple of 16.
    pub k: usize,
    pub pitch_a: usize,
    pub pitch_b: usize,
    /// A is stored (k, m).
    pub ta: bool,
    /// B is stored (n, k).
    pub tb: bool,
    /// On tensor cores.
    pub cores: bool,
}

/// acc += A B.
#[cube]
pub fn product<S: Float>(
    acc: &mut Array<f32>,
    a: &Shared<[Word<S>]>,
    b: &Shared<[Word<S>]>,
    #[comptime] lie: Lie,
) {
    let me = place(lie.grid);
    if me.active {
        if comptime!(lie.cores) {
            on_tensor_cores::<S>(acc, a, b, &me, lie);
        } else {
            by_multiply_adds::<S>(acc, a, b, &me, lie);
        }
    }
}

/// Every eight lanes give the rows of an 8 × 8 matrix that `ldmatrix` reads.
#[cube]
fn on_tensor_cores<S: Float>(
    acc: &mut Array<f32>,
    a: &Shared<[Word<S>]>,
    b: &Shared<[Word<S>]>,
    me: &Place,
    #[comptime] lie: Lie,
) {
    let mma = MmaDefinition::<S, S, f32>::new(16usize, 8usize, 16usize);
    let grid = comptime!(lie.grid);
    let inner = me.lane % 8;
    let low = me.lane / 8 % 2 * 8;
    let high = me.lane / 16 * 8;
    let row0 = me.plane_m * comptime!(16 * grid.tm);
    let col0 = me.plane_n * comptime!(16 * grid.tn);
    #[unroll]
    for step in 0..comptime!(lie.k / 16) {
        let mut right = Sequence::<Array<Word<S>>>::new();
        #[unroll]
        for j in 0..grid.tn {
            let first = if comptime!(lie.tb) {
                let n = col0 + comptime!(16 * j) + inner + high;
                n * lie.pitch_b + comptime!(8 * step) + low / 2
            } else {
                let k = comptime!(16 * step) + inner + low;
                k * lie.pitch_b + (col0 + high) / 2 + comptime!(8 * j)
            };
            let both = mma.load_matrix::<Word<S>, Const<2>>(
                &b[first..first + 4],
                MatrixIdent::B,
                4usize,
                comptime!(!lie.tb),
            );
            #[unroll]
            for half in 0..2usize {
                let mut fragment = Array::<Word<S>>::new(2usize);
                fragment[0] = both[comptime!(2 * half)];
                fragment[1] = both[comptime!(2 * half + 1)];
                right.push(fragment);
            }
        }
        #[unroll]
        for i in 0..grid.tm {
            let first = if comptime!(lie.ta) {
                let k = comptime!(16 * step) + inner + high;
                k * lie.pitch_a + (row0 + low) / 2 + comptime!(8 * i)
            } else {
                let m = row0 + comptime!(16 * i) + inner + low;
                m * lie.pitch_a + comptime!(8 * step) + high / 2
            };
            let left = mma.load_matrix::<Word<S>, Const<2>>(
                &a[first..first + 4],
                MatrixIdent::A,
                4usize,
                lie.ta,
            );
            #[unroll]
            for j in 0..comptime!(2 * grid.tn) {
                let mut sums = Array::<V2>::new(2usize);
                #[unroll]
                for half in 0..2usize {
                    let mut pair = V2::new(acc[comptime!(at(grid, i, j, 2 * half))]);
                    pair.insert(1usize, acc[comptime!(at(grid, i, j, 2 * half + 1))]);
                    sums[half] = pair;
                }
                mma.execute_inplace(&left, right.index(j), &mut sums);
                #[unroll]
                for e in 0..4usize {
                    acc[comptime!(at(grid, i, j, e))] =
                        sums[comptime!(e / 2)].extract(comptime!(e % 2));
                }
            }
        }
    }
}

#[cube]
fn half_of<S: Float>(word: Word<S>, odd: bool) -> f32 {
    let low = f32::cast_from(word.extract(0usize));
    let high = f32::cast_from(word.extract(1usize));
    select(odd, high, low)
}

#[cube]
fn by_multiply_adds<S: Float>(
    acc: &mut Array<f32>,
    a: &Shared<[Word<S>]>,
    b: &Shared<[Word<S>]>,
    me: &Place,
    #[comptime] lie: Lie,
) {
    let grid = comptime!(lie.grid);
    let mut left = Array::<f32>::new(comptime!(4 * grid.tm));
    let mut right = Array::<f32>::new(comptime!(8 * grid.tn));
    for k2 in 0..comptime!(lie.k / 2).runtime() {
        // Two terms of the sum: of row r they are left[2 r] and left[2 r + 1].
        #[unroll]
        for r in 0..comptime!(2 * grid.tm) {
            let m = me.row + comptime!(row(r / 2, 2 * (r % 2)));
            if comptime!(lie.ta) {
                #[unroll]
                for c in 0..2usize {
                    let word = a[(2 * k2 + c) * lie.pitch_a + m / 2];
                    left[comptime!(2 * r + c)] = half_of::<S>(word, m % 2 == 1);
                }
            } else {
                let word = a[m * lie.pitch_a + k2];
                left[comptime!(2 * r)] = f32::cast_from(word.extract(0usize));
                left[comptime!(2 * r + 1)] = f32::cast_from(word.extract(1usize));
            }
        }
        // Of column e of tile j they are right[4 j + 2 e] and right[4 j + 2 e + 1].
        #[unroll]
        for j in 0..comptime!(2 * grid.tn) {
            let n = me.col + comptime!(8 * j);
            #[unroll]
            for c in 0..2usize {
                if comptime!(lie.tb) {
                    let word = b[(n + c) * lie.pitch_b + k2];
                    right[comptime!(4 * j + 2 * c)] = f32::cast_from(word.extract(0usize));
                    right[comptime!(4 * j + 2 * c + 1)] = f32::cast_from(word.extract(1usize));
                } else {
                    let word = b[(2 * k2 + c) * lie.pitch_b + n / 2];
                    right[comptime!(4 * j + c)] = f32::cast_from(word.extract(0usize));
                    right[comptime!(4 * j + 2 + c)] = f32::cast_from(word.extract(1usize));
                }
            }
        }
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for j in 0..comptime!(2 * grid.tn) {
                #[unroll]
                for e in 0..4usize {
                    let here = comptime!(at(grid, i, j, e));
                    let l = comptime!(2 * (2 * i + e / 2));
                    let r = comptime!(4 * j + 2 * (e % 2));
                    let sum = fma(left[l], right[r], acc[here]);
                    acc[here] = fma(left[comptime!(l + 1)], right[comptime!(r + 1)], sum);
                }
            }
        }
    }
}

/// Writes results into shared memory, as rows of words.
#[cube]
pub fn put<S: Float>(
    into: &mut Shared<[Word<S>]>,
    values: &Array<f32>,
    #[comptime] pitch: usize,
    #[comptime] grid: Grid,
) {
    let me = place(grid);
    if me.active {
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for j in 0..comptime!(2 * grid.tn) {
                #[unroll]
                for half in 0..2usize {
                    let r = me.row + comptime!(row(i, 2 * half));
                    into[r * pitch + (me.col + comptime!(8 * j)) / 2] = word::<S>(
                        values[comptime!(at(grid, i, j, 2 * half))],
                        values[comptime!(at(grid, i, j, 2 * half + 1))],
                    );
                }
            }
        }
    }
}

/// Multiplies every row of the results by its factor.
#[cube]
pub fn scale_rows(values: &mut Array<f32>, factors: &Shared<[f32]>, #[comptime] grid: Grid) {
    let me = place(grid);
    if me.active {
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for half in 0..2usize {
                let factor = factors[me.row + comptime!(row(i, 2 * half))];
                #[unroll]
                for j in 0..comptime!(2 * grid.tn) {
                    #[unroll]
                    for e in 0..2usize {
                        let here = comptime!(at(grid, i, j, 2 * half + e));
                        values[here] = values[here] * factor;
                    }
                }
            }
        }
    }
}

/// Each unit's sums over its part of every row of results: `per_row` partial sums of a row lie side
/// by side.
#[cube]
pub fn put_row_sums(buffer: &mut Shared<[f32]>, values: &Array<f32>, #[comptime] grid: Grid) {
    let me = place(grid);
    if me.active {
        #[unroll]
        for i in 0..grid.tm {
            #[unroll]
            for half in 0..2usize {
                let mut sum = 0.0f32;
                #[unroll]
                for j in 0..comptime!(2 * grid.tn) {
                    #[unroll]
                    for e in 0..2usize {
                        sum += values[comptime!(at(grid, i, j, 2 * half + e))];
                    }
                }
                let r = me.row + comptime!(row(i, 2 * half));
                buffer[r * comptime!(grid.per_row()) + me.plane_n * 4 + me.t] = sum;
            }
        }
    }
}

/// As [`put_row_sums`], of columns.
#[cube]
pub fn put_column_sums(buffer: &mut Shared<[f32]>, values: &Array<f32>, #[comptime] grid: Grid) {
    let me = place(grid);
    if me.active {
        #[unroll]
        for j in 0..comptime!(2 * grid.tn) {
            #[unroll]
            for e in 0..2usize {
                let mut sum = 0.0f32;
                #[unroll]
                for i in 0..grid.tm {
                    #[unroll]
                    for half in 0..2usize {
                        sum += values[comptime!(at(grid, i, j, 2 * half + e))];
                    }
                }
                let c = me.col + comptime!(col(j, e));
                buffer[c * comptime!(grid.per_column()) + me.plane_m * 8 + me.g] = sum;
            }
        }
    }
}

/// The sum of `count` neighbours, in their order.
#[cube]
pub fn gathered(buffer: &Shared<[f32]>, index: usize, #[comptime] count: usize) -> f32 {
    let mut sum = 0.0f32;
    #[unroll]
    for i in 0..count {
        sum += buffer[index * count + i];
    }
    sum
}
