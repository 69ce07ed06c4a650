//! What a cache file says of its windows: everything of a data set but the values.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::windows::{Mask, Order, Starts, Windows};
use crate::{Dataset, DatasetInfo, Part, SourceFile};

/// Changes whenever a file written before cannot be read as meant any more.
pub(super) const FORMAT: u32 = 1;

/// Equal neighbours with their number: labels and groups change rarely from window to window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Runs<T>(Vec<(T, usize)>);

impl<T: Clone + PartialEq> Runs<T> {
    pub fn of(values: &[T]) -> Self {
        let mut runs: Vec<(T, usize)> = Vec::new();
        for value in values {
            match runs.last_mut() {
                Some((last, count)) if last == value => *count += 1,
                _ => runs.push((value.clone(), 1)),
            }
        }
        Self(runs)
    }

    /// The values, if there are `n` of them.
    pub fn expand(self, n: usize) -> Option<Vec<T>> {
        let add = |sum: usize, run: &(T, usize)| sum.checked_add(run.1);
        if self.0.iter().try_fold(0, add) != Some(n) {
            return None;
        }
        let run = |(value, count)| std::iter::repeat_n(value, count);
        Some(self.0.into_iter().flat_map(run).collect())
    }
}

/// Nodes of the largest matrix: a gigabyte.
const MOST_NODES: usize = 1 << 14;

/// A matrix as its entries that are not zero, each as the bits of its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sparse(Vec<(usize, usize, u32)>);

impl Sparse {
    pub fn of(a: &Array2<f32>) -> Self {
        let entries = a.indexed_iter().map(|((i, j), v)| (i, j, v.to_bits()));
        Self(entries.filter(|(_, _, bits)| *bits != 0).collect())
    }

    /// The matrix of n nodes, if the entries lie in it and it is one that memory can hold.
    pub fn expand(&self, n: usize) -> Option<Array2<f32>> {
        if n > MOST_NODES {
            return None;
        }
        let mut a = Array2::zeros((n, n));
        for (i, j, bits) in &self.0 {
            *a.get_mut((*i, *j))? = f32::from_bits(*bits);
        }
        Some(a)
    }
}

/// A source as the key sees it: wherever it lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Source {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// One piece of [`Windows`]; its values are the next batches of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PieceMeta {
    Stack {
        count: usize,
    },
    Recording {
        blocks: Vec<(usize, Order)>,
        starts: Starts,
    },
}

/// The footer of a cache file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub format: u32,
    pub key: String,
    pub info: DatasetInfo,
    /// (v, l, f).
    pub shape: (usize, usize, usize),
    pub pieces: Vec<PieceMeta>,
    /// SHA-256 of the values of each batch, and of its mask.
    pub checks: Vec<String>,
    pub mask_checks: Vec<String>,
    pub finite: bool,
    pub masked: bool,
    pub sensors: Vec<String>,
    /// Columns, and the bits of the numbers row by row.
    pub positions: Option<(usize, Vec<u64>)>,
    pub adjacency: Option<Sparse>,
    /// Bits.
    pub sampling_rate: Option<u64>,
    pub y: Runs<usize>,
    pub classes: Vec<String>,
    pub recording: Runs<usize>,
    pub subject: Option<Runs<String>>,
    pub session: Option<Runs<String>>,
    pub part: Runs<Option<Part>>,
    pub sources: Vec<Source>,
}

impl Meta {
    /// Everything but what is known once the values are written.
    pub fn of(dataset: &Dataset, key: &str, sources: Vec<Source>) -> Self {
        let (_, v, l, f) = dataset.x.dim();
        let positions = dataset.positions.as_ref();
        Self {
            format: FORMAT,
            key: key.into(),
            info: dataset.info.clone(),
            shape: (v, l, f),
            pieces: Vec::new(),
            checks: Vec::new(),
            mask_checks: Vec::new(),
            finite: true,
            masked: dataset.mask.is_some(),
            sensors: dataset.sensors.clone(),
            positions: positions.map(|p| (p.ncols(), p.iter().map(|x| x.to_bits()).collect())),
            adjacency: dataset.adjacency.as_ref().map(Sparse::of),
            sampling_rate: dataset.sampling_rate.map(f64::to_bits),
            y: Runs::of(&dataset.y),
            classes: dataset.classes.clone(),
            recording: Runs::of(&dataset.recording),
            subject: dataset.subject.as_deref().map(Runs::of),
            session: dataset.session.as_deref().map(Runs::of),
            part: Runs::of(&dataset.part),
            sources,
        }
    }

    /// The data set with these values; the name of the field that contradicts them, if one does.
    pub fn dataset(self, x: Windows, mask: Option<Mask>) -> std::result::Result<Dataset, String> {
        let (n, v, _, _) = x.dim();
        let wrong = |field: &str| format!("{field} does not fit {n} windows of {v} sensors");
        if self.sensors.len() != v {
            return Err(wrong("sensors"));
        }
        let positions = match self.positions {
            None => None,
            Some((columns, bits)) => {
                let numbers = bits.into_iter().map(f64::from_bits).collect();
                let table = Array2::from_shape_vec((v, columns), numbers);
                Some(table.map_err(|_| wrong("positions"))?)
            }
        };
        let adjacency = match &self.adjacency {
            None => None,
            Some(sparse) => Some(sparse.expand(v).ok_or_else(|| wrong("adjacency"))?),
        };
        let y = self.y.expand(n).ok_or_else(|| wrong("y"))?;
        if !self.classes.is_empty() && y.iter().any(|class| *class >= self.classes.len()) {
            return Err(wrong("classes"));
        }
        let names = |runs: Option<Runs<String>>, field| match runs {
            None => Ok(None),
            Some(runs) => runs.expand(n).map(Some).ok_or_else(|| wrong(field)),
        };
        Ok(Dataset {
            info: self.info,
            sensors: self.sensors,
            positions,
            adjacency,
            sampling_rate: self.sampling_rate.map(f64::from_bits),
            x: if self.finite { x.known_finite() } else { x },
            mask,
            y,
            classes: self.classes,
            recording: self.recording.expand(n).ok_or_else(|| wrong("recording"))?,
            subject: names(self.subject, "subject")?,
            session: names(self.session, "session")?,
            part: self.part.expand(n).ok_or_else(|| wrong("part"))?,
            sources: self
                .sources
                .into_iter()
                .map(|s| SourceFile {
                    path: s.name.into(),
                    bytes: s.bytes,
                    sha256: s.sha256,
                })
                .collect(),
            preparation: Default::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_expand_to_what_they_were_and_no_further() {
        let values = [3, 3, 3, 1, 3];
        let runs = Runs::of(&values);
        assert_eq!(runs.0, [(3, 3), (1, 1), (3, 1)]);
        assert_eq!(runs.clone().expand(5).unwrap(), values);
        assert!(runs.expand(4).is_none());
        assert!(Runs(vec![(0, usize::MAX), (1, 2)]).expand(1).is_none());
    }

    #[test]
    fn matrices_keep_their_bits() {
        let a = ndarray::array![
            [0.0, -0.0, 1.5],
            [f32::MIN_POSITIVE, 0.0, 0.0],
            [0.0, 2.0, 0.0]
        ];
        let back = Sparse::of(&a).expand(3).unwrap();
        assert!(a.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!(Sparse::of(&a).expand(2).is_none());
    }
}
