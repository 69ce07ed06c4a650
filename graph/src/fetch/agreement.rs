//! Sets that are had from their owners only: an agreement, an account, or no address that stays.

use super::Instructions;
use crate::DatasetInfo;

pub(super) struct ByHand {
    pub name: &'static str,
    title: &'static str,
    terms: &'static str,
    citation: &'static str,
    how: &'static str,
    layout: &'static [&'static str],
}

impl ByHand {
    /// Names that its folder may have, the one of its layout first.
    pub fn folders(&self) -> Vec<&'static str> {
        let first = self.layout.first().copied().unwrap_or(self.name);
        let first = first.split_once('/').map_or(self.name, |(f, _)| f);
        let others = OTHERS.iter().filter(|(name, _)| *name == self.name);
        std::iter::once(first).chain(others.map(|o| o.1)).collect()
    }

    pub fn instructions(&self) -> Instructions {
        Instructions {
            info: DatasetInfo {
                name: self.name.into(),
                title: self.title.into(),
                licence: self.terms.into(),
                citation: self.citation.into(),
            },
            how: self.how.into(),
            layout: self.layout.join("\n"),
        }
    }
}

/// Folders as the owners' archives and scripts name them.
const OTHERS: [(&str, &str); 5] = [
    ("tusz", "tuh_eeg_seizure"),
    ("dodh", "h5/dodh"),
    ("bcicha", "inria-bci-challenge"),
    ("bcicha", "BCIcha"),
    ("mamem", "MAMEM"),
];

const DCRNN: &str = "Li et al., Diffusion Convolutional Recurrent Neural Network, ICLR 2018, \
                     arXiv:1707.01926";
const ASTGCN: &str = "Guo et al., Attention Based Spatial-Temporal Graph Convolutional Networks, \
                      AAAI 2019; Song et al., STSGCN, AAAI 2020";
const CALTRANS: &str = "measurements of Caltrans PeMS; the files state no licence";
const PEMS_HOW: &str = "github.com/guoshnBJTU/ASTGNN (folder data) and \
                        github.com/Davidham3/STSGCN (its README links the files) give the arrays \
                        and the distances.";

pub(super) const SETS: &[ByHand] = &[
    ByHand {
        name: "tusz",
        title: "TUH EEG Seizure Corpus: seizures of several hundred patients, 19 electrodes",
        terms: "agreement with the Neural Engineering Data Consortium; free, not to be passed on",
        citation: "Shah et al., The Temple University Hospital Seizure Detection Corpus, Frontiers \
                   in Neuroinformatics 12:83, 2018",
        how: "Fill in the form at isip.piconepress.com/projects/nedc/html/tuh_eeg; the answer \
              brings the account for rsync. Copy the folder edf of v1.5.2 or of a v2.",
        layout: &[
            "tusz/edf/{train,dev}/MONTAGE/GROUP/PATIENT/SESSION/*.edf with *.tse, *.tse_bi (v1.5.2)",
            "tusz/edf/{train,dev,eval}/PATIENT/SESSION/MONTAGE/*.edf with *.csv, *.csv_bi  (v2)",
        ],
    },
    ByHand {
        name: "dodh",
        title: "Dreem Open Dataset, healthy volunteers: 25 nights, scored by five experts",
        terms: "free for research; see the owners' repository",
        citation: "Guillot et al., Dreem Open Datasets, IEEE TNSRE 28(9), 2020, arXiv:1911.03221",
        how: "github.com/Dreem-Organization/dreem-learning-open: its README names the store, its \
              download_data.py gets the files.",
        layout: &[
            "dodh/*.h5 (one a night, with hypnogram and signals/eeg, emg, eog)",
            "dodh/patient_split.csv (record_id,split), for given parts",
        ],
    },
    ByHand {
        name: "bcicha",
        title: "BCI Challenge at NER 2015: error potentials of 16 subjects, 56 electrodes, 200 Hz",
        terms: "rules of the Kaggle competition, to be accepted with an account",
        citation: "Margaux et al., Objective and Subjective Evaluation of Online Error Correction \
                   during P300-Based Spelling, Advances in Human-Computer Interaction, 2012",
        how: "Accept the rules at kaggle.com/c/inria-bci-challenge, then download train.zip, \
              TrainLabels.csv and ChannelsLocation.csv and unpack them.",
        layout: &[
            "bcicha/train/Data_S02_Sess01.csv and so on",
            "bcicha/TrainLabels.csv",
            "bcicha/ChannelsLocation.csv",
        ],
    },
    ByHand {
        name: "mamem",
        title: "MAMEM EEG SSVEP datasets II and III: 11 subjects, five flicker frequencies",
        terms: "ODC-By 1.0",
        citation: "Nikolopoulos, MAMEM EEG SSVEP Dataset II, figshare, 2021, \
                   doi:10.6084/m9.figshare.3153409; Oikonomou et al., arXiv:1602.00904",
        how: "Download the .mat files at figshare.com, 3153409 (dataset II) or 3413851 (III).",
        layout: &[
            "mamem/T001a.mat and so on (II)",
            "mamem/U001ai.mat, mamem/U001aii.mat and so on (III)",
        ],
    },
    ByHand {
        name: "finger-movements",
        title: "Finger movements: left or right hand from 28 electrodes before the key press",
        terms: "public for research with citation; no licence stated",
        citation: "Blankertz, Curio, Mueller, Classifying Single Trial EEG, NIPS 2001; Blankertz \
                   et al., The BCI Competition 2003, IEEE TBME 51(6), 2004",
        how: "Register at bbci.de/competition/ii and download data set IV (100 Hz, MATLAB) and \
              its test labels.",
        layout: &[
            "fingermovements/sp1s_aa.mat",
            "fingermovements/labels_data_set_iv.txt",
        ],
    },
    ByHand {
        name: "metr-la",
        title: "Traffic speed at 207 detectors in Los Angeles, every 5 minutes, four months of 2012",
        terms: "measurements of LA Metro; the file states no licence",
        citation: DCRNN,
        how: "The README of github.com/liyaguang/DCRNN links metr-la.h5; its folder \
              data/sensor_graph has the graph.",
        layout: &[
            "metr_la/metr-la.h5",
            "metr_la/adj_mx.pkl, or distances_la_2012.csv with graph_sensor_ids.txt",
        ],
    },
    ByHand {
        name: "pems-bay",
        title: "Traffic speed at 325 detectors around San Francisco, every 5 minutes, 2017",
        terms: CALTRANS,
        citation: DCRNN,
        how: "The README of github.com/liyaguang/DCRNN links pems-bay.h5; its folder \
              data/sensor_graph has the graph.",
        layout: &[
            "pems_bay/pems-bay.h5",
            "pems_bay/adj_mx_bay.pkl, or distances_bay_2017.csv",
        ],
    },
    ByHand {
        name: "pems03",
        title: "Traffic flow at 358 detectors of Caltrans district 3, every 5 minutes, 2018",
        terms: CALTRANS,
        citation: ASTGCN,
        how: PEMS_HOW,
        layout: &[
            "pems03/pems03.npz",
            "pems03/pems03.csv",
            "pems03/pems03.txt",
        ],
    },
    ByHand {
        name: "pems04",
        title: "Traffic at 307 detectors of Caltrans district 4, every 5 minutes, 2018",
        terms: CALTRANS,
        citation: ASTGCN,
        how: PEMS_HOW,
        layout: &["pems04/pems04.npz", "pems04/pems04.csv"],
    },
    ByHand {
        name: "pems07",
        title: "Traffic flow at 883 detectors of Caltrans district 7, every 5 minutes, 2017",
        terms: CALTRANS,
        citation: ASTGCN,
        how: PEMS_HOW,
        layout: &["pems07/pems07.npz", "pems07/pems07.csv"],
    },
    ByHand {
        name: "pems08",
        title: "Traffic at 170 detectors of Caltrans district 8, every 5 minutes, 2016",
        terms: CALTRANS,
        citation: ASTGCN,
        how: PEMS_HOW,
        layout: &["pems08/pems08.npz", "pems08/pems08.csv"],
    },
    ByHand {
        name: "pemsd7m",
        title: "Traffic speed at 228 detectors of Caltrans district 7, working days, 2012",
        terms: CALTRANS,
        citation: "Yu, Yin, Zhu, Spatio-Temporal Graph Convolutional Networks, IJCAI 2018, \
                   arXiv:1709.04875",
        how: "github.com/VeritasYin/STGCN_IJCAI-18, folder dataset.",
        layout: &["pemsd7m/PeMSD7_V_228.csv", "pemsd7m/PeMSD7_W_228.csv"],
    },
    ByHand {
        name: "largest",
        title: "LargeST: traffic flow at 8,600 detectors in California, every 5 minutes, five years",
        terms: "CC BY-NC 4.0",
        citation: "Liu et al., LargeST: A Benchmark Dataset for Large-Scale Traffic Forecasting, \
                   NeurIPS 2023, arXiv:2306.08259",
        how: "kaggle.com/datasets/liuxu77/largest, with an account.",
        layout: &[
            "largest/ca_his_raw_2017.h5 to ca_his_raw_2021.h5",
            "largest/ca_meta.csv",
            "largest/ca_rn_adj.npy",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_says_where_and_how_its_files_lie() {
        for set in SETS {
            let text = set.instructions();
            assert!(
                !text.how.is_empty() && !text.info.citation.is_empty(),
                "{}",
                set.name
            );
            assert!(
                !text.info.licence.is_empty() && !text.layout.is_empty(),
                "{}",
                set.name
            );
            let folder = set.layout[0].split('/').next().unwrap();
            assert_eq!(folder.replace(['-', '_'], ""), set.name.replace('-', ""));
        }
    }
}
