//! Colours that readers with any colour vision can tell apart.

use plotters::style::RGBColor;

/// Text and axes. The page's style sheet turns this and the next three over in dark mode, so
/// nothing else may use exactly these values.
pub const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
/// Secondary text, dashed guides.
pub const MUTED: RGBColor = RGBColor(0x5f, 0x68, 0x72);
/// Grid lines and frames.
pub const GRID: RGBColor = RGBColor(0xe1, 0xe4, 0xe8);
/// Background.
pub const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
/// Text on dark cells of a matrix.
pub const ON_DARK: RGBColor = RGBColor(0xff, 0xff, 0xfe);
/// Text on light cells of a matrix.
pub const ON_LIGHT: RGBColor = RGBColor(0x1f, 0x23, 0x29);

/// The palette of Okabe and Ito (2008), without its black, yellow last.
pub const LINES: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xc9, 0xb8, 0x00),
];

/// Viridis (Smith and van der Walt 2015) at 0, 0.1, ..., 1.
const VIRIDIS: [RGBColor; 11] = [
    RGBColor(68, 1, 84),
    RGBColor(72, 36, 117),
    RGBColor(65, 68, 135),
    RGBColor(53, 95, 141),
    RGBColor(42, 120, 142),
    RGBColor(33, 145, 140),
    RGBColor(34, 168, 132),
    RGBColor(68, 191, 112),
    RGBColor(122, 209, 81),
    RGBColor(189, 223, 38),
    RGBColor(253, 231, 37),
];

/// White to dark blue, of steadily falling lightness.
const BLUES: [RGBColor; 6] = [
    RGBColor(247, 250, 253),
    RGBColor(207, 225, 242),
    RGBColor(147, 196, 223),
    RGBColor(75, 151, 201),
    RGBColor(24, 100, 170),
    RGBColor(8, 48, 107),
];

/// Blue over white to orange-brown, for signed weights.
const SIGNED: [RGBColor; 7] = [
    RGBColor(5, 58, 107),
    RGBColor(44, 123, 182),
    RGBColor(158, 202, 225),
    RGBColor(248, 248, 248),
    RGBColor(253, 190, 133),
    RGBColor(217, 95, 14),
    RGBColor(140, 45, 4),
];

fn between(stops: &[RGBColor], t: f64) -> RGBColor {
    let at = t.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
    let below = (at.floor() as usize).min(stops.len() - 2);
    let part = at - below as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
    let (a, b) = (stops[below], stops[below + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// A map from [0, 1] to colours of monotone (signed: symmetric) lightness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// Dark purple to yellow, for weights.
    Viridis,
    /// White to dark blue, for shares with numbers written over them.
    Blues,
    /// Blue, white, brown, zero in the middle at 0.5.
    Signed,
}

impl Map {
    /// Colour at `t`, clamped to [0, 1].
    pub fn at(self, t: f64) -> RGBColor {
        match self {
            Self::Viridis => between(&VIRIDIS, t),
            Self::Blues => between(&BLUES, t),
            Self::Signed => between(&SIGNED, t),
        }
    }
}

/// Relative luminance in [0, 1] (WCAG 2).
pub fn luminance(RGBColor(r, g, b): RGBColor) -> f64 {
    let linear = |v: u8| {
        let v = f64::from(v) / 255.0;
        if v <= 0.040_45 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

/// The text colour that reads better on `ground`.
pub fn text_on(ground: RGBColor) -> RGBColor {
    if luminance(ground) > 0.3 {
        ON_LIGHT
    } else {
        ON_DARK
    }
}

/// Colour of the `i`-th line; the palette repeats, then with another dash (see
/// [`super::canvas::Stroke::nth`]).
pub fn line(i: usize) -> RGBColor {
    LINES[i % LINES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// matplotlib's viridis(0.25) is (59, 82, 139); eleven stops come within a few steps.
    #[test]
    fn viridis_is_close_to_the_original() {
        let RGBColor(r, g, b) = Map::Viridis.at(0.25);
        for (ours, theirs) in [(r, 59u8), (g, 82), (b, 139)] {
            assert!(ours.abs_diff(theirs) <= 3, "{ours} {theirs}");
        }
    }

    #[test]
    fn lightness_is_monotone() {
        for map in [Map::Viridis, Map::Blues] {
            let values: Vec<f64> = (0..=20)
                .map(|k| luminance(map.at(f64::from(k) / 20.0)))
                .collect();
            let falling = values.windows(2).all(|w| w[1] <= w[0] + 1e-9);
            let rising = values.windows(2).all(|w| w[1] >= w[0] - 1e-9);
            assert!(falling || rising, "{map:?} {values:?}");
        }
        assert_eq!(text_on(Map::Blues.at(1.0)), ON_DARK);
        assert_eq!(text_on(Map::Blues.at(0.0)), ON_LIGHT);
    }
}
