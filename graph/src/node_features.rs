//! Constant features that tell a model which sensor it looks at.
//!
//! The layers of a graph network treat all sensors alike, so that two sensors with mirrored
//! neighbourhoods cannot be told apart. These features, appended after scaling, give each sensor
//! a place or a name of its own.

use ndarray::{Array2, Array4, Axis, concatenate};
use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Result};

/// Which constant features are appended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeFeatures {
    /// None.
    #[default]
    None,
    /// Positions, centred and divided by the root mean square distance from the centre.
    Position,
    /// One feature per sensor, 1 for itself and 0 for the others.
    Identity,
}

impl NodeFeatures {
    /// Number of appended features.
    ///
    /// # Errors
    /// Positions that the data set does not have.
    pub fn count(self, dataset: &Dataset) -> Result<usize> {
        Ok(self.table(dataset)?.map_or(0, |t| t.ncols()))
    }

    /// Appends the features to every window and step.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn append(self, dataset: &mut Dataset) -> Result<()> {
        let Some(table) = self.table(dataset)? else {
            return Ok(());
        };
        let (n, v, l, _) = dataset.x.dim();
        let constant =
            Array4::from_shape_fn((n, v, l, table.ncols()), |(_, i, _, k)| table[[i, k]]);
        dataset.x = concatenate![Axis(3), dataset.x, constant];
        Ok(())
    }

    /// (nodes, features).
    fn table(self, dataset: &Dataset) -> Result<Option<Array2<f32>>> {
        match self {
            Self::None => Ok(None),
            Self::Identity => Ok(Some(Array2::eye(dataset.sensors.len()))),
            Self::Position => {
                let positions = dataset.positions.as_ref().ok_or_else(|| {
                    Error::config(
                        "node_features",
                        "the positions of the sensors are not known",
                        "use identity, or give the data set positions",
                    )
                })?;
                let centre = positions.mean_axis(Axis(0)).unwrap_or_default();
                let centred = positions - &centre;
                let v = positions.nrows().max(1) as f64;
                let spread = (centred.mapv(|x| x * x).sum() / v).sqrt();
                let spread = if spread > 0.0 { spread } else { 1.0 };
                Ok(Some(centred.mapv(|x| (x / spread) as f32)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{array, s};

    use super::*;
    use crate::split::fixture;

    fn dataset() -> Dataset {
        let mut dataset = fixture::dataset(&[(0, "a", "a/0"), (1, "a", "a/0")]);
        let v = dataset.sensors.len();
        dataset.positions = Some(Array2::from_shape_fn((v, 2), |(i, k)| (i * (k + 1)) as f64));
        dataset
    }

    #[test]
    fn identity_names_each_sensor() {
        let mut data = dataset();
        let (_, v, _, f) = data.x.dim();
        let before = data.x.clone();
        NodeFeatures::Identity.append(&mut data).unwrap();
        assert_eq!(data.x.dim().3, f + v);
        assert_eq!(data.x.slice(s![.., .., .., ..f]), before);
        for i in 0..v {
            let own = data.x.slice(s![0, i, 0, f..]).to_vec();
            assert!(own.iter().enumerate().all(|(k, x)| *x == f32::from(u8::from(k == i))));
        }
    }

    #[test]
    fn positions_are_centred_with_unit_spread() {
        let mut data = dataset();
        data.positions = Some(array![[0.0, 0.0], [2.0, 0.0]]);
        data.sensors.truncate(2);
        let table = NodeFeatures::Position.table(&data).unwrap().unwrap();
        assert_eq!(table, array![[-1.0, 0.0], [1.0, 0.0]]);
        data.positions = None;
        let message = NodeFeatures::Position.append(&mut data).unwrap_err().to_string();
        assert!(message.contains("node_features") && message.contains("identity"), "{message}");
    }
}
