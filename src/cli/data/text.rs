//! Numbers, sizes and durations as people read them.

/// Four significant digits, in powers of ten far from 1; a dash for none.
pub(super) fn number(value: Option<f64>) -> String {
    let Some(v) = value.filter(|v| v.is_finite()) else {
        return "–".into();
    };
    if v == 0.0 {
        return "0".into();
    }
    if v.fract() == 0.0 && v.abs() < 1e7 {
        return format!("{v}");
    }
    let digits = v.abs().log10().floor() as i32;
    match digits {
        -4..=6 => {
            let text = format!("{v:.*}", usize::try_from(3 - digits).unwrap_or(0));
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').into(),
                false => text,
            }
        }
        _ => format!("{v:.3e}"),
    }
}

/// A whole number with a comma every three digits.
pub(super) fn whole(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in powers of 1000.
pub(super) fn bytes(value: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut size = value as f64;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{value} B"),
        _ if size < 9.95 => format!("{size:.1} {}", units[unit]),
        _ => format!("{size:.0} {}", units[unit]),
    }
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    match share {
        0.0 => "0 %".into(),
        s if s < 1e-3 => format!("{:.2} %", (s * 1e4).max(1.0).round() / 100.0),
        s => format!("{:.1} %", s * 100.0),
    }
}

/// Seconds in the two largest units that are not 0.
pub(super) fn duration(seconds: f64) -> String {
    if !(1.0..1e13).contains(&seconds) {
        return format!("{} s", number(Some(seconds)));
    }
    let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "min")];
    let Some(at) = units.iter().position(|(size, _)| seconds >= *size) else {
        return format!("{} s", number(Some(seconds)));
    };
    let (size, unit) = units[at];
    let (below, lower) = units.get(at + 1).copied().unwrap_or((1.0, "s"));
    // Rounded in the lower unit first, so that 59.9 of it become one of the upper.
    let all = (seconds / below).round() * below;
    if at > 0 && all >= units[at - 1].0 {
        return duration(all);
    }
    let (many, rest) = ((all / size).floor(), (all % size / below).round());
    match rest {
        0.0 => format!("{many} {unit}"),
        _ => format!("{many} {unit} {rest} {lower}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (500.0, "500"),
            (12.34567, "12.35"),
            (-0.001, "-0.001"),
            (0.000_123_46, "0.0001235"),
            (1e-9, "1.000e-9"),
            (715_897.4, "715897"),
            (1.5e9, "1.500e9"),
            (99.999, "100"),
        ] {
            assert_eq!(number(Some(value)), expected);
        }
        assert_eq!(number(None), "–");
        assert_eq!(number(Some(f64::NAN)), "–");
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(whole(1_234_567), "1,234,567");
        assert_eq!(
            [bytes(999), bytes(1_500), bytes(999_900)],
            ["999 B", "1.5 kB", "1.0 MB"]
        );
        assert_eq!(
            [percent(0.0), percent(2e-4), percent(0.0208)],
            ["0 %", "0.02 %", "2.1 %"]
        );
        assert_eq!(duration(0.25), "0.25 s");
        assert_eq!(duration(182.0), "3 min 2 s");
        assert_eq!(duration(3_599.9), "1 h");
        assert_eq!(duration(604_800.0), "7 d");
        assert_eq!(duration(f64::INFINITY), "– s");
    }
}
