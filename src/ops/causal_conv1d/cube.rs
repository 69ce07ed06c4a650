//! The convolution on the GPU: a unit owns one channel, or a vector of four, and a run of steps;
//! neighbouring units read neighbouring channels. The inputs of the last k steps stay in registers.
//!
//! Positions q = t + k - 1 count the initial inputs. For the gradients of taps and bias each run
//! leaves its sums, which a second kernel adds in their order.

// What is decided at compile time stays apart from what units decide.
#![allow(clippy::collapsible_if)]

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type};
use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::backend::{CausalConvBackend, ConvGradients, ConvSpec, Convolved, Operands, Saved};
use crate::ops::cube::{ELEMENTWISE, elementwise, empty, nothing, summed};

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    k: usize,
    /// Channels of a unit.
    width: usize,
    spec: ConvSpec,
    /// The last inputs have a gradient.
    last: bool,
}

/// Sizes; channels in vectors.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Sizes {
    l: usize,
    d: usize,
    /// Steps of a run.
    run: usize,
    /// Runs of a sample.
    runs: usize,
    units: usize,
}

/// The sequence of position q; that of padding beyond the end.
#[cube]
fn id_of(ids: &[i32], sample: usize, q: usize, size: &Sizes, #[comptime] s: Form) -> i32 {
    let past = comptime!(s.k - 1);
    let mut id = 0i32;
    if comptime!(s.spec.ids) {
        if q >= past {
            if q < size.l + past {
                id = ids[sample * size.l + q - past];
            } else {
                id = -1i32;
            }
        }
    }
    id
}

/// The inputs at position q; zeros beyond the end.
#[cube]
fn input_of<F: Float, N: Size>(
    x: &[Vector<F, N>],
    initial: &[Vector<F, N>],
    sample: usize,
    channel: usize,
    q: usize,
    size: &Sizes,
    #[comptime] s: Form,
) -> Vector<f32, N> {
    let past = comptime!(s.k - 1);
    let mut value = Vector::<f32, N>::new(0.0f32);
    if q >= past {
        if q < size.l + past {
            value = Vector::cast_from(x[(sample * size.l + q - past) * size.d + channel]);
        }
    } else if comptime!(s.spec.initial) {
        value = Vector::cast_from(initial[(sample * past + q) * size.d + channel]);
    }
    value
}

/// Taps and bias of a unit's channels.
#[cube]
fn taps_of<N: Size>(
    weight: &[f32],
    bias: &[f32],
    channel: usize,
    #[comptime] s: Form,
) -> (Array<Vector<f32, N>>, Vector<f32, N>) {
    let lanes = comptime!(s.width);
    let mut taps = Array::<Vector<f32, N>>::new(s.k);
    #[unroll]
    for j in 0..s.k {
        let mut tap = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for c in 0..lanes {
            tap.insert(c, weight[(channel * lanes + c) * s.k + j]);
        }
        taps[j] = tap;
    }
    let mut offset = Vector::<f32, N>::new(0.0f32);
    if comptime!(s.spec.bias) {
        #[unroll]
        for c in 0..lanes {
            offset.insert(c, bias[channel * lanes + c]);
        }
    }
    (taps, offset)
}

/// v of the step whose inputs are the last of the window.
#[cube]
fn sum_of<N: Size>(
    window: &Array<Vector<f32, N>>,
    id: &Array<i32>,
    taps: &Array<Vector<f32, N>>,
    offset: Vector<f32, N>,
    #[comptime] s: Form,
) -> Vector<f32, N> {
    let mut sum = offset;
    #[unroll]
    for j in 0..s.k {
        if comptime!(s.spec.ids) {
            if id[j] == id[comptime!(s.k - 1)] {
                sum = fma(window[j], taps[j], sum);
            }
        } else {
            sum = fma(window[j], taps[j], sum);
        }
    }
    sum
}

#[cube]
fn sigmoid<N: Size>(v: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0f32);
    one / (one + (-v).exp())
}

/// The unit's (sample, run, channels).
#[cube]
fn place(size: &Sizes) -> (usize, usize, usize) {
    let of_sample = ABSOLUTE_POS / size.d;
    (
        of_sample / size.runs,
        of_sample % size.runs,
        ABSOLUTE_POS % size.d,
    )
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    weight: &[f32],
    bias: &[f32],
    initial: &[Vector<F, N>],
    ids: &[i32],
    y: &mut [Vector<F, N>],
    last: &mut [Vector<F, N>],
    size: Sizes,
    #[comptime] s: Form,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < size.units {
        let (sample, run, channel) = place(&size);
        let past = comptime!(s.k - 1);
        let (taps, offset) = taps_of::<N>(weight, bias, channel, s);
        let first = run * size.run;
        let end = min(first + size.run, size.l);
        let mut window = Array::<Vector<f32, N>>::new(s.k);
        let mut id = Array::<i32>::new(s.k);
        #[unroll]
        for j in 0..past {
            window[comptime!(j + 1)] = if comptime!(s.spec.in_place) {
                Vector::cast_from(last[(sample * past + j) * size.d + channel])
            } else {
                input_of(x, initial, sample, channel, first + j, &size, s)
            };
            id[comptime!(j + 1)] = id_of(ids, sample, first + j, &size, s);
        }
        for t in first..end {
            #[unroll]
            for j in 0..past {
                window[j] = window[comptime!(j + 1)];
                id[j] = id[comptime!(j + 1)];
            }
            window[past] = input_of(x, initial, sample, channel, t + past, &size, s);
            id[past] = id_of(ids, sample, t + past, &size, s);
            let mut v = sum_of(&window, &id, &taps, offset, s);
            if comptime!(s.spec.silu) {
                v *= sigmoid::<N>(v);
            }
            if comptime!(s.spec.ids) {
                if id[past] < 0 {
                    v = Vector::<f32, N>::new(0.0f32);
                }
            }
            y[(sample * size.l + t) * size.d + channel] = Vector::cast_from(v);
        }
        if end == size.l {
            let own = id_of(ids, sample, size.l + comptime!(s.k - 2), &size, s);
            #[unroll]
            for j in 0..past {
                let q = size.l + j;
                let mut value = Vector::<f32, N>::new(0.0f32);
                if comptime!(s.spec.in_place) {
                    value = window[comptime!(j + 1)];
                } else if own >= 0 && id_of(ids, sample, q, &size, s) == own {
                    value = input_of(x, initial, sample, channel, q, &size, s);
                }
                last[(sample * past + j) * size.d + channel] = Vector::cast_from(value);
            }
        }
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn backward_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    weight: &[f32],
    bias: &[f32],
    initial: &[Vector<F, N>],
    ids: &[i32],
    dy: &[Vector<F, N>],
    dlast: &[Vector<F, N>],
    dx: &mut [Vector<F, N>],
    dinitial: &mut [Vector<F, N>],
    part_weight: &mut [f32],
    part_bias: &mut [f32],
    size: Sizes,
    #[comptime] s: Form,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < size.units {
        let (sample, run, channel) = place(&size);
        let past = comptime!(s.k - 1);
        let (taps, offset) = taps_of::<N>(weight, bias, channel, s);
        let first = run * size.run;
        let end = min(first + size.run, size.l);
        let own = id_of(ids, sample, size.l + comptime!(s.k - 2), &size, s);
        let zero = Vector::<f32, N>::new(0.0f32);
        let one = Vector::<f32, N>::new(1.0f32);
        let mut window = Array::<Vector<f32, N>>::new(s.k);
        let mut id = Array::<i32>::new(s.k);
        // Gradients of v of the steps of the window.
        let mut steps = Array::<Vector<f32, N>>::new(s.k);
        let mut sums = Array::<Vector<f32, N>>::new(s.k);
        let mut sum = zero;
        #[unroll]
        for j in 0..s.k {
            steps[j] = zero;
            sums[j] = zero;
        }
        #[unroll]
        for j in 0..past {
            window[comptime!(j + 1)] = input_of(x, initial, sample, channel, first + j, &size, s);
            id[comptime!(j + 1)] = id_of(ids, sample, first + j, &size, s);
        }
        // The gradient of position t is complete at step t.
        for t in first..end + past {
            #[unroll]
            for j in 0..past {
                window[j] = window[comptime!(j + 1)];
                id[j] = id[comptime!(j + 1)];
                steps[j] = steps[comptime!(j + 1)];
            }
            window[past] = input_of(x, initial, sample, channel, t + past, &size, s);
            id[past] = id_of(ids, sample, t + past, &size, s);
            let mut dv = zero;
            if t < size.l && id[past] >= 0 {
                dv = Vector::cast_from(dy[(sample * size.l + t) * size.d + channel]);
                if comptime!(s.spec.silu) {
                    let v = sum_of(&window, &id, &taps, offset, s);
                    let gate = sigmoid::<N>(v);
                    dv *= gate * fma(v, one - gate, one);
                }
            }
            steps[past] = dv;
            if t < end {
                sum += dv;
                #[unroll]
                for j in 0..s.k {
                    if id[j] == id[past] {
                        sums[j] = fma(dv, window[j], sums[j]);
                    }
                }
            }
            let mut gradient = zero;
            #[unroll]
            for i in 0..s.k {
                if id[i] == id[0] {
                    gradient = fma(steps[i], taps[comptime!(s.k - 1 - i)], gradient);
                }
            }
            if comptime!(s.last) {
                if t >= size.l && own >= 0 && id[0] == own {
                    let row = sample * past + t - size.l;
                    gradient += Vector::cast_from(dlast[row * size.d + channel]);
                }
            }
            if t >= first + past {
                let row = sample * size.l + t - past;
                dx[row * size.d + channel] = Vector::cast_from(gradient);
            } else if comptime!(s.spec.initial) {
                if run == 0 {
                    dinitial[(sample * past + t) * size.d + channel] = Vector::cast_from(gradient);
                }
            }
        }
        let lanes = comptime!(s.width);
        let part = ((sample * size.runs + run) * size.d + channel) * lanes;
        #[unroll]
        for c in 0..lanes {
            #[unroll]
            for j in 0..s.k {
                part_weight[(part + c) * s.k + j] = sums[j].extract(c);
            }
            if comptime!(s.spec.bias) {
                part_bias[part + c] = sum.extract(c);
            }
        }
    }
}

/// How a convolution is cut into units.
struct Cut {
    size: [usize; 4],
    /// Channels of a unit.
    width: usize,
    run: usize,
}

impl Cut {
    fn new(x: &Operands<CubeBackend>) -> Self {
        let [b, l, d] = x.x.shape().dims();
        let width = if d.is_multiple_of(4) { 4 } else { 1 };
        // Long runs read few inputs twice and leave few sums; short ones keep a GPU busy.
        let busy = |run: &usize| b * l.div_ceil(*run) * (d / width) >= 1 << 16;
        Self {
            size: [b, l, d, x.weight.shape()[1]],
            width,
            run: [128, 64, 32].into_iter().find(busy).unwrap_or(16),
        }
    }

    fn runs(&self) -> usize {
        self.size[1].div_ceil(self.run)
    }

    fn units(&self) -> usize {
        let [b, _, d, _] = self.size;
        b * self.runs() * (d / self.width)
    }

    fn sizes(&self) -> SizesLaunch {
        let [_, l, d, _] = self.size;
        SizesLaunch::new(l, d / self.width, self.run, self.runs(), self.units())
    }

    fn form(&self, spec: ConvSpec, last: bool) -> Form {
        Form {
            k: self.size[3],
            width: self.width,
            spec,
            last,
        }
    }
}

fn contiguous(x: Operands<CubeBackend>, spec: &ConvSpec) -> Operands<CubeBackend> {
    Operands {
        initial: match spec.initial && !spec.in_place {
            true => into_contiguous(x.initial),
            // What is read in vectors holds at least one.
            false => nothing(&x.x, x.x.dtype),
        },
        x: into_contiguous(x.x),
        weight: into_contiguous(x.weight),
        bias: into_contiguous(x.bias),
        ids: into_contiguous(x.ids),
    }
}

/// The widest addresses that any of the tensors needs.
fn addresses(tensors: &[&CubeTensor]) -> AddressType {
    let each = tensors.iter().map(|t| t.required_address_type());
    each.max().unwrap_or_default()
}

impl CausalConvBackend for CubeBackend {
    fn causal_conv1d(x: Operands<Self>, spec: ConvSpec) -> Convolved<Self> {
        let cut = Cut::new(&x);
        let [b, l, d, k] = cut.size;
        let state = spec.in_place.then(|| into_contiguous(x.initial.clone()));
        let x = contiguous(x, &spec);
        let dtype = x.x.dtype;
        let y = empty(&x.x, [b, l, d], dtype);
        let last = state.unwrap_or_else(|| empty(&x.x, [b, k - 1, d], dtype));
        let client = x.x.client.clone();
        let address = addresses(&[&x.x, &x.initial]);
        // SAFETY: units beyond the last do nothing; positions are bounded by the sizes.
        unsafe {
            forward_kernel::launch_unchecked(
                &client,
                elementwise(cut.units()),
                CubeDim::new_1d(ELEMENTWISE),
                address,
                cut.width,
                x.x.into_buffer_arg(),
                x.weight.into_buffer_arg(),
                x.bias.into_buffer_arg(),
                x.initial.into_buffer_arg(),
                x.ids.into_buffer_arg(),
                y.clone().into_buffer_arg(),
                last.clone().into_buffer_arg(),
                cut.sizes(),
                cut.form(spec, false),
                dtype_to_storage_type(dtype),
            );
        }
        Convolved { y, last }
    }

    fn causal_conv1d_backward(
        x: Operands<Self>,
        saved: Saved<Self>,
        spec: ConvSpec,
        has_last: bool,
    ) -> ConvGradients<Self> {
        let cut = Cut::new(&x);
        let [b, l, d, k] = cut.size;
        let x = contiguous(x, &spec);
        let dtype = x.x.dtype;
        let f32 = DType::F32;
        let only_if = |present: bool, shape: Shape, dtype: DType| match present {
            true => empty(&x.x, shape, dtype),
            false => nothing(&x.x, dtype),
        };
        let parts = b * cut.runs();
        let dx = empty(&x.x, [b, l, d], dtype);
        let dinitial = only_if(spec.initial, Shape::new([b, k - 1, d]), dtype);
        let part_weight = empty(&x.x, [parts, d * k], f32);
        let part_bias = only_if(spec.bias, Shape::new([parts, d]), f32);
        let client = x.x.client.clone();
        let address = addresses(&[&x.x, &part_weight]);
        // SAFETY: units beyond the last do nothing; positions are bounded by the sizes.
        unsafe {
            backward_kernel::launch_unchecked(
                &client,
                elementwise(cut.units()),
                CubeDim::new_1d(ELEMENTWISE),
                address,
                cut.width,
                x.x.into_buffer_arg(),
                x.weight.into_buffer_arg(),
                x.bias.into_buffer_arg(),
                x.initial.into_buffer_arg(),
                x.ids.into_buffer_arg(),
                into_contiguous(saved.y).into_buffer_arg(),
                into_contiguous(saved.last).into_buffer_arg(),
                dx.clone().into_buffer_arg(),
                dinitial.clone().into_buffer_arg(),
                part_weight.clone().into_buffer_arg(),
                part_bias.clone().into_buffer_arg(),
                cut.sizes(),
                cut.form(spec, has_last),
                dtype_to_storage_type(dtype),
            );
        }
        ConvGradients {
            x: dx,
            weight: summed(part_weight, [1, parts, d * k], [d, k], f32),
            bias: match spec.bias {
                true => summed(part_bias, [1, parts, d], [d], f32),
                false => part_bias,
            },
            initial: dinitial,
        }
    }
}
