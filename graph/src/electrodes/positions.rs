//! Directions of the 10-05 electrodes on an ideal spherical head.
//!
//! Axes: x to the right ear, y to the nose, z to the vertex. On the sphere the circumference
//! Fpz-T7-Oz-T8 is the equator. From it follow, by the rules of the system (Oostenveld and
//! Praamstra, "The five percent electrode system for high-resolution EEG and ERP measurements",
//! Clinical Neurophysiology 112, 2001):
//! - The midline from Nz over Cz to Iz has Fpz at 10 % and Oz at 90 %, 180° apart: 5 % are 11.25°,
//!   and Nz, Iz, T9 and T10 lie on a lower circumference 112.5° from Cz.
//! - On both circumferences 5 % of the half from the front to the back are 9°.
//! - A coronal row is the circle through its two ends on the circumference (columns 7 and 8) and
//!   its point on the midline; each half is divided into 8 equal arcs, of which the odd ones have
//!   names with an h. Columns 9 and 10 are on the lower circumference, 9h and 10h half way down.

use std::collections::HashMap;
use std::f64::consts::{FRAC_PI_2, PI};
use std::sync::LazyLock;

type Vector = [f64; 3];

/// 5 % of the midline.
const STEP: f64 = PI / 16.0;
/// 5 % of half a circumference.
const TURN: f64 = PI / 20.0;

/// Coronal rows from the front: steps of 5 % behind Nz on the midline; prefix of the middle
/// columns; prefix of the columns 7h to 10.
const ROWS: [(u8, &str, &str); 15] = [
    (3, "AFp", "AFp"),
    (4, "AF", "AF"),
    (5, "AFF", "AFF"),
    (6, "F", "F"),
    (7, "FFC", "FFT"),
    (8, "FC", "FT"),
    (9, "FCC", "FTT"),
    (10, "C", "T"),
    (11, "CCP", "TTP"),
    (12, "CP", "TP"),
    (13, "CPP", "TPP"),
    (14, "P", "P"),
    (15, "PPO", "PPO"),
    (16, "PO", "PO"),
    (17, "POO", "POO"),
];

/// Rows before Fpz and behind Oz, parallel to the circumference: height below it in steps of 5 %
/// and name, of the front and of the back.
const BROWS: [(u8, &str, &str); 3] = [(0, "Fp", "O"), (1, "NFp", "OI"), (2, "N", "I")];

/// Other names of the same place.
const ALIASES: [(&str, &str); 12] = [
    ("T3", "T7"),
    ("T4", "T8"),
    ("T5", "P7"),
    ("T6", "P8"),
    ("O9", "I1"),
    ("O10", "I2"),
    // A zero in place of the letter O.
    ("P0z", "POz"),
    ("P03", "PO3"),
    ("P04", "PO4"),
    ("P07", "PO7"),
    ("P08", "PO8"),
    ("0z", "Oz"),
];

struct Electrode {
    name: String,
    direction: Vector,
}

struct System {
    electrodes: Vec<Electrode>,
    /// Lower-case names and aliases.
    index: HashMap<String, usize>,
}

static SYSTEM: LazyLock<System> = LazyLock::new(|| {
    let mut electrodes = Vec::new();
    let mut put = |name: String, direction: Vector| electrodes.push(Electrode { name, direction });
    for (height, front, back) in BROWS {
        for (columns, sides) in [(0u8, ["z", "z"]), (1, ["1h", "2h"]), (2, ["1", "2"])] {
            for (side, column) in sides
                .iter()
                .enumerate()
                .take(if columns == 0 { 1 } else { 2 })
            {
                let sign = if side == 0 { 1.0 } else { -1.0 };
                let turn = f64::from(columns) * TURN;
                put(format!("{front}{column}"), below(height, sign * turn));
                let turn = PI - turn;
                put(format!("{back}{column}"), below(height, sign * turn));
            }
        }
    }
    for (steps, middle, outer) in ROWS {
        let top = sphere(0.0, FRAC_PI_2 - (10.0 - f64::from(steps)) * STEP);
        let turn = f64::from(steps) * TURN;
        put(format!("{middle}z"), top);
        let arc = Arc::through(below(0, turn), top, below(0, -turn));
        for (side, last) in [(1.0, 0), (-1.0, 1)] {
            for step in 1..=10u8 {
                let column = 2 * ((step - 1) / 2) + 1 + last;
                let half = if step % 2 == 1 { "h" } else { "" };
                let prefix = if step > 6 { outer } else { middle };
                let direction = if step > 8 {
                    below(step - 8, side * turn)
                } else {
                    arc.at(side * f64::from(step) / 8.0)
                };
                put(format!("{prefix}{column}{half}"), direction);
            }
        }
    }
    for (side, ear, mastoid, temporal, point) in [
        (1.0, "A1", "M1", "T1", "LPA"),
        (-1.0, "A2", "M2", "T2", "RPA"),
    ] {
        put(ear.into(), below(3, side * 10.0 * TURN));
        put(mastoid.into(), below(3, side * 12.0 * TURN));
        put(temporal.into(), below(2, side * 8.0 * TURN));
        put(point.into(), below(2, side * 10.0 * TURN));
    }
    let mut index: HashMap<String, usize> = electrodes
        .iter()
        .enumerate()
        .map(|(i, e)| (e.name.to_ascii_lowercase(), i))
        .collect();
    for (alias, name) in ALIASES {
        if let Some(&at) = index.get(&name.to_ascii_lowercase()) {
            index.insert(alias.to_ascii_lowercase(), at);
        }
    }
    System { electrodes, index }
});

fn find(name: &str) -> Option<&'static Electrode> {
    let system = &*SYSTEM;
    let at = system.index.get(&name.to_ascii_lowercase())?;
    system.electrodes.get(*at)
}

/// The name as the 10-05 system writes it, of a bare name in any case or an alias.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    find(name).map(|e| e.name.as_str())
}

/// Unit vector from the middle of the head, of a bare name in any case or an alias.
pub(super) fn direction(name: &str) -> Option<Vector> {
    find(name).map(|e| e.direction)
}

/// All names, without aliases.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SYSTEM.electrodes.iter().map(|e| e.name.as_str())
}

/// The point at `azimuth` (radians from the nose to the left) and `elevation` above the equator.
fn sphere(azimuth: f64, elevation: f64) -> Vector {
    [
        -azimuth.sin() * elevation.cos(),
        azimuth.cos() * elevation.cos(),
        elevation.sin(),
    ]
}

/// A point on or `steps` of 5 % below the circumference.
fn below(steps: u8, azimuth: f64) -> Vector {
    sphere(azimuth, -f64::from(steps) * STEP)
}

/// A circle on the sphere.
struct Arc {
    centre: Vector,
    /// From the centre to the middle point.
    up: Vector,
    /// At a right angle to `up`, towards the first point, of the same length.
    along: Vector,
    /// From the middle point to either end.
    angle: f64,
}

impl Arc {
    /// Through `left` and `right`, which mirror each other in the plane x = 0, and `top` in that
    /// plane.
    fn through(left: Vector, top: Vector, right: Vector) -> Self {
        let normal = unit(cross(minus(left, top), minus(right, top)));
        let centre = normal.map(|n| n * dot(normal, top));
        let up = minus(top, centre);
        let to_left = minus(left, centre);
        let radius = dot(up, up).sqrt();
        let across = minus(
            to_left,
            up.map(|u| u * dot(to_left, up) / (radius * radius)),
        );
        let along = unit(across).map(|a| a * radius);
        let angle = dot(to_left, along).atan2(dot(to_left, up));
        Self {
            centre,
            up,
            along,
            angle,
        }
    }

    /// The point at a fraction of the way from the middle (0) to the left (1) or right (-1).
    fn at(&self, fraction: f64) -> Vector {
        let (sin, cos) = (fraction * self.angle).sin_cos();
        std::array::from_fn(|i| self.centre[i] + cos * self.up[i] + sin * self.along[i])
    }
}

fn minus(a: Vector, b: Vector) -> Vector {
    std::array::from_fn(|i| a[i] - b[i])
}

pub(super) fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn cross(a: Vector, b: Vector) -> Vector {
    std::array::from_fn(|i| a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3])
}

pub(super) fn unit(a: Vector) -> Vector {
    let length = dot(a, a).sqrt();
    a.map(|x| x / length)
}
