//! Positions of the ideal head against measured, template and published ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use tgmamba_graph::electrodes::{electrode_direction, electrode_names, normalise_channel_name};
use tgmamba_graph::topology::{EdgeWeights, SensorGraph};

type Vector = [f64; 3];

/// Lines of a table of the electrodes folder, without the header; `None`, said aloud, where the
/// folder is not there.
fn table(name: &str) -> Option<Vec<Vec<String>>> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/electrodes")
        .join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no {}", path.display());
        return None;
    };
    let cells = |line: &str| line.split(',').map(|c| c.trim().to_string()).collect();
    Some(text.lines().skip(1).map(cells).collect())
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

fn angle(a: Vector, b: Vector) -> f64 {
    let dot = |a: Vector, b: Vector| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    cosine.clamp(-1.0, 1.0).acos().to_degrees()
}

/// Rotation, scale and shift that bring `from` closest to `to` (Horn 1987: the rotation is the
/// quaternion that belongs to the largest eigenvalue of a symmetric matrix, here by power
/// iteration). Returns `to` as seen in the frame of `from`.
fn into_frame(from: &[Vector], to: &[Vector]) -> Vec<Vector> {
    let mean = |p: &[Vector]| -> Vector {
        std::array::from_fn(|i| p.iter().map(|v| v[i]).sum::<f64>() / p.len() as f64)
    };
    let (mean_from, mean_to) = (mean(from), mean(to));
    let mut s = [[0.0; 3]; 3];
    let (mut size_from, mut size_to) = (0.0, 0.0);
    for (f, t) in from.iter().zip(to) {
        for i in 0..3 {
            size_from += (f[i] - mean_from[i]).powi(2);
            size_to += (t[i] - mean_to[i]).powi(2);
            for j in 0..3 {
                s[i][j] += (t[i] - mean_to[i]) * (f[j] - mean_from[j]);
            }
        }
    }
    let trace = s[0][0] + s[1][1] + s[2][2];
    let mut n = [[0.0; 4]; 4];
    n[0][0] = trace;
    for i in 0..3 {
        let (j, k) = ((i + 1) % 3, (i + 2) % 3);
        n[0][i + 1] = s[j][k] - s[k][j];
        n[i + 1][0] = n[0][i + 1];
        for l in 0..3 {
            n[i + 1][l + 1] = s[i][l] + s[l][i] - if i == l { trace } else { 0.0 };
        }
    }
    let shift = n.iter().flatten().map(|v| v.abs()).fold(0.0, f64::max) * 4.0;
    let mut q = [1.0, 0.1, 0.1, 0.1];
    for _ in 0..10_000 {
        let next: [f64; 4] = std::array::from_fn(|i| {
            shift * q[i] + n[i].iter().zip(q).map(|(a, b)| a * b).sum::<f64>()
        });
        let length = next.iter().map(|v| v * v).sum::<f64>().sqrt();
        q = next.map(|v| v / length);
    }
    let [w, x, y, z] = q;
    let rotation = [
        [
            w * w + x * x - y * y - z * z,
            2.0 * (x * y - w * z),
            2.0 * (x * z + w * y),
        ],
        [
            2.0 * (x * y + w * z),
            w * w - x * x + y * y - z * z,
            2.0 * (y * z - w * x),
        ],
        [
            2.0 * (x * z - w * y),
            2.0 * (y * z + w * x),
            w * w - x * x - y * y + z * z,
        ],
    ];
    let scale = (size_from / size_to).sqrt();
    to.iter()
        .map(|t| {
            std::array::from_fn(|i| {
                let turned: f64 = (0..3).map(|j| rotation[i][j] * (t[j] - mean_to[j])).sum();
                mean_from[i] + scale * turned
            })
        })
        .collect()
}

#[test]
fn close_to_the_template_of_mne() {
    let Some(rows) = table("standard_1005.csv") else {
        return;
    };
    let ours = |name: &str| electrode_direction(name).unwrap();
    let template = |row: &[String]| -> Vector { std::array::from_fn(|i| number(&row[i + 1])) };
    // Every name is known.
    assert_eq!(rows.len(), 343);
    assert!(rows.iter().all(|r| electrode_direction(&r[0]).is_some()));
    let scalp: Vec<_> = rows
        .iter()
        .filter(|r| !["A1", "A2", "M1", "M2"].contains(&r[0].as_str()))
        .collect();
    let (from, to): (Vec<Vector>, Vec<Vector>) =
        scalp.iter().map(|r| (ours(&r[0]), template(r))).unzip();
    let fitted = into_frame(&from, &to);
    let mut off: Vec<(f64, &str)> = from
        .iter()
        .zip(&fitted)
        .zip(&scalp)
        .map(|((a, b), row)| (angle(*a, *b), row[0].as_str()))
        .collect();
    off.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mean = off.iter().map(|o| o.0).sum::<f64>() / off.len() as f64;
    let (worst, name) = off[off.len() - 1];
    println!("against standard_1005: mean {mean:.2} degrees, largest {worst:.2} at {name}");
    assert!(mean < 3.0, "mean {mean}");
    assert!(worst < 6.5, "{name} {worst}");

    // Of each electrode of the 10-20 system, the four nearest others.
    let twenty: Vec<usize> = TWENTY
        .iter()
        .map(|n| scalp.iter().position(|r| r[0] == *n).unwrap())
        .collect();
    let mut agreeing = 0;
    for &i in &twenty {
        let order = |points: &[Vector]| {
            let mut others: Vec<usize> = twenty.iter().copied().filter(|j| *j != i).collect();
            others.sort_by(|a, b| {
                angle(points[i], points[*a]).total_cmp(&angle(points[i], points[*b]))
            });
            others
        };
        let (a, b) = (order(&from), order(&fitted));
        agreeing += a[..4].iter().filter(|n| b[..4].contains(n)).count();
    }
    println!(
        "of {} nearest neighbours {agreeing} agree",
        4 * twenty.len()
    );
    assert!(agreeing >= 72, "{agreeing}");
}

const TWENTY: [&str; 19] = [
    "Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "F7", "F8", "T7", "T8", "P7",
    "P8", "Fz", "Cz", "Pz",
];

#[test]
fn distances_of_the_seizure_graph() {
    let Some(rows) = table("distances_3d.csv") else {
        return;
    };
    let mut published = HashMap::new();
    let mut nodes: Vec<String> = Vec::new();
    for row in &rows {
        let (from, to) = (
            normalise_channel_name(&row[0]),
            normalise_channel_name(&row[1]),
        );
        if !nodes.contains(&from) {
            nodes.push(from.clone());
        }
        published.insert((from, to), number(&row[2]));
    }
    assert_eq!(nodes.len(), 19);
    let theirs = Array2::from_shape_fn((19, 19), |(i, j)| {
        published[&(nodes[j].clone(), nodes[i].clone())]
    });
    let directions: Vec<Vector> = nodes
        .iter()
        .map(|n| electrode_direction(n).unwrap())
        .collect();
    let ours = Array2::from_shape_fn((19, 19), |(i, j)| {
        let square = |k: usize| (directions[i][k] - directions[j][k]).powi(2);
        (square(0) + square(1) + square(2)).sqrt()
    });
    let difference = (&ours - &theirs).mapv(f64::abs);
    let worst = difference.fold(0.0, |a: f64, b| a.max(*b));
    let mean = difference.sum() / (19.0 * 18.0);
    println!("against distances_3d on the unit sphere: mean {mean:.4}, largest {worst:.4}");
    assert!(mean < 0.005 && worst < 0.02, "{mean} {worst}");
    // The graph of Tang et al.: pairs at most 0.9 apart, weighted by the Gaussian kernel.
    let graph =
        |d: &Array2<f64>| SensorGraph::within(&nodes, d, 0.9, EdgeWeights::Gaussian, None).unwrap();
    let (a, b) = (graph(&ours), graph(&theirs));
    assert_eq!((a.n_edges(), b.n_edges()), (72, 72));
    let worst = (a.adjacency() - b.adjacency()).fold(0.0f32, |m, d| m.max(d.abs()));
    println!("72 edges, the same in both; weights differ by at most {worst:.4}");
    assert!(worst < 0.02, "{worst}");
}

#[test]
fn places_of_the_bci_challenge() {
    let Some(rows) = table("ChannelsLocationBCIcha.csv") else {
        return;
    };
    let mut sum = 0.0;
    let mut worst = (0.0, String::new());
    for row in &rows {
        // Azimuthal equidistant: a radius of 0.36 is the circumference.
        let polar = number(&row[2]) / 0.36 * 90f64.to_radians();
        let turn = number(&row[3]).to_radians();
        let theirs = [
            turn.sin() * polar.sin(),
            turn.cos() * polar.sin(),
            polar.cos(),
        ];
        let off = angle(theirs, electrode_direction(&row[1]).unwrap());
        sum += off;
        if off > worst.0 {
            worst = (off, row[1].clone());
        }
    }
    let mean = sum / rows.len() as f64;
    println!("against the BCI Challenge: mean {mean:.2} degrees, largest {worst:?}");
    assert_eq!(rows.len(), 56);
    assert!(mean < 2.0 && worst.0 < 5.0, "{mean} {worst:?}");
}

#[test]
fn names_are_those_of_the_template() {
    let Some(rows) = table("standard_1005.csv") else {
        return;
    };
    let names: Vec<&str> = electrode_names().collect();
    for row in &rows {
        let name = normalise_channel_name(&row[0]);
        assert!(names.contains(&name.as_str()), "{}", row[0]);
        let old = ["T3", "T4", "T5", "T6"].contains(&row[0].as_str());
        assert!(old || name == row[0], "{name} {}", row[0]);
    }
}
