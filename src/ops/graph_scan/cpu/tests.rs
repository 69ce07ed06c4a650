//! Against a recurrence written element by element in f64, its adjoint, and finite differences.

use super::forward::Forward;
use super::grads::Grads;
use super::*;
use crate::ops::simd::testing::{Random, error};

/// Owned inputs, and the gradients or weights of the outputs.
#[derive(Clone)]
struct Case<T> {
    dims: Dims,
    u: Vec<T>,
    delta: Vec<T>,
    a: Vec<T>,
    b: Vec<T>,
    c1: Option<Vec<T>>,
    c2: Vec<T>,
    d: Option<Vec<T>>,
    p: Vec<T>,
    a_root: Option<Vec<T>>,
    a_rel: Vec<T>,
    state: Option<Vec<T>>,
    dy: Vec<T>,
    dstate: Option<Vec<T>>,
}

/// Which inputs are present: c1, d, a_root, state, dstate.
type Present = [bool; 5];
const ALL: Present = [true; 5];

impl Case<f64> {
    /// Values that f32 holds exactly; the mixing does not grow the state.
    fn new(dims: Dims, present: Present, seed: u64) -> Self {
        let Dims {
            b,
            v,
            l,
            d,
            n,
            p_batch,
            p_steps,
        } = dims;
        let mut random = Random(seed);
        let mut draw = |len, low, high| random.between(len, low, high);
        let w = 1.0 / (n as f64).sqrt();
        let p = 1.5 / (v as f64).sqrt();
        let p_len = v * v * if p_batch { b } else { 1 } * if p_steps { l } else { 1 };
        Self {
            dims,
            u: draw(b * v * l * d, -1.0, 1.0),
            delta: draw(b * v * l * d, 0.01, 0.8),
            a: draw(d * n, -2.0, -0.1),
            b: draw(b * v * l * n, -1.0, 1.0),
            c1: present[0].then(|| draw(b * v * l * n, -1.0, 1.0)),
            c2: draw(b * v * l * n, -1.0, 1.0),
            d: present[1].then(|| draw(d, -1.0, 1.0)),
            p: draw(p_len, -p, p),
            a_root: present[2].then(|| draw(n * n, -w, w)),
            a_rel: draw(n * n, -w, w),
            state: present[3].then(|| draw(b * v * d * n, -1.0, 1.0)),
            dy: draw(b * v * l * d, -1.0, 1.0),
            dstate: present[4].then(|| draw(b * v * d * n, -1.0, 1.0)),
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
            c1: self.c1.as_ref().map(cast),
            c2: cast(&self.c2),
            d: self.d.as_ref().map(cast),
            p: cast(&self.p),
            a_root: self.a_root.as_ref().map(cast),
            a_rel: cast(&self.a_rel),
            state: self.state.as_ref().map(cast),
            dy: cast(&self.dy),
            dstate: self.dstate.as_ref().map(cast),
        }
    }

    /// y and the last state by the formula, and if asked the gradients by its adjoint: each
    /// assignment taken back in the reverse order.
    fn oracle(&self, gradients: bool) -> (Vec<f64>, Vec<f64>, Option<Grads<f64>>) {
        let Dims {
            b,
            v,
            l,
            d,
            n,
            p_batch,
            p_steps,
        } = self.dims;
        let zeros = |len: usize| vec![0.0; len];
        let at_p = |s: usize, t: usize, i: usize, j: usize| {
            let s = if p_batch { s } else { 0 };
            let (t, steps) = if p_steps { (t, l) } else { (0, 1) };
            ((s * steps + t) * v + i) * v + j
        };
        let mut y = zeros(b * v * l * d);
        let mut last = zeros(b * v * d * n);
        let like = |x: &Vec<f64>| zeros(x.len());
        let mut g = Grads {
            u: like(&self.u),
            delta: like(&self.delta),
            a: like(&self.a),
            b: like(&self.b),
            c1: self.c1.as_ref().map(like),
            c2: like(&self.c2),
            d: self.d.as_ref().map(like),
            p: like(&self.p),
            a_root: self.a_root.as_ref().map(like),
            a_rel: like(&self.a_rel),
            state: self.state.as_ref().map(like),
        };
        for s in 0..b {
            for c in 0..d {
                let at_h = |i: usize, k: usize| ((s * v + i) * d + c) * n + k;
                let at_u = |i: usize, t: usize| ((s * v + i) * l + t) * d + c;
                let at_b = |i: usize, t: usize, k: usize| ((s * v + i) * l + t) * n + k;
                // (l + 1) states, and the mixed states of both linear maps before each step.
                let start: Vec<f64> = match &self.state {
                    Some(state) => (0..v * n).map(|x| state[at_h(x / n, x % n)]).collect(),
                    None => zeros(v * n),
                };
                let mut h = vec![start];
                let product = |t: usize, h: &[f64]| {
                    let mut out = zeros(v * n);
                    for i in 0..v {
                        for j in 0..v {
                            for k in 0..n {
                                out[i * n + k] += self.p[at_p(s, t, i, j)] * h[j * n + k];
                            }
                        }
                    }
                    out
                };
                let mut mixed = Vec::new();
                for t in 0..l {
                    let before = &h[t];
                    let ph = product(t, before);
                    let mut mix = zeros(v * n);
                    let mut after = zeros(v * n);
                    for i in 0..v {
                        for k in 0..n {
                            for m in 0..n {
                                let root = self.a_root.as_ref().map_or(0.0, |w| w[k * n + m]);
                                mix[i * n + m] += before[i * n + k] * root
                                    + ph[i * n + k] * self.a_rel[k * n + m];
                            }
                        }
                        for m in 0..n {
                            let delta = self.delta[at_u(i, t)];
                            after[i * n + m] = (delta * self.a[c * n + m]).exp() * mix[i * n + m]
                                + delta * self.u[at_u(i, t)] * self.b[at_b(i, t, m)];
                        }
                    }
                    let ph = product(t, &after);
                    for i in 0..v {
                        let skip = self.d.as_ref().map_or(0.0, |d| d[c]);
                        let mut sum = skip * self.u[at_u(i, t)];
                        for m in 0..n {
                            let c1 = self.c1.as_ref().map_or(0.0, |c1| c1[at_b(i, t, m)]);
                            sum += after[i * n + m] * c1 + ph[i * n + m] * self.c2[at_b(i, t, m)];
                        }
                        y[at_u(i, t)] = sum;
                    }
                    mixed.push(mix);
                    h.push(after);
                }
                for i in 0..v {
                    for k in 0..n {
                        last[at_h(i, k)] = h[l][i * n + k];
                    }
                }
                if !gradients {
                    continue;
                }
                let mut dh = zeros(v * n);
                if let Some(dstate) = &self.dstate {
                    for i in 0..v {
                        for k in 0..n {
                            dh[i * n + k] = dstate[at_h(i, k)];
                        }
                    }
                }
                for t in (0..l).rev() {
                    let (before, after) = (&h[t], &h[t + 1]);
                    let ph = product(t, after);
                    let mut dph = zeros(v * n);
                    for i in 0..v {
                        let dy = self.dy[at_u(i, t)];
                        if let (Some(d), Some(dd)) = (&self.d, &mut g.d) {
                            g.u[at_u(i, t)] += dy * d[c];
                            dd[c] += dy * self.u[at_u(i, t)];
                        }
                        for m in 0..n {
                            if let (Some(c1), Some(dc1)) = (&self.c1, &mut g.c1) {
                                dh[i * n + m] += dy * c1[at_b(i, t, m)];
                                dc1[at_b(i, t, m)] += dy * after[i * n + m];
                            }
                            dph[i * n + m] += dy * self.c2[at_b(i, t, m)];
                            g.c2[at_b(i, t, m)] += dy * ph[i * n + m];
                        }
                    }
                    for i in 0..v {
                        for j in 0..v {
                            for k in 0..n {
                                dh[j * n + k] += self.p[at_p(s, t, i, j)] * dph[i * n + k];
                                g.p[at_p(s, t, i, j)] += after[j * n + k] * dph[i * n + k];
                            }
                        }
                    }
                    let ph = product(t, before);
                    let mut dbefore = zeros(v * n);
                    let mut dph = zeros(v * n);
                    for i in 0..v {
                        for m in 0..n {
                            let delta = self.delta[at_u(i, t)];
                            let (u, a) = (self.u[at_u(i, t)], self.a[c * n + m]);
                            let (mix, grad) = (mixed[t][i * n + m], dh[i * n + m]);
                            let decay = (delta * a).exp();
                            let b_in = self.b[at_b(i, t, m)];
                            g.delta[at_u(i, t)] += grad * (decay * a * mix + u * b_in);
                            g.a[c * n + m] += grad * decay * delta * mix;
                            g.u[at_u(i, t)] += grad * delta * b_in;
                            g.b[at_b(i, t, m)] += grad * delta * u;
                            let dmix = grad * decay;
                            for k in 0..n {
                                if let (Some(w), Some(dw)) = (&self.a_root, &mut g.a_root) {
                                    dbefore[i * n + k] += dmix * w[k * n + m];
                                    dw[k * n + m] += dmix * before[i * n + k];
                                }
                                dph[i * n + k] += dmix * self.a_rel[k * n + m];
                                g.a_rel[k * n + m] += dmix * ph[i * n + k];
                            }
                        }
                    }
                    for i in 0..v {
                        for j in 0..v {
                            for k in 0..n {
                                dbefore[j * n + k] += self.p[at_p(s, t, i, j)] * dph[i * n + k];
                                g.p[at_p(s, t, i, j)] += before[j * n + k] * dph[i * n + k];
                            }
                        }
                    }
                    dh = dbefore;
                }
                if let Some(dstate) = &mut g.state {
                    for i in 0..v {
                        for k in 0..n {
                            dstate[at_h(i, k)] = dh[i * n + k];
                        }
                    }
                }
            }
        }
        (y, last, gradients.then_some(g))
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
            c1: self.c1.as_deref(),
            c2: &self.c2,
            d: self.d.as_deref(),
            p: &self.p,
            sparse: false,
            a_root: self.a_root.as_deref(),
            a_rel: &self.a_rel,
            state: self.state.as_deref(),
            p_gradient: true,
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
            ("c1", self.c1.as_deref()),
            ("c2", Some(&self.c2)),
            ("d", self.d.as_deref()),
            ("p", Some(&self.p)),
            ("a_root", self.a_root.as_deref()),
            ("a_rel", Some(&self.a_rel)),
            ("state", self.state.as_deref()),
        ]
    }
}

fn dims(b: usize, v: usize, l: usize, d: usize, n: usize, p: (bool, bool)) -> Dims {
    Dims {
        b,
        v,
        l,
        d,
        n,
        p_batch: p.0,
        p_steps: p.1,
    }
}

const P_KINDS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

/// Runs a case in f32 and compares it with the oracle; the largest errors, forward and backward.
fn compare(dims: Dims, present: Present, every: usize, seed: u64) -> (f64, f64) {
    compare_case(&Case::new(dims, present, seed), present, every)
}

fn compare_case(case: &Case<f64>, present: Present, every: usize) -> (f64, f64) {
    let dims = case.dims;
    let (y, state, expected) = case.oracle(true);
    let (out, grads) = case.single().run(every);
    let mut worst = (error(&out.y, &y), 0.0);
    worst.0 = worst.0.max(error(&out.state, &state));
    assert!(
        worst.0 <= 1e-5,
        "forward of {dims:?} {present:?}: error {:e}",
        worst.0
    );
    for ((name, x), (_, reference)) in grads.named().into_iter().zip(expected.unwrap().named()) {
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
    let sizes = [
        (2, 1, 1, 1, 1, 1),
        (1, 1, 31, 17, 4, 5),
        (2, 2, 2, 33, 16, 1),
        (1, 2, 257, 3, 1, 16),
        (3, 8, 31, 3, 4, 6),
        (1, 8, 2, 17, 48, 2),
        (2, 19, 31, 17, 16, 7),
        (1, 19, 1, 33, 48, 1),
        (1, 56, 2, 17, 16, 3),
        (1, 56, 31, 1, 4, 40),
        (1, 113, 2, 1, 5, 1),
        (2, 5, 7, 16, 19, 3),
    ];
    for (index, (b, v, l, d, n, every)) in sizes.into_iter().enumerate() {
        for kind in P_KINDS {
            let found = compare(dims(b, v, l, d, n, kind), ALL, every, index as u64);
            worst = (worst.0.max(found.0), worst.1.max(found.1));
        }
    }
    println!(
        "largest error: forward {:e}, gradients {:e}",
        worst.0, worst.1
    );
}

#[test]
fn agrees_over_a_long_sequence() {
    for kind in P_KINDS {
        compare(dims(1, 8, 257, 17, 16, kind), ALL, 17, 5);
    }
}

/// Most of P zero, an empty row and an empty column among them; n beyond, at and below what a pass
/// over an edge list takes.
#[test]
fn few_edges_agree_with_the_recurrence() {
    for (n, seed) in [(1, 71), (6, 72), (8, 73), (13, 74)] {
        let mut case = Case::<f64>::new(dims(2, 23, 5, 18, n, (false, false)), ALL, seed);
        let all = case.p.clone();
        for (i, p) in case.p.iter_mut().enumerate() {
            let (target, source) = (i / 23, i % 23);
            if !(i * 7 + seed as usize).is_multiple_of(5) || target == 3 || source == 11 {
                *p = 0.0;
            }
        }
        assert!(sparse::Edges::few(&case.dims, &case.inputs()).is_some());
        let (forward, backward) = compare_case(&case, ALL, 2);
        assert!(
            forward < 1e-5 && backward < 1e-4,
            "n {n}: {forward} {backward}"
        );
        case.p = all;
        assert!(sparse::Edges::few(&case.dims, &case.inputs()).is_none());
    }
}

#[test]
fn each_optional_input_may_be_absent() {
    for absent in 0..5 {
        let mut without = ALL;
        without[absent] = false;
        let mut only = [false; 5];
        only[absent] = true;
        for kind in P_KINDS {
            compare(dims(2, 3, 5, 19, 6, kind), without, 2, 11);
            compare(dims(2, 3, 5, 19, 6, kind), only, 2, 12);
            compare(dims(2, 3, 5, 19, 6, kind), [false; 5], 9, 13);
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    type Part = fn(&mut Case<f64>) -> Option<&mut Vec<f64>>;
    let parts: [(&str, Part); 11] = [
        ("u", |c| Some(&mut c.u)),
        ("delta", |c| Some(&mut c.delta)),
        ("a", |c| Some(&mut c.a)),
        ("b", |c| Some(&mut c.b)),
        ("c1", |c| c.c1.as_mut()),
        ("c2", |c| Some(&mut c.c2)),
        ("d", |c| c.d.as_mut()),
        ("p", |c| Some(&mut c.p)),
        ("a_root", |c| c.a_root.as_mut()),
        ("a_rel", |c| Some(&mut c.a_rel)),
        ("state", |c| c.state.as_mut()),
    ];
    const STEP: f64 = 1e-5;
    for (index, kind) in P_KINDS.into_iter().enumerate() {
        for present in [ALL, [false; 5]] {
            let case = Case::new(dims(2, 3, 4, 2, 3, kind), present, 40 + index as u64);
            let (_, grads) = case.run(3);
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
                        "{name}[{i}] of {kind:?} {present:?}: {expected} is not {slope}"
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
    for kind in P_KINDS {
        let case = Case::new(dims(3, 5, 9, 35, 6, kind), ALL, 21).single();
        let all = |every: usize| {
            let (out, grads) = case.run(every);
            let mut parts = vec![bits(&out.y), bits(&out.state)];
            parts.extend(grads.named().into_iter().map(|(_, g)| bits(g.unwrap())));
            parts
        };
        let expected = threads(1).install(|| all(3));
        for n in [1, 2, 3] {
            assert!(
                threads(n).install(|| all(3)) == expected,
                "{n} threads, {kind:?}"
            );
            assert!(
                threads(n).install(|| all(4)) == expected,
                "other checkpoints, {kind:?}"
            );
        }
    }
}

#[test]
fn large_steps_forget_and_stay_finite() {
    let d = dims(1, 3, 6, 17, 4, (false, false));
    let mut case = Case::new(d, ALL, 8);
    case.delta.iter_mut().for_each(|delta| *delta = 1e30);
    case.u.iter_mut().for_each(|u| *u *= 1e-30);
    let (y, state, _) = case.oracle(false);
    let (out, grads) = case.single().run(2);
    assert!(error(&out.y, &y) < 1e-5 && error(&out.state, &state) < 1e-5);
    for (name, g) in grads.named() {
        assert!(g.unwrap().iter().all(|x| x.is_finite()), "{name}");
    }
    // exp(ΔA) = 0: the first state reaches nothing.
    assert!(grads.state.unwrap().iter().all(|x| *x == 0.0));
    assert!(grads.a_rel.iter().all(|x| *x == 0.0));
}

#[test]
#[should_panic(expected = "length of c2")]
fn wrong_sizes_are_refused() {
    let case = Case::new(dims(1, 2, 3, 4, 5, (false, false)), ALL, 1);
    let mut inputs = case.inputs();
    inputs.c2 = &case.c2[1..];
    forward(&case.dims, &inputs, None);
}
