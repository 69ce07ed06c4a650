//! Sums of Δ A within chunks, and the gradients that go through them.

use super::load::steps_of;
use super::plan::{Plan, Sizes};
use cubecl::prelude::*;

/// The unit's (sample, chunk, head).
#[cube]
fn place(size: &Sizes) -> (usize, usize, usize) {
    let row = ABSOLUTE_POS / size.h;
    (row / size.chunks, row % size.chunks, ABSOLUTE_POS % size.h)
}

/// Δ and the sums of Δ A from the start of each chunk, (b, h, steps), of dt (b, l, h); steps beyond
/// the end have size zero. A unit for each chunk and head.
#[cube(launch_unchecked)]
pub fn times_kernel(
    dt: &[f32],
    a: &[f32],
    times: &mut [f32],
    steps: &mut [f32],
    size: Sizes,
    #[comptime] s: Plan,
) {
    if ABSOLUTE_POS < size.cubes {
        let (sample, chunk, head) = place(&size);
        let base = steps_of(sample, head, chunk, &size, s);
        let rate = a[head];
        let mut sum = 0.0f32;
        for i in 0..s.q.runtime() {
            let t = chunk * s.q + i;
            let mut step = 0.0f32;
            if t < size.l {
                step = dt[(sample * size.l + t) * size.h + head];
            }
            sum += step * rate;
            times[base + i] = sum;
            steps[base + i] = step;
        }
    }
}

/// Gradients of Δ and A from what the backward kernel leaves, (b, h, steps) each:
///
/// ```text
/// g_t = Σ_{i ≥ t} rows_i + Σ_{i < t} inputs_i + kept          (the gradient of Δ_t A)
/// dΔ_t = direct_t + A g_t        dA = Σ_t Δ_t g_t
/// ```
///
/// A unit for each chunk and head; `da` has the sums of each.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn gradients_kernel(
    steps: &[f32],
    a: &[f32],
    rows: &[f32],
    inputs: &[f32],
    direct: &[f32],
    kept: &[f32],
    ddt: &mut [f32],
    da: &mut [f32],
    size: Sizes,
    #[comptime] s: Plan,
) {
    if ABSOLUTE_POS < size.cubes {
        let (sample, chunk, head) = place(&size);
        let base = steps_of(sample, head, chunk, &size, s);
        let rate = a[head];
        let mut all = kept[ABSOLUTE_POS];
        for i in 0..s.q.runtime() {
            all += inputs[base + i];
        }
        let mut later = 0.0f32;
        let mut sum = 0.0f32;
        for i in 0..s.q.runtime() {
            let here = base + comptime!(s.q - 1).runtime() - i;
            let t = chunk * s.q + comptime!(s.q - 1).runtime() - i;
            later += rows[here];
            all -= inputs[here];
            let gradient = later + all;
            sum += steps[here] * gradient;
            if t < size.l {
                ddt[(sample * size.l + t) * size.h + head] = fma(rate, gradient, direct[here]);
            }
        }
        da[ABSOLUTE_POS] = sum;
    }
}
