//! Against a recurrence written element by element in f64, its adjoint, and finite differences.

use super::backward::Grads;
use super::forward::Forward;
use super::*;
use crate::ops::simd::testing::{Random, error};

/// Owned inputs, and gradients of the outputs.
#[derive(Clone)]
struct Case<T> {
    dims: Dims,
    u: Vec<T>,
    delta: Vec<T>,
    a: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
    d: Option<Vec<T>>,
    z: Option<Vec<T>>,
    delta_bias: Option<Vec<T>>,
    state: Option<Vec<T>>,
    dy: Vec<T>,
    dstate: Option<Vec<T>>,
}

/// Which inputs are present: d, z, delta_bias, state, dstate.
type Present = [bool; 5];
const ALL: Present = [true; 5];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Case<f64> {
    fn new(dims: Dims, present: Present, seed: u64) -> Self {
        let Dims {
            b,
            l,
            d,
            n,
            delta_softplus,
        } = dims;
        let mut random = Random(seed);
        let mut draw = |len, low, high| random.between(len, low, high);
        let (low, high) = if delta_softplus {
            (-6.0, 1.0)
        } else {
            (0.01, 0.8)
        };
        Self {
            dims,
            u: draw(b * l * d, -1.0, 1.0),
            delta: draw(b * l * d, low, high),
            a: draw(d * n, -2.0, -0.1),
            b: draw(b * l * n, -1.0, 1.0),
            c: draw(b * l * n, -1.0, 1.0),
            d: present[0].then(|| draw(d, -1.0, 1.0)),
            z: present[1].then(|| draw(b * l * d, -4.0, 4.0)),
            delta_bias: present[2].then(|| draw(d, 0.0, 0.5)),
            state: present[3].then(|| draw(b * d * n, -1.0, 1.0)),
            dy: draw(b * l * d, -1.0, 1.0),
            dstate: present[4].then(|| draw(b * d * n, -1.0, 1.0)),
        }
    }

    fn single(&self) -> Case<f32> {
        let cast = |x: &Vec<f64>| x.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        Case {
            dims: self.dims,
            u: cast(&self.u),
            delta: cast(&self.delta),
            a: cast(&self.a),
            b: cast(&self.b),
            c: cast(&self.c),
            d: self.d.as_ref().map(cast),
            z: self.z.as_ref().map(cast),
            delta_bias: self.delta_bias.as_ref().map(cast),
            state: self.state.as_ref().map(cast),
            dy: cast(&self.dy),
            dstate: self.dstate.as_ref().map(cast),
        }
    }

    /// y, the last state and the gradients, channel by channel and state by state.
    fn oracle(&self) -> (Vec<f64>, Vec<f64>, Grads<f64>) {
        let Dims {
            b,
            l,
            d,
            n,
            delta_softplus,
        } = self.dims;
        let like = |x: &Vec<f64>| vec![0.0; x.len()];
        let mut y = vec![0.0; b * l * d];
        let mut last = vec![0.0; b * d * n];
        let mut g = Grads {
            u: like(&self.u),
            delta: like(&self.delta),
            a: like(&self.a),
            b: like(&self.b),
            c: like(&self.c),
            d: self.d.as_ref().map(like),
            z: self.z.as_ref().map(like),
            delta_bias: self.delta_bias.as_ref().map(like),
            state: self.state.as_ref().map(like),
        };
        for s in 0..b {
            for c in 0..d {
                let at = |t: usize| (s * l + t) * d + c;
                let raw =
                    |t: usize| self.delta[at(t)] + self.delta_bias.as_ref().map_or(0.0, |x| x[c]);
                let softplus = |x: f64| if x > 20.0 { x } else { x.exp().ln_1p() };
                let delta = |t: usize| {
                    if delta_softplus {
                        softplus(raw(t))
                    } else {
                        raw(t)
                    }
                };
                let gate = |t: usize| {
                    self.z
                        .as_ref()
                        .map_or(1.0, |z| z[at(t)] * sigmoid(z[at(t)]))
                };
                let skip = self.d.as_ref().map_or(0.0, |x| x[c]);
                let mut sum: Vec<f64> = (0..l).map(|t| skip * self.u[at(t)]).collect();
                let mut ddelta = vec![0.0; l];
                let mut states = Vec::new();
                for m in 0..n {
                    let first = (s * d + c) * n + m;
                    let mut h = vec![self.state.as_ref().map_or(0.0, |x| x[first])];
                    for t in 0..l {
                        let bc = (s * l + t) * n + m;
                        let decay = (delta(t) * self.a[c * n + m]).exp();
                        h.push(decay * h[t] + delta(t) * self.u[at(t)] * self.b[bc]);
                        sum[t] += h[t + 1] * self.c[bc];
                    }
                    last[first] = h[l];
                    states.push(h);
                }
                for (m, h) in states.iter().enumerate() {
                    let first = (s * d + c) * n + m;
                    let a = self.a[c * n + m];
                    let mut dh = self.dstate.as_ref().map_or(0.0, |x| x[first]);
                    for t in (0..l).rev() {
                        let bc = (s * l + t) * n + m;
                        let dsum = self.dy[at(t)] * gate(t);
                        dh += dsum * self.c[bc];
                        g.c[bc] += dsum * h[t + 1];
                        let decay = (delta(t) * a).exp();
                        ddelta[t] += dh * (a * decay * h[t] + self.u[at(t)] * self.b[bc]);
                        g.a[c * n + m] += dh * delta(t) * decay * h[t];
                        g.u[at(t)] += dh * delta(t) * self.b[bc];
                        g.b[bc] += dh * delta(t) * self.u[at(t)];
                        dh *= decay;
                    }
                    if let Some(state) = &mut g.state {
                        state[first] = dh;
                    }
                }
                for t in 0..l {
                    y[at(t)] = sum[t] * gate(t);
                    let dsum = self.dy[at(t)] * gate(t);
                    if let (Some(z), Some(dz)) = (&self.z, &mut g.z) {
                        let z = z[at(t)];
                        let slope = sigmoid(z) + z * sigmoid(z) * sigmoid(-z);
                        dz[at(t)] = self.dy[at(t)] * sum[t] * slope;
                    }
                    g.u[at(t)] += dsum * skip;
                    if let Some(dd) = &mut g.d {
                        dd[c] += dsum * self.u[at(t)];
                    }
                    let slope = if delta_softplus { sigmoid(raw(t)) } else { 1.0 };
                    g.delta[at(t)] = ddelta[t] * slope;
                    if let Some(bias) = &mut g.delta_bias {
                        bias[c] += ddelta[t] * slope;
                    }
                }
            }
        }
        (y, last, g)
    }

    /// Σ y dy + Σ state dstate.
    fn loss(&self) -> f64 {
        let out = forward(&self.dims, &self.inputs(), None);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(&out.y, &self.dy) + self.dstate.as_ref().map_or(0.0, |g| dot(&out.state, g))
    }
}

impl<T: Real> Case<T> {
    fn inputs(&self) -> Inputs<'_, T> {
        Inputs {
            u: &self.u,
            delta: &self.delta,
            a: &self.a,
            b: &self.b,
            c: &self.c,
            d: self.d.as_deref(),
            z: self.z.as_deref(),
            delta_bias: self.delta_bias.as_deref(),
            state: self.state.as_deref(),
        }
    }

    fn run(&self, every: usize) -> (Forward<T>, Grads<T>) {
        let out = forward(&self.dims, &self.inputs(), Some(every));
        let dstate = self.dstate.as_deref();
        let grads = backward(
            &self.dims,
            &self.inputs(),
            &out.checkpoints,
            every,
            &self.dy,
            dstate,
        );
        (out, grads)
    }
}

impl<T: Real> Grads<T> {
    fn named(&self) -> Vec<(&'static str, Option<&[T]>)> {
        vec![
            ("u", Some(&self.u)),
            ("delta", Some(&self.delta)),
            ("a", Some(&self.a)),
            ("b", Some(&self.b)),
            ("c", Some(&self.c)),
            ("d", self.d.as_deref()),
            ("z", self.z.as_deref()),
            ("delta_bias", self.delta_bias.as_deref()),
            ("state", self.state.as_deref()),
        ]
    }
}

fn dims(b: usize, l: usize, d: usize, n: usize, delta_softplus: bool) -> Dims {
    Dims {
        b,
        l,
        d,
        n,
        delta_softplus,
    }
}

/// Runs a case in f32 and compares it with the oracle; the largest errors, forward and backward.
fn compare(dims: Dims, present: Present, every: usize, seed: u64) -> (f64, f64) {
    let case = Case::new(dims, present, seed);
    let (y, state, expected) = case.oracle();
    let (out, grads) = case.single().run(every);
    let mut worst = (error(&out.y, &y).max(error(&out.state, &state)), 0.0);
    assert!(
        worst.0 <= 1e-5,
        "forward of {dims:?} {present:?}: error {:e}",
        worst.0
    );
    for ((name, x), (_, reference)) in grads.named().into_iter().zip(expected.named()) {
        assert_eq!(x.is_some(), reference.is_some(), "{name}");
        let (Some(x), Some(reference)) = (x, reference) else {
            continue;
        };
        let e = error(x, reference);
        assert!(
            e <= 1e-4,
            "gradient of {name}, {dims:?} {present:?}: error {e:e}"
        );
        worst.1 = f64::max(worst.1, e);
    }
    worst
}

#[test]
fn agrees_with_the_recurrence() {
    let mut worst = (0.0f64, 0.0f64);
    for l in [1, 2, 31, 257] {
        for d in [1, 3, 17, 33] {
            for n in [1, 4, 16, 19, 48] {
                for softplus in [false, true] {
                    let every = [1, 2, 16, 300][(l + d + n) % 4];
                    let found = compare(dims(2, l, d, n, softplus), ALL, every, (l + d) as u64);
                    worst = (worst.0.max(found.0), worst.1.max(found.1));
                }
            }
        }
    }
    println!(
        "largest error: forward {:e}, gradients {:e}",
        worst.0, worst.1
    );
}

#[test]
fn each_optional_input_may_be_absent() {
    for bits in 0..32 {
        let present = std::array::from_fn(|i| bits >> i & 1 == 1);
        for softplus in [false, true] {
            compare(dims(2, 11, 19, 5, softplus), present, 4, bits);
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    type Part = fn(&mut Case<f64>) -> Option<&mut Vec<f64>>;
    let parts: [(&str, Part); 9] = [
        ("u", |c| Some(&mut c.u)),
        ("delta", |c| Some(&mut c.delta)),
        ("a", |c| Some(&mut c.a)),
        ("b", |c| Some(&mut c.b)),
        ("c", |c| Some(&mut c.c)),
        ("d", |c| c.d.as_mut()),
        ("z", |c| c.z.as_mut()),
        ("delta_bias", |c| c.delta_bias.as_mut()),
        ("state", |c| c.state.as_mut()),
    ];
    const STEP: f64 = 1e-5;
    for softplus in [false, true] {
        for present in [ALL, [false; 5]] {
            let case = Case::new(dims(2, 5, 3, 4, softplus), present, 40);
            let (_, grads) = case.run(2);
            for ((name, gradient), (other, part)) in grads.named().into_iter().zip(parts) {
                assert_eq!(name, other);
                let Some(gradient) = gradient else { continue };
                for (i, expected) in gradient.iter().enumerate() {
                    let moved = |by: f64| {
                        let mut case = case.clone();
                        part(&mut case).unwrap()[i] += by;
                        case.loss()
                    };
                    let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                    assert!(
                        (slope - expected).abs() < 1e-7 * (1.0 + expected.abs()),
                        "{name}[{i}] {softplus} {present:?}: {expected} is not {slope}"
                    );
                }
            }
        }
    }
}

#[test]
fn same_bits_for_any_threads_run_and_checkpoints() {
    let threads = |n| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(n)
            .build()
            .unwrap()
    };
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let case = Case::new(dims(3, 40, 70, 16, true), ALL, 21).single();
    let all = |every: usize| {
        let (out, grads) = case.run(every);
        let mut parts = vec![bits(&out.y), bits(&out.state)];
        parts.extend(grads.named().into_iter().map(|(_, g)| bits(g.unwrap())));
        parts
    };
    let expected = threads(1).install(|| all(6));
    for n in [1, 2, 3] {
        assert!(threads(n).install(|| all(6)) == expected, "{n} threads");
        assert!(
            threads(n).install(|| all(7)) == expected,
            "other checkpoints"
        );
    }
}

#[test]
fn large_steps_forget_and_stay_finite() {
    for softplus in [false, true] {
        let mut case = Case::new(dims(1, 6, 17, 4, softplus), ALL, 8);
        case.delta.iter_mut().for_each(|delta| *delta = 1e30);
        case.u.iter_mut().for_each(|u| *u *= 1e-30);
        let (y, state, _) = case.oracle();
        let (out, grads) = case.single().run(2);
        assert!(error(&out.y, &y) < 1e-5 && error(&out.state, &state) < 1e-5);
        for (name, g) in grads.named() {
            assert!(g.unwrap().iter().all(|x| x.is_finite()), "{name}");
        }
        // exp(ΔA) = 0: the first state reaches nothing.
        assert!(grads.state.unwrap().iter().all(|x| *x == 0.0));
        assert!(grads.a.iter().all(|x| *x == 0.0));
    }
}

#[test]
#[should_panic(expected = "length of c")]
fn wrong_sizes_are_refused() {
    let case = Case::new(dims(1, 2, 3, 4, false), ALL, 1);
    let mut inputs = case.inputs();
    inputs.c = &case.c[1..];
    forward(&case.dims, &inputs, None);
}
