//! How a scan is cut into chunks, cubes and planes on a device.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::ir::{ElemType, FloatKind, features::MmaConfig};
use cubecl::prelude::*;

use super::super::backend::{Operands, SsdSpec};
use super::tile::{Grid, Lie};

/// Cubes that keep a large GPU busy. A constant, so that the order of sums does not depend on the
/// device.
const BUSY: usize = 132;

/// What the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Steps of a chunk.
    pub q: usize,
    /// Channels of a cube.
    pub p: usize,
    /// States, padded to a multiple of 16.
    pub n: usize,
    pub planes: usize,
    /// Words between two rows of a matrix in shared memory, which spread its rows over the banks.
    pub pad: usize,
    /// Products on tensor cores.
    pub cores: bool,
    /// Numbers of a vector of x (and y), of B and C, and of kept states.
    pub width_x: usize,
    pub width_n: usize,
    pub width_r: usize,
    pub spec: SsdSpec,
    /// There is a gradient of the last state.
    pub state_grad: bool,
}

impl Plan {
    pub const fn units(&self) -> usize {
        32 * self.planes
    }

    /// Words from one row of a matrix in shared memory to the next.
    pub const fn pitch(&self, columns: usize) -> usize {
        columns / 2 + self.pad
    }

    pub const fn pitch_n(&self) -> usize {
        self.pitch(self.n)
    }

    pub const fn pitch_p(&self) -> usize {
        self.pitch(self.p)
    }

    pub const fn pitch_q(&self) -> usize {
        self.pitch(self.q)
    }

    pub fn grid(&self, rows: usize, columns: usize) -> Grid {
        Grid::new(rows, columns, self.planes)
    }

    pub fn qq(&self) -> Grid {
        self.grid(self.q, self.q)
    }

    pub fn qp(&self) -> Grid {
        self.grid(self.q, self.p)
    }

    pub fn qn(&self) -> Grid {
        self.grid(self.q, self.n)
    }

    pub fn pn(&self) -> Grid {
        self.grid(self.p, self.n)
    }

    /// A product with the sum over k, of operands with rows of `a` and `b` numbers.
    pub fn lie(&self, grid: Grid, k: usize, [a, b]: [usize; 2], ta: bool, tb: bool) -> Lie {
        Lie {
            grid,
            k,
            pitch_a: self.pitch(a),
            pitch_b: self.pitch(b),
            ta,
            tb,
            cores: self.cores,
        }
    }

    /// Partial sums of the backward kernel that are in shared memory at a time.
    pub fn sums(&self) -> [usize; 3] {
        let (qq, qp, qn) = (self.qq(), self.qp(), self.qn());
        [
            self.q * qq.per_row(),
            self.q * qq.per_column(),
            self.q * qn.per_row().max(qp.per_row()),
        ]
    }

    /// Bytes of shared memory of the larger kernel, the backward one.
    fn bytes(&self) -> usize {
        let word = 2 * if self.cores { 2 } else { 4 };
        let words = 2 * self.q * self.pitch_n()
            + 2 * self.q * self.pitch_p()
            + self.q * self.pitch_q()
            + self.p * self.pitch_n();
        let [rows, columns, others] = self.sums();
        word * words + 4 * (rows + columns + 3 * others + self.units() + 12 * self.q + 16)
    }
}

/// Sizes of a scan and the plan for it.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    pub b: usize,
    pub l: usize,
    pub h: usize,
    pub p: usize,
    pub g: usize,
    pub n: usize,
    pub plan: Plan,
}

impl Cut {
    /// None where the device has too little shared memory, or sizes need more than 32 bits.
    pub fn new(x: &Operands<CubeBackend>, spec: SsdSpec) -> Option<Self> {
        let [b, l, h, p] = x.x.shape().dims();
        let [_, _, g, n] = x.b.shape().dims();
        let like = &x.x;
        let hardware = &like.client.properties().hardware;
        let cores = tensor_cores(like);
        let half = like.dtype.size() == 2;
        let vector = |length: usize, half: bool| match () {
            _ if half && length.is_multiple_of(8) => 8,
            _ if length.is_multiple_of(4) => 4,
            _ => 1,
        };
        let padded = n.next_multiple_of(16);
        let plan = |q: usize, tile: usize, planes: usize, pad: usize| Plan {
            q,
            p: tile.min(p.next_multiple_of(16)),
            n: padded,
            planes,
            pad,
            cores,
            width_x: vector(p, half),
            width_n: vector(n, half),
            width_r: if cores { 8 } else { 4 },
            spec,
            state_grad: false,
        };
        // Few heads: more cubes, of fewer channels each.
        let wide = if b * h * p.div_ceil(64) >= BUSY {
            64
        } else {
            32
        };
        let choices = match cores {
            true => vec![plan(64, wide, 8, 4), plan(64, 32, 8, 4), plan(32, 32, 4, 4)],
            false => vec![plan(32, 32, 4, 1), plan(16, 32, 4, 1), plan(16, 16, 2, 0)],
        };
        // Channels are whole tiles, or one tile that is not full.
        let fits = |plan: &Plan| {
            plan.units() <= hardware.max_units_per_cube as usize
                && plan.bytes() <= hardware.max_shared_memory_size
        };
        let plan = choices.into_iter().find(fits)?;
        let most = [
            b * l * h * p,
            b * l * g * n,
            b * l.div_ceil(plan.q) * h * p * padded,
        ];
        most.into_iter().all(|size| size < 1 << 32).then_some(Self {
            b,
            l,
            h,
            p,
            g,
            n,
            plan,
        })
    }

    pub fn chunks(&self) -> usize {
        self.l.div_ceil(self.plan.q)
    }

    pub fn tiles(&self) -> usize {
        self.p.div_ceil(self.plan.p)
    }

    /// Steps with those that fill the last chunk.
    pub fn steps(&self) -> usize {
        self.chunks() * self.plan.q
    }

    /// Cubes among which the backward kernel splits the heads of a group.
    pub fn splits(&self) -> usize {
        let cubes = self.b * self.chunks() * self.g;
        (8 * BUSY).div_ceil(cubes).min(self.h / self.g)
    }
}

/// Sizes a kernel is told at launch.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Sizes {
    pub l: usize,
    pub h: usize,
    pub p: usize,
    pub g: usize,
    pub n: usize,
    pub chunks: usize,
    /// Tiles of a head's channels.
    pub tiles: usize,
    /// Heads of a cube of the backward kernel.
    pub heads: usize,
    pub splits: usize,
    /// Cubes that have work.
    pub cubes: usize,
}

impl Cut {
    pub fn sizes(&self, cubes: usize) -> SizesLaunch {
        let splits = self.splits();
        SizesLaunch::new(
            self.l,
            self.h,
            self.p,
            self.g,
            self.n,
            self.chunks(),
            self.tiles(),
            (self.h / self.g).div_ceil(splits),
            splits,
            cubes,
        )
    }
}

/// Whether there are tensor cores for tensors like this.
fn tensor_cores(like: &CubeTensor) -> bool {
    let kind = match like.dtype {
        DType::BF16 => FloatKind::BF16,
        DType::F16 => FloatKind::F16,
        _ => return false,
    };
    let config = MmaConfig {
        a_type: ElemType::Float(kind),
        b_type: ElemType::Float(kind),
        cd_type: ElemType::Float(FloatKind::F32),
        m: 16,
        n: 8,
        k: 16,
    };
    let properties = like.client.properties();
    properties.hardware.plane_size_min == 32
        && properties.hardware.plane_size_max == 32
        && properties.features.matmul.mma.contains(&config)
        && properties
            .features
            .matmul
            .ldmatrix
            .contains(&ElemType::Float(kind))
}
