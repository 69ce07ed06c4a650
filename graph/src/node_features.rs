//! Features that tell a model which sensor it looks at.
//!
//! The layers of a graph network treat all sensors alike, so that two sensors with mirrored
//! neighbourhoods cannot be told apart. Added after scaling, these give each sensor a place, a name
//! or input weights of its own.

use std::sync::Arc;

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

use crate::preparation::Constants;
use crate::{Dataset, Error, Result};

/// What is added to the features of each sensor.
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
    /// The features of sensor i move to slot i of v slots, and its name is appended: the first
    /// layer then has weights of its own for every sensor, v (f + 1) features in all.
    Slots,
}

impl NodeFeatures {
    /// Number of features that f features become.
    ///
    /// # Errors
    /// Positions that the data set does not have.
    pub fn count(self, dataset: &Dataset) -> Result<usize> {
        let (_, v, _, f) = dataset.x.dim();
        Ok(match self {
            Self::Slots => v * (f + 1),
            _ => f + self.table(dataset)?.map_or(0, |t| t.ncols()),
        })
    }

    /// Has the features added to every window and step on the way into a batch.
    ///
    /// # Errors
    /// As [`count`](Self::count), and when the data set has features of nodes already.
    pub fn append(self, dataset: &mut Dataset) -> Result<()> {
        let Some(table) = self.table(dataset)? else {
            return Ok(());
        };
        if dataset.preparation.constants.is_some() {
            return Err(Error::config(
                "node_features",
                "the data set has some already",
                "add them once",
            ));
        }
        dataset.preparation.constants = Some(Arc::new(Constants {
            table,
            slots: self == Self::Slots,
        }));
        Ok(())
    }

    /// (nodes, features).
    fn table(self, dataset: &Dataset) -> Result<Option<Array2<f32>>> {
        match self {
            Self::None => Ok(None),
            Self::Identity | Self::Slots => Ok(Some(Array2::eye(dataset.sensors.len()))),
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
        let mut dataset = fixture::dataset(&[0, 1], 1);
        let v = dataset.sensors.len();
        dataset.positions = Some(Array2::from_shape_fn((v, 2), |(i, k)| (i * (k + 1)) as f64));
        dataset
    }

    #[test]
    fn identity_names_each_sensor() {
        let mut data = dataset();
        let (_, v, _, f) = data.x.dim();
        NodeFeatures::Identity.append(&mut data).unwrap();
        assert_eq!(data.dim().3, f + v);
        let x = data.gather(&[0, 1]);
        assert_eq!(x.slice(s![.., .., .., ..f]), data.x.to_array());
        for i in 0..v {
            let own = x.slice(s![0, i, 0, f..]).to_vec();
            assert!(
                own.iter()
                    .enumerate()
                    .all(|(k, x)| *x == f32::from(u8::from(k == i)))
            );
        }
    }

    #[test]
    fn slots_keep_sensors_apart() {
        let mut data = dataset();
        let before = data.x.to_array();
        let (n, v, l, f) = before.dim();
        let count = NodeFeatures::Slots.count(&data).unwrap();
        NodeFeatures::Slots.append(&mut data).unwrap();
        assert!(NodeFeatures::Identity.append(&mut data).is_err());
        assert_eq!(data.dim(), (n, v, l, count));
        let x = data.gather(&(0..n).collect::<Vec<_>>());
        for i in 0..v {
            let own = x.slice(s![.., i, .., i * f..(i + 1) * f]);
            assert_eq!(own, before.slice(s![.., i, .., ..]));
            let all = x.slice(s![.., i, .., ..v * f]);
            assert_eq!(
                all.sum(),
                own.sum(),
                "nothing outside the sensor's own slot"
            );
            assert_eq!(x[[0, i, 0, v * f + i]], 1.0);
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
        let message = NodeFeatures::Position
            .append(&mut data)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("node_features") && message.contains("identity"),
            "{message}"
        );
    }
}
