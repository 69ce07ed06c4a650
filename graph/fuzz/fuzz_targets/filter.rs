//! Filters and resampling with any parameters: refused with an error, or finite results of the
//! right length.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndarray::Array2;
use tgmamba_graph::signal::resample::{ResampleMethod, resample};
use tgmamba_graph::signal::{Band, BesselNorm, Filter, Initial};

/// Takes numbers off the front of the input.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Any number at all, or often one of a usual size.
    fn number(&mut self) -> f64 {
        let raw = u64::from_le_bytes(std::array::from_fn(|_| self.byte()));
        match raw % 4 {
            0 => f64::from_bits(raw),
            _ => 10f64.powf((raw >> 2) as f64 / (1u64 << 62) as f64 * 10.0 - 6.0),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let order = usize::from(bytes.byte() % 24);
    let kind = bytes.byte();
    let (a, b, rate) = (bytes.number(), bytes.number(), bytes.number());
    let band = match kind % 4 {
        0 => Band::Lowpass(a),
        1 => Band::Highpass(a),
        2 => Band::Bandpass(a, b),
        _ => Band::Bandstop(a, b),
    };
    let filter = match kind / 4 % 5 {
        0 => Filter::butterworth(order, band, rate),
        1 => Filter::bessel(order, band, rate, BesselNorm::Phase),
        2 => Filter::bessel(order, band, rate, BesselNorm::Delay),
        3 => Filter::bessel(order, band, rate, BesselNorm::Mag),
        _ => Filter::notch(a, b, rate),
    };
    let nodes = usize::from(bytes.byte() % 10);
    let steps = usize::from(bytes.byte());
    let scale = if kind > 127 { 1e6 } else { 1.0 };
    let x = Array2::from_shape_fn((nodes, steps), |_| scale + f64::from(bytes.byte()));
    if let Ok(filter) = filter {
        let finite = |y: &Array2<f64>| assert!(y.iter().all(|v| v.is_finite()), "{filter:?}");
        for initial in [Initial::Zero, Initial::Steady] {
            let mut y = x.clone();
            filter.sosfilt(y.view_mut(), initial);
            finite(&y);
        }
        let mut y = x.clone();
        filter.sosfiltfilt(y.view_mut());
        finite(&y);
    }
    // Larger ones are right, and take long.
    if a / rate < 100.0 {
        for method in [
            ResampleMethod::Polyphase,
            ResampleMethod::Linear,
            ResampleMethod::Fourier,
        ] {
            if let Ok(y) = resample(x.view(), rate, a, method) {
                assert_eq!(y.nrows(), nodes);
                assert!(y.iter().all(|v| v.is_finite()), "{method:?} {rate} {a}");
            }
        }
    }
});
