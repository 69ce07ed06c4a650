//! What a model sees of a recording: the configuration of features.

use serde::{Deserialize, Serialize};

use super::{Detrend, Montage, Reference, RejectConfig, Step};

/// What a window becomes.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Transform {
    /// The samples themselves.
    #[default]
    Raw,
    /// [`log_spectrum`](super::spectrum::log_spectrum) of segments without overlap.
    LogSpectrum {
        /// Length of a segment, seconds.
        segment_seconds: f64,
        /// Lowest frequency, hertz.
        fmin: Option<f64>,
        /// Highest frequency, hertz.
        fmax: Option<f64>,
        /// At most so many frequencies, the lowest ones.
        bins: Option<usize>,
    },
    /// [`stft`](super::spectrum::stft).
    Stft {
        /// Length of a frame, seconds.
        window_seconds: f64,
        /// From frame to frame, seconds.
        hop_seconds: f64,
        /// Lowest frequency, hertz.
        fmin: Option<f64>,
        /// Highest frequency, hertz.
        fmax: Option<f64>,
        /// Whether zeros are put around the window, see [`Frames::padded`](super::spectrum::Frames::padded).
        padded: bool,
    },
    /// Band-passed copies of the signal, one feature each.
    Filterbank {
        /// Lower and upper edge of each band, hertz.
        bands: Vec<[f64; 2]>,
    },
    /// [`log_power`](super::spectrum::log_power) of band-passed copies of the signal.
    BandPower {
        /// Lower and upper edge of each band, hertz.
        bands: Vec<[f64; 2]>,
        /// Length of a frame, seconds.
        window_seconds: f64,
        /// From frame to frame, seconds.
        hop_seconds: f64,
    },
    /// Logarithm of the [`band_power`](super::power::band_power) in frames.
    WelchPower {
        /// Lower (included) and upper edge (excluded) of each band, hertz.
        bands: Vec<[f64; 2]>,
        /// Length of a frame, seconds.
        window_seconds: f64,
        /// From frame to frame, seconds.
        hop_seconds: f64,
        /// Length of the segments whose spectra are averaged; the frame's is a plain FFT.
        segment_seconds: f64,
    },
}

/// Over what each window is brought to mean 0 and standard deviation 1 (the population's). Where
/// nothing varies, only the mean is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standardize {
    /// Not at all; a scaler fitted on the training part may follow.
    #[default]
    None,
    /// Time, for each node and feature.
    Time,
    /// Features (frequencies), for each node and time step.
    Frequency,
    /// Time and features together, for each node.
    Window,
}

/// Features of a data set: a transform and what comes before and after.
///
/// In a file it is one flat table; `kind` is `raw`, `log-spectrum`, `stft`, `filterbank`,
/// `band-power` or `welch-power`, and a key of another kind is an error:
/// ```toml
/// [features]
/// kind = "stft"
/// crop_seconds = [2.0, 5.0]
/// highpass_hz = 5.0
/// window_seconds = 1.0
/// hop_seconds = 0.5
/// fmin = 10.0
/// fmax = 50.0
/// standardize = "frequency"
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Flat", into = "Flat")]
pub struct FeatureConfig {
    /// What a window becomes.
    pub transform: Transform,
    /// What electrodes are measured against.
    pub reference: Reference,
    /// Pairs of electrodes in place of electrodes.
    pub montage: Option<Montage>,
    /// What is done to the whole recording, in this order, before everything below.
    pub steps: Vec<Step>,
    /// What is subtracted from the whole recording.
    pub detrend: Detrend,
    /// Pass above, hertz; with `lowpass_hz` a band-pass.
    pub highpass_hz: Option<f64>,
    /// Pass below, hertz.
    pub lowpass_hz: Option<f64>,
    /// Remove 2 Hz around, hertz (mains: 50 or 60).
    pub notch_hz: Option<f64>,
    /// Order of the Butterworth filters.
    pub filter_order: usize,
    /// Filter forward and backward; otherwise forward only, as a live system would.
    pub zero_phase: bool,
    /// Keep from start to end of each recording, seconds.
    pub crop_seconds: Option<[f64; 2]>,
    /// Keep every n-th sample after an anti-alias filter.
    pub decimate: usize,
    /// Which windows are too disturbed to be used; `None`: all are used.
    pub reject: Option<RejectConfig>,
    /// Standardise each window.
    pub standardize: Standardize,
}

impl FeatureConfig {
    /// Whether a window is a piece of the prepared recording, to which nothing more is done, so
    /// that overlapping windows can share their values.
    pub(crate) fn keeps_steps(&self) -> bool {
        matches!(
            self.transform,
            Transform::Raw | Transform::Filterbank { .. }
        ) && self.standardize == Standardize::None
    }
}

impl Default for FeatureConfig {
    fn default() -> Self {
        Self {
            transform: Transform::Raw,
            reference: Reference::None,
            montage: None,
            steps: Vec::new(),
            detrend: Detrend::None,
            highpass_hz: None,
            lowpass_hz: None,
            notch_hz: None,
            filter_order: 4,
            zero_phase: true,
            crop_seconds: None,
            decimate: 1,
            reject: None,
            standardize: Standardize::None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Raw,
    LogSpectrum,
    Stft,
    Filterbank,
    BandPower,
    WelchPower,
}

/// [`FeatureConfig`] as it stands in a file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Flat {
    kind: Kind,
    reference: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    montage: Option<Montage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
    detrend: Detrend,
    #[serde(skip_serializing_if = "Option::is_none")]
    highpass_hz: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lowpass_hz: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notch_hz: Option<f64>,
    filter_order: usize,
    zero_phase: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    crop_seconds: Option<[f64; 2]>,
    decimate: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reject: Option<RejectConfig>,
    standardize: Standardize,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hop_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fmin: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fmax: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bins: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    padded: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bands: Option<Vec<[f64; 2]>>,
}

impl Default for Flat {
    fn default() -> Self {
        FeatureConfig::default().into()
    }
}

impl From<FeatureConfig> for Flat {
    fn from(c: FeatureConfig) -> Self {
        let mut flat = Self {
            kind: Kind::Raw,
            reference: c.reference,
            montage: c.montage,
            steps: c.steps,
            detrend: c.detrend,
            highpass_hz: c.highpass_hz,
            lowpass_hz: c.lowpass_hz,
            notch_hz: c.notch_hz,
            filter_order: c.filter_order,
            zero_phase: c.zero_phase,
            crop_seconds: c.crop_seconds,
            decimate: c.decimate,
            reject: c.reject,
            standardize: c.standardize,
            segment_seconds: None,
            window_seconds: None,
            hop_seconds: None,
            fmin: None,
            fmax: None,
            bins: None,
            padded: None,
            bands: None,
        };
        match c.transform {
            Transform::Raw => {}
            Transform::LogSpectrum {
                segment_seconds,
                fmin,
                fmax,
                bins,
            } => {
                flat.kind = Kind::LogSpectrum;
                flat.segment_seconds = Some(segment_seconds);
                (flat.fmin, flat.fmax, flat.bins) = (fmin, fmax, bins);
            }
            Transform::Stft {
                window_seconds,
                hop_seconds,
                fmin,
                fmax,
                padded,
            } => {
                flat.kind = Kind::Stft;
                flat.window_seconds = Some(window_seconds);
                flat.hop_seconds = Some(hop_seconds);
                (flat.fmin, flat.fmax, flat.padded) = (fmin, fmax, Some(padded));
            }
            Transform::Filterbank { bands } => {
                flat.kind = Kind::Filterbank;
                flat.bands = Some(bands);
            }
            Transform::BandPower {
                bands,
                window_seconds,
                hop_seconds,
            } => {
                flat.kind = Kind::BandPower;
                flat.bands = Some(bands);
                flat.window_seconds = Some(window_seconds);
                flat.hop_seconds = Some(hop_seconds);
            }
            Transform::WelchPower {
                bands,
                window_seconds,
                hop_seconds,
                segment_seconds,
            } => {
                flat.kind = Kind::WelchPower;
                flat.bands = Some(bands);
                flat.window_seconds = Some(window_seconds);
                flat.hop_seconds = Some(hop_seconds);
                flat.segment_seconds = Some(segment_seconds);
            }
        }
        flat
    }
}

impl TryFrom<Flat> for FeatureConfig {
    type Error = String;

    fn try_from(f: Flat) -> std::result::Result<Self, String> {
        let (name, allowed): (_, &[&str]) = match f.kind {
            Kind::Raw => ("raw", &[]),
            Kind::LogSpectrum => ("log-spectrum", &["segment_seconds", "fmin", "fmax", "bins"]),
            Kind::Stft => (
                "stft",
                &["window_seconds", "hop_seconds", "fmin", "fmax", "padded"],
            ),
            Kind::Filterbank => ("filterbank", &["bands"]),
            Kind::BandPower => ("band-power", &["bands", "window_seconds", "hop_seconds"]),
            Kind::WelchPower => (
                "welch-power",
                &["bands", "window_seconds", "hop_seconds", "segment_seconds"],
            ),
        };
        for (key, given) in [
            ("segment_seconds", f.segment_seconds.is_some()),
            ("window_seconds", f.window_seconds.is_some()),
            ("hop_seconds", f.hop_seconds.is_some()),
            ("fmin", f.fmin.is_some()),
            ("fmax", f.fmax.is_some()),
            ("bins", f.bins.is_some()),
            ("padded", f.padded.is_some()),
            ("bands", f.bands.is_some()),
        ] {
            if given && !allowed.contains(&key) {
                return Err(format!(
                    "{key} does not belong to features of kind \"{name}\"; remove it or change kind"
                ));
            }
        }
        let needed = |v: Option<f64>, key: &str| match v {
            Some(v) if v > 0.0 && v.is_finite() => Ok(v),
            Some(v) => Err(format!("{key} is {v}; give seconds above 0")),
            None => Err(format!("features of kind \"{name}\" need {key}")),
        };
        let needed_bands = |bands: Option<Vec<[f64; 2]>>| {
            bands.filter(|b| !b.is_empty()).ok_or_else(|| {
                format!("features of kind \"{name}\" need bands = [[low, high], ...]")
            })
        };
        let transform = match f.kind {
            Kind::Raw => Transform::Raw,
            Kind::LogSpectrum => Transform::LogSpectrum {
                segment_seconds: needed(f.segment_seconds, "segment_seconds")?,
                fmin: f.fmin,
                fmax: f.fmax,
                bins: f.bins,
            },
            Kind::Stft => Transform::Stft {
                window_seconds: needed(f.window_seconds, "window_seconds")?,
                hop_seconds: needed(f.hop_seconds, "hop_seconds")?,
                fmin: f.fmin,
                fmax: f.fmax,
                padded: f.padded.unwrap_or(false),
            },
            Kind::Filterbank => Transform::Filterbank {
                bands: needed_bands(f.bands)?,
            },
            Kind::BandPower => Transform::BandPower {
                bands: needed_bands(f.bands)?,
                window_seconds: needed(f.window_seconds, "window_seconds")?,
                hop_seconds: needed(f.hop_seconds, "hop_seconds")?,
            },
            Kind::WelchPower => Transform::WelchPower {
                bands: needed_bands(f.bands)?,
                window_seconds: needed(f.window_seconds, "window_seconds")?,
                hop_seconds: needed(f.hop_seconds, "hop_seconds")?,
                segment_seconds: match f.segment_seconds {
                    None => needed(f.window_seconds, "window_seconds")?,
                    given => needed(given, "segment_seconds")?,
                },
            },
        };
        for step in &f.steps {
            step.check()?;
        }
        if f.decimate == 0 {
            return Err("decimate is 0; give 1 (every sample) or more".into());
        }
        Ok(Self {
            transform,
            reference: f.reference,
            montage: f.montage,
            steps: f.steps,
            detrend: f.detrend,
            highpass_hz: f.highpass_hz,
            lowpass_hz: f.lowpass_hz,
            notch_hz: f.notch_hz,
            filter_order: f.filter_order,
            zero_phase: f.zero_phase,
            crop_seconds: f.crop_seconds,
            decimate: f.decimate,
            reject: f.reject,
            standardize: f.standardize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> std::result::Result<FeatureConfig, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn flat_tables_are_strict_and_come_back() {
        for text in [
            "",
            "kind = \"log-spectrum\"\nsegment_seconds = 1.0\nbins = 100\nstandardize = \"frequency\"",
            "kind = \"stft\"\nwindow_seconds = 2.56\nhop_seconds = 1\npadded = true\nlowpass_hz = 18",
            "kind = \"filterbank\"\nbands = [[12, 14], [16, 18]]\ncrop_seconds = [2, 5]",
            "kind = \"band-power\"\nbands = [[12, 14]]\nwindow_seconds = 1\nhop_seconds = 0.5",
            "kind = \"welch-power\"\nbands = [[12, 14]]\nwindow_seconds = 2\nhop_seconds = 0.5",
            "reference = [\"A1\", \"A2\"]\nmontage = \"tcp\"\nreject = { flat = 1e-7 }\n\
             [[steps]]\nkind = \"notch\"\nhz = [50]\n[[steps]]\nkind = \"resample\"\nhz = 100",
        ] {
            let config = parse(text).unwrap();
            let again = parse(&toml::to_string(&config).unwrap()).unwrap();
            assert_eq!(config, again);
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(
                serde_json::from_str::<FeatureConfig>(&json).unwrap(),
                config
            );
        }
        assert_eq!(parse("").unwrap(), FeatureConfig::default());
        for (text, expected) in [
            (
                "fmin = 3",
                "fmin does not belong to features of kind \"raw\"",
            ),
            ("kind = \"stft\"\nhop_seconds = 1", "need window_seconds"),
            ("kind = \"log-spectrum\"\nsegment_seconds = 0", "above 0"),
            ("decimate = 0", "decimate is 0"),
            ("kind = \"filterbank\"\nbands = []", "need bands"),
            ("high_pass = 1", "unknown field `high_pass`"),
            ("reference = \"Cz\"", "\"Cz\" is no reference"),
            ("montage = \"bananas\"", "\"bananas\" is no montage"),
            (
                "steps = [{ kind = \"sharpen\" }]",
                "unknown variant `sharpen`",
            ),
            ("steps = [{ kind = \"clip\", limit = 0 }]", "limit of step"),
            ("reject = {}", "reject needs"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
