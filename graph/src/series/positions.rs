//! Where sensors are, and how far from each other.

use ndarray::Array2;

use crate::topology::pairwise_distances;

/// Radius of the sphere with the surface of the Earth, metres.
const EARTH_RADIUS: f64 = 6_371_007.2;

/// Where the sensors are, (nodes, 2).
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// Latitude and longitude, degrees (WGS 84).
    LatLon(Array2<f64>),
    /// Coordinates in a plane, metres (east, north).
    Metres(Array2<f64>),
}

impl Positions {
    /// The table itself, (nodes, 2).
    pub fn table(&self) -> &Array2<f64> {
        match self {
            Self::LatLon(p) | Self::Metres(p) => p,
        }
    }

    /// Distances between all sensors, (nodes, nodes), metres: along the great circle (haversine,
    /// sphere of 6371.0072 km) for degrees, straight for metres.
    pub fn distances(&self) -> Array2<f64> {
        match self {
            Self::Metres(p) => pairwise_distances(p),
            Self::LatLon(p) => {
                let n = p.nrows();
                Array2::from_shape_fn((n, n), |(i, j)| {
                    haversine([p[[i, 0]], p[[i, 1]]], [p[[j, 0]], p[[j, 1]]])
                })
            }
        }
    }
}

/// Great-circle distance of two points (latitude, longitude in degrees), metres:
/// 2 R asin √(sin²(Δφ/2) + cos φ₁ cos φ₂ sin²(Δλ/2)).
fn haversine(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [lat_a, lon_a] = a.map(f64::to_radians);
    let [lat_b, lon_b] = b.map(f64::to_radians);
    let h = ((lat_b - lat_a) / 2.0).sin().powi(2)
        + lat_a.cos() * lat_b.cos() * ((lon_b - lon_a) / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS * h.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Nautical mile: one minute of arc of the great circle, here of the authalic sphere.
    #[test]
    fn great_circles() {
        let minute = haversine([0.0, 0.0], [0.0, 1.0 / 60.0]);
        assert!((minute - EARTH_RADIUS * std::f64::consts::PI / 10_800.0).abs() < 1e-6);
        let across = haversine([0.0, 0.0], [0.0, 180.0]);
        assert!((across - EARTH_RADIUS * std::f64::consts::PI).abs() < 1e-6);
        let pole = haversine([90.0, 12.0], [90.0, -100.0]);
        assert!(pole < 1e-6, "{pole}");
    }
}
