//! Which tile of the output a cube computes, and how its units share it.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::{ElemType, FloatKind, features::MmaConfig};

use crate::ops::matmul::Precision;

/// Cubes that keep a large GPU busy. A constant, not the device's own number, so that the order of
/// sums is the same on every device with enough shared memory.
const BUSY: usize = 264;

/// The fewest steps of a part of a sum.
const PART_STEPS: usize = 4;

/// Choices the kernel is compiled for.
///
/// A unit owns `um` × `un` blocks of 4 × 4 results. With `slices` > 1 as many units own the same
/// results and take every `slices`-th term of the sum. On tensor cores a plane of 32 units owns
/// `um` × `un` blocks of 32 × 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Rows of the tile.
    pub m: usize,
    /// Columns of the tile.
    pub n: usize,
    /// Terms of the sum that are in shared memory at a time.
    pub depth: usize,
    /// Blocks of a unit along the rows.
    pub um: usize,
    /// Blocks of a unit along the columns.
    pub un: usize,
    /// Units that share a result.
    pub slices: usize,
    /// Products of TF32 on tensor cores that make one product: three are as exact as f32, see
    /// [`super::tensor_core`]. With none, products are f32 multiply-adds.
    pub passes: usize,
    /// Slabs of the operands in shared memory: with two, one is written while the other is read.
    pub buffers: usize,
    /// A is stored (k, m).
    pub ta: bool,
    /// B is stored (n, k).
    pub tb: bool,
    /// Rows of A, of B and of the output are read as vectors of four.
    pub vectors: [bool; 3],
    /// Adds to the output.
    pub accumulate: bool,
}

impl Tile {
    /// Units side by side along the columns.
    pub const fn x(&self) -> usize {
        self.n / (4 * self.un)
    }

    /// Units side by side along the rows.
    pub const fn y(&self) -> usize {
        self.m / (4 * self.um)
    }

    /// Units of one slice.
    pub const fn owners(&self) -> usize {
        if self.passes > 0 {
            32 * self.planes_n() * (self.m / (32 * self.um))
        } else {
            self.x() * self.y()
        }
    }

    /// Planes side by side along the columns, on tensor cores.
    pub const fn planes_n(&self) -> usize {
        self.n / (32 * self.un)
    }

    /// Vectors of results in a unit.
    pub const fn results(&self) -> usize {
        self.um * self.un * if self.passes > 0 { 8 } else { 4 }
    }

    /// Units of a cube.
    pub const fn units(&self) -> usize {
        self.owners() * self.slices
    }

    /// Neighbouring units side by side, before the next are below: few different addresses per
    /// plane.
    pub const fn wide(&self) -> usize {
        if self.x() < 8 { self.x() } else { 8 }
    }

    /// Vectors from one term of A to the next in shared memory. Transposing on the way in writes
    /// down a column: an odd distance spreads that over the banks.
    /// The units of a plane read four terms at a time for tensor cores: a distance of two beyond a
    /// multiple of eight spreads them too.
    pub const fn pitch_a(&self) -> usize {
        self.m / 4
            + if self.passes > 0 {
                2
            } else if self.ta {
                0
            } else {
                1
            }
    }

    /// As `pitch_a`, for B.
    pub const fn pitch_b(&self) -> usize {
        self.n / 4
            + if self.passes > 0 {
                2
            } else if self.tb {
                1
            } else {
                0
            }
    }

    /// 4 × 4 blocks of A that are loaded at a time.
    pub const fn blocks_a(&self) -> usize {
        self.m * self.depth / 16
    }

    /// As `blocks_a`, for B.
    pub const fn blocks_b(&self) -> usize {
        self.n * self.depth / 16
    }

    /// Blocks that a unit loads at a time.
    pub const fn rounds(&self) -> usize {
        (self.blocks_a() + self.blocks_b()).div_ceil(self.units())
    }

    /// Vectors of a slab of both operands.
    pub const fn slab(&self) -> usize {
        self.depth * (self.pitch_a() + self.pitch_b())
    }

    /// Vectors in shared memory: the operands, later the sums of one slice.
    pub const fn pool(&self) -> usize {
        let operands = self.buffers * self.slab();
        let sums = if self.slices > 1 {
            self.m * self.n / 4
        } else {
            0
        };
        if operands > sums { operands } else { sums }
    }

    /// Tiles of an (m, n) matrix.
    pub fn count(&self, m: usize, n: usize) -> usize {
        m.div_ceil(self.m) * n.div_ceil(self.n)
    }
}

/// A tile and how the sum is cut.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub tile: Tile,
    /// Parts of the sum that different cubes take; more than one needs a second launch.
    pub parts: usize,
}

impl Plan {
    /// The plan for `outer` products, each the sum of `inner` products (m, k) · (k, n).
    pub fn new(
        like: &CubeTensor,
        [m, k, n]: [usize; 3],
        [outer, inner]: [usize; 2],
        [ta, tb]: [bool; 2],
        vectors: [bool; 3],
        accumulate: bool,
        precision: Precision,
    ) -> Self {
        let shaped = |m, n, depth, um, un, slices, buffers| Tile {
            m,
            n,
            depth,
            um,
            un,
            slices,
            passes: 0,
            buffers,
            ta,
            tb,
            vectors,
            accumulate,
        };
        // The fastest of those tried on an H100. Rows that are read number by number need the
        // registers that the wider units take.
        let large = match vectors[0] && vectors[1] {
            true => shaped(128, 128, 16, 4, 2, 1, 2),
            false => shaped(128, 128, 16, 2, 2, 1, 2),
        };
        let few = large.count(m, n) * outer * (inner * k).div_ceil(512) < BUSY / 2;
        let passes = tensor_passes(like, precision);
        let mut tile = match (m, n) {
            (..=16, ..=16) => shaped(16, 16, 128, 1, 1, 16, 1),
            (..=32, ..=32) => shaped(32, 32, 64, 2, 1, 8, 1),
            (..=64, ..=64) => shaped(64, 64, 32, 2, 2, 4, 1),
            (_, ..=16) => shaped(64, 16, 16, 1, 1, 1, 1),
            (_, ..=32) => shaped(128, 32, 16, 2, 2, 1, 1),
            (_, ..=64) => shaped(128, 64, 16, 2, 2, 1, 1),
            (..=16, _) => shaped(16, 64, 16, 1, 1, 1, 1),
            (..=32, _) => shaped(32, 128, 16, 2, 2, 1, 1),
            (..=64, _) => shaped(64, 128, 16, 2, 2, 1, 1),
            _ if passes > 0 => on_tensor_cores([m, n], few, |m, n, um, un| Tile {
                passes,
                ..shaped(m, n, 32, um, un, 1, 2)
            }),
            _ if few => shaped(64, 64, 16, 2, 2, 2, 2),
            _ => large,
        };
        // Short sums need neither the depth nor the slices.
        while tile.depth > 16 && tile.depth / 2 >= k {
            tile.depth /= 2;
            tile.slices = (tile.slices / 2).max(1);
        }
        let hardware = &like.client.properties().hardware;
        let fits = |tile: &Tile| 16 * tile.pool() <= hardware.max_shared_memory_size;
        if !fits(&tile) {
            tile.buffers = 1;
        }
        while !fits(&tile) && tile.depth > 8 {
            tile.depth /= 2;
        }
        assert!(
            tile.units() <= hardware.max_units_per_cube as usize && fits(&tile),
            "an exact matrix product needs {} units and {} bytes of shared memory per cube",
            tile.units(),
            16 * tile.pool()
        );

        let cubes = tile.count(m, n) * outer;
        let steps = inner * k.div_ceil(tile.depth);
        let parts = (BUSY / cubes).min(steps / PART_STEPS).max(1);
        Self { tile, parts }
    }
}

/// Passes on tensor cores for products of tensors like this; none where the device has no tensor
/// cores for TF32.
fn tensor_passes(like: &CubeTensor, precision: Precision) -> usize {
    let (tf32, f32) = (FloatKind::TF32, FloatKind::F32);
    let config = MmaConfig {
        a_type: ElemType::Float(tf32),
        b_type: ElemType::Float(tf32),
        cd_type: ElemType::Float(f32),
        m: 16,
        n: 8,
        k: 8,
    };
    let properties = like.client.properties();
    if properties.hardware.plane_size_min != 32 || !properties.features.matmul.mma.contains(&config)
    {
        return 0;
    }
    match (like.dtype, precision) {
        // Values of bf16 and f16 are values of TF32.
        (DType::BF16 | DType::F16, _) | (_, Precision::Fast) => 1,
        _ => 3,
    }
}

/// The tile that covers an (m, n) output with the least work; small ones where there are `few`.
fn on_tensor_cores(
    [m, n]: [usize; 2],
    few: bool,
    shaped: impl Fn(usize, usize, usize, usize) -> Tile,
) -> Tile {
    let small = shaped(64, 64, 1, 1);
    if few {
        return small;
    }
    // Smaller tiles read more of the operands per product.
    [
        (shaped(128, 128, 2, 1), 1.0),
        (shaped(224, 64, 1, 2), 1.05),
        (shaped(64, 128, 1, 2), 1.1),
        (small, 1.3),
    ]
    .into_iter()
    .min_by(|(x, price_x), (y, price_y)| {
        let work = |tile: &Tile, price| (tile.count(m, n) * tile.m * tile.n) as f64 * price;
        work(x, price_x).total_cmp(&work(y, price_y))
    })
    .map_or(small, |(tile, _)| tile)
}
