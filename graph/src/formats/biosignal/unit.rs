//! Units of channels.

/// How many microvolts one of `unit` is: `uV` in any spelling, `nV`, `mV`, `V`, `kV`. `None`
/// for units that are no voltage, and for none at all.
///
/// ```
/// use tgmamba_graph::formats::biosignal::microvolts;
/// assert_eq!(microvolts("µV"), Some(1.0));
/// assert_eq!(microvolts("mV"), Some(1e3));
/// assert_eq!(microvolts("BPM"), None);
/// ```
pub fn microvolts(unit: &str) -> Option<f64> {
    // Both the micro sign and the Greek letter are in use.
    let prefix = unit.trim().strip_suffix(['V', 'v'])?;
    match prefix {
        "n" => Some(1e-3),
        "u" | "U" | "\u{b5}" | "\u{3bc}" => Some(1.0),
        "m" => Some(1e3),
        "" => Some(1e6),
        "k" => Some(1e9),
        _ => None,
    }
}

/// Whether two units are the same, however they are spelled.
pub fn same_unit(a: &str, b: &str) -> bool {
    a.trim() == b.trim() || (microvolts(a).is_some() && microvolts(a) == microvolts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (unit, factor) in [
            (" uV ", Some(1.0)),
            ("UV", Some(1.0)),
            ("\u{3bc}V", Some(1.0)),
            ("nV", Some(1e-3)),
            ("V", Some(1e6)),
            ("MV", None),
            ("", None),
            ("degC", None),
        ] {
            assert_eq!(microvolts(unit), factor, "{unit}");
        }
        assert!(same_unit("uV", "µV") && same_unit("degC ", "degC") && !same_unit("uV", "mV"));
        assert!(!same_unit("degC", "%"));
    }
}
