//! The data sets that are known by name.

use super::options::OptionName;
use super::{
    DatasetConfig, Recordings, basic_motions, bcicha, dodh, eeg_eye_state, eegmat,
    finger_movements, mamem, ssvep_exo, tusz,
};
use crate::Result;
use crate::signal::FeatureConfig;
use crate::windows::{Missing, WindowConfig};

/// A set and what is used of it where a configuration says nothing.
///
/// Options that a set has not are refused by `open`.
pub(super) struct Named {
    pub name: &'static str,
    pub features: fn() -> FeatureConfig,
    pub window: fn() -> WindowConfig,
    pub missing: Missing,
    pub open: fn(&DatasetConfig) -> Result<Recordings>,
}

pub(super) const SETS: [Named; 9] = [
    Named {
        name: "basic-motions",
        features: basic_motions::features,
        window: WindowConfig::default,
        missing: Missing::Error,
        open: |config| {
            config.only("basic-motions", &[])?;
            basic_motions::read(config.data_dir.as_deref()).map(Recordings::Read)
        },
    },
    Named {
        name: "bcicha",
        features: bcicha::features,
        window: bcicha::window,
        missing: Missing::Error,
        open: |config| {
            config.only("bcicha", &[OptionName::Accept])?;
            bcicha::open(config).map(Recordings::Lazy)
        },
    },
    Named {
        name: "dodh",
        features: dodh::features,
        window: dodh::window,
        missing: Missing::Error,
        open: |config| {
            config.only("dodh", &[OptionName::SplitFile, OptionName::Accept])?;
            dodh::open(config).map(Recordings::Lazy)
        },
    },
    Named {
        name: "eeg-eye-state",
        features: eeg_eye_state::features,
        window: eeg_eye_state::window,
        missing: Missing::Mask,
        open: |config| {
            config.only("eeg-eye-state", &[])?;
            eeg_eye_state::read(config.data_dir.as_deref()).map(Recordings::Read)
        },
    },
    Named {
        name: "eegmat",
        features: eegmat::features,
        window: eegmat::window,
        missing: Missing::Error,
        open: |config| {
            config.only("eegmat", &[])?;
            eegmat::read(config.data_dir.as_deref(), &config.subjects).map(Recordings::Read)
        },
    },
    Named {
        name: "finger-movements",
        features: finger_movements::features,
        window: WindowConfig::default,
        missing: Missing::Error,
        open: |config| {
            config.only("finger-movements", &[])?;
            finger_movements::read(config.data_dir.as_deref()).map(Recordings::Read)
        },
    },
    Named {
        name: "mamem",
        features: mamem::features,
        window: mamem::window,
        missing: Missing::Error,
        open: |config| {
            config.only("mamem", &[OptionName::Accept])?;
            mamem::open(config).map(Recordings::Lazy)
        },
    },
    Named {
        name: "ssvep-exo",
        features: ssvep_exo::features,
        window: WindowConfig::default,
        missing: Missing::Error,
        open: |config| {
            config.only("ssvep-exo", &[])?;
            ssvep_exo::read(config.data_dir.as_deref(), &config.subjects).map(Recordings::Read)
        },
    },
    Named {
        name: "tusz",
        features: tusz::features,
        window: tusz::window,
        missing: Missing::Error,
        open: |config| {
            config.only(
                "tusz",
                &[OptionName::Task, OptionName::SplitFile, OptionName::Accept],
            )?;
            tusz::open(config).map(Recordings::Lazy)
        },
    },
];

/// Names of all, in order.
pub(super) const NAMES: [&str; SETS.len()] = {
    let mut names = [""; SETS.len()];
    let mut i = 0;
    while i < SETS.len() {
        names[i] = SETS[i].name;
        i += 1;
    }
    names
};
