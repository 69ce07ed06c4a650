//! The files that can be fetched, each with the hash of its bytes.

use crate::DatasetInfo;

/// A data set.
pub(super) struct Entry {
    pub name: &'static str,
    /// Names of its folder; files are put into the first.
    pub folders: &'static [&'static str],
    pub title: &'static str,
    pub licence: &'static str,
    pub citation: &'static str,
    /// What else is to be known of the files.
    pub note: &'static str,
    pub sources: &'static [Source],
}

/// A commit of a GitHub repository.
pub(super) struct Source {
    pub repository: &'static str,
    pub commit: &'static str,
    pub files: &'static [Remote],
}

/// A file in a repository.
pub(super) struct Remote {
    /// Name in the folder of the set.
    pub name: &'static str,
    /// Places in the repository, tried in this order.
    pub paths: &'static [&'static str],
    pub bytes: u64,
    /// In lower-case hexadecimal.
    pub sha256: &'static str,
}

impl Entry {
    pub fn info(&self) -> DatasetInfo {
        DatasetInfo {
            name: self.name.into(),
            title: self.title.into(),
            licence: self.licence.into(),
            citation: self.citation.into(),
        }
    }

    pub fn files(&self) -> impl Iterator<Item = (&Source, &Remote)> {
        let files = |source: &'static Source| source.files.iter().map(move |file| (source, file));
        self.sources.iter().flat_map(files)
    }
}

impl Remote {
    /// Addresses without the host.
    pub fn addresses(&self, source: &Source) -> Vec<String> {
        let of_path = |path: &&str| {
            format!(
                "{}/{}/{}",
                source.repository,
                source.commit,
                percent_encoded(path)
            )
        };
        self.paths.iter().map(of_path).collect()
    }
}

/// A path as it stands in an address: RFC 3986, with `/` kept.
pub(super) fn percent_encoded(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes()
        .map(|b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

macro_rules! files {
    ($($name:literal $bytes:literal $sha256:literal $path:literal $(or $other:literal)*;)*) => {
        &[$(Remote {
            name: $name,
            paths: &[$path $(, $other)*],
            bytes: $bytes,
            sha256: $sha256,
        }),*]
    };
}

const TEMPORAL: (&str, &str) = (
    "benedekrozemberczki/pytorch_geometric_temporal",
    "adefe44265ad8faf239fd6cf3b59b95ca3ee60aa",
);

pub(super) const CATALOG: &[Entry] = &[
    Entry {
        name: "basic-motions",
        folders: &["basicmotions", "basic-motions", "BasicMotions"],
        title: "BasicMotions: a smart watch on four students, four activities",
        licence: "BSD-3-Clause (package aeon); the UEA archive asks for citation",
        citation: "Bagnall et al., The UEA multivariate time series classification archive, 2018, arXiv:1811.00075",
        note: "",
        sources: &[Source {
            repository: "aeon-toolkit/aeon",
            commit: "a101ddc8b35a65441609b45c9bcce5aeafa0c131",
            files: files![
                "BasicMotions_TRAIN.ts" 227790 "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6"
                    "aeon/datasets/data/BasicMotions/BasicMotions_TRAIN.ts";
                "BasicMotions_TEST.ts" 227713 "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc"
                    "aeon/datasets/data/BasicMotions/BasicMotions_TEST.ts";
            ],
        }],
    },
    Entry {
        name: "beijing-air",
        folders: &["beijing_air", "beijing-air"],
        title: "Air quality and weather at 12 stations in Beijing, hourly, 2013 to 2017",
        licence: "CC BY 4.0 (UCI Machine Learning Repository, 501)",
        citation: "Zhang et al., Cautionary Tales on Air-Quality Improvement in Beijing, Proc. R. Soc. A 473:20170457, 2017",
        note: "The stations have no coordinates in these files.",
        sources: &[Source {
            repository: "Peiris94-dev/Beijing-Multi-Site-Air-Quality-Analysis",
            commit: "0aa46c055fcca7da49ebac9329435ffe674b74c3",
            files: files![
                "PRSA_Data_Aotizhongxin_20130301-20170228.csv" 2835916 "a94fbcfc71708b6ffdc033360163d91efb7f675e496f6b5860929aa96b96351b"
                    "PRSA_Data_Aotizhongxin_20130301-20170228.csv";
                "PRSA_Data_Changping_20130301-20170228.csv" 2722295 "a2e21402a6d95fb7043f87959e6e3dcbecb957aac356a6f8028a85b047c772e7"
                    "PRSA_Data_Changping_20130301-20170228.csv";
                "PRSA_Data_Dingling_20130301-20170228.csv" 2675856 "3d8dff81f18a80d9f455876a785642bffe1e9b9924ec1e6b7ce8cca790432eeb"
                    "PRSA_Data_Dingling_20130301-20170228.csv";
                "PRSA_Data_Dongsi_20130301-20170228.csv" 2636684 "9c0020214425e5ee2a64d42f97a1f632e1d8f6b53ad50edd85a686cc7999f27e"
                    "PRSA_Data_Dongsi_20130301-20170228.csv";
                "PRSA_Data_Guanyuan_20130301-20170228.csv" 2695860 "59390fee3b032597b387491f5230e7edb90a8558e30217ebd6d9befbe669fbf9"
                    "PRSA_Data_Guanyuan_20130301-20170228.csv";
                "PRSA_Data_Gucheng_20130301-20170228.csv" 2654625 "10ae48801ea55869fee56a48b885fb1127859c130551888d71673f34216ba951"
                    "PRSA_Data_Gucheng_20130301-20170228.csv";
                "PRSA_Data_Huairou_20130301-20170228.csv" 2641027 "812dcbe848b3ba2c2d25731064797bff803c46eb0c602156a1fa044df136dc26"
                    "PRSA_Data_Huairou_20130301-20170228.csv";
                "PRSA_Data_Nongzhanguan_20130301-20170228.csv" 2839705 "572cf87b65ef543cd55d3a711b28474def224a46b0ec3fc8add8aaf13b67a487"
                    "PRSA_Data_Nongzhanguan_20130301-20170228.csv";
                "PRSA_Data_Shunyi_20130301-20170228.csv" 2620654 "520b59e4ead3b0cfe7f1ed673e30275de8441e999db6f413d5172d2277b8c15a"
                    "PRSA_Data_Shunyi_20130301-20170228.csv";
                "PRSA_Data_Tiantan_20130301-20170228.csv" 2655061 "0743e34799cf1ee36195b73321b91baa5625276532e7263c588f68cdef3b4daa"
                    "PRSA_Data_Tiantan_20130301-20170228.csv";
                "PRSA_Data_Wanliu_20130301-20170228.csv" 2659544 "0b1a6d754a07f0def2f55434ddfa3870dcd0063b7f766a6f66b6c11bb05a377a"
                    "PRSA_Data_Wanliu_20130301-20170228.csv";
                "PRSA_Data_Wanshouxigong_20130301-20170228.csv" 2871076 "ab1d6a356d6997a45f6d657ad47de1e05a4a08d4a7015b38a329a90665ab74d0"
                    "PRSA_Data_Wanshouxigong_20130301-20170228.csv";
            ],
        }],
    },
    Entry {
        name: "chickenpox",
        folders: &["chickenpox"],
        title: "Weekly chickenpox cases in 20 Hungarian counties, 2005 to 2015",
        licence: "MIT (the repository); CC BY 4.0 (UCI Machine Learning Repository, 580)",
        citation: "Rozemberczki et al., Chickenpox Cases in Hungary, arXiv:2102.08100; PyTorch Geometric Temporal, CIKM 2021, arXiv:2104.07788",
        note: "",
        sources: &[Source {
            repository: TEMPORAL.0,
            commit: TEMPORAL.1,
            files: files![
                "chickenpox.json" 220340 "724b48cfb274b2ecbb855bdb99b970b5ef9dd3671694fa477435dc1e08293735"
                    "dataset/chickenpox.json";
            ],
        }],
    },
    Entry {
        name: "england-covid",
        folders: &["england_covid", "england-covid"],
        title: "Daily COVID-19 cases in 129 English regions, with the mobility between them on each day",
        licence: "MIT (the repository); the mobility derives from Facebook Data for Good",
        citation: "Panagopoulos, Nikolentzos, Vazirgiannis, Transfer Graph Neural Networks for Pandemic Forecasting, AAAI 2021, arXiv:2009.08388",
        note: "",
        sources: &[Source {
            repository: TEMPORAL.0,
            commit: TEMPORAL.1,
            files: files![
                "england_covid.json" 1436945 "497056cc4585b58951fd5cd17554fe0c535f68ea0c907a5b5727ae30e3913450"
                    "dataset/england_covid.json";
            ],
        }],
    },
    Entry {
        name: "montevideo-bus",
        folders: &["montevideo_bus", "montevideo-bus"],
        title: "Passengers boarding at 675 bus stops of Montevideo, hourly, October 2020",
        licence: "MIT (the repository); open data of the Intendencia de Montevideo",
        citation: "Rozemberczki et al., PyTorch Geometric Temporal, CIKM 2021, arXiv:2104.07788",
        note: "",
        sources: &[Source {
            repository: TEMPORAL.0,
            commit: TEMPORAL.1,
            files: files![
                "montevideo_bus.json" 3131884 "37d9c6286d474077b5c05173c1570c4da42c387013116daa8862c7a6cab86a75"
                    "dataset/montevideo_bus.json";
            ],
        }],
    },
    Entry {
        name: "eeg-eye-state",
        folders: &["eeg_eye_state", "eeg-eye-state"],
        title: "EEG with eyes open or closed: 14 electrodes, 128 Hz, one recording",
        licence: "CC BY 4.0 (UCI Machine Learning Repository, 264)",
        citation: "Roesler, EEG Eye State, UCI Machine Learning Repository, 2013; Roesler and Suendermann, A First Step towards Eye State Prediction Using EEG, AIHLS 2013",
        note: "",
        sources: &[Source {
            repository: "rogerior/ixio",
            commit: "5529dc301c83dd152ba981c3da6239a42e6b1855",
            files: files![
                "EEG_Eye_State.arff" 1696426 "693c689be416df0b487b45b5b58a44896fbcd0be72b4ef161d5cc34e2c66c928"
                    "EEG Eye State.arff";
            ],
        }],
    },
    Entry {
        name: "eegmat",
        folders: &["eegmat_sample", "eegmat"],
        title: "EEG at rest and during mental arithmetic: 19 electrodes, 500 Hz, one subject",
        licence: "ODC-By 1.0 (PhysioNet eegmat 1.0.0)",
        citation: "Zyma et al., Electroencephalograms during Mental Arithmetic Task Performance, Data 4(1):14, 2019; Goldberger et al., PhysioNet, Circulation 101(23), 2000",
        note: "One of 36 subjects; all are at physionet.org/content/eegmat/1.0.0.",
        sources: &[Source {
            repository: "manel79/EEG-arithmetic-task-Manel-Mestre",
            commit: "4707c0b46c96d3a3cfc71363fb3ced6dc3cbc2da",
            files: files![
                "Subject00_1.edf" 3848636 "ac46d8c9905d6750c8f07235f2e0d96771882cad8af06a8e32d88cfd16c376ed"
                    "data/Subject00_1.edf";
                "Subject00_2.edf" 1314956 "19476db6d5f2bcd40e417a7e1f2f9b276af05cf2c93a52a2be4d7524b4e9885c"
                    "data/Subject00_2.edf";
                "subject-info.csv" 1031 "09c5951145d9f6a170ed7e01957406010ff549127ccf96ad7a2ead9fb0e018de"
                    "subject-info.csv" or "data/subject-info.csv";
            ],
        }],
    },
    Entry {
        name: "electrodes",
        folders: &["electrodes"],
        title: "Distances of the 10-20 electrodes and positions of the electrodes of the BCI Challenge",
        licence: "MIT (eeg-gnn-ssl); Apache-2.0 (TGMamba)",
        citation: "Tang et al., Self-Supervised Graph Neural Networks for Improved Electroencephalographic Seizure Analysis, ICLR 2022",
        note: "",
        sources: &[
            Source {
                repository: "tsy935/eeg-gnn-ssl",
                commit: "3e60b231a8801d1da9380f82ffd11faa5fa5cb05",
                files: files![
                    "distances_3d.csv" 11227 "aa1d746d22295747a4cc13a8fc1eb816cae6ec9cbe5c3f23ea9ea19cb1b49fdf"
                        "data/electrode_graph/distances_3d.csv";
                ],
            },
            Source {
                repository: "aidanmrli/TGMamba",
                commit: "0f7f8b6b0e87e12c706f8ad8afed510f1eab2d37",
                files: files![
                    "ChannelsLocationBCIcha.csv" 952 "aef38f09bd8f98cfd6d1932d615fffa4de3b4e18b54ffeafbf44956c757dffb2"
                        "data/BCIcha/ChannelsLocationBCIcha.csv";
                ],
            },
        ],
    },
    Entry {
        name: "los-loop",
        folders: &["los_loop", "los-loop"],
        title: "Traffic speed at 207 detectors in Los Angeles, every 5 minutes, 1 to 7 March 2012",
        licence: "MIT (T-GCN and DCRNN)",
        citation: "Zhao et al., T-GCN, IEEE T-ITS 2019, arXiv:1811.05320; Li et al., DCRNN, ICLR 2018, arXiv:1707.01926",
        note: "",
        sources: &[
            Source {
                repository: "lehaifeng/T-GCN",
                commit: "219a2346f5bf68d54d91a948e7a41a08f9edc46b",
                files: files![
                    "los_speed.csv" 3402125 "7b732d86ae32b2930595becba28aff39dacbfb2197e250fc0332e1744ce2cbf4"
                        "T-GCN/T-GCN-PyTorch/data/los_speed.csv";
                    "los_adj.csv" 111686 "7a6eb41e10677992b5af50f5ab187c6c05c5c3a92cb973950cfddbf857361e76"
                        "T-GCN/T-GCN-PyTorch/data/los_adj.csv";
                ],
            },
            Source {
                repository: "liyaguang/DCRNN",
                commit: "602afd9d767d3aa1c9b3eac51710d6aeee12c227",
                files: files![
                    "graph_sensor_locations.csv" 6341 "eb8ea96e07358b45d0e4ba3b89c2673fa20c54af50150249e627389e749ade6f"
                        "data/sensor_graph/graph_sensor_locations.csv";
                ],
            },
        ],
    },
    Entry {
        name: "ssvep-exo",
        folders: &["ssvep_exo", "ssvep-exo"],
        title: "SSVEP exoskeleton: 12 subjects, 8 electrodes, rest and 3 flicker frequencies",
        licence: "CC0-1.0",
        citation: "Kalunga, Chevallier, Barthelemy, Djouani, Monacelli, Hamam, Online SSVEP-based BCI using Riemannian geometry, Neurocomputing 191, 2016",
        note: "One original recording, of subject 03; the trials of all subjects are cut from the FIF files of the same repository.",
        sources: &[Source {
            repository: "sylvchev/dataset-ssvep-exoskeleton",
            commit: "faf331c1707135a62fcf08db6575d1553c56e196",
            files: files![
                "gdf/subject03_2012.07.11-15.25.23.gdf" 3781460 "fb4a5cd938da77fdaa90664eaca1898c03f4259793d9cd23f1be0a637a19e206"
                    "subject03/record-[2012.07.11-15.25.23].gdf";
            ],
        }],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_repository_commit_and_path() {
        let entry = CATALOG.iter().find(|e| e.name == "ssvep-exo").unwrap();
        let (source, file) = entry.files().next().unwrap();
        assert_eq!(
            file.addresses(source),
            [
                "sylvchev/dataset-ssvep-exoskeleton/faf331c1707135a62fcf08db6575d1553c56e196/\
              subject03/record-%5B2012.07.11-15.25.23%5D.gdf"
            ]
        );
        assert_eq!(
            percent_encoded("EEG Eye State.arff"),
            "EEG%20Eye%20State.arff"
        );
    }

    #[test]
    fn entries_are_well_formed() {
        let hex = |s: &str, n| s.len() == n && s.bytes().all(|b| b"0123456789abcdef".contains(&b));
        for entry in CATALOG {
            assert!(
                !entry.licence.is_empty() && !entry.citation.is_empty(),
                "{}",
                entry.name
            );
            for (source, file) in entry.files() {
                assert!(hex(source.commit, 40), "{}", source.commit);
                assert!(hex(file.sha256, 64) && file.bytes > 0, "{}", file.name);
            }
        }
    }
}
