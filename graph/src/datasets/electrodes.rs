//! Positions of sensors from a table `name,x,y[,z]`, or of EEG electrodes by their names.

use std::path::{Path, PathBuf};

use ndarray::Array2;

use crate::electrodes::{electrode_positions, normalise_channel_name};
use crate::formats::csv::{CsvConfig, read_cells};
use crate::{Error, Result, SourceFile, files};

/// Positions, (nodes, 2 or 3), of `sensors` out of a table with columns `name`, `x`, `y` and
/// perhaps `z` (metres), in the order of `sensors`. Case does not matter in names, nor do the
/// spellings that [`normalise_channel_name`] brings together, and the table may hold others.
///
/// # Errors
/// [`Error::File`] when a column or a sensor is missing, or a coordinate is no number.
pub fn read_positions(path: impl AsRef<Path>, sensors: &[String]) -> Result<Array2<f64>> {
    let path = path.as_ref();
    let cells = read_cells(path, &CsvConfig::default())?;
    let column = |name: &str| cells.require(name, path, "name the columns name,x,y or name,x,y,z");
    let names = column("name")?;
    let mut axes = vec![("x", column("x")?), ("y", column("y")?)];
    if let Some(z) = cells.column("z") {
        axes.push(("z", z));
    }
    let mut out = Array2::zeros((sensors.len(), axes.len()));
    for (v, sensor) in sensors.iter().enumerate() {
        let lower = sensor.to_lowercase();
        let same = names.iter().position(|n| n.to_lowercase() == lower);
        let electrode = || {
            let name = normalise_channel_name(sensor);
            names.iter().position(|n| normalise_channel_name(n) == name)
        };
        let Some(row) = same.or_else(electrode) else {
            return Err(Error::file(
                path,
                sensor,
                "the sensor has no position",
                "add a line for it, or correct the name",
            ));
        };
        for (a, (axis, values)) in axes.iter().enumerate() {
            out[[v, a]] = values[row]
                .parse()
                .ok()
                .filter(|p: &f64| p.is_finite())
                .ok_or_else(|| {
                    Error::file(
                        path,
                        format!("line {}, column {axis}", cells.lines[row]),
                        format!("{:?} is no coordinate", values[row]),
                        "write a number in metres",
                    )
                })?;
        }
    }
    Ok(out)
}

/// Positions out of `electrodes/standard_1005.csv` in or beside the data directory or the
/// folder of the data set, where that file is there; else those of the ideal head.
pub(super) fn standard(
    data_dir: Option<&Path>,
    folder: &Path,
    sensors: &[String],
) -> Result<(Array2<f64>, Option<SourceFile>)> {
    let candidates: Vec<PathBuf> = data_dir
        .into_iter()
        .chain(folder.parent())
        .map(|root| root.join("electrodes/standard_1005.csv"))
        .collect();
    let Some(path) = candidates.into_iter().find(|p| p.is_file()) else {
        return Ok((electrode_positions(sensors)?, None));
    };
    let positions = read_positions(&path, sensors)?;
    Ok((positions, Some(files::source_file(path)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_the_sensors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.csv");
        let sensors = ["OZ".to_string(), "Cz".to_string()];
        std::fs::write(&path, "name,x,y\nCz,1,2\nPz,a,b\nOz,3,4\n").unwrap();
        let p = read_positions(&path, &sensors).unwrap();
        assert_eq!(p, ndarray::arr2(&[[3.0, 4.0], [1.0, 2.0]]));
        let text = |sensor: &str| {
            read_positions(&path, &[sensor.to_string()])
                .unwrap_err()
                .to_string()
        };
        assert!(text("Fz").contains("no position"));
        std::fs::write(&path, "name,x,y\nT7,1,2\n").unwrap();
        let p = read_positions(&path, &["EEG T3-REF".to_string()]).unwrap();
        assert_eq!(p, ndarray::arr2(&[[1.0, 2.0]]));
        std::fs::write(&path, "name,x,y\nCz,1,2\nPz,a,b\nOz,3,4\n").unwrap();
        assert!(text("Pz").contains("line 3, column x"));
        std::fs::write(&path, "name,x\nCz,1\n").unwrap();
        assert!(text("Cz").contains("no column \"y\""));
    }
}
