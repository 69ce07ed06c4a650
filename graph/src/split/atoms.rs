//! Recordings as the indivisible pieces of a split.

use std::collections::HashMap;

use crate::{Dataset, Error, Part, Result};

/// The windows of one recording.
#[derive(Debug)]
pub(super) struct Atom {
    /// Sample indices, ascending.
    pub samples: Vec<usize>,
    /// Most frequent class among the windows, the smaller index on a tie.
    pub class: usize,
    pub subject: Option<String>,
    pub session: Option<String>,
    pub part: Option<Part>,
}

/// The recordings of a data set in the order of their first window.
///
/// # Errors
/// When the per-sample fields differ in length, a class does not exist, or the windows of one
/// recording disagree on subject, session or part.
pub(super) fn atoms(dataset: &Dataset) -> Result<Vec<Atom>> {
    check_lengths(dataset)?;
    let mut place: HashMap<usize, usize> = HashMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (sample, recording) in dataset.recording.iter().enumerate() {
        let at = *place.entry(*recording).or_insert(members.len());
        if at == members.len() {
            members.push(Vec::new());
        }
        members[at].push(sample);
    }
    members
        .into_iter()
        .map(|samples| atom(dataset, samples))
        .collect()
}

fn atom(dataset: &Dataset, samples: Vec<usize>) -> Result<Atom> {
    let mut votes = vec![0usize; dataset.classes.len()];
    for &sample in &samples {
        let class = dataset.y[sample];
        let Some(vote) = votes.get_mut(class) else {
            return Err(Error::config(
                format!("y[{sample}]"),
                format!("class {class} of {}", dataset.classes.len()),
                "name every class in `classes`",
            ));
        };
        *vote += 1;
    }
    let most = votes.iter().max().copied().unwrap_or(0);
    let class = votes.iter().position(|v| *v == most).unwrap_or(0);
    let first = samples[0];
    let agree = |field: &str, same: &dyn Fn(usize) -> bool| {
        if samples.iter().all(|s| same(*s)) {
            return Ok(());
        }
        Err(Error::config(
            field,
            format!(
                "windows of recording {} have different ones",
                dataset.recording[first]
            ),
            "make one recording per subject, session and part",
        ))
    };
    let subjects = dataset.subject.as_ref();
    let sessions = dataset.session.as_ref();
    agree("subject", &|s| subjects.is_none_or(|n| n[s] == n[first]))?;
    agree("session", &|s| sessions.is_none_or(|n| n[s] == n[first]))?;
    agree("part", &|s| dataset.part[s] == dataset.part[first])?;
    Ok(Atom {
        class,
        subject: subjects.map(|names| names[first].clone()),
        session: sessions.map(|names| names[first].clone()),
        part: dataset.part[first],
        samples,
    })
}

fn check_lengths(dataset: &Dataset) -> Result<()> {
    let samples = dataset.y.len();
    if samples == 0 {
        return Err(Error::config(
            "data set",
            "there are no samples to split",
            "check the window length against the length of the recordings",
        ));
    }
    let lengths = [
        ("recording", dataset.recording.len()),
        ("part", dataset.part.len()),
        (
            "subject",
            dataset.subject.as_ref().map_or(samples, Vec::len),
        ),
        (
            "session",
            dataset.session.as_ref().map_or(samples, Vec::len),
        ),
    ];
    match lengths.iter().find(|(_, length)| *length != samples) {
        None => Ok(()),
        Some((field, length)) => Err(Error::config(
            *field,
            format!("{length} entries for {samples} samples"),
            "give one per sample",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::dataset;
    use super::*;

    #[test]
    fn recordings_in_order_with_their_majority() {
        let mut data = dataset(&[0, 1, 1], 3);
        // Recording 7 first, then 2, interleaved with 5.
        data.recording = vec![7, 7, 2, 2, 5, 2, 5, 5, 7];
        data.y = vec![1, 0, 2, 2, 0, 1, 1, 0, 0];
        data.classes = ["a", "b", "c"].map(str::to_string).to_vec();
        let atoms = atoms(&data).unwrap();
        let samples: Vec<&[usize]> = atoms.iter().map(|a| a.samples.as_slice()).collect();
        assert_eq!(samples, [&[0, 1, 8][..], &[2, 3, 5], &[4, 6, 7]]);
        let classes: Vec<usize> = atoms.iter().map(|a| a.class).collect();
        assert_eq!(classes, [0, 2, 0]);
    }

    #[test]
    fn disagreement_within_a_recording_is_an_error() {
        let message = |change: fn(&mut Dataset)| {
            let mut data = dataset(&[0, 1], 2);
            change(&mut data);
            atoms(&data).unwrap_err().to_string()
        };
        let names = ["a", "b", "b", "b"].map(str::to_string).to_vec();
        let mut data = dataset(&[0, 1], 2);
        data.subject = Some(names);
        assert!(
            atoms(&data)
                .unwrap_err()
                .to_string()
                .contains("recording 0")
        );
        assert!(message(|d| d.part[3] = Some(Part::Test)).contains("recording 1"));
        assert!(message(|d| d.y[2] = 9).contains("class 9 of 2"));
        assert!(message(|d| d.recording.truncate(3)).contains("3 entries for 4"));
        assert!(message(|d| d.y.clear()).contains("no samples"));
    }
}
