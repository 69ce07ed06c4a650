//! Channel names of EEG files, brought to one spelling.

use super::positions::canonical;

/// What files put before the name of an electrode.
const PREFIXES: [&str; 3] = ["EEG", "POL", "CHAN"];

/// What files put behind a dash to say against what was measured: common, linked or average
/// references, ears and mastoids.
const REFERENCES: [&str; 19] = [
    "REF", "RE", "LE", "LER", "AR", "AV", "AVE", "AVG", "CAR", "CLE", "A1", "A2", "A12", "A1A2",
    "M1", "M2", "M12", "M1M2", "ORG",
];

/// The one spelling of a channel's name.
///
/// - Blanks and trailing dots around it go, and so do the prefixes `EEG`, `POL` and `CHAN` and
///   the names of references behind a dash (`-REF`, `-LE`, `-AR`, `-A1`, `-M2`, ...).
/// - Electrodes of the 10-05 system are written as that system writes them, whatever the case;
///   the old names T3, T4, T5 and T6 become T7, T8, P7 and P8, O9 and O10 become I1 and I2, and a
///   zero for the letter O (`P08`) is repaired.
/// - Of a bipolar channel (`FP1-F7`) both ends are so treated.
/// - Names that are no electrode (`ECG`, `PHOTIC`) otherwise stay as they are.
///
/// Applying it twice changes nothing more.
///
/// ```
/// use tgmamba_graph::electrodes::normalise_channel_name;
/// assert_eq!(normalise_channel_name("EEG FP1-REF"), "Fp1");
/// assert_eq!(normalise_channel_name("eeg t5-le"), "P7");
/// assert_eq!(normalise_channel_name("EEG T3-C3"), "T7-C3");
/// assert_eq!(normalise_channel_name("Fc5."), "FC5");
/// assert_eq!(normalise_channel_name("ECG ECG"), "ECG ECG");
/// ```
pub fn normalise_channel_name(label: &str) -> String {
    let mut name = tidy(label);
    // A name that is nothing but a prefix or a reference is a name all the same.
    while let Some(rest) = without_prefix(name) {
        name = rest;
    }
    while let Some(rest) = without_reference(name) {
        name = rest;
    }
    if let Some(electrode) = canonical(name) {
        return electrode.to_string();
    }
    match bipolar(name) {
        Some((anode, cathode)) => format!("{anode}-{cathode}"),
        None => name.to_string(),
    }
}

/// The two electrodes of a bipolar channel, as the 10-05 system writes them; `None` where one of
/// the two is no electrode.
pub(super) fn bipolar(name: &str) -> Option<(&'static str, &'static str)> {
    let (anode, cathode) = name.split_once(['-', '–'])?;
    Some((canonical(tidy(anode))?, canonical(tidy(cathode))?))
}

fn tidy(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
        .trim_end_matches('.')
        .trim_end()
}

fn without_prefix(name: &str) -> Option<&str> {
    let is_gap = |c: char| c == ' ' || c == '_' || c == ':' || c == '-';
    let prefix = PREFIXES.iter().find(|p| {
        name.get(..p.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(p))
            && name[p.len()..].starts_with(is_gap)
    })?;
    let rest = tidy(name[prefix.len()..].trim_start_matches(is_gap));
    (!rest.is_empty()).then_some(rest)
}

fn without_reference(name: &str) -> Option<&str> {
    let (head, reference) = name.rsplit_once(['-', '_', '/'])?;
    let (head, reference) = (tidy(head), tidy(reference));
    let known = REFERENCES.iter().any(|r| r.eq_ignore_ascii_case(reference));
    (known && !head.is_empty()).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_the_files_people_have() {
        for (written, expected) in [
            ("EEG FP1-REF", "Fp1"),
            ("EEG FP2-LE", "Fp2"),
            ("EEG Fpz-Cz", "Fpz-Cz"),
            ("EEG T6-REF", "P8"),
            ("EEG A1-REF", "A1"),
            ("EEG A2-A1", "A2"),
            ("EEG EKG1-REF", "EKG1"),
            ("PHOTIC-REF", "PHOTIC"),
            ("ECG ECG", "ECG ECG"),
            ("  oz ", "Oz"),
            ("AFz.", "AFz"),
            ("C3..", "C3"),
            ("F3-M2", "F3"),
            ("F3 - M2", "F3"),
            ("F3_M2", "F3"),
            ("T4-T6", "T8-P8"),
            ("P08", "PO8"),
            ("p0z", "POz"),
            ("AFF5H", "AFF5h"),
            ("EEG POL T3-Ref", "T7"),
            ("EEG", "EEG"),
            ("EEG ", "EEG"),
            ("REF", "REF"),
            ("-REF", "-REF"),
            ("LOC-A2", "LOC"),
            ("Status", "Status"),
            ("EOG-left", "EOG-left"),
            ("Cz\0\0", "Cz"),
            ("", ""),
            ("Größe-REF", "Größe"),
            ("€€", "€€"),
        ] {
            let got = normalise_channel_name(written);
            assert_eq!(got, expected, "{written:?}");
            assert_eq!(normalise_channel_name(&got), got, "{written:?} twice");
        }
    }
}
