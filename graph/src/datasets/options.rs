//! Options of data sets that have more than one use, and what is accepted of files that are not as
//! they should be.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::DatasetConfig;
use crate::electrodes::normalise_channel_name;
use crate::{Error, Result};

/// What is to be told apart, where a data set has two tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Does it happen in the window?
    Detection,
    /// What kind is it, where it happens?
    Classification,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Detection, Self::Classification];

    /// The word used in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Classification => "classification",
        }
    }
}

impl FromStr for Task {
    type Err = Error;

    /// [`Error::Unknown`] for what is no [`name`](Task::name).
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|t| t.name() == text);
        found.ok_or_else(|| Error::unknown("task", text, &Self::ALL.map(Self::name)))
    }
}

/// A fault of files that is accepted instead of refused. What is done about it is written to the
/// log for every file concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// Recordings that lack one of the channels are left out.
    MissingChannels,
    /// Recordings, or trials, whose labels are missing or do not fit them are left out.
    Unlabelled,
    /// Subjects with fewer sessions than the protocol has are used with those they have.
    MissingSessions,
    /// Subjects in the training part and in another are left out of the other.
    SharedSubjects,
    /// Channels of different sampling rates are brought to the rate of the protocol one by one.
    MixedRates,
    /// Recordings with breaks are divided there.
    Breaks,
    /// Files that are shorter or longer than their header says: what is whole is read.
    Incomplete,
}

impl Accept {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::MissingChannels,
        Self::Unlabelled,
        Self::MissingSessions,
        Self::SharedSubjects,
        Self::MixedRates,
        Self::Breaks,
        Self::Incomplete,
    ];

    /// The word used in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingChannels => "missing-channels",
            Self::Unlabelled => "unlabelled",
            Self::MissingSessions => "missing-sessions",
            Self::SharedSubjects => "shared-subjects",
            Self::MixedRates => "mixed-rates",
            Self::Breaks => "breaks",
            Self::Incomplete => "incomplete",
        }
    }

    /// What to do about an error that this makes go away.
    pub(super) fn remedy(self, else_do: &str) -> String {
        format!(
            "{else_do}, or accept it with accept = [\"{0}\"] (--accept {0})",
            self.name()
        )
    }
}

impl FromStr for Accept {
    type Err = Error;

    /// [`Error::Unknown`] for what is no [`name`](Accept::name).
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|a| a.name() == text);
        found.ok_or_else(|| Error::unknown("fault", text, &Self::ALL.map(Self::name)))
    }
}

/// An option of [`DatasetConfig`] that not every set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionName {
    Task,
    SplitFile,
    Accept,
    Clock,
    /// No set of windows has it.
    Years,
}

impl DatasetConfig {
    /// The electrodes asked for, in their one spelling; where none are, those of the set.
    pub(super) fn electrodes(&self, own: &[&str]) -> Vec<String> {
        match self.channels.is_empty() {
            true => own.iter().map(|name| name.to_string()).collect(),
            false => self
                .channels
                .iter()
                .map(|name| normalise_channel_name(name))
                .collect(),
        }
    }

    pub(super) fn accepts(&self, fault: Accept) -> bool {
        self.accept.contains(&fault)
    }

    /// Refuses options that the set has not.
    pub(super) fn only(&self, set: &str, has: &[OptionName]) -> Result<()> {
        for (option, name, given) in [
            (OptionName::Task, "task", self.task.is_some()),
            (
                OptionName::SplitFile,
                "split_file",
                self.split_file.is_some(),
            ),
            (OptionName::Accept, "accept", !self.accept.is_empty()),
            (OptionName::Clock, "clock", self.clock.is_some()),
            (OptionName::Years, "years", !self.years.is_empty()),
        ] {
            if given && !has.contains(&option) {
                return Err(Error::config(
                    format!("dataset.{name}"),
                    format!("data set {set} has no such option"),
                    "leave it out",
                ));
            }
        }
        Ok(())
    }

    /// [`only`](Self::only) with the choice among faults as well.
    pub(super) fn accepts_only(&self, set: &str, known: &[Accept]) -> Result<()> {
        match self.accept.iter().find(|a| !known.contains(a)) {
            None => Ok(()),
            Some(other) => {
                let known: Vec<&str> = known.iter().map(|a| a.name()).collect();
                Err(Error::config(
                    "dataset.accept",
                    format!("data set {set} has no \"{}\"", other.name()),
                    format!("choose among {}", known.join(", ")),
                ))
            }
        }
    }
}

/// Refuses subjects that are not there.
pub(super) fn check_subjects<'a>(
    wanted: &[String],
    known: impl IntoIterator<Item = &'a String>,
) -> Result<()> {
    let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
    match wanted.iter().find(|s| !known.contains(&s.as_str())) {
        None => Ok(()),
        Some(other) => Err(Error::unknown("subject", other, &known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_toml() {
        let config: DatasetConfig = toml::from_str(
            "name = \"tusz\"\ntask = \"classification\"\nchannels = [\"Fz\"]\n\
             split_file = \"parts.csv\"\naccept = [\"missing-channels\", \"shared-subjects\"]\n",
        )
        .unwrap();
        assert_eq!(config.task, Some(Task::Classification));
        assert!(config.accepts(Accept::SharedSubjects) && !config.accepts(Accept::Breaks));
        let back: DatasetConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(back, config);
        for accept in Accept::ALL {
            let written = serde_json::to_string(&accept).unwrap();
            assert_eq!(written, format!("\"{}\"", accept.name()));
            assert_eq!(accept.name().parse::<Accept>().unwrap(), accept);
        }
        for task in Task::ALL {
            let written = serde_json::to_string(&task).unwrap();
            assert_eq!(written, format!("\"{}\"", task.name()));
            assert_eq!(task.name().parse::<Task>().unwrap(), task);
        }
        let error = "mixed_rates".parse::<Accept>().unwrap_err().to_string();
        assert!(error.contains("did you mean \"mixed-rates\""), "{error}");
        assert!("detect".parse::<Task>().is_err());
        let error = config.only("x", &[OptionName::Task]).unwrap_err();
        assert!(error.to_string().contains("split_file"), "{error}");
        let error = config
            .accepts_only("x", &[Accept::MissingChannels])
            .unwrap_err();
        assert!(
            error.to_string().contains("no \"shared-subjects\""),
            "{error}"
        );
    }
}
