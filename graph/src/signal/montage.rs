//! What electrodes are measured against: single references and bipolar montages, by channel name.

use ndarray::{Array2, Array3, ArrayView3, Axis, Zip};
use serde::{Deserialize, Serialize};

use crate::electrodes::normalise_channel_name;
use crate::windows::RecordingSet;
use crate::{Error, Result};

/// What electrodes are measured against. In a file `"none"`, `"average"`, or a list of channels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "WordOrNames", into = "WordOrNames")]
pub enum Reference {
    /// As recorded.
    #[default]
    None,
    /// The mean over the nodes at each time step.
    Average,
    /// The mean of these channels at each time step (`["Cz"]`, `["A1", "A2"]`). They stay among
    /// the nodes.
    Channels(Vec<String>),
}

/// Differences of two electrodes in place of electrodes. In a file `"tcp"`, `"tcp-a"`,
/// `"double-banana"`, or a list of pairs (`["Fp1-F7", "F7-T7"]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WordOrNames", into = "WordOrNames")]
pub enum Montage {
    /// The 22 pairs of the Temple University Hospital's corpora (`01_tcp_ar`): chains from front
    /// to back at both sides, and one across from ear to ear.
    Tcp,
    /// [`Tcp`](Self::Tcp) without the two pairs of the ears (`03_tcp_ar_a`).
    TcpA,
    /// The longitudinal bipolar montage of the American Clinical Neurophysiology Society: 18 pairs
    /// in five chains from front to back.
    DoubleBanana,
    /// These pairs, the first less the second.
    Pairs(Vec<[String; 2]>),
}

const LEFT: [[&str; 2]; 8] = [
    ["Fp1", "F7"],
    ["F7", "T7"],
    ["T7", "P7"],
    ["P7", "O1"],
    ["Fp1", "F3"],
    ["F3", "C3"],
    ["C3", "P3"],
    ["P3", "O1"],
];

const RIGHT: [[&str; 2]; 8] = [
    ["Fp2", "F8"],
    ["F8", "T8"],
    ["T8", "P8"],
    ["P8", "O2"],
    ["Fp2", "F4"],
    ["F4", "C4"],
    ["C4", "P4"],
    ["P4", "O2"],
];

const ACROSS: [[&str; 2]; 6] = [
    ["A1", "T7"],
    ["T7", "C3"],
    ["C3", "Cz"],
    ["Cz", "C4"],
    ["C4", "T8"],
    ["T8", "A2"],
];

const MIDDLE: [[&str; 2]; 2] = [["Fz", "Cz"], ["Cz", "Pz"]];

impl Montage {
    /// The pairs, in the order of the nodes that they become.
    pub fn pairs(&self) -> Vec<[String; 2]> {
        let parts: Vec<&[[&str; 2]]> = match self {
            Self::Tcp => vec![&LEFT[..4], &RIGHT[..4], &ACROSS, &LEFT[4..], &RIGHT[4..]],
            Self::TcpA => vec![
                &LEFT[..4],
                &RIGHT[..4],
                &ACROSS[1..5],
                &LEFT[4..],
                &RIGHT[4..],
            ],
            Self::DoubleBanana => vec![&LEFT, &RIGHT, &MIDDLE],
            Self::Pairs(pairs) => return pairs.clone(),
        };
        let pairs = parts.into_iter().flatten();
        pairs.map(|pair| pair.map(str::to_string)).collect()
    }

    /// Puts the pairs in place of the electrodes: signals, masks (observed where both were), names
    /// (`Fp1-F7`) and positions (the middle of both).
    ///
    /// # Errors
    /// [`Error::Config`] when there is no pair, an electrode of a pair is not among the sensors,
    /// or there is an adjacency, which would be one of electrodes.
    pub fn apply(&self, set: RecordingSet) -> Result<RecordingSet> {
        let pairs = self.pairs();
        if pairs.is_empty() {
            return Err(Error::config(
                "features.montage",
                "is an empty list",
                "give pairs like \"Fp1-F7\", or leave it out",
            ));
        }
        if set.adjacency.is_some() {
            return Err(Error::config(
                "features.montage",
                "makes other nodes than those of the given adjacency",
                "leave one of the two out",
            ));
        }
        let index = pairs
            .iter()
            .map(|[a, b]| {
                Ok([
                    find(&set.sensors, a, "features.montage")?,
                    find(&set.sensors, b, "features.montage")?,
                ])
            })
            .collect::<Result<Vec<[usize; 2]>>>()?;
        let name = |n: &String| normalise_channel_name(n);
        let mut set = RecordingSet {
            sensors: pairs
                .iter()
                .map(|[a, b]| format!("{}-{}", name(a), name(b)))
                .collect(),
            positions: set.positions.map(|p| {
                Array2::from_shape_fn((index.len(), p.ncols()), |(i, axis)| {
                    let [a, b] = index[i];
                    (p[[a, axis]] + p[[b, axis]]) / 2.0
                })
            }),
            ..set
        };
        for r in &mut set.recordings {
            check_nodes(&index, r.signal.len_of(Axis(0)), &r.name)?;
            r.signal = bipolar(r.signal.view(), &index);
            if let Some(mask) = &r.mask {
                check_nodes(&index, mask.nrows(), &r.name)?;
                r.mask = Some(Array2::from_shape_fn(
                    (index.len(), mask.ncols()),
                    |(i, t)| mask[[index[i][0], t]] && mask[[index[i][1], t]],
                ));
            }
        }
        Ok(set)
    }
}

impl Reference {
    /// Subtracts the mean of the named channels from all nodes; nothing for the other kinds, which
    /// need no names. What a mask excludes becomes no reference: where one of the channels is
    /// missing, all nodes are.
    ///
    /// # Errors
    /// [`Error::Config`] when no channel is named, or one is not among the sensors.
    pub fn apply(&self, mut set: RecordingSet) -> Result<RecordingSet> {
        let Self::Channels(names) = self else {
            return Ok(set);
        };
        let field = "features.reference";
        if names.is_empty() {
            return Err(Error::config(
                field,
                "is an empty list",
                "name channels, or write \"none\" or \"average\"",
            ));
        }
        let index = names
            .iter()
            .map(|n| find(&set.sensors, n, field))
            .collect::<Result<Vec<usize>>>()?;
        for r in &mut set.recordings {
            let pairs: Vec<[usize; 2]> = index.iter().map(|i| [*i, *i]).collect();
            check_nodes(&pairs, r.signal.len_of(Axis(0)), &r.name)?;
            let mut mean = ndarray::Array::<f64, _>::zeros(r.signal.index_axis(Axis(0), 0).dim());
            for i in &index {
                let channel = r.signal.index_axis(Axis(0), *i);
                Zip::from(&mut mean)
                    .and(channel)
                    .for_each(|m, v| *m += f64::from(*v) / index.len() as f64);
            }
            for node in r.signal.outer_iter_mut() {
                Zip::from(node)
                    .and(&mean)
                    .for_each(|v, m| *v = (f64::from(*v) - m) as f32);
            }
            if let Some(mask) = &mut r.mask {
                check_nodes(&pairs, mask.nrows(), &r.name)?;
                for t in 0..mask.ncols() {
                    if index.iter().any(|i| !mask[[*i, t]]) {
                        mask.column_mut(t).fill(false);
                    }
                }
            }
        }
        Ok(set)
    }
}

/// Differences of pairs of nodes, first less second: (nodes, time, features) to (pairs, time,
/// features). Pairs are indices of nodes that exist.
pub fn bipolar(x: ArrayView3<'_, f32>, pairs: &[[usize; 2]]) -> Array3<f32> {
    let (_, time, features) = x.dim();
    let mut out = Array3::zeros((pairs.len(), time, features));
    for ([a, b], mut to) in pairs.iter().zip(out.outer_iter_mut()) {
        to.assign(&x.index_axis(Axis(0), *a));
        to -= &x.index_axis(Axis(0), *b);
    }
    out
}

/// The sensor that is called `name`, in whatever spelling.
fn find(sensors: &[String], name: &str, field: &str) -> Result<usize> {
    let wanted = normalise_channel_name(name);
    sensors
        .iter()
        .position(|s| normalise_channel_name(s) == wanted)
        .ok_or_else(|| {
            Error::config(
                field,
                format!("no channel is called {name}"),
                format!("the channels are {}", sensors.join(", ")),
            )
        })
}

fn check_nodes(index: &[[usize; 2]], nodes: usize, name: &str) -> Result<()> {
    if index.iter().flatten().all(|i| *i < nodes) {
        return Ok(());
    }
    Err(Error::config(
        format!("recording {name}"),
        format!("has only {nodes} nodes"),
        "give every recording the sensors that the data set names",
    ))
}

/// How both enumerations stand in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WordOrNames {
    Word(String),
    Names(Vec<String>),
}

impl From<Reference> for WordOrNames {
    fn from(r: Reference) -> Self {
        match r {
            Reference::None => Self::Word("none".into()),
            Reference::Average => Self::Word("average".into()),
            Reference::Channels(names) => Self::Names(names),
        }
    }
}

impl TryFrom<WordOrNames> for Reference {
    type Error = String;

    fn try_from(w: WordOrNames) -> std::result::Result<Self, String> {
        match w {
            WordOrNames::Word(word) => match word.as_str() {
                "none" => Ok(Self::None),
                "average" => Ok(Self::Average),
                other => Err(format!(
                    "\"{other}\" is no reference; write \"none\", \"average\" or a list of channels"
                )),
            },
            WordOrNames::Names(names) => Ok(Self::Channels(names)),
        }
    }
}

impl From<Montage> for WordOrNames {
    fn from(m: Montage) -> Self {
        match m {
            Montage::Tcp => Self::Word("tcp".into()),
            Montage::TcpA => Self::Word("tcp-a".into()),
            Montage::DoubleBanana => Self::Word("double-banana".into()),
            Montage::Pairs(pairs) => Self::Names(pairs.iter().map(|p| p.join("-")).collect()),
        }
    }
}

impl TryFrom<WordOrNames> for Montage {
    type Error = String;

    fn try_from(w: WordOrNames) -> std::result::Result<Self, String> {
        let names = match w {
            WordOrNames::Names(names) => names,
            WordOrNames::Word(word) => {
                return match word.as_str() {
                    "tcp" => Ok(Self::Tcp),
                    "tcp-a" => Ok(Self::TcpA),
                    "double-banana" => Ok(Self::DoubleBanana),
                    other => Err(format!(
                        "\"{other}\" is no montage; write \"tcp\", \"tcp-a\", \"double-banana\" or \
                         a list of pairs"
                    )),
                };
            }
        };
        let pair = |name: String| match name.split_once('-') {
            Some((a, b)) if !a.trim().is_empty() && !b.trim().is_empty() => {
                Ok([a.trim().to_string(), b.trim().to_string()])
            }
            _ => Err(format!("\"{name}\" is no pair of channels like \"Fp1-F7\"")),
        };
        Ok(Self::Pairs(
            names
                .into_iter()
                .map(pair)
                .collect::<std::result::Result<_, _>>()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr2, array};

    use super::*;
    use crate::{DatasetInfo, Labels, Recording};

    fn set(sensors: &[&str]) -> RecordingSet {
        let signal =
            Array3::from_shape_fn((sensors.len(), 3, 1), |(v, t, _)| (v * v * 10 + t) as f32);
        RecordingSet {
            info: DatasetInfo::default(),
            sensors: sensors.iter().map(|s| s.to_string()).collect(),
            positions: Some(Array2::from_shape_fn((sensors.len(), 3), |(v, a)| {
                (v + a) as f64
            })),
            adjacency: None,
            classes: Vec::new(),
            recordings: vec![Recording {
                name: "r".into(),
                signal,
                mask: Some(Array2::from_shape_fn((sensors.len(), 3), |(v, t)| {
                    v != 0 || t != 1
                })),
                sampling_rate: None,
                labels: Labels::None,
                subject: None,
                session: None,
                part: None,
            }],
            sources: Vec::new(),
        }
    }

    #[test]
    fn named_montages_have_the_published_pairs() {
        let names = |m: Montage| -> Vec<String> { m.pairs().iter().map(|p| p.join("-")).collect() };
        let tcp = names(Montage::Tcp);
        assert_eq!((tcp.len(), names(Montage::TcpA).len()), (22, 20));
        assert_eq!(tcp[..2], ["Fp1-F7", "F7-T7"]);
        assert_eq!(
            tcp[8..14],
            ["A1-T7", "T7-C3", "C3-Cz", "Cz-C4", "C4-T8", "T8-A2"]
        );
        assert_eq!(tcp[21], "P4-O2");
        assert!(!names(Montage::TcpA).iter().any(|n| n.contains('A')));
        assert_eq!(names(Montage::DoubleBanana).len(), 18);
    }

    #[test]
    fn pairs_take_the_place_of_electrodes() {
        let montage = Montage::Pairs(vec![
            ["fp1".into(), "F7".into()],
            ["F7".into(), "T7".into()],
        ]);
        let out = montage
            .apply(set(&["EEG FP1-REF", "EEG F7-REF", "EEG T3-REF"]))
            .unwrap();
        assert_eq!(out.sensors, ["Fp1-F7", "F7-T7"]);
        let r = &out.recordings[0];
        assert_eq!(
            r.signal.iter().copied().collect::<Vec<_>>(),
            [-10.0, -10.0, -10.0, -30.0, -30.0, -30.0]
        );
        assert_eq!(
            r.mask.as_ref().unwrap(),
            &array![[true, false, true], [true, true, true]]
        );
        assert_eq!(
            out.positions.unwrap(),
            arr2(&[[0.5, 1.5, 2.5], [1.5, 2.5, 3.5]])
        );
        let message = Montage::Tcp
            .apply(set(&["Fp1", "F7"]))
            .unwrap_err()
            .to_string();
        assert!(message.contains("called T7"), "{message}");
        let mut with = set(&["Fp1", "F7", "T7"]);
        with.adjacency = Some(Array2::zeros((3, 3)));
        assert!(montage.apply(with).is_err());
        assert!(Montage::Pairs(vec![]).apply(set(&["Fp1"])).is_err());
    }

    #[test]
    fn linked_ears() {
        let reference = Reference::Channels(vec!["A1".into(), "A2".into()]);
        let out = reference.apply(set(&["A1", "Cz", "A2"])).unwrap();
        let r = &out.recordings[0];
        // The mean of t and 40 + t is 20 + t.
        assert_eq!(
            r.signal.iter().copied().collect::<Vec<_>>(),
            [-20.0, -20.0, -20.0, -10.0, -10.0, -10.0, 20.0, 20.0, 20.0]
        );
        assert_eq!(r.mask.as_ref().unwrap().column(1).to_vec(), [false; 3]);
        let missing = reference.apply(set(&["A1", "Cz"])).unwrap_err().to_string();
        assert!(missing.contains("called A2"), "{missing}");
        assert!(Reference::Channels(vec![]).apply(set(&["A1"])).is_err());
    }

    #[test]
    fn words_and_lists_in_a_file() {
        let reference = |json: &str| serde_json::from_str::<Reference>(json);
        assert_eq!(reference("\"average\"").unwrap(), Reference::Average);
        assert_eq!(
            reference("[\"Cz\"]").unwrap(),
            Reference::Channels(vec!["Cz".into()])
        );
        assert!(
            reference("\"avreage\"")
                .unwrap_err()
                .to_string()
                .contains("avreage")
        );
        for text in [
            "\"tcp\"",
            "\"tcp-a\"",
            "\"double-banana\"",
            "[\"Fp1-F7\",\"F7-T7\"]",
        ] {
            let montage: Montage = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&montage).unwrap(), text);
        }
        assert!(serde_json::from_str::<Montage>("[\"Fp1\"]").is_err());
        assert!(serde_json::from_str::<Montage>("\"banana\"").is_err());
    }
}
