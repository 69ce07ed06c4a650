//! The kernels of a device against the recurrence in f64.

use burn::tensor::{DType, Device, Distribution, Tensor};
use tgmamba::ops::matmul::{Precision, matmul, precision};

use super::problem::{Case, Operands, Problem, Results, Way, relative_error, unless_cancelled};

/// Largest relative errors of outputs and gradients.
struct Bounds {
    forward: f64,
    gradient: f64,
}

fn bounds(dtype: DType) -> Bounds {
    match dtype {
        DType::BF16 | DType::F16 => Bounds {
            forward: 2e-2,
            gradient: 2e-2,
        },
        _ => Bounds {
            forward: 1e-5,
            gradient: 1e-4,
        },
    }
}

/// A scan this long is compared with the CPU's kernel in f64, itself checked on the shorter ones:
/// the recurrence in tensor operations would keep every step.
const LONG: usize = 100_000;

/// Shapes that between them visit every size of the grid and every option.
pub fn cases(quick: bool) -> Vec<Case> {
    let sizes: &[[usize; 5]] = match quick {
        // b, v, l, d, n
        true => &[
            // So many samples that not all of them cancel, which rounded operands would not survive.
            [16, 1, 1, 1, 1],
            [1, 2, 2, 3, 4],
            [2, 8, 31, 5, 4],
            [1, 5, 40, 3, 3],
            [1, 8, 3, 2, 16],
            [2, 3, 5, 7, 6],
            [1, 9, 2, 3, 20],
            // Does not fit a cube of a small GPU.
            [1, 24, 3, 2, 64],
        ],
        false => &[
            [17, 1, 1, 1, 1],
            [2, 1, 257, 33, 16],
            [3, 2, 2, 3, 4],
            [2, 2, 2000, 5, 16],
            [2, 8, 31, 7, 48],
            [3, 8, 257, 9, 4],
            [2, 19, 10, 64, 16],
            [3, 19, 31, 17, 16],
            [1, 19, 2000, 3, 16],
            [1, 19, 257, 5, 1],
            [2, 16, 31, 33, 48],
            [1, 56, 31, 13, 16],
            [1, 56, 2, 3, 64],
            [2, 64, 31, 5, 16],
            [1, 64, 31, 3, 64],
            [1, 64, 2, 3, 48],
            [1, 64, 257, 1, 4],
            [2, 7, 12, 11, 7],
            [1, 33, 9, 5, 20],
            [1, 207, 12, 5, 16],
            [2, 207, 31, 3, 4],
            [1, 207, 2, 3, 48],
            [1, 207, 1, 2, 2],
            [1, 3, LONG, 2, 4],
        ],
    };
    let mut cases = Vec::new();
    for (i, &size) in sizes.iter().enumerate() {
        for (p_batch, p_steps) in [(false, false), (true, true)] {
            cases.push(Case {
                p_batch,
                p_steps,
                root: i % 3 != 2,
                state: p_steps == (i % 2 == 0),
                ..Case::new(size)
            });
        }
    }
    let odd = if quick {
        [2, 5, 7, 3, 4]
    } else {
        [3, 19, 45, 9, 16]
    };
    for (p_batch, p_steps) in [(true, false), (false, true)] {
        cases.push(Case {
            p_batch,
            p_steps,
            state: true,
            ..Case::new(odd)
        });
    }
    // By edges: fused, too large for a cube, with states recomputed.
    let by_edges: &[[usize; 5]] = match quick {
        true => &[
            [2, 21, 5, 5, 4],
            [2, 70, 4, 3, 7],
            [1, 30, 40, 2, 4],
            [1, 900, 3, 2, 20],
        ],
        false => &[
            [4, 207, 12, 128, 8],
            [2, 207, 45, 33, 16],
            [3, 71, 31, 5, 4],
            [1, 64, 257, 9, 48],
            [2, 700, 5, 6, 8],
            [1, 3000, 40, 5, 16],
        ],
    };
    for (i, &size) in by_edges.iter().enumerate() {
        cases.push(Case {
            root: i % 3 != 2,
            state: i % 2 == 1,
            sparse: true,
            ..Case::new(size)
        });
    }
    cases
}

/// Checks one case: the worst errors forward and backward, or what is wrong.
pub fn check(case: Case, device: &Device, dtype: DType, seed: u64) -> Result<[f64; 2], String> {
    let problem = Problem::random(case, seed).rounded(dtype);
    let expected = exact(&problem);
    let operands = problem.load(&device.clone().autodiff(), dtype);
    poison(&operands);
    let (results, again) = (operands.results(Way::Kernel), operands.results(Way::Kernel));
    let bounds = bounds(dtype);
    let mut worst = [0.0f64; 2];
    for (i, name) in problem.names().iter().enumerate() {
        let (kind, bound) = match i < 2 {
            true => (0, bounds.forward),
            false => (1, bounds.gradient),
        };
        let error = relative_error(&results[i], &expected[i]);
        let error = unless_cancelled(error, bound, &expected[i], |k| {
            let seed = seed.wrapping_add(k << 32);
            exact(&Problem::random(case, seed).rounded(dtype)).swap_remove(i)
        });
        if error > bound {
            return Err(format!("{name}: relative error {error:.2e} > {bound:.0e}"));
        }
        if results[i]
            .iter()
            .zip(&again[i])
            .any(|(a, b)| a.to_bits() != b.to_bits())
        {
            return Err(format!("{name}: two runs differ"));
        }
        worst[kind] = worst[kind].max(error);
    }
    Ok(worst)
}

fn exact(problem: &Problem) -> Results {
    let operands = problem.load(&Device::flex().autodiff(), DType::F64);
    operands.results(match problem.case.l == LONG {
        true => Way::Kernel,
        false => Way::Reference,
    })
}

/// Sizes (batch, m, k, n) of matrix products, between them every kind of tile.
pub fn products(quick: bool) -> &'static [[usize; 4]] {
    match quick {
        true => &[[1, 65, 33, 129], [3, 70, 21, 66], [1, 5, 40, 12]],
        false => &[
            [1, 1, 1, 1],
            [1, 1000, 777, 1001],
            [1, 512, 100_000, 96],
            [4, 207, 207, 1024],
            [4, 207, 1024, 207],
            [2, 300, 300, 70],
            [1, 4096, 64, 16],
            [1, 33, 5000, 20],
            [7, 130, 130, 130],
        ],
    }
}

/// Checks Y = A B, dA and dB: the worst error of each, relative, or what is wrong.
pub fn check_product(size: [usize; 4], device: &Device, dtype: DType) -> Result<[f64; 2], String> {
    let [batch, m, k, n] = size;
    let random = |shape: [usize; 3]| {
        let x = Tensor::<3>::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex());
        x.cast(dtype).into_data()
    };
    let data = [[batch, m, k], [batch, k, n], [batch, m, n]].map(random);
    let results = |device: &Device, dtype: DType| {
        let device = device.clone().autodiff();
        let load = |i: usize| Tensor::<3>::from_data(data[i].clone(), &device).cast(dtype);
        let (a, b, w) = (load(0).require_grad(), load(1).require_grad(), load(2));
        let y = matmul(a.clone(), b.clone());
        let grads = (y.clone() * w).sum().backward();
        [Some(y.inner()), a.grad(&grads), b.grad(&grads)].map(|x| match x {
            Some(x) => x.into_data().iter::<f64>().collect(),
            None => Vec::new(),
        })
    };
    let expected = results(&Device::flex(), DType::F64);
    let (found, again) = (results(device, dtype), results(device, dtype));
    let bound = match (dtype, precision()) {
        (DType::F32, Precision::Exact) => 2e-6,
        _ => 1e-2,
    };
    let mut worst = [0.0f64; 2];
    for (i, name) in ["Y", "dA", "dB"].into_iter().enumerate() {
        let error = relative_error(&found[i], &expected[i]);
        if error > bound {
            return Err(format!("{name}: relative error {error:.2e} > {bound:.0e}"));
        }
        let same = found[i]
            .iter()
            .zip(&again[i])
            .all(|(a, b)| a.to_bits() == b.to_bits());
        if !same && precision() == Precision::Exact {
            return Err(format!("{name}: two runs differ"));
        }
        let kind = i.min(1);
        worst[kind] = worst[kind].max(error);
    }
    Ok(worst)
}

/// Leaves NaN in the memory that the device will hand out again, so that a value nobody writes
/// is found.
fn poison(operands: &Operands) {
    let nan = (
        operands.u.clone().inner() * f32::NAN,
        operands.b.clone().inner() * f32::NAN,
    );
    let state = operands.u.clone().inner().repeat_dim(2, 4) * f32::NAN;
    drop((nan, state));
}
