use burn::tensor::{Device, Distribution, FloatDType, Tensor, TensorData};

use super::{SelectiveScanInput, SelectiveScanOutput, reference, selective_scan};

type Scan = fn(SelectiveScanInput) -> SelectiveScanOutput;

/// Sizes, and whether the optional parts are there.
#[derive(Clone, Copy)]
struct Case {
    size: [usize; 4],
    optional: bool,
    from_state: bool,
    dtype: FloatDType,
}

/// Random input, its weights for y and the last state.
fn random(case: &Case, device: &Device) -> (SelectiveScanInput, Tensor<3>, Tensor<3>) {
    device.seed(7);
    let [b, l, d, n] = case.size;
    let wide = match case.dtype {
        FloatDType::F64 => FloatDType::F64,
        _ => FloatDType::F32,
    };
    fn draw<const D: usize>(s: [usize; D], (low, high): (f64, f64), dev: &Device) -> Tensor<D> {
        Tensor::random(s, Distribution::Uniform(low, high), dev)
    }
    let unit = (-1.0, 1.0);
    let signal = |s, range| draw::<3>(s, range, device).cast(case.dtype);
    let input = SelectiveScanInput {
        u: signal([b, l, d], unit),
        delta: signal(
            [b, l, d],
            if case.optional {
                (-4.0, 25.0)
            } else {
                (0.01, 0.5)
            },
        ),
        a: draw([d, n], (-2.0, -0.05), device).cast(wide),
        b: signal([b, l, n], unit),
        c: signal([b, l, n], unit),
        d: case.optional.then(|| draw([d], unit, device).cast(wide)),
        z: case.optional.then(|| signal([b, l, d], (-3.0, 3.0))),
        delta_bias: case.optional.then(|| draw([d], unit, device).cast(wide)),
        delta_softplus: case.optional,
        initial_state: case
            .from_state
            .then(|| draw([b, d, n], unit, device).cast(wide)),
    };
    let wy = signal([b, l, d], unit);
    let wh = draw([b, d, n], unit, device).cast(wide);
    (input, wy, wh)
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f64> {
    t.into_data()
        .convert::<f64>()
        .try_to_vec()
        .expect("f64 values")
}

/// The same input on another device, tracked there.
fn tracked(input: &SelectiveScanInput, device: &Device) -> SelectiveScanInput {
    fn to<const D: usize>(t: &Tensor<D>, device: &Device) -> Tensor<D> {
        let data: TensorData = t.clone().into_data();
        Tensor::<D>::from_data(data, (device, t.dtype())).require_grad()
    }
    SelectiveScanInput {
        u: to(&input.u, device),
        delta: to(&input.delta, device),
        a: to(&input.a, device),
        b: to(&input.b, device),
        c: to(&input.c, device),
        d: input.d.as_ref().map(|t| to(t, device)),
        z: input.z.as_ref().map(|t| to(t, device)),
        delta_bias: input.delta_bias.as_ref().map(|t| to(t, device)),
        delta_softplus: input.delta_softplus,
        initial_state: input.initial_state.as_ref().map(|t| to(t, device)),
    }
}

/// y, last state and all gradients of Σ wy y + Σ wh h.
fn results(
    scan: Scan,
    (input, wy, wh): &(SelectiveScanInput, Tensor<3>, Tensor<3>),
    device: &Device,
    sparing: bool,
) -> Vec<(&'static str, Vec<f64>)> {
    let device = match sparing {
        true => device.clone().autodiff().gradient_checkpointing(),
        false => device.clone().autodiff(),
    };
    let x = tracked(input, &device);
    let weight =
        |t: &Tensor<3>| Tensor::<3>::from_data(t.clone().into_data(), (&device, t.dtype()));
    let out = scan(x.clone());
    let wide = x.a.dtype();
    let loss =
        (out.y.clone() * weight(wy)).cast(wide).sum() + (out.state.clone() * weight(wh)).sum();
    let gradients = loss.backward();
    let mut results = vec![("y", values(out.y)), ("state", values(out.state))];
    let mut add = |name, gradient| results.push((name, gradient));
    let of = |t: &Tensor<3>| values(t.grad(&gradients).expect("a gradient"));
    let of_vector = |t: &Tensor<1>| values(t.grad(&gradients).expect("a gradient"));
    add("du", of(&x.u));
    add("ddelta", of(&x.delta));
    add("da", values(x.a.grad(&gradients).expect("a gradient")));
    add("db", of(&x.b));
    add("dc", of(&x.c));
    if let (Some(d), Some(z), Some(bias)) = (&x.d, &x.z, &x.delta_bias) {
        add("dd", of_vector(d));
        add("dz", of(z));
        add("dbias", of_vector(bias));
    }
    if let Some(h) = &x.initial_state {
        add("dinitial", of(h));
    }
    results
}

fn agrees(case: Case, device: &Device, tolerance: f64) {
    let input = random(&case, &Device::flex());
    let wanted = results(reference::selective_scan, &input, &Device::flex(), false);
    for sparing in [false, true] {
        let found = results(selective_scan, &input, device, sparing);
        for ((name, found), (_, wanted)) in found.iter().zip(&wanted) {
            let scale = wanted.iter().fold(1e-6f64, |m, x| m.max(x.abs()));
            assert_eq!(found.len(), wanted.len(), "{name}");
            for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
                // Written so that NaN fails.
                let close = (f - w).abs() <= tolerance * scale;
                assert!(close, "{name}[{i}] is {f}, not {w}, for {:?}", case.size);
            }
        }
    }
}

fn cases(dtype: FloatDType) -> Vec<Case> {
    let mut cases = vec![];
    for size in [[2, 37, 5, 3], [1, 1, 1, 1], [2, 16, 33, 16]] {
        for optional in [false, true] {
            cases.push(Case {
                size,
                optional,
                from_state: !optional || size[0] == 2,
                dtype,
            });
        }
    }
    cases
}

#[test]
fn cpu_agrees_with_the_reference_in_f64() {
    for case in cases(FloatDType::F64) {
        // Burn's softplus is not cut off at 20, where the difference is 2e-9.
        agrees(case, &Device::flex(), 1e-8);
    }
}

#[test]
fn cpu_agrees_with_the_reference_in_bf16() {
    for case in cases(FloatDType::BF16) {
        agrees(case, &Device::flex(), 2e-2);
    }
}

#[cfg(feature = "wgpu")]
#[test]
fn gpu_kernels_agree_with_the_reference() {
    let device = Device::wgpu(Default::default());
    let mut all = cases(FloatDType::F32);
    // More states than one unit has, and checkpoints farther apart than a tile.
    for size in [
        [1, 20, 40, 33],
        [1, 4500, 2, 2],
        [2, 300, 5, 4],
        [3, 12, 5, 16],
    ] {
        all.push(Case {
            size,
            optional: true,
            from_state: true,
            dtype: FloatDType::F32,
        });
    }
    for case in all {
        agrees(case, &device, 2e-5);
    }
}

#[test]
#[should_panic(expected = "delta must be (b, l, d)")]
fn refuses_shapes_that_do_not_fit() {
    let case = cases(FloatDType::F32)[0];
    let (mut input, _, _) = random(&case, &Device::flex());
    input.delta = input.delta.narrow(1, 0, 3);
    selective_scan(input);
}
