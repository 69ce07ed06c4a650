//! How a scan is cut into cubes and units on a device.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, tensor::CubeTensor};

use super::super::backend::{Operands, ScanSpec};
use super::tile::Plan;
use crate::ops::cube::planes_of_32;

/// Sizes of a scan.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub b: usize,
    pub l: usize,
    pub d: usize,
    pub n: usize,
}

/// What decides on a plan.
struct Limits {
    units: usize,
    shared: usize,
    /// Planes have exactly 32 units and shuffle.
    planes: bool,
}

impl Limits {
    fn of(t: &CubeTensor) -> Self {
        let properties = t.client.properties();
        let hardware = &properties.hardware;
        Self {
            units: hardware.max_units_per_cube.min(1024) as usize,
            shared: hardware.max_shared_memory_size.min(96 << 10),
            planes: planes_of_32(properties),
        }
    }
}

impl Sizes {
    /// Read off the operands' shapes.
    ///
    /// # Panics
    /// If the GPU kernels do not take the sizes or the type.
    pub fn of(x: &Operands<CubeBackend>) -> Self {
        let [b, l, d] = x.u.shape().dims();
        let sizes = Self {
            b,
            l,
            d,
            n: x.a.shape()[1],
        };
        let dtype = x.u.dtype;
        assert!(
            matches!(dtype, DType::F32 | DType::BF16),
            "selective_scan: on the GPU u must be f32 or bf16, but it is {dtype:?}"
        );
        assert!(
            b <= 65_535,
            "selective_scan: on the GPU b is at most 65535, but it is {b}"
        );
        // Kernels index with 32 bits. Kept states and partial sums over the cubes of 32 channels
        // are no larger than u for n up to 32, and for larger n by n / 32.
        let largest = b as u64
            * l as u64
            * (d.next_multiple_of(32) as u64).max(sizes.n as u64)
            * (sizes.n as u64).div_ceil(32);
        assert!(
            largest < 1 << 32,
            "selective_scan: on the GPU b · l · d · max(1, n / 32) must be below 2^32, but u is \
             ({b}, {l}, {d}) and n is {}",
            sizes.n
        );
        sizes
    }

    fn plan(&self, spec: &ScanSpec, kn: usize, lanes: usize, tile: usize) -> Plan {
        Plan {
            n: self.n,
            kn,
            groups: self.n.div_ceil(kn).next_power_of_two(),
            lanes,
            tile,
            every: 0,
            planes: false,
            softplus: spec.softplus,
            skip: spec.skip,
            gate: spec.gate,
            bias: spec.bias,
            state: spec.state,
            state_grad: false,
        }
    }

    /// The forward kernel's plan; `every` 0 keeps no states.
    ///
    /// On an H100 with n = 16, 64 lanes with four states per unit are the fastest (0.40 ms, against
    /// 0.44 with 32 lanes and 0.48 with eight states); cubes of more than 256 units are slower.
    pub fn forward(&self, spec: &ScanSpec, every: usize, on: &CubeTensor) -> Plan {
        let limits = Limits::of(on);
        let mut choices = vec![];
        for kn in [4, 8, 16] {
            let wide = if self.n.div_ceil(kn) <= 4 { 64 } else { 32 };
            for (lanes, tile) in [(wide, 16), (32, 16), (32, 8), (16, 8)] {
                choices.push((kn, lanes, tile));
            }
        }
        choices
            .into_iter()
            .map(|(kn, lanes, tile)| Plan {
                every,
                ..self.plan(spec, kn, lanes, tile)
            })
            .find(|plan| {
                plan.units() <= limits.units
                    && plan.forward_bytes() <= limits.shared
                    && plan.tile % plan.groups == 0
            })
            .unwrap_or_else(|| self.refuse(&limits))
    }

    /// The backward kernel's plan.
    ///
    /// On an H100 with n = 16, one channel and four states per unit and tiles of eight steps are
    /// the fastest; more channels or states need more registers than there are, shorter tiles more
    /// instructions.
    pub fn backward(&self, spec: &ScanSpec, state_grad: bool, on: &CubeTensor) -> Plan {
        let limits = Limits::of(on);
        let mut choices = vec![];
        for kn in [4, 8, 16] {
            for (lanes, tile) in [(32, 8), (32, 4), (16, 8), (16, 4)] {
                choices.push((kn, lanes, tile));
            }
        }
        choices
            .into_iter()
            .map(|(kn, lanes, tile)| Plan {
                every: spec.every,
                planes: limits.planes && lanes % 32 == 0,
                state_grad,
                ..self.plan(spec, kn, lanes, tile)
            })
            .find(|plan| {
                plan.units() <= limits.units
                    && plan.backward_bytes() <= limits.shared
                    && plan.tile % plan.groups == 0
                    && plan.width() % plan.sums() == 0
            })
            .unwrap_or_else(|| self.refuse(&limits))
    }

    fn refuse(&self, limits: &Limits) -> ! {
        panic!(
            "selective_scan: n = {} does not fit on this device (at most {} units and {} bytes of \
             shared memory per cube)",
            self.n, limits.units, limits.shared
        )
    }
}
