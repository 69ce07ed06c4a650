//! EEG electrodes by name: one spelling, positions without a file, graphs of a montage.
//!
//! Positions are those of an ideal spherical head (see [`electrode_direction`]); measured or
//! template positions come from a table, see [`read_positions`](crate::datasets::read_positions).

mod names;
mod positions;

use ndarray::Array2;

use crate::topology::{GraphConfig, SensorGraph, build_from_positions};
use crate::{Error, Result};

pub use names::normalise_channel_name;

/// Radius of the ideal head, metres: an adult's scalp at a circumference of 60 cm.
pub const SCALP_RADIUS: f64 = 0.095;

/// Unit vector from the middle of the head to an electrode: x to the right ear, y to the nose, z
/// to the vertex.
///
/// Every name of the 10-20, 10-10 and 10-05 systems is known, with the earlobes (A1, A2), mastoids
/// (M1, M2), anterior temporal places (T1, T2) and preauricular points (LPA, RPA); spelling as
/// for [`normalise_channel_name`]. The circumference through Fpz, T7, Oz and T8 is the equator,
/// 10 % of the midline are 22.5°, and coronal rows are circles through three points, divided into
/// equal arcs. A1, A2, M1, M2 are put 5 % below the lower circumference, T1 and T2 at FT9 and FT10.
/// For a bipolar channel (`Fp1-F7`) it is the direction half way between both ends. `None` for
/// other names.
///
/// The directions of the template `standard_1005` of MNE-Python, fitted by rotation, scale and
/// shift, differ by 2.7° in the mean and 6.2° at most (`cargo test --test electrodes`).
pub fn electrode_direction(name: &str) -> Option<[f64; 3]> {
    let name = normalise_channel_name(name);
    if let Some(direction) = positions::direction(&name) {
        return Some(direction);
    }
    let (anode, cathode) = names::bipolar(&name)?;
    let (a, b) = (positions::direction(anode)?, positions::direction(cathode)?);
    let sum: [f64; 3] = std::array::from_fn(|i| a[i] + b[i]);
    let length = positions::dot(sum, sum).sqrt();
    // Opposite ends have no direction between them.
    (length > 1e-9).then(|| sum.map(|x| x / length))
}

/// Names of all electrodes whose position is known, without aliases.
pub fn electrode_names() -> impl Iterator<Item = &'static str> {
    positions::names()
}

/// Positions of electrodes by name, (nodes, 3), metres, in the order of `names`: their
/// [direction](electrode_direction) on a head of radius [`SCALP_RADIUS`].
///
/// # Errors
/// [`Error::Unknown`] for a name that is no electrode, with the nearest one that is.
///
/// ```
/// use tgmamba_graph::electrodes::{SCALP_RADIUS, electrode_positions};
/// let p = electrode_positions(&["EEG CZ-REF", "T3"])?;
/// assert!((p[[0, 2]] - SCALP_RADIUS).abs() < 1e-12);
/// assert!((p[[1, 0]] + SCALP_RADIUS).abs() < 1e-12);
/// # Ok::<(), tgmamba_graph::Error>(())
/// ```
pub fn electrode_positions<S: AsRef<str>>(names: &[S]) -> Result<Array2<f64>> {
    let mut out = Array2::zeros((names.len(), 3));
    for (name, mut row) in names.iter().zip(out.rows_mut()) {
        let name = name.as_ref();
        let direction = electrode_direction(name).ok_or_else(|| {
            let known: Vec<&str> = electrode_names().collect();
            Error::unknown("electrode", name, &known)
        })?;
        for (to, from) in row.iter_mut().zip(direction) {
            *to = SCALP_RADIUS * from;
        }
    }
    Ok(out)
}

/// The graph of a montage by channel name: `gaussian`, `knn`, `radius`, `complete` or `none` of
/// [`GraphConfig`] over the [positions](electrode_positions) of the electrodes, which it carries.
/// Nodes keep the names they are given.
///
/// # Errors
/// [`Error::Unknown`] for a name that is no electrode; [`Error::Config`] for kinds that need a
/// data set, parameters out of range, or a name that is given twice.
pub fn montage_graph<S: AsRef<str>>(names: &[S], config: &GraphConfig) -> Result<SensorGraph> {
    let nodes: Vec<String> = names.iter().map(|n| n.as_ref().to_string()).collect();
    build_from_positions(config, &nodes, &electrode_positions(names)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::EdgeWeights;

    fn degrees(a: &str, b: &str) -> f64 {
        let (a, b) = (electrode_direction(a), electrode_direction(b));
        positions::dot(a.unwrap(), b.unwrap())
            .clamp(-1.0, 1.0)
            .acos()
            .to_degrees()
    }

    #[test]
    fn all_names_of_the_system_on_the_sphere() {
        let names: Vec<&str> = electrode_names().collect();
        // 15 rows of 21, 6 rows of 5 at front and back, 8 on and before the ears.
        assert_eq!(names.len(), 15 * 21 + 6 * 5 + 8);
        let mut lower: Vec<String> = names.iter().map(|n| n.to_lowercase()).collect();
        lower.sort();
        lower.dedup();
        assert_eq!(lower.len(), names.len());
        for name in names {
            let [x, y, z] = electrode_direction(name).unwrap();
            assert!((x * x + y * y + z * z - 1.0).abs() < 1e-12, "{name}");
            assert_eq!(normalise_channel_name(&name.to_lowercase()), name);
            assert_eq!(normalise_channel_name(&name.to_uppercase()), name);
        }
    }

    #[test]
    fn rules_of_the_system() {
        for (a, b, angle) in [
            ("Cz", "Fz", 45.0),
            ("Cz", "T3", 90.0),
            ("Cz", "Nz", 112.5),
            ("Fpz", "Oz", 180.0),
            ("Fp1", "Fp2", 36.0),
            ("Fp1", "F7", 36.0),
            ("Cz", "C1h", 11.25),
            ("T7", "T9h", 11.25),
            ("Pz", "CPPz", 11.25),
            ("O1", "OI1", 11.25),
        ] {
            assert!(
                (degrees(a, b) - angle).abs() < 1e-9,
                "{a} {b} {}",
                degrees(a, b)
            );
        }
        // Steps of a row are equal, of the whole and of the halves.
        for row in [
            ["F7", "F5", "F3", "F1", "Fz"],
            ["PPO7", "PPO7h", "PPO5", "PPO5h", "PPO3"],
        ] {
            let steps: Vec<f64> = row.windows(2).map(|w| degrees(w[0], w[1])).collect();
            for step in &steps {
                assert!(
                    (step - steps[0]).abs() < 1e-9 && *step > 4.0,
                    "{row:?} {steps:?}"
                );
            }
        }
    }

    #[test]
    fn left_mirrors_right() {
        for (left, right) in [
            ("Fp1", "Fp2"),
            ("AFF5h", "AFF6h"),
            ("TP9", "TP10"),
            ("A1", "A2"),
        ] {
            let (l, r) = (
                electrode_direction(left).unwrap(),
                electrode_direction(right).unwrap(),
            );
            assert!(l[0] < -0.01, "{left}");
            for (a, b) in [(-l[0], r[0]), (l[1], r[1]), (l[2], r[2])] {
                assert!((a - b).abs() < 1e-12, "{left} {right}");
            }
        }
    }

    #[test]
    fn bipolar_channels_lie_between() {
        let middle = electrode_direction("EEG FP1-F7").unwrap();
        let af7 = electrode_direction("AF7").unwrap();
        for (a, b) in middle.iter().zip(af7) {
            assert!((a - b).abs() < 1e-12);
        }
        assert!(electrode_direction("T7-T8").is_none());
        assert!(electrode_direction("ECG").is_none());
    }

    #[test]
    fn graphs_of_a_montage() {
        let names = ["EEG C3-REF", "EEG CZ-REF", "EEG C4-REF", "EEG O1-REF"];
        let graph = montage_graph(&names, &GraphConfig::knn(1)).unwrap();
        assert_eq!(graph.nodes(), names);
        assert!(graph.edges().iter().any(|e| (e.0, e.1) == (1, 0)));
        let config = GraphConfig::Radius {
            metres: 0.08,
            weights: EdgeWeights::Binary,
            sigma: None,
        };
        let edges = montage_graph(&names, &config).unwrap().edges();
        let pairs: Vec<_> = edges.iter().map(|(s, t, _)| (*s, *t)).collect();
        assert_eq!(pairs, [(1, 0), (0, 1), (2, 1), (1, 2)]);
        let message = montage_graph(&["Cx"], &config).unwrap_err().to_string();
        assert!(message.contains("unknown electrode \"Cx\""), "{message}");
        assert!(montage_graph(&names, &GraphConfig::Given {}).is_err());
        assert!(montage_graph(&["T7", "T7"], &config).is_err());
    }
}
