//! What is said about the sets whose files are had from their owners only: terms, citation, where
//! to get them and how they must lie.

use std::path::PathBuf;

use crate::{DatasetInfo, Error};

struct About {
    name: &'static str,
    title: &'static str,
    terms: &'static str,
    citation: &'static str,
    how: &'static str,
    layout: &'static str,
}

const SETS: [About; 4] = [
    About {
        name: "tusz",
        title: "TUH EEG Seizure Corpus: seizures of several hundred patients, 19 electrodes",
        terms: "agreement with the Neural Engineering Data Consortium; free, not to be passed on",
        citation: "Shah et al., The Temple University Hospital Seizure Detection Corpus, Frontiers \
                   in Neuroinformatics 12:83, 2018",
        how: "fill in the form at isip.piconepress.com/projects/nedc/html/tuh_eeg, whose answer \
              brings the account for rsync, and copy the folder edf of v1.5.2 or of a v2",
        layout: "tusz/edf/{train,dev,eval}/.../SUBJECT_sNNN_tNNN.edf, with .csv and .csv_bi (v2) \
                 or .tse and .tse_bi (v1.5.2) beside each",
    },
    About {
        name: "dodh",
        title: "Dreem Open Dataset, healthy volunteers: 25 nights, scored by five experts",
        terms: "free for research; see the owners' repository",
        citation: "Guillot et al., Dreem Open Datasets, IEEE TNSRE 28(9), 2020, arXiv:1911.03221",
        how: "github.com/Dreem-Organization/dreem-learning-open: its README names the store, its \
              download_data.py gets the files",
        layout: "dodh/*.h5, one a night, and patient_split.csv (record_id,split) for given parts",
    },
    About {
        name: "bcicha",
        title: "BCI Challenge at NER 2015: error potentials of 16 subjects, 56 electrodes",
        terms: "rules of the Kaggle competition, to be accepted with an account",
        citation: "Margaux et al., Objective and Subjective Evaluation of Online Error Correction \
                   during P300-Based Spelling, Advances in Human-Computer Interaction, 2012",
        how: "accept the rules at kaggle.com/c/inria-bci-challenge, download train.zip, \
              TrainLabels.csv and ChannelsLocation.csv, and unpack them",
        layout: "bcicha/train/Data_S02_Sess01.csv and so on, bcicha/TrainLabels.csv, \
                 bcicha/ChannelsLocation.csv",
    },
    About {
        name: "mamem",
        title: "MAMEM EEG SSVEP datasets II and III: 11 subjects, five flicker frequencies",
        terms: "ODC-By 1.0",
        citation: "Nikolopoulos, MAMEM EEG SSVEP Dataset II, figshare, 2021, \
                   doi:10.6084/m9.figshare.3153409; Oikonomou et al., arXiv:1602.00904",
        how: "download the .mat files at figshare.com, 3153409 (dataset II) or 3413851 (III)",
        layout: "mamem/T001a.mat and so on (II), or mamem/U001ai.mat, U001aii.mat and so on (III)",
    },
];

fn about(name: &str) -> Option<&'static About> {
    SETS.iter().find(|s| s.name == name)
}

/// Title, terms and citation.
pub(super) fn info(name: &str) -> DatasetInfo {
    let of = |field: fn(&About) -> &str| about(name).map(field).unwrap_or_default().to_string();
    DatasetInfo {
        name: name.into(),
        title: of(|a| a.title),
        licence: of(|a| a.terms),
        citation: of(|a| a.citation),
    }
}

/// Where to get the files, and how they must lie.
pub(super) fn how(name: &str) -> String {
    match about(name) {
        Some(a) => format!("{}; put them as {}, and name the folder above with --data-dir", a.how, a.layout),
        None => "name the folder of the files with --data-dir".into(),
    }
}

/// The error of files that are in none of `roots`.
pub(super) fn missing(name: &str, marker: &str, roots: &[PathBuf]) -> Error {
    let looked: Vec<String> = roots.iter().map(|r| r.display().to_string()).collect();
    Error::config(
        "data_dir",
        format!("no {marker} in {}", looked.join(" or ")),
        how(name),
    )
}
