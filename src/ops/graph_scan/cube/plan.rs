//! How a scan is cut into cubes and units on a device.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use cubecl::{ir::features::Plane, prelude::*};

use super::super::backend::{Operands, ScanSpec};
use super::tile::Plan;
use crate::ops::sparse::packed::head;

/// Sizes of a scan.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub b: usize,
    pub v: usize,
    pub l: usize,
    pub d: usize,
    pub n: usize,
    /// P differs from sample to sample.
    pub p_batch: bool,
    /// P differs from step to step.
    pub p_steps: bool,
    /// Vectors of a row of a sparse P, two entries each; none if P is dense.
    pub edges: Option<usize>,
}

impl Sizes {
    /// Read off the operands' shapes.
    pub fn of(x: &Operands<CubeBackend>, spec: &ScanSpec) -> Self {
        let [b, v, l, d] = x.u.shape().dims();
        let [p_b, p_l, _, p_row] = x.p.shape().dims();
        Self {
            b,
            v,
            l,
            d,
            n: x.a.shape()[1],
            p_batch: p_b > 1,
            p_steps: p_l > 1,
            edges: spec
                .sparse
                .then(|| (p_row / 4).saturating_sub(head(v)).div_ceil(v)),
        }
    }
}

/// What a device offers to one cube.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub shared_bytes: usize,
    pub units: usize,
}

impl Limits {
    fn of(client: &Client) -> Self {
        let hardware = &client.properties().hardware;
        Self {
            shared_bytes: hardware.max_shared_memory_size,
            units: hardware.max_units_per_cube as usize,
        }
    }
}

/// Shared memory of a kernel, the registers of a unit beside those of what it owns, and the cycles
/// of a step that do not shrink with the cube.
type Kernel = (fn(&Plan) -> usize, usize, f64);

const FORWARD: Kernel = (Plan::forward_bytes, 100, 300.0);
/// The backward kernel always takes all registers there are.
const BACKWARD: Kernel = (Plan::backward_bytes, 255, 1500.0);

/// Elements of a state whose element-wise kernels and products keep a device busy.
const FILLS_A_DEVICE: usize = 1 << 20;

/// Vectors a unit may own: more do not fit its registers.
const LARGEST_TILE: usize = 16;

impl Plan {
    /// For the forward kernel with checkpoints every `every` steps (0: none); none if the state
    /// of one channel does not fit a cube.
    pub fn forward(sizes: &Sizes, spec: &ScanSpec, every: usize, client: &Client) -> Option<Self> {
        let base = Self {
            plane: plane(client),
            ..Self::base(sizes, spec, every)
        };
        base.best(sizes, Limits::of(client), FORWARD)
    }

    /// For the backward kernel.
    pub fn backward(
        sizes: &Sizes,
        spec: &ScanSpec,
        state_grad: bool,
        client: &Client,
    ) -> Option<Self> {
        let base = Self {
            state_grad,
            plane: plane(client),
            ..Self::base(sizes, spec, spec.every)
        };
        base.best(sizes, Limits::of(client), BACKWARD)
    }

    fn base(sizes: &Sizes, spec: &ScanSpec, every: usize) -> Self {
        Self {
            v: sizes.v,
            n4: sizes.n / 4,
            tv: 4,
            nt4: 1,
            dg: 1,
            tn4: 1,
            units: 32,
            every,
            root: spec.a_root,
            c1: spec.c1,
            skip: spec.skip,
            state: spec.state,
            state_grad: false,
            plane: 0,
            p_batch: sizes.p_batch,
            p_steps: sizes.p_steps,
            sparse: spec.sparse,
        }
    }

    fn best(
        self,
        sizes: &Sizes,
        limits: Limits,
        (bytes, registers, overhead): Kernel,
    ) -> Option<Self> {
        // Larger graphs fit some cubes, one at a time; matrix products over the whole device are
        // faster when there is enough to fill it.
        let dense = sizes.edges.is_none();
        if dense && sizes.v > 64 && sizes.b * sizes.v * sizes.d * sizes.n >= FILLS_A_DEVICE {
            return None;
        }
        let mut best: Option<(f64, Self)> = None;
        for nt4 in divisors(self.n4) {
            for tv in tiles(self.v) {
                for dg in [1, 2, 4, 8, 16, 32] {
                    if (dg > 1 && dg / 2 >= sizes.d) || tv * nt4 > LARGEST_TILE {
                        continue;
                    }
                    let mut plan = Self {
                        tv,
                        nt4,
                        dg,
                        ..self
                    };
                    plan.units = plan.owners().next_multiple_of(32);
                    plan.tn4 = plan.best_tile();
                    let fits =
                        plan.units <= limits.units.min(512) && bytes(&plan) <= limits.shared_bytes;
                    if !fits {
                        continue;
                    }
                    let cycles = plan.cycles(sizes, bytes(&plan), registers, overhead);
                    if best.as_ref().is_none_or(|(least, _)| cycles < *least) {
                        best = Some((cycles, plan));
                    }
                }
            }
        }
        best.map(|(_, plan)| plan)
    }

    /// Estimated cycles of a step of time on the whole device; only the order of plans matters.
    ///
    /// A core runs as many cubes as its memory holds. A step takes as long as one unit needs for
    /// its instructions one after the other, or the core for those of all its units, or its shared
    /// memory for their reads; and `overhead` (barriers, sums over channels). Constants are those of an H100, on which the
    /// order was compared with measurements; a smaller GPU orders plans much the same.
    fn cycles(&self, sizes: &Sizes, bytes: usize, registers: usize, overhead: f64) -> f64 {
        const CORES: usize = 132;
        const CORE_BYTES: usize = 228 * 1024;
        const CORE_REGISTERS: usize = 65_536;
        const BYTES_A_CYCLE: f64 = 25.0;
        let cubes = sizes.b * sizes.d.div_ceil(self.dg);
        // Accumulators, what is read for them, and the running sums.
        let registers = match self.sparse {
            // No weights of P among them.
            true => registers - 60,
            false => registers,
        };
        let registers = (registers + 8 * self.owned()).min(255);
        let room = (CORE_BYTES / (bytes + 1024))
            .min(CORE_REGISTERS / (self.units * registers))
            .max(1);
        let resident = room.min(cubes.div_ceil(CORES));
        let waves = cubes.div_ceil(CORES * resident) as f64;
        let warps = (resident * self.units.div_ceil(32)) as f64;
        let (v, n4) = (self.v as f64, self.n4 as f64);
        let (tv, nt4, p4) = (self.tv as f64, self.nt4 as f64, self.p_vectors() as f64);
        // A vector takes two cycles of shared memory where neighbouring units read the same one,
        // else four.
        let (propagate, p_reads) = match sizes.edges {
            None => (v * (4.0 * tv * nt4 + nt4 + p4), v * (4.0 * nt4 + 2.0 * p4)),
            Some(edges) => {
                let entries = 2.0 * tv * edges as f64;
                (entries * (5.0 * nt4 + 6.0), entries * (4.0 * nt4 + 1.0))
            }
        };
        let instructions = propagate + n4 * (16.0 * tv * nt4 + tv + 8.0 * nt4);
        let reads = p_reads + n4 * (2.0 * tv + 16.0 * nt4);
        // Beyond this the registers of a unit go to memory.
        let spills = match self.sparse {
            true => self.units * registers > CORE_REGISTERS,
            false => self.owned() > 10 || self.units > 256,
        };
        let spilled = if spills { 1.4 } else { 1.0 };
        let alone = instructions / 0.4;
        let together = warps * instructions / (4.0 * 0.75);
        let step = 3.0 * alone.max(together).max(warps * reads) * spilled;
        // By its edges P takes so little that the operands of a step count: rows of B and C for all
        // channels of a cube, signals in sectors of eight channels.
        let operands = match self.sparse {
            true => v * (3.0 * (4 * self.dg).max(32) as f64 + 48.0 * n4) / BYTES_A_CYCLE,
            false => 0.0,
        };
        waves * (step + (overhead + operands) * resident as f64)
    }

    /// Columns of a tile of dW such that as many units as possible have one.
    fn best_tile(&self) -> usize {
        divisors(self.n4)
            .max_by(|&x, &y| {
                let busy = |tn4| {
                    let plan = Self { tn4, ..*self };
                    let tiles = plan.w_tiles();
                    let slots = plan.splits(tiles) * tiles;
                    slots as f64 / (plan.rounds(tiles) * plan.units) as f64
                        * (tn4 as f64 / (tn4 as f64 + 1.0))
                };
                busy(x).total_cmp(&busy(y))
            })
            .unwrap_or(1)
    }

    /// Shared memory of the forward kernel.
    fn forward_bytes(&self) -> usize {
        let buffers = if self.slices() > 1 { 2 } else { 1 };
        let p = if self.p_steps { 2 } else { 1 };
        16 * (buffers * self.buffer()
            + p * self.p_size()
            + self.matrices() * self.w_size()
            + self.rows_size())
            + 4 * (self.slice_sums() + 2 * self.signal_size())
            + 64
    }

    /// Shared memory of the backward kernel.
    fn backward_bytes(&self) -> usize {
        let again = if self.every > 1 { 2 } else { 1 };
        16 * (3 * self.buffer()
            + self.pool()
            + 2 * self.p_size()
            + again * self.matrices() * self.w_size()
            + self.rows_size())
            + 4 * (4 * self.signal_size() + 2 * self.slice_sums())
            + 64
    }

    fn matrices(&self) -> usize {
        if self.root { 2 } else { 1 }
    }
}

/// Units of a plane, if they can exchange values and the number is the same everywhere.
fn plane(client: &Client) -> usize {
    let properties = client.properties();
    let hardware = &properties.hardware;
    let known = hardware.plane_size_min == hardware.plane_size_max;
    match known && properties.features.plane.contains(Plane::Ops) {
        true => hardware.plane_size_max as usize,
        false => 0,
    }
}

/// Vertices a unit may own: the smallest number that makes one, two, ... groups.
fn tiles(v: usize) -> impl Iterator<Item = usize> {
    let mut sizes: Vec<usize> = (1..=v).map(|groups| v.div_ceil(groups)).collect();
    sizes.dedup();
    sizes.into_iter().filter(|tv| *tv <= 20)
}

/// Divisors of n4 up to four.
pub fn divisors(n4: usize) -> impl Iterator<Item = usize> {
    (1..=4).filter(move |k| n4.is_multiple_of(*k))
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: Limits = Limits {
        shared_bytes: 232_448,
        units: 1024,
    };

    fn plans(sizes: [usize; 5], p: bool, limits: Limits) -> [Option<Plan>; 2] {
        plans_over(sizes, p, None, limits)
    }

    fn plans_over(
        [b, v, l, d, n]: [usize; 5],
        p: bool,
        edges: Option<usize>,
        limits: Limits,
    ) -> [Option<Plan>; 2] {
        let sizes = Sizes {
            b,
            v,
            l,
            d,
            n: n.next_multiple_of(4),
            p_batch: p,
            p_steps: p,
            edges,
        };
        let spec = ScanSpec {
            c1: true,
            skip: true,
            a_root: true,
            state: true,
            p_gradient: true,
            sparse: edges.is_some(),
            every: if l > 32 { 2 } else { 1 },
        };
        let base = Plan::base(&sizes, &spec, spec.every);
        [
            base.best(&sizes, limits, FORWARD),
            base.best(&sizes, limits, BACKWARD),
        ]
    }

    #[test]
    fn graphs_of_up_to_64_vertices_are_fused() {
        for v in [1, 2, 3, 5, 8, 16, 19, 21, 33, 48, 56, 63, 64] {
            for n in [1, 4, 7, 16, 20, 28, 44, 48, 52, 64] {
                for (p, l) in [(false, 10), (true, 2000)] {
                    for plan in plans([4, v, l, 64, n], p, H100) {
                        let plan = plan.unwrap_or_else(|| panic!("no plan for v {v}, n {n}"));
                        assert!(plan.tv * plan.groups() >= v && plan.owners() <= plan.units);
                        assert!(plan.nt4 * plan.slices() == plan.n4);
                    }
                }
            }
        }
    }

    #[test]
    fn larger_graphs_are_fused_over_their_edges() {
        for (v, n) in [(65, 16), (207, 8), (207, 16), (700, 8)] {
            let of = |edges| plans_over([32, v, 12, 128, n], false, edges, H100);
            assert_eq!(of(None), [None, None], "{v} {n}: all pairs fill the device");
            for plan in of(Some(8)) {
                let plan = plan.unwrap_or_else(|| panic!("no plan for v {v}, n {n}"));
                assert!(plan.sparse && plan.p_size() == 1);
                assert!(plan.tv * plan.groups() >= v && plan.owners() <= plan.units);
            }
        }
        let large = plans_over([1, 3000, 12, 64, 16], false, Some(8), H100);
        assert_eq!(large, [None, None]);
        // The fastest of those measured on an H100.
        let [forward, backward] = plans_over([32, 207, 12, 128, 8], false, Some(12), H100)
            .map(|plan| plan.map(|plan| [plan.tv, plan.nt4, plan.dg]));
        assert_eq!((forward, backward), (Some([4, 2, 8]), Some([4, 2, 4])));
    }

    #[test]
    fn a_graph_too_large_for_a_cube_has_no_plan() {
        assert_eq!(plans([1, 1000, 12, 64, 64], false, H100), [None, None]);
        let small = Limits {
            shared_bytes: 16_384,
            units: 256,
        };
        assert!(plans([1, 8, 12, 4, 4], false, small)[1].is_some());
        assert_eq!(plans([1, 64, 12, 4, 64], false, small)[1], None);
    }
}
