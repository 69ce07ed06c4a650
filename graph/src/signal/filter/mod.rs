//! Recursive filters as cascades of second-order sections: design, causal, zero-phase and
//! streaming use.

mod bessel;
mod design;
mod lanes;

use ndarray::parallel::prelude::*;
use ndarray::{ArrayViewMut2, Axis};
use realfft::num_complex::Complex64;

use super::Sample;
use crate::{Error, Result};

pub use bessel::BesselNorm;
use lanes::{Group, LANES, State};

/// What a filter lets through; frequencies in hertz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Band {
    /// Below.
    Lowpass(f64),
    /// Above.
    Highpass(f64),
    /// Between.
    Bandpass(f64, f64),
    /// All but between.
    Bandstop(f64, f64),
}

impl Band {
    /// Lower and upper edge; both the same where there is one.
    fn edges(self) -> (f64, f64) {
        match self {
            Self::Lowpass(f) | Self::Highpass(f) => (f, f),
            Self::Bandpass(low, high) | Self::Bandstop(low, high) => (low, high),
        }
    }

    fn has_two_edges(self) -> bool {
        matches!(self, Self::Bandpass(..) | Self::Bandstop(..))
    }
}

/// `(b0 + b1 z⁻¹ + b2 z⁻²) / (1 + a1 z⁻¹ + a2 z⁻²)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Section {
    /// b0, b1, b2.
    pub b: [f64; 3],
    /// a1, a2.
    pub a: [f64; 2],
}

impl Section {
    /// Distance of the outer pole from 0.
    fn radius(&self) -> f64 {
        let [p, q] = self.a;
        let inside = p * p / 4.0 - q;
        match inside > 0.0 {
            true => p.abs() / 2.0 + inside.sqrt(),
            false => q.sqrt(),
        }
    }

    /// Gain at frequency 0. Poles near 1 leave little of the sum of the denominator, which is
    /// therefore rounded only once.
    fn gain(&self) -> f64 {
        design::sum(self.b) / design::sum([1.0, self.a[0], self.a[1]])
    }
}

/// What a causal filter supposes before the first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initial {
    /// That the signal always had its first value: an offset makes no transient. SciPy's `sosfilt`
    /// with `sosfilt_zi` times the first value.
    #[default]
    Steady,
    /// That it was 0, as SciPy's `sosfilt` and `lfilter` do by themselves.
    Zero,
}

/// A cascade of second-order sections.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    sections: Vec<Section>,
}

impl Filter {
    /// One filter that does what these do one after the other; of none, nothing.
    pub fn chain(filters: &[Filter]) -> Self {
        let sections = filters.iter().flat_map(|f| f.sections.iter().copied());
        Self {
            sections: sections.collect(),
        }
    }

    /// The sections, in the order of their application. The gain is in the first.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The transfer function at `frequency` (hertz, as is `rate`): its absolute value is the gain,
    /// its argument the shift of phase.
    pub fn response(&self, frequency: f64, rate: f64) -> Complex64 {
        let w = Complex64::from_polar(1.0, -std::f64::consts::TAU * frequency / rate);
        self.sections
            .iter()
            .map(|s| (s.b[0] + (s.b[1] + s.b[2] * w) * w) / (1.0 + (s.a[0] + s.a[1] * w) * w))
            .product()
    }

    fn gain_at_zero(&self) -> f64 {
        self.sections.iter().map(Section::gain).product()
    }

    /// Filters (nodes, time) in place: [`sosfiltfilt`](Self::sosfiltfilt), or
    /// [`sosfilt`](Self::sosfilt) from the steady state.
    pub fn apply<T: Sample>(&self, x: ArrayViewMut2<'_, T>, zero_phase: bool) {
        if zero_phase {
            self.sosfiltfilt(x);
        } else {
            self.sosfilt(x, Initial::Steady);
        }
    }

    /// One causal pass over (nodes, time), in place; nodes in parallel.
    pub fn sosfilt<T: Sample>(&self, mut x: ArrayViewMut2<'_, T>, initial: Initial) {
        each_group(&mut x, |rows| {
            let mut group = Group::new(&self.sections);
            if initial == Initial::Steady {
                group.settle(rows.view(), self.gain_at_zero());
            }
            group.forward(rows);
        });
    }

    /// One pass forward and one backward over (nodes, time), in place: no shift of phase, and the
    /// squared gain. Nodes in parallel.
    ///
    /// Both passes start in the steady state of their first value. The ends are extended by their
    /// point reflection, as long as SciPy's `sosfiltfilt` does, though by less where the signal is
    /// shorter than that.
    pub fn sosfiltfilt<T: Sample>(&self, mut x: ArrayViewMut2<'_, T>) {
        let n = x.ncols();
        if n == 0 || self.sections.is_empty() {
            return;
        }
        let pad = self.padding().min(n - 1);
        let gain = self.gain_at_zero();
        each_group(&mut x, |rows| {
            lanes::both_ways(&self.sections, gain, pad, rows);
        });
    }

    /// Samples by which [`sosfiltfilt`](Self::sosfiltfilt) extends each end: three times the
    /// coefficients of numerator or denominator.
    pub fn padding(&self) -> usize {
        let zero_ends =
            |f: fn(&Section) -> f64| self.sections.iter().filter(|s| f(s) == 0.0).count();
        let taps = 2 * self.sections.len() + 1;
        3 * (taps - zero_ends(|s| s.b[2]).min(zero_ends(|s| s.a[1])))
    }

    /// Samples after which less than 10⁻¹² is left of what came before, as the slowest pole tells;
    /// `usize::MAX` where it does not decay.
    pub(crate) fn memory(&self) -> usize {
        let slowest = self
            .sections
            .iter()
            .map(Section::radius)
            .fold(0.0, f64::max);
        if slowest >= 1.0 {
            return usize::MAX;
        }
        // A quarter more for poles that are nearly as slow beside it.
        (1.25 * 1e-12f64.ln() / slowest.max(1e-3).ln()).ceil() as usize + self.sections.len()
    }

    /// The filter with a memory, for signals that come piece by piece.
    pub fn stream(&self, initial: Initial) -> FilterStream {
        FilterStream {
            filter: self.clone(),
            initial,
            groups: Vec::new(),
            nodes: None,
        }
    }
}

/// A causal [`Filter`] that remembers: pieces filtered one after the other give what the whole
/// signal would, to the last bit.
#[derive(Debug, Clone)]
pub struct FilterStream {
    filter: Filter,
    initial: Initial,
    groups: Vec<Memory>,
    nodes: Option<usize>,
}

/// What one group of nodes remembers.
#[derive(Debug, Clone)]
struct Memory {
    state: Vec<State>,
    offset: [f64; LANES],
    added: [f64; LANES],
}

impl FilterStream {
    /// Filters the next piece, (nodes, time), in place.
    ///
    /// # Errors
    /// [`Error::Config`] when it has other nodes than the pieces before.
    pub fn process<T: Sample>(&mut self, mut x: ArrayViewMut2<'_, T>) -> Result<()> {
        let nodes = *self.nodes.get_or_insert(x.nrows());
        if nodes != x.nrows() {
            return Err(Error::config(
                "signal",
                format!("a piece of {} nodes after one of {nodes}", x.nrows()),
                "give all pieces of one recording the same nodes, and other recordings another \
                 stream",
            ));
        }
        if x.is_empty() {
            return Ok(());
        }
        let Self {
            filter,
            initial,
            groups,
            ..
        } = self;
        let gain = filter.gain_at_zero();
        if groups.is_empty() {
            for rows in x.axis_chunks_iter(Axis(0), LANES) {
                let mut group = Group::new(&filter.sections);
                if *initial == Initial::Steady {
                    group.settle(rows, gain);
                }
                groups.push(group.memory());
            }
        }
        x.axis_chunks_iter_mut(Axis(0), LANES)
            .into_par_iter()
            .zip(groups)
            .for_each(|(rows, memory)| {
                let mut group = Group::of(&filter.sections, memory.clone());
                group.forward(rows);
                *memory = group.memory();
            });
        Ok(())
    }
}

/// Gives rows to threads, as many at once as there are lanes, or fewer where threads would
/// otherwise have nothing to do.
fn each_group<T: Sample>(
    x: &mut ArrayViewMut2<'_, T>,
    f: impl Fn(ArrayViewMut2<'_, T>) + Sync + Send,
) {
    if x.is_empty() {
        return;
    }
    let rows = x
        .nrows()
        .div_ceil(rayon::current_num_threads())
        .clamp(1, LANES);
    x.axis_chunks_iter_mut(Axis(0), rows)
        .into_par_iter()
        .for_each(f);
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};

    use super::*;

    /// Order, band, rate; values at 0, 3, 50, 99 of `sosfilt` with `sosfilt_zi` times the first value, and of
    /// `sosfiltfilt` (SciPy 1.17.1).
    type Case = (usize, Band, f64, [f64; 4], [f64; 4]);
    const SCIPY: &[Case] = &[
        (
            4,
            Band::Lowpass(7.0),
            100.0,
            [100.5, 100.488779883, 100.920220775, 101.398540179],
            [100.484041736, 100.877635446, 101.123158663, 100.069218199],
        ),
        (
            3,
            Band::Highpass(5.0),
            100.0,
            [
                0.000000000000e+00,
                0.62689981315,
                -1.09172364568,
                0.691953252693,
            ],
            [
                -0.0396612198063,
                0.298883945186,
                -0.212721401967,
                -0.104185299834,
            ],
        ),
        (
            2,
            Band::Bandpass(0.4, 18.0),
            100.0,
            [
                -9.421796676179e-12,
                -0.172887475887,
                1.05454675222,
                -0.858898353218,
            ],
            [
                -0.520388007922,
                -0.228669672019,
                0.461211214353,
                0.644351127086,
            ],
        ),
        (
            3,
            Band::Bandpass(12.5, 13.5),
            256.0,
            [
                1.734723475977e-18,
                -1.032017481748e-05,
                0.00509295681524,
                -0.0583837436158,
            ],
            [
                -0.0115044074284,
                0.0187117030924,
                0.00125795333232,
                7.668323761352e-06,
            ],
        ),
        (
            3,
            Band::Bandstop(48.0, 52.0),
            250.0,
            [100.5, 100.938167859, 100.718483338, 100.224162422],
            [100.50797522, 100.952520329, 100.660824944, 100.079024477],
        ),
        (
            5,
            Band::Lowpass(30.0),
            100.0,
            [100.5, 100.238678842, 101.811694645, 99.954747741],
            [100.499589469, 101.014501416, 100.72219665, 100.113369116],
        ),
    ];

    fn signal() -> Vec<f64> {
        (0..100)
            .map(|i| {
                let t = f64::from(i);
                100.0 + (0.3 * t).sin() + 0.5 * (1.7 * t).cos() + 0.01 * t
            })
            .collect()
    }

    fn run(filter: &Filter, x: Vec<f64>, zero_phase: bool) -> Vec<f64> {
        let mut x = Array2::from_shape_vec((1, x.len()), x).unwrap();
        filter.apply(x.view_mut(), zero_phase);
        x.into_raw_vec_and_offset().0
    }

    /// A stop band of nearly nothing beside 0, found by fuzzing: its gain at 0 rounds to nothing.
    #[test]
    fn a_filter_without_finite_coefficients_is_refused() {
        let band = Band::Bandstop(1.1446012163217585e-05, 1.1450475576608729e-05);
        let rate = 9172.40280119802;
        for norm in [BesselNorm::Phase, BesselNorm::Delay, BesselNorm::Mag] {
            let message = Filter::bessel(8, band, rate, norm).unwrap_err().to_string();
            assert!(
                message.contains("too close to the unit circle"),
                "{message}"
            );
        }
        for order in 1..24 {
            let Ok(filter) = Filter::butterworth(order, band, rate) else {
                continue;
            };
            let all = filter.sections.iter().flat_map(|s| s.b);
            assert!(all.into_iter().all(f64::is_finite), "{filter:?}");
        }
    }

    #[test]
    fn matches_scipy() {
        for (order, band, rate, causal, both) in SCIPY {
            let filter = Filter::butterworth(*order, *band, *rate).unwrap();
            let (a, b) = (run(&filter, signal(), false), run(&filter, signal(), true));
            for (i, t) in [0, 3, 50, 99].iter().enumerate() {
                assert!((a[*t] - causal[i]).abs() < 1e-8, "{band:?} {t} {}", a[*t]);
                assert!((b[*t] - both[i]).abs() < 1e-8, "{band:?} {t} {}", b[*t]);
            }
        }
    }

    #[test]
    fn half_power_at_the_edges() {
        for order in 1..9 {
            for band in [
                Band::Lowpass(7.0),
                Band::Highpass(7.0),
                Band::Bandpass(7.0, 45.0),
                Band::Bandstop(7.0, 45.0),
            ] {
                let filter = Filter::butterworth(order, band, 100.0).unwrap();
                let gain = filter.response(7.0, 100.0).norm();
                assert!((gain * gain - 0.5).abs() < 1e-9, "{order} {band:?} {gain}");
            }
        }
    }

    #[test]
    fn impossible_edges_are_errors() {
        for band in [
            Band::Lowpass(50.0),
            Band::Highpass(0.0),
            Band::Bandpass(10.0, 10.0),
            Band::Bandpass(20.0, 10.0),
            Band::Lowpass(f64::NAN),
            Band::Lowpass(1e-9),
        ] {
            assert!(Filter::butterworth(4, band, 100.0).is_err(), "{band:?}");
        }
        assert!(Filter::butterworth(0, Band::Lowpass(1.0), 100.0).is_err());
    }

    #[test]
    fn signals_shorter_than_the_extension() {
        let filter = Filter::butterworth(4, Band::Lowpass(10.0), 100.0).unwrap();
        for n in 0..5 {
            let x = run(&filter, vec![3.0; n], true);
            assert!(x.len() == n && x.iter().all(|v| *v == 3.0), "{x:?}");
        }
    }

    #[test]
    fn pieces_give_the_whole() {
        let x = Array2::from_shape_fn((11, 700), |(v, t)| {
            1e3 * v as f64 + ((v + 2) as f64 * 0.1 * t as f64).sin()
        });
        let filter = Filter::butterworth(3, Band::Bandpass(5.0, 20.0), 100.0).unwrap();
        for initial in [Initial::Steady, Initial::Zero] {
            let mut whole = x.clone();
            filter.sosfilt(whole.view_mut(), initial);
            let mut pieces = x.clone();
            let mut stream = filter.stream(initial);
            let mut start = 0;
            for length in [1, 0, 127, 128, 300, 144] {
                let piece = pieces.slice_mut(s![.., start..start + length]);
                stream.process(piece).unwrap();
                start += length;
            }
            assert_eq!(whole, pieces);
            assert!(stream.process(pieces.slice_mut(s![..3, ..])).is_err());
        }
    }

    #[test]
    fn a_node_does_not_depend_on_its_neighbours_or_the_layout() {
        let x = Array2::from_shape_fn((300, 13), |(t, v)| ((t * (v + 3)) % 17) as f32);
        let filter = Filter::butterworth(5, Band::Highpass(2.0), 100.0).unwrap();
        let mut strided = x.clone();
        filter.apply(strided.view_mut().reversed_axes(), true);
        for v in 0..13 {
            let mut one = x.slice(s![.., v..v + 1]).t().to_owned();
            filter.apply(one.view_mut(), true);
            assert_eq!(one.row(0), strided.column(v), "{v}");
        }
    }

    #[test]
    fn a_huge_offset_costs_no_digits() {
        let filter = Filter::butterworth(4, Band::Highpass(0.5), 250.0).unwrap();
        let wave = |t: usize| (0.05 * t as f64).sin();
        let small: Vec<f64> = (0..3000).map(wave).collect();
        // Whole numbers and 2^-20: adding 2^20 to them rounds nothing.
        let grid: Vec<f64> = small
            .iter()
            .map(|v| (v * 1048576.0).round() / 1048576.0)
            .collect();
        let large = grid.iter().map(|v| v + 1048576.0).collect();
        for zero_phase in [false, true] {
            assert_eq!(run(&filter, grid.clone(), zero_phase).len(), 3000);
            let (a, b): (Vec<f64>, Vec<f64>) = (
                run(&filter, grid.clone(), zero_phase),
                run(&filter, Clone::clone(&large), zero_phase),
            );
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() < 1e-12, "{a} {b}");
            }
        }
    }

    #[test]
    fn chains_are_products() {
        let a = Filter::butterworth(2, Band::Bandpass(0.4, 18.0), 250.0).unwrap();
        let b = Filter::notch(50.0, 30.0, 250.0).unwrap();
        let both = Filter::chain(&[a.clone(), b.clone()]);
        assert_eq!(both.sections().len(), 3);
        let product = a.response(7.0, 250.0) * b.response(7.0, 250.0);
        assert!((both.response(7.0, 250.0) - product).norm() < 1e-15);
        assert!(b.response(50.0, 250.0).norm() < 1e-12);
        let edge = b.response(50.0 - 0.833, 250.0).norm();
        assert!((edge - 0.5f64.sqrt()).abs() < 0.01, "{edge}");
        assert!(Filter::notch(50.0, 0.1, 250.0).is_err());
        assert!(Filter::notch(125.0, 30.0, 250.0).is_err());
    }
}
