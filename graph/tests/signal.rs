//! Filters and transforms against SciPy; what it gave is in `fixtures/signal.json`.

use std::path::Path;

use ndarray::{Array2, ArrayD, ArrayView1, Axis, NewAxis, s};
use serde::Deserialize;
use tgmamba_graph::signal::montage::bipolar;
use tgmamba_graph::signal::power::{Taper, band_power, welch};
use tgmamba_graph::signal::resample::{resample_fourier, resample_linear, resample_poly};
use tgmamba_graph::signal::robust::{RejectConfig, clip, robust_scale};
use tgmamba_graph::signal::spectrum::{Frames, log_power, log_spectrum, short_time_fourier, stft};
use tgmamba_graph::signal::{
    Band, BesselNorm, Detrend, Filter, Initial, ResampleMethod, common_average, decimate, detrend,
};

#[derive(Deserialize)]
struct Fixture {
    filters: Vec<FilterCase>,
    notches: Vec<NotchCase>,
    resampling: Vec<ResampleCase>,
    spectra: Vec<SpectrumCase>,
    welch: Vec<WelchCase>,
    tapers: Vec<TaperCase>,
    detrend: Vec<DetrendCase>,
}

#[derive(Deserialize)]
struct FilterCase {
    family: String,
    norm: String,
    order: usize,
    band: String,
    edges: Vec<f64>,
    rate: f64,
    n: usize,
    offset: f64,
    padding: usize,
    zero: Vec<f64>,
    steady: Vec<f64>,
    both: Vec<f64>,
    exact: Vec<f64>,
}

#[derive(Deserialize)]
struct NotchCase {
    hz: f64,
    quality: f64,
    rate: f64,
    n: usize,
    offset: f64,
    zero: Vec<f64>,
    both: Vec<f64>,
}

#[derive(Deserialize)]
struct ResampleCase {
    method: ResampleMethod,
    n: usize,
    up: usize,
    down: usize,
    offset: f64,
    y: Vec<f64>,
    length: usize,
}

#[derive(Deserialize)]
struct SpectrumCase {
    n: usize,
    offset: f64,
    length: usize,
    hop: usize,
    window: Taper,
    padded: bool,
    frames: usize,
    re: Vec<f64>,
    im: Vec<f64>,
}

#[derive(Deserialize)]
struct WelchCase {
    n: usize,
    offset: f64,
    segment: usize,
    overlap: usize,
    window: Taper,
    density: Vec<f64>,
}

#[derive(Deserialize)]
struct TaperCase {
    window: Taper,
    n: usize,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct DetrendCase {
    n: usize,
    offset: f64,
    kind: Detrend,
    y: Vec<f64>,
}

fn fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signal.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// As `signal` of the script that made the fixture.
fn signal(n: usize, offset: f64) -> Array2<f64> {
    Array2::from_shape_fn((1, n), |(_, t)| {
        let t = t as f64;
        offset + (0.3 * t).sin() + 0.5 * (1.7 * t).cos() + 0.01 * t + (0.05 * t * t).sin() * 0.25
    })
}

/// Largest difference from the fixture's places, over the larger of the input's and the result's
/// scale.
fn off(y: ArrayView1<'_, f64>, expected: &[f64], scale: f64) -> f64 {
    let last = y.len() - 1;
    // Python rounds halves to even.
    let place = |i: usize| ((i * last) as f64 / 5.0).round_ties_even() as usize;
    let mut places: Vec<usize> = (0..6).map(place).collect();
    places.dedup();
    assert_eq!(places.len(), expected.len());
    let scale = expected.iter().fold(scale, |m, v| m.max(v.abs()));
    let difference = places.iter().zip(expected).map(|(t, e)| (y[*t] - e).abs());
    difference.fold(0.0, f64::max) / scale
}

fn amplitude(x: &Array2<f64>) -> f64 {
    x.iter().fold(0.0, |m, v| m.max(v.abs()))
}

fn design(case: &FilterCase) -> Filter {
    let band = match case.band.as_str() {
        "low" => Band::Lowpass(case.edges[0]),
        "high" => Band::Highpass(case.edges[0]),
        "pass" => Band::Bandpass(case.edges[0], case.edges[1]),
        _ => Band::Bandstop(case.edges[0], case.edges[1]),
    };
    let norm = match case.norm.as_str() {
        "delay" => BesselNorm::Delay,
        "mag" => BesselNorm::Mag,
        _ => BesselNorm::Phase,
    };
    match case.family.as_str() {
        "butterworth" => Filter::butterworth(case.order, band, case.rate),
        _ => Filter::bessel(case.order, band, case.rate, norm),
    }
    .unwrap()
}

#[test]
fn butterworth_and_bessel() {
    let (mut worst, mut hardest, mut ours, mut scipys) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    for case in fixture().filters {
        let filter = design(&case);
        let x = signal(case.n, case.offset);
        let scale = amplitude(&x);
        assert_eq!(filter.padding(), case.padding);
        let (mut zero, mut steady, mut both) = (x.clone(), x.clone(), x);
        filter.sosfilt(zero.view_mut(), Initial::Zero);
        filter.sosfilt(steady.view_mut(), Initial::Steady);
        filter.sosfiltfilt(both.view_mut());
        let found = [
            off(zero.row(0), &case.zero, scale),
            off(steady.row(0), &case.steady, scale),
            off(both.row(0), &case.both, scale),
        ];
        let largest = found.into_iter().fold(0.0, f64::max);
        let name = format!(
            "{} {} order {} {} {:?} of {} Hz, n {}, offset {}",
            case.family,
            case.norm,
            case.order,
            case.band,
            case.edges,
            case.rate,
            case.n,
            case.offset
        );
        if largest > 1e-11 {
            println!("{name}: {found:?}");
        }
        if case.exact.is_empty() {
            worst = worst.max(largest);
            assert!(largest < 1e-10, "{name} {found:?}");
        } else {
            // SciPy itself is this far from the truth.
            let theirs = case.exact.iter().zip(&case.steady);
            let theirs = theirs.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / scale;
            let mine = off(steady.row(0), &case.exact, scale);
            println!("{name}: from the exact result {mine:.1e}, SciPy {theirs:.1e}");
            (ours, scipys) = (ours.max(mine), scipys.max(theirs));
            hardest = hardest.max(largest);
            assert!(mine < 1e-9 && largest < 1e-6, "{name} {mine} {found:?}");
        }
    }
    println!("largest difference from SciPy: {worst:.1e}, of hard cases {hardest:.1e}");
    println!("largest difference from 50 digits in hard cases: {ours:.1e}, SciPy's {scipys:.1e}");
}

#[test]
fn notch() {
    for case in fixture().notches {
        let filter = Filter::notch(case.hz, case.quality, case.rate).unwrap();
        let x = signal(case.n, case.offset);
        let (mut zero, mut both) = (x.clone(), x);
        filter.sosfilt(zero.view_mut(), Initial::Zero);
        filter.sosfiltfilt(both.view_mut());
        assert!(off(zero.row(0), &case.zero, 1.0) < 1e-12, "{}", case.hz);
        assert!(off(both.row(0), &case.both, 1.0) < 1e-12, "{}", case.hz);
    }
}

#[test]
fn single_precision_keeps_six_digits() {
    for case in fixture().filters.iter().filter(|c| c.offset == 0.0) {
        let filter = design(case);
        let x = signal(case.n, 0.0);
        let mut y = x.mapv(|v| v as f32);
        filter.sosfiltfilt(y.view_mut());
        let y = y.mapv(f64::from);
        assert!(off(y.row(0), &case.both, amplitude(&x)) < 1e-6);
    }
}

#[test]
fn resampling() {
    for case in fixture().resampling {
        let x = signal(case.n, case.offset);
        let y = match case.method {
            ResampleMethod::Polyphase => resample_poly(x.view(), case.up, case.down),
            ResampleMethod::Fourier => resample_fourier(x.view(), case.up),
            ResampleMethod::Linear => resample_linear(x.view(), case.down as f64, case.up as f64),
        }
        .unwrap();
        assert_eq!(y.dim(), (1, case.length));
        let found = off(y.row(0), &case.y, amplitude(&x));
        let name = format!("{:?} {} by {}/{}", case.method, case.n, case.up, case.down);
        println!("{name}: {found:.1e}");
        assert!(found < 1e-13, "{name} {found}");
    }
}

#[test]
fn spectra() {
    for case in fixture().spectra {
        let frames = Frames {
            length: case.length,
            hop: case.hop,
            padded: case.padded,
        };
        let x = signal(case.n, case.offset);
        let z = short_time_fourier(x.view(), frames, case.window);
        assert_eq!(z.dim(), (1, case.frames, case.length / 2 + 1));
        let flat = z.flatten();
        let scale = amplitude(&x);
        let found = [
            off(flat.mapv(|c| c.re).view(), &case.re, scale),
            off(flat.mapv(|c| c.im).view(), &case.im, scale),
        ];
        println!("{:?} {}: {found:?}", case.window, case.n);
        assert!(
            found.iter().all(|f| *f < 1e-14),
            "{:?} {found:?}",
            case.window
        );
    }
}

#[test]
fn power_spectra() {
    for case in fixture().welch {
        let x = signal(case.n, case.offset);
        let p = welch(x.view(), 250.0, case.segment, case.overlap, case.window).unwrap();
        // SciPy's mean of values around 1e6 has lost nine digits of what is left.
        let limit = if case.offset > 1e3 { 1e-8 } else { 1e-12 };
        let found = off(p.row(0), &case.density, 0.0);
        println!("{:?} {} {}: {found:.1e}", case.window, case.n, case.offset);
        assert!(found < limit, "{:?} {found}", case.window);
    }
}

#[test]
fn tapers() {
    for case in fixture().tapers {
        let values = ndarray::Array1::from_vec(case.window.values(case.n));
        let found = off(values.view(), &case.values, 1.0);
        assert!(found < 1e-15, "{:?} {} {found}", case.window, case.n);
    }
}

#[test]
fn trends() {
    for case in fixture().detrend {
        let mut x = signal(case.n, case.offset);
        let scale = amplitude(&x);
        detrend(x.view_mut(), case.kind);
        let found = off(x.row(0), &case.y, scale);
        assert!(found < 1e-14, "{} {found}", case.n);
    }
}

#[derive(Deserialize)]
struct FeatureCase {
    name: String,
    settings: std::collections::BTreeMap<String, f64>,
    shape: Vec<usize>,
    values: Vec<f64>,
}

/// As `signal` of `make_features.py`.
fn nodes(time: usize) -> Array2<f32> {
    Array2::from_shape_fn((3, time), |(v, t)| {
        let (v, t) = (v as f64, t as f64);
        let waves = (0.3 * t + v).sin() + 0.5 * ((1.7 - 0.4 * v) * t).cos();
        ((v + 1.0) * waves + 3.0 * v + 0.25 * (0.002 * t * t).sin()) as f32
    })
}

/// Everything that features are made with, in single precision, against NumPy, SciPy and
/// scikit-learn in double.
#[test]
fn features() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/features.json");
    let cases: Vec<FeatureCase> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rate = 128.0;
    let bands = [[4.0, 8.0], [8.0, 13.0], [13.0, 30.0]];
    for case in &cases {
        let number = |key: &str| case.settings[key];
        let count = |key: &str| case.settings[key] as usize;
        let frames = |hop: &str| Frames {
            length: count("length"),
            hop: count(hop),
            padded: false,
        };
        let (mut x, mut short) = (nodes(640), nodes(96));
        let y: ArrayD<f32> = match case.name.as_str() {
            "robust" => {
                robust_scale(short.view_mut());
                short.into_dyn()
            }
            "clip" => {
                clip(short.view_mut(), number("limit"));
                short.into_dyn()
            }
            "average" => {
                common_average(short.view_mut());
                short.into_dyn()
            }
            "bipolar" => {
                let pairs = bipolar(short.insert_axis(Axis(2)).view(), &[[0, 1], [2, 0]]);
                pairs.remove_axis(Axis(2)).into_dyn()
            }
            "log-spectrum" => {
                let bins = count("first")..count("end");
                log_spectrum(x.view(), count("length"), bins).into_dyn()
            }
            "stft" => {
                let bins = 0..count("length") / 2 + 1;
                stft(x.view(), frames("hop"), bins).into_dyn()
            }
            "band-power" => {
                let power = band_power(x.view(), rate, count("segment"), &bands).unwrap();
                power.mapv(|v| v as f32).into_dyn()
            }
            "filterbank" => {
                let band = Band::Bandpass(number("low"), number("high"));
                let filter = Filter::butterworth(count("order"), band, rate).unwrap();
                filter.apply(x.view_mut(), true);
                x.slice(s![.., ..;7]).to_owned().into_dyn()
            }
            "log-power" => {
                let filter = Filter::butterworth(4, Band::Bandpass(8.0, 13.0), rate).unwrap();
                filter.apply(x.view_mut(), true);
                log_power(x.view(), frames("hop"))
                    .remove_axis(Axis(2))
                    .into_dyn()
            }
            "decimate" | "decimate-causal" => {
                let slow = decimate(x.view(), count("factor"), case.name == "decimate");
                slow.slice(s![.., ..;3]).to_owned().into_dyn()
            }
            "peak-to-peak" => {
                // A limit just below the largest range of a window breaks it, one just above not.
                for (v, ranges) in case.values.chunks(case.shape[1]).enumerate() {
                    for (i, range) in ranges.iter().enumerate() {
                        let at = i * count("length");
                        let window = x.slice(s![v..v + 1, at..at + count("length"), NewAxis]);
                        let bad = |share: f64| {
                            let limits = RejectConfig {
                                peak_to_peak: Some(range * share),
                                ..RejectConfig::default()
                            };
                            limits.bad_nodes(window, None).is_none()
                        };
                        assert!(bad(1.0 - 1e-6) && !bad(1.0 + 1e-6), "node {v}, window {i}");
                    }
                }
                continue;
            }
            other => panic!("{other}"),
        };
        assert_eq!(y.shape(), case.shape, "{}", case.name);
        let scale = case.values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let differences = y
            .iter()
            .zip(&case.values)
            .map(|(a, b)| (f64::from(*a) - b).abs());
        let worst = differences.fold(0.0, f64::max) / scale;
        println!("{}: {worst:.1e}", case.name);
        assert!(worst < 1e-6, "{}: {worst}", case.name);
    }
    assert_eq!(cases.len(), 12);
}

/// A generator that needs no crate (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn designs_are_refused_or_stable() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let (mut good, mut refused) = (0, 0);
    for _ in 0..3000 {
        let order = (random.next() * 22.0) as usize;
        let rate = 10f64.powf(random.next() * 9.0 - 3.0);
        let mut edge = || rate * 10f64.powf(-random.next() * 7.0) * 0.6;
        let (a, b) = (edge(), edge());
        let band = match (random.next() * 4.0) as usize {
            0 => Band::Lowpass(a),
            1 => Band::Highpass(a),
            2 => Band::Bandpass(a.min(b), a.max(b)),
            _ => Band::Bandstop(a.min(b), a.max(b)),
        };
        let filter = match (random.next() * 5.0) as usize {
            0 => Filter::butterworth(order, band, rate),
            1 => Filter::bessel(order, band, rate, BesselNorm::Phase),
            2 => Filter::bessel(order, band, rate, BesselNorm::Delay),
            3 => Filter::bessel(order, band, rate, BesselNorm::Mag),
            _ => Filter::notch(a, 1.0 / random.next(), rate),
        };
        let Ok(filter) = filter else {
            refused += 1;
            continue;
        };
        good += 1;
        let n = (random.next() * 60.0) as usize;
        let offset = if random.next() < 0.5 { 1e6 } else { 0.0 };
        let x = Array2::from_shape_fn((3, n), |(v, t)| offset + ((t * (v + 1)) % 7) as f64);
        for zero_phase in [false, true] {
            let mut y = x.clone();
            filter.apply(y.view_mut(), zero_phase);
            assert!(y.iter().all(|v| v.is_finite()), "{order} {band:?} {rate}");
        }
    }
    println!("{good} designs, {refused} refused");
    assert!(good > 1500 && refused > 100, "{good} {refused}");
}
