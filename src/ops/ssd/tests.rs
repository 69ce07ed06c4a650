//! The scan against its recurrence in f64, gradients against differences of it.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::{SsdInput, SsdOutput, reference, ssd};
use crate::ops::testing::{Random, close, close_sum, dot, rounded, slope, tensor, values};

#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// b, l, h, p, g, n.
    pub size: [usize; 6],
    pub chunk: usize,
    /// No D, one for each head, or one for each channel.
    pub skip: Option<bool>,
    pub initial: bool,
    /// Packed sequences, the first with this id.
    pub packed: Option<i64>,
}

const NAMES: [&str; 7] = ["dx", "ddt", "da", "db", "dc", "dd", "dinitial"];

/// x, dt, a, b, c, d, initial, and weights of y and of the last state in the loss.
type Parts = [Vec<f64>; 9];

struct Problem {
    case: Case,
    parts: Parts,
    ids: Vec<i64>,
}

impl Case {
    fn skip_width(&self) -> usize {
        if self.skip == Some(true) {
            self.size[3]
        } else {
            1
        }
    }
}

impl Problem {
    fn new(case: Case, dtype: DType, random: &mut Random) -> Self {
        let [b, l, h, p, g, n] = case.size;
        let mut signal = |count, low, high| rounded(&random.between(count, low, high), dtype);
        let parts = [
            signal(b * l * h * p, -1.0, 1.0),
            signal(b * l * h, 0.001, 0.3),
            signal(h, -4.0, -0.1),
            signal(b * l * g * n, -1.0, 1.0),
            signal(b * l * g * n, -1.0, 1.0),
            signal(h * case.skip_width(), -1.0, 1.0),
            signal(b * h * p * n, -1.0, 1.0),
            signal(b * l * h * p, -1.0, 1.0),
            signal(b * h * p * n, -1.0, 1.0),
        ];
        let ids = match case.packed {
            Some(first) => random.runs(b, l, 4, first),
            None => vec![0; b * l],
        };
        Self { case, parts, ids }
    }

    /// y, last state.
    fn exact(&self, parts: &Parts) -> [Vec<f64>; 2] {
        let [batch, l, h, p, g, n] = self.case.size;
        let [x, dt, a, b, c, d, initial, ..] = parts;
        let mut y = vec![0.0; batch * l * h * p];
        let mut state = match self.case.initial {
            true => initial.clone(),
            false => vec![0.0; batch * h * p * n],
        };
        let width = self.case.skip_width();
        for s in 0..batch {
            for head in 0..h {
                let rows = (s * h + head) * p * n;
                let state = &mut state[rows..rows + p * n];
                let mut owner = 0;
                for t in 0..l {
                    let id = self.ids[s * l + t];
                    if id < 0 {
                        continue;
                    }
                    if id != owner {
                        state.fill(0.0);
                        owner = id;
                    }
                    let step = dt[(s * l + t) * h + head];
                    let decay = (step * a[head]).exp();
                    let shared = ((s * l + t) * g + head / (h / g)) * n;
                    for ch in 0..p {
                        let i = ((s * l + t) * h + head) * p + ch;
                        let mut read = 0.0;
                        for m in 0..n {
                            let cell = &mut state[ch * n + m];
                            *cell = decay * *cell + step * x[i] * b[shared + m];
                            read += *cell * c[shared + m];
                        }
                        if let Some(wide) = self.case.skip {
                            read += d[head * width + if wide { ch } else { 0 }] * x[i];
                        }
                        y[i] = read;
                    }
                }
            }
        }
        [y, state]
    }

    fn loss(&self, parts: &Parts) -> f64 {
        let [y, state] = self.exact(parts);
        dot(&y, &self.parts[7]) + dot(&state, &self.parts[8])
    }

    /// y, last state, and the gradients in the order of [`NAMES`].
    fn found(
        &self,
        run: fn(SsdInput) -> SsdOutput,
        dtype: DType,
        device: &Device,
    ) -> Vec<Vec<f64>> {
        let [b, l, h, p, g, n] = self.case.size;
        let device = device.clone().autodiff();
        let wide = match dtype {
            DType::F64 => DType::F64,
            _ => DType::F32,
        };
        let parts = &self.parts;
        fn load<const D: usize>(
            values: &[f64],
            shape: [usize; D],
            dtype: DType,
            device: &Device,
        ) -> Tensor<D> {
            tensor(values, shape, dtype, device).require_grad()
        }
        let x = load(&parts[0], [b, l, h, p], dtype, &device);
        let dt = load(&parts[1], [b, l, h], wide, &device);
        let a = load(&parts[2], [h], wide, &device);
        let (bs, cs) = (
            load(&parts[3], [b, l, g, n], dtype, &device),
            load(&parts[4], [b, l, g, n], dtype, &device),
        );
        let d = load(&parts[5], [h, self.case.skip_width()], wide, &device);
        let initial = load(&parts[6], [b, h, p, n], wide, &device);
        let out = run(SsdInput {
            x: x.clone(),
            dt: dt.clone(),
            a: a.clone(),
            b: bs.clone(),
            c: cs.clone(),
            d: self.case.skip.map(|_| d.clone()),
            initial: self.case.initial.then(|| initial.clone()),
            seq_idx: self.case.packed.map(|_| {
                Tensor::<2, Int>::from_data(TensorData::new(self.ids.clone(), [b, l]), &device)
            }),
            chunk: self.case.chunk,
        });
        assert_eq!((out.y.dtype(), out.state.dtype()), (dtype, wide));
        let wy = tensor(&parts[7], [b, l, h, p], dtype, &device);
        let ws = tensor(&parts[8], [b, h, p, n], wide, &device);
        let loss = (out.y.clone() * wy).cast(wide).sum() + (out.state.clone() * ws).sum();
        let grads = loss.backward();
        vec![
            values(out.y),
            values(out.state),
            values(x.grad(&grads).expect("dx")),
            values(dt.grad(&grads).expect("ddt")),
            values(a.grad(&grads).expect("da")),
            values(bs.grad(&grads).expect("db")),
            values(cs.grad(&grads).expect("dc")),
            d.grad(&grads).map(values).unwrap_or_default(),
            initial.grad(&grads).map(values).unwrap_or_default(),
        ]
    }
}

/// Small cases, every option.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, (size, chunk)) in [
        ([1, 1, 1, 1, 1, 1], 16),
        ([2, 5, 2, 3, 1, 4], 64),
        ([1, 37, 4, 5, 2, 3], 16),
        ([2, 64, 2, 8, 1, 16], 64),
        ([1, 130, 6, 4, 3, 9], 32),
        ([2, 100, 3, 16, 3, 8], 1),
    ]
    .into_iter()
    .enumerate()
    {
        for packed in [None, Some(0), Some(-1), Some(2)] {
            cases.push(Case {
                size,
                chunk,
                skip: [None, Some(false), Some(true)][(i + usize::from(packed.is_some())) % 3],
                initial: packed.is_some() || i % 2 == 0,
                packed,
            });
        }
    }
    cases
}

/// Sizes as models have them.
fn large() -> Vec<Case> {
    let mut cases = Vec::new();
    for (size, chunk, packed) in [
        ([1, 300, 4, 64, 1, 128], 256, None),
        ([2, 200, 4, 64, 2, 64], 128, Some(-1)),
        ([1, 520, 2, 40, 1, 100], 256, Some(0)),
    ] {
        cases.push(Case {
            size,
            chunk,
            skip: Some(false),
            initial: true,
            packed,
        });
    }
    cases
}

fn check(cases: Vec<Case>, dtype: DType, device: &Device, tolerance: f64) {
    let mut random = Random::new();
    for case in cases {
        let problem = Problem::new(case, dtype, &mut random);
        let found = problem.found(ssd, dtype, device);
        let exact = problem.exact(&problem.parts);
        close(&format!("y {case:?}"), &found[0], &exact[0], tolerance);
        close(&format!("state {case:?}"), &found[1], &exact[1], tolerance);
        let wanted = problem.found(reference::ssd, DType::F64, &Device::flex());
        for (i, name) in NAMES.into_iter().enumerate() {
            let (got, want) = (&found[i + 2], &wanted[i + 2]);
            let what = format!("{name} {case:?}");
            // The gradients of A and D are sums over a whole batch of terms of both signs, whose
            // rounding grows with the sum they could have had, not with what is left of it.
            let terms = match name {
                "da" | "dd" => case.size[0] * case.size[1] * case.size[3],
                _ => 1,
            };
            close_sum(&what, got, want, tolerance, terms);
        }
    }
}

#[test]
fn the_reference_is_the_recurrence() {
    let mut random = Random::new();
    for case in cases() {
        let problem = Problem::new(case, DType::F64, &mut random);
        let found = problem.found(reference::ssd, DType::F64, &Device::flex());
        let exact = problem.exact(&problem.parts);
        close(&format!("y {case:?}"), &found[0], &exact[0], 1e-11);
        close(&format!("state {case:?}"), &found[1], &exact[1], 1e-11);
        for (part, name) in NAMES.into_iter().enumerate() {
            let gradient = &found[part + 2];
            if gradient.is_empty() {
                continue;
            }
            let v = random.between(gradient.len(), -1.0, 1.0);
            let along = |values: &[f64]| {
                let mut parts = problem.parts.clone();
                parts[part] = values.to_vec();
                problem.loss(&parts)
            };
            let wanted = slope(along, &problem.parts[part], &v);
            let size = dot(gradient, gradient).sqrt() * dot(&v, &v).sqrt();
            let error = (dot(gradient, &v) - wanted).abs();
            assert!(
                error <= 1e-7 * size.max(1.0),
                "{name} of {case:?}: {error:e}"
            );
        }
    }
}

#[test]
fn the_chunk_does_not_matter() {
    let mut random = Random::new();
    let case = Case {
        size: [2, 150, 4, 3, 2, 5],
        chunk: 1,
        skip: Some(false),
        initial: true,
        packed: Some(0),
    };
    let mut problem = Problem::new(case, DType::F64, &mut random);
    let exact = problem.exact(&problem.parts);
    for chunk in [1, 16, 64, 128, 150, 256] {
        problem.case.chunk = chunk;
        let found = problem.found(reference::ssd, DType::F64, &Device::flex());
        close(&format!("y, chunk {chunk}"), &found[0], &exact[0], 1e-11);
        close(
            &format!("state, chunk {chunk}"),
            &found[1],
            &exact[1],
            1e-11,
        );
    }
}

#[test]
fn cpu_is_the_recurrence() {
    check(cases(), DType::F64, &Device::flex(), 1e-10);
    check(cases(), DType::F32, &Device::flex(), 1e-5);
    check(cases(), DType::BF16, &Device::flex(), 2e-2);
}

#[test]
fn cpu_is_the_recurrence_at_sizes_of_models() {
    check(large(), DType::F32, &Device::flex(), 1e-5);
}

#[test]
#[should_panic(expected = "3 heads cannot share 2 groups")]
fn refuses_groups_that_do_not_divide() {
    let device = Device::flex();
    ssd(SsdInput {
        x: Tensor::zeros([1, 4, 3, 2], &device),
        dt: Tensor::zeros([1, 4, 3], &device),
        a: Tensor::zeros([3], &device),
        b: Tensor::zeros([1, 4, 2, 5], &device),
        c: Tensor::zeros([1, 4, 2, 5], &device),
        d: None,
        initial: None,
        seq_idx: None,
        chunk: 64,
    });
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn is_the_recurrence_on_a_gpu() {
    let device = Device::wgpu(Default::default());
    // Every case takes kernels of its own, whose compilation there takes seconds.
    let some = cases().into_iter().step_by(3).collect();
    check(some, DType::F32, &device, 2e-5);
    check(large(), DType::F32, &device, 2e-5);
}
