//! The kernels of a device against the recurrence in f64.

use burn::tensor::{DType, Device};
use tgmamba::ops::graph_scan::{self, reference};

use super::problem::{Case, Operands, Problem, relative_error};

/// Largest relative errors of outputs and gradients.
struct Bounds {
    forward: f64,
    gradient: f64,
}

fn bounds(dtype: DType) -> Bounds {
    match dtype {
        DType::BF16 => Bounds {
            forward: 2e-2,
            gradient: 2e-2,
        },
        _ => Bounds {
            forward: 1e-5,
            gradient: 1e-4,
        },
    }
}

/// Shapes that between them visit every size of the grid and every option.
pub fn cases(quick: bool) -> Vec<Case> {
    let sizes: &[[usize; 5]] = match quick {
        // b, v, l, d, n
        true => &[
            [2, 1, 1, 1, 1],
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
            [3, 1, 1, 1, 1],
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
            [1, 207, 1, 1, 1],
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
    cases
}

/// Checks one case: the worst errors forward and backward, or what is wrong.
pub fn check(case: Case, device: &Device, dtype: DType, seed: u64) -> Result<[f64; 2], String> {
    let problem = Problem::random(case, seed).rounded(dtype);
    let expected = problem
        .load(&Device::flex().autodiff(), DType::F64)
        .results(reference::graph_scan);
    let operands = problem.load(&device.clone().autodiff(), dtype);
    poison(&operands);
    let results = operands.results(graph_scan::graph_scan);
    let again = operands.results(graph_scan::graph_scan);
    let bounds = bounds(dtype);
    let mut worst = [0.0f64; 2];
    for (i, name) in problem.names().iter().enumerate() {
        let error = relative_error(&results[i], &expected[i]);
        let (kind, bound) = match i < 2 {
            true => (0, bounds.forward),
            false => (1, bounds.gradient),
        };
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
