//! EDF, BDF and GDF files against pyEDFlib and MNE: the fixtures, and the recordings that lie
//! beside the project (skipped where they do not).

use std::path::{Path, PathBuf};

use ndarray::{Axis, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tgmamba_graph::formats::biosignal::{
    Breaks, Labelling, MixedRates, OpenOptions, RecordingOptions, SignalFile, Source,
};
use tgmamba_graph::formats::npy::Npz;
use tgmamba_graph::formats::{edf, gdf};
use tgmamba_graph::{Labels, Result};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn data_dir() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

fn values(npz: &mut Npz, path: &Path, name: &str) -> Vec<f64> {
    let array = npz.read(name).unwrap().into_f64(path, name).unwrap();
    array.into_iter().collect()
}

fn parse<'a>(name: &str, bytes: &'a [u8]) -> Result<SignalFile<&'a [u8]>> {
    match name.ends_with(".gdf") {
        true => gdf::parse(bytes, Path::new(name)),
        false => edf::parse(bytes, Path::new(name)),
    }
}

/// Every sample of every channel, through the segments.
fn all<S: Source>(file: &SignalFile<S>) -> Result<Vec<Vec<f32>>> {
    let indices: Vec<usize> = (0..file.channels.len()).collect();
    let mut out = vec![Vec::new(); indices.len()];
    for part in &file.segments {
        for (to, from) in out.iter_mut().zip(file.read(&indices, part)?) {
            to.extend(from);
        }
    }
    Ok(out)
}

const FILES: [&str; 9] = [
    "plain.edf",
    "plus_c.edf",
    "plus_d.edf",
    "open_end.edf",
    "plus_c.bdf",
    "status.bdf",
    "v1.gdf",
    "v2.gdf",
    "v2_new.gdf",
];

#[test]
fn samples_and_annotations_as_in_other_programs() {
    let path = fixture("biosignals.npz");
    let mut npz = Npz::open(&path).unwrap();
    for name in FILES {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let file = parse(name, &bytes).unwrap();
        for (i, signal) in all(&file).unwrap().iter().enumerate() {
            let expected = values(&mut npz, &path, &format!("{name}/{i}"));
            assert_eq!(signal.len(), expected.len(), "{name} {i}");
            assert_eq!(file.channels[i].samples, expected.len() as u64);
            for (t, (a, b)) in signal.iter().zip(&expected).enumerate() {
                // Half a unit in the last place of f32, and rounding on the way there.
                let error = (f64::from(*a) - b).abs();
                assert!(error <= 6.1e-8 * b.abs() + 1e-9, "{name} {i} {t}: {a} {b}");
            }
        }
        let onset = values(&mut npz, &path, &format!("{name}/onset"));
        let duration = values(&mut npz, &path, &format!("{name}/duration"));
        let text = format!("{name}/text");
        let text = npz.read(&text).unwrap().into_text(&path, &text).unwrap();
        assert_eq!(file.annotations.len(), onset.len(), "{name}");
        for (i, a) in file.annotations.iter().enumerate() {
            assert!((a.onset - onset[i]).abs() < 1e-9, "{name} {i}");
            let d = (duration[i] >= 0.0).then_some(duration[i]);
            assert_eq!(a.duration, d, "{name} {i}");
            assert_eq!(a.text, text[i], "{name} {i}");
        }
    }
}

#[test]
fn triggers_as_in_mne() {
    let path = fixture("biosignals.npz");
    let mut npz = Npz::open(&path).unwrap();
    let file = edf::open(fixture("status.bdf")).unwrap();
    let status = file.find(&["Status"]).unwrap()[0];
    let triggers = file.triggers(status).unwrap();
    let onset = values(&mut npz, &path, "status.bdf/event");
    let code = values(&mut npz, &path, "status.bdf/code");
    assert_eq!(triggers.len(), onset.len());
    assert!(onset.len() >= 4);
    for (t, (onset, code)) in triggers.iter().zip(onset.iter().zip(&code)) {
        assert_eq!((t.onset, t.text.parse::<f64>().unwrap()), (*onset, *code));
    }
    assert_eq!(triggers[0].duration, Some(4.0 / 64.0));
}

#[test]
fn headers_say_what_was_written() {
    let file = edf::open(fixture("plus_c.edf")).unwrap();
    assert_eq!(file.format, "EDF+C");
    assert_eq!(file.start.unwrap().to_string(), "2002-03-02T20:35:01");
    assert!(file.patient.starts_with("P1 "));
    let labels: Vec<_> = file.channels.iter().map(|c| c.label.as_str()).collect();
    assert_eq!(labels, ["EEG Fp1-REF", "Resp", "EEG T3"]);
    let rates: Vec<_> = file.channels.iter().map(|c| c.rate).collect();
    assert_eq!(rates, [64.0, 16.0, 64.0]);
    assert_eq!(file.channels[1].unit, "mV");
    assert_eq!(file.channels[0].prefilter, "HP:0.1Hz");
    assert_eq!((file.seconds(), file.gaps().len()), (3.0, 0));
    let bdf = edf::open(fixture("plus_c.bdf")).unwrap();
    assert_eq!(bdf.format, "BDF+C");
    assert_eq!(bdf.channels[0].range.digital_max, 8_388_607.0);

    let file = edf::open(fixture("plus_d.edf")).unwrap();
    assert_eq!(file.format, "EDF+D");
    assert_eq!(file.start.unwrap().to_string(), "2101-01-01T10:11:12");
    let segments: Vec<_> = file.segments.iter().map(|s| (s.start, s.seconds)).collect();
    assert_eq!(segments, [(0.5, 1.0), (7.25, 0.5), (100.0, 0.5)]);
    let gaps: Vec<_> = file.gaps().iter().map(|g| (g.at, g.seconds)).collect();
    assert_eq!(gaps, [(1.5, Some(5.75)), (7.75, Some(92.25))]);
    // Time counts breaks, storage does not.
    let parts = file.between(1.25, 7.5);
    assert_eq!(parts.len(), 2);
    let whole = all(&file).unwrap();
    let first = file.read(&[1], &parts[0]).unwrap();
    assert_eq!(first[0], whole[1][30..40]);
    let second = file.read(&[1], &parts[1]).unwrap();
    assert_eq!(second[0], whole[1][40..50]);

    let file = gdf::open(fixture("v1.gdf")).unwrap();
    assert_eq!(file.format, "GDF 1.25");
    assert_eq!(file.start.unwrap().to_string(), "2012-07-11T15:25:23.5");
    assert_eq!(file.annotations[1].channel, None);
    let file = gdf::open(fixture("v2.gdf")).unwrap();
    assert_eq!(file.start.unwrap().to_string(), "2000-01-01T18:00:00");
    assert_eq!(file.channels[0].unit, "uV");
    assert_eq!(file.channels[0].prefilter, "HP:0.5Hz LP:40Hz N:50Hz");
    assert_eq!(file.annotations[1].channel, Some(1));
    // The event 32766 at sample 25 of 16 Hz starts a new segment.
    assert_eq!(file.gaps().len(), 1);
    assert_eq!((file.gaps()[0].at, file.gaps()[0].seconds), (1.5, None));
    assert_eq!(
        gdf::open(fixture("v2_new.gdf")).unwrap().record_seconds,
        0.5
    );
}

#[test]
fn mixed_rates_breaks_and_missing_channels_need_a_flag() {
    let error = |name: &str, options: &RecordingOptions| {
        edf::recordings(fixture(name), options)
            .unwrap_err()
            .to_string()
    };
    let mut options = RecordingOptions::default();
    let text = error("plus_c.edf", &options);
    assert!(
        text.contains("channel Resp: has 16 samples per second, channel EEG Fp1-REF has 64"),
        "{text}"
    );
    options.mixed_rates = MixedRates::MostCommon;
    let (sensors, recordings) = edf::recordings(fixture("plus_c.edf"), &options).unwrap();
    assert_eq!(sensors, ["Fp1", "T7"]);
    assert_eq!(recordings[0].signal.dim(), (2, 192, 1));
    assert_eq!(recordings[0].sampling_rate, Some(64.0));
    assert_eq!(recordings[0].name, "plus_c");

    options.mixed_rates = MixedRates::Resample;
    let (sensors, resampled) = edf::recordings(fixture("plus_c.edf"), &options).unwrap();
    assert_eq!(sensors, ["Fp1", "Resp", "T7"]);
    let (signal, stored) = (&resampled[0].signal, &recordings[0].signal);
    assert_eq!(signal.dim(), (3, 192, 1));
    assert_eq!(signal.index_axis(Axis(0), 2), stored.index_axis(Axis(0), 1));
    // scipy.signal.resample_poly of the channel, 4 times as many samples.
    let path = fixture("biosignals.npz");
    let mut npz = Npz::open(&path).unwrap();
    let expected = values(&mut npz, &path, "plus_c.edf/resampled");
    for (a, b) in signal.slice(s![1, .., 0]).iter().zip(&expected) {
        assert!((f64::from(*a) - b * 1e3).abs() < 1e-3, "{a} {b}");
    }
    options.channels = vec!["Resp".into()];
    options.seconds = Some([1.0, 2.5]);
    let (sensors, recordings) = edf::recordings(fixture("plus_c.edf"), &options).unwrap();
    assert_eq!(sensors, ["Resp"]);
    let file = edf::open(fixture("plus_c.edf")).unwrap();
    let stored = &all(&file).unwrap()[1];
    let signal = recordings[0].signal.slice(s![0, .., 0]);
    assert_eq!(signal.len(), 24);
    for (a, b) in signal.iter().zip(&stored[16..40]) {
        // Millivolts in the file.
        assert!((a - b * 1e3).abs() <= 1e-4, "{a} {b}");
    }
    options.channels = vec!["t3".into(), "FP1".into()];
    let (sensors, _) = edf::recordings(fixture("plus_c.edf"), &options).unwrap();
    assert_eq!(sensors, ["t3", "FP1"]);
    options.channels = vec!["Fp2".into()];
    let text = error("plus_c.edf", &options);
    assert!(
        text.contains("channel Fp2") && text.contains("EEG Fp1-REF, Resp, EEG T3"),
        "{text}"
    );

    let mut options = RecordingOptions::default();
    let text = error("plus_d.edf", &options);
    assert!(
        text.contains("2 breaks: 5.75 s at 1.5 s, 92.25 s at 7.75 s"),
        "{text}"
    );
    options.breaks = Breaks::Split;
    let (_, recordings) = edf::recordings(fixture("plus_d.edf"), &options).unwrap();
    let lengths: Vec<_> = recordings
        .iter()
        .map(|r| r.signal.len_of(Axis(1)))
        .collect();
    assert_eq!(lengths, [40, 20, 20]);
    assert_eq!(recordings[2].name, "plus_d/2");
    options.seconds = Some([2.0, 3.0]);
    assert!(error("plus_d.edf", &options).contains("nothing of 2 s is between 2 and 3 s"));
    let text = gdf::recordings(fixture("v2.gdf"), &RecordingOptions::default()).unwrap_err();
    assert!(
        text.to_string().contains("one of unknown length at 1.5 s"),
        "{text}"
    );
}

#[test]
fn annotations_become_labels() {
    let class = |pairs: &[(&str, usize)], otherwise| {
        Some(Labelling {
            classes: pairs.iter().map(|(t, c)| (t.to_string(), *c)).collect(),
            otherwise,
        })
    };
    let mut options = RecordingOptions {
        mixed_rates: MixedRates::MostCommon,
        labels: class(&[("T1", 1), ("T2", 2)], Some(0)),
        ..Default::default()
    };
    let steps = |options: &RecordingOptions| {
        let (_, recordings) = edf::recordings(fixture("plus_c.edf"), options).unwrap();
        match &recordings[0].labels {
            Labels::PerStep(steps) => steps.clone(),
            other => panic!("{other:?}"),
        }
    };
    // T1 from 0.25 s for 1.5 s, T2 from 2 s for 0.5 s, at 64 Hz.
    let expected = |t: usize| match t {
        16..112 => 1,
        128..160 => 2,
        _ => 0,
    };
    assert_eq!(steps(&options), (0..192).map(expected).collect::<Vec<_>>());
    // Without a duration, until the next that has a class.
    options.labels = class(&[("Müdigkeit", 1), ("T2", 2)], Some(0));
    let expected = |t: usize| match t {
        112..128 => 1,
        128..160 => 2,
        _ => 0,
    };
    assert_eq!(steps(&options), (0..192).map(expected).collect::<Vec<_>>());
    options.labels = class(&[("T1", 1)], None);
    let text = edf::recordings(fixture("plus_c.edf"), &options)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("covers 0 s; present: Müdigkeit, T1, T2"),
        "{text}"
    );
}

#[test]
fn annotations_become_trials() {
    let file = edf::open(fixture("plus_c.edf")).unwrap();
    let options = RecordingOptions {
        channels: vec!["T7".into()],
        ..Default::default()
    };
    let classes = [("T1".to_string(), 0), ("T2".to_string(), 1)].into();
    let (sensors, trials) = file.trials(&options, &classes, [-0.25, 0.5]).unwrap();
    assert_eq!((sensors, trials.len()), (vec!["T7".to_string()], 2));
    let whole = &all(&file).unwrap()[2];
    for (trial, (class, start)) in trials.iter().zip([(0, 0), (1, 112)]) {
        assert_eq!(trial.labels, Labels::Whole(class));
        let signal: Vec<f32> = trial.signal.iter().copied().collect();
        assert_eq!(signal, whole[start..start + 48]);
    }
    let text = |seconds| {
        let error = file.trials(&options, &classes, seconds).unwrap_err();
        error.to_string()
    };
    assert!(text([-0.5, 0.5]).contains("T1 at 0.25 s: its trial, -0.25 to 0.75 s"));
    assert!(text([0.0, 1.1]).contains("T2 at 2 s: its trial, 2 to 3.1 s"));
    // Breaks are not in a trial.
    let file = edf::open(fixture("plus_d.edf")).unwrap();
    let classes = [("spindle".to_string(), 0)].into();
    let options = RecordingOptions::default();
    assert!(file.trials(&options, &classes, [0.0, 0.7]).is_ok());
    assert!(file.trials(&options, &classes, [0.0, 8.0]).is_err());
    let classes = [("K-complex".to_string(), 0)].into();
    let text = file
        .trials(&options, &classes, [0.0, 0.1])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("none is one of K-complex; present: K complex, second text, spindle"),
        "{text}"
    );
}

/// Replaces the text at a byte of an ASCII header.
fn patched(name: &str, at: usize, text: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(fixture(name)).unwrap();
    bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

#[test]
fn damaged_headers_name_the_field() {
    let path = Path::new("a");
    for (at, text, expected) in [
        (0, "1       ", "byte 0, version"),
        (
            184,
            "512     ",
            "byte 184, number of header bytes: is 512, but 4 channels make 1280",
        ),
        (236, "9       ", "byte 236, number of records: 9 records of"),
        (236, "99999999", "byte 236, number of records"),
        (236, "-2      ", "byte 236, number of records: is -2"),
        (244, "0       ", "gives no sampling rate"),
        (
            244,
            "1,5     ",
            "byte 244, duration of a record: \"1,5\" is no number",
        ),
        (252, "0   ", "byte 252, number of channels: is 0"),
        (252, "9999", "9999 channels make 2560000"),
        (256 + 4 * 216, "2147483647", "byte 236, number of records"),
        (256 + 4 * 216, "-1      ", "samples per record: is -1"),
    ] {
        let bytes = patched("plus_c.edf", at, text);
        let error = edf::parse(&bytes, path).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    // A channel without a scale can stay unread.
    let bytes = patched("plus_c.edf", 256 + 4 * 104, "99      ");
    let bytes = {
        let mut b = bytes;
        b[256 + 4 * 112..][..8].copy_from_slice(b"99      ");
        b
    };
    let file = edf::parse(&bytes, path).unwrap();
    assert!(file.read(&[1, 2], &file.segments[0]).is_ok());
    let error = file.read(&[0], &file.segments[0]).unwrap_err().to_string();
    assert!(error.contains("cannot stand for 99 to 99 uV"), "{error}");

    let change = |at: usize, with: &[u8]| {
        let mut bytes = std::fs::read(fixture("v2.gdf")).unwrap();
        bytes[at..at + with.len()].copy_from_slice(with);
        gdf::parse(&bytes, path).unwrap_err().to_string()
    };
    let types = 256 + 12 * 220;
    for (at, with, expected) in [
        (0, &b"EDF"[..], "byte 0, version"),
        (4, b"3.10", "byte 4, version: is \"3.10\""),
        (184, &[2, 0], "12 channels need 3328"),
        (236, &[0xff; 7], "byte 236, number of records"),
        (248, &[0; 4], "gives no sampling rate"),
        (252, &[0, 0], "number of channels: is 0"),
        (types, &[18, 0], "channel C1: holds floats of 128 bits"),
        (types, &[9, 9], "an unknown type (type 2313)"),
        (types - 12 * 4, &[0xff; 4], "byte 236, number of records"),
    ] {
        let text = change(at, with);
        assert!(text.contains(expected), "{with:?}: {text}");
    }
}

#[test]
fn incomplete_files_are_read_when_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        accept_incomplete: true,
        ..Default::default()
    };
    for (name, records) in [("plus_c.edf", 2), ("v2.gdf", 3)] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let path = folder.path().join(name);
        let whole = parse(name, &bytes).unwrap();
        let (rate, count) = (whole.channels[0].rate, whole.channels[0].samples);
        // Into the last record; behind those of GDF is the table of events.
        let table = if name == "v2.gdf" { 8 + 3 * 12 } else { 0 };
        std::fs::write(&path, &bytes[..bytes.len() - table - 1]).unwrap();
        let (strict, lax) = match name {
            "v2.gdf" => (gdf::open(&path).err(), gdf::open_with(&path, options)),
            _ => (edf::open(&path).err(), edf::open_with(&path, options)),
        };
        assert!(strict.unwrap().to_string().contains("number of records"));
        let lax = lax.unwrap();
        let per_record = (rate * whole.record_seconds) as u64;
        assert_eq!(lax.channels[0].samples, count - per_record);
        assert_eq!(lax.seconds(), records as f64 * whole.record_seconds);
    }
    // An annotation that cannot be read.
    let mut bytes = std::fs::read(fixture("plus_d.edf")).unwrap();
    let at = bytes.windows(5).position(|w| w == b"+0.75").unwrap();
    bytes[at] = b'?';
    let path = folder.path().join("a.edf");
    std::fs::write(&path, &bytes).unwrap();
    let text = edf::open(&path).unwrap_err().to_string();
    assert!(
        text.contains("annotations of record 0: \"?0.75\" is no onset"),
        "{text}"
    );
    let options = OpenOptions {
        accept_damaged_annotations: true,
        ..Default::default()
    };
    let file = edf::open_with(&path, options).unwrap();
    assert_eq!((file.annotations.len(), file.segments.len()), (2, 3));
}

#[test]
fn cut_and_changed_files_are_errors_not_panics() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let read = |name: &str, bytes: &[u8]| {
        let file = parse(name, bytes)?;
        let samples = all(&file)?;
        let options = RecordingOptions {
            mixed_rates: MixedRates::MostCommon,
            breaks: Breaks::Split,
            labels: Some(Labelling {
                otherwise: Some(0),
                ..Default::default()
            }),
            ..Default::default()
        };
        let _ = file.recordings(&options);
        Ok::<_, tgmamba_graph::Error>(samples.iter().map(Vec::len).sum::<usize>())
    };
    for name in FILES {
        let whole = std::fs::read(fixture(name)).unwrap();
        let samples = read(name, &whole).unwrap();
        for n in 0..whole.len() {
            match read(name, &whole[..n]) {
                Err(_) => {}
                // A GDF file without a table of events is a GDF file, and one of open length has
                // any.
                Ok(some) if name.ends_with("gdf") => assert_eq!(some, samples, "{name} {n}"),
                Ok(some) => assert!(name == "open_end.edf" && some <= samples, "{name} {n}"),
            }
        }
        for _ in 0..1000 {
            let mut changed = whole.clone();
            for _ in 0..rng.random_range(1..6) {
                // Mostly in the header.
                let limit = if rng.random_bool(0.7) {
                    1500
                } else {
                    whole.len()
                };
                let at = rng.random_range(0..limit.min(whole.len()));
                changed[at] ^= 1 << rng.random_range(0..8);
            }
            // No file makes more samples than it has bytes.
            if let Ok(some) = read(name, &changed) {
                assert!(some <= whole.len(), "{name}");
            }
        }
        assert!(read(name, &[]).is_err());
    }
}

#[test]
fn eegmat_as_in_mne() {
    let Some(dir) = data_dir() else { return };
    let path = fixture("eegmat.npz");
    let mut npz = Npz::open(&path).unwrap();
    for name in ["Subject00_1", "Subject00_2"] {
        let file = edf::open(dir.join(format!("eegmat_sample/{name}.edf"))).unwrap();
        assert_eq!((file.format.as_str(), file.channels.len()), ("EDF+C", 21));
        assert_eq!(file.gaps().len(), 0);
        assert_eq!(file.start.unwrap().to_string(), "2011-01-01T00:00:00");
        let samples = all(&file).unwrap();
        let mut of = |what: &str| values(&mut npz, &path, &format!("{name}/{what}"));
        let (sums, squares, some) = (of("sum"), of("square"), of("some"));
        for (i, signal) in samples.iter().enumerate() {
            assert_eq!(signal.len() as f64, of("samples")[0]);
            let sum: f64 = signal.iter().map(|v| f64::from(*v)).sum();
            let square: f64 = signal.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!((square / squares[i] - 1.0).abs() < 1e-7, "{name} {i}");
            assert!(
                (sum - sums[i]).abs() < 1e-3 * squares[i].sqrt(),
                "{name} {i}"
            );
            for (j, t) in (0..signal.len()).step_by(1009).enumerate() {
                let expected = some[i * signal.len().div_ceil(1009) + j];
                let error = (f64::from(signal[t]) - expected).abs();
                assert!(error <= 6.1e-8 * expected.abs() + 1e-9, "{name} {i} {t}");
            }
        }
        let onset = of("onset");
        assert_eq!(file.annotations.len(), onset.len());
    }
}

#[test]
fn ssvep_gdf_is_the_recording_behind_the_trials() {
    let Some(dir) = data_dir() else { return };
    let path = dir.join("ssvep_exo/gdf/subject03_2012.07.11-15.25.23.gdf");
    let file = gdf::open(&path).unwrap();
    assert_eq!(file.format, "GDF 1.25");
    assert_eq!((file.channels.len(), file.channels[0].rate), (8, 256.0));
    assert_eq!(file.annotations.len(), 98);
    let count = |code: &str| file.annotations.iter().filter(|a| a.text == code).count();
    assert_eq!((count("32779"), count("32780")), (32, 32));
    for class in 33024..33028 {
        assert_eq!(count(&class.to_string()), 8);
    }
    let names = ["Oz", "O1", "O2", "PO3", "POz", "PO7", "PO8", "PO4"];
    let chosen = file.find(&names).unwrap();
    assert_eq!(chosen, (0..8).collect::<Vec<_>>());
    let npz_path = dir.join("ssvep_exo/subject03.npz");
    let mut npz = Npz::open(&npz_path).unwrap();
    let x = npz.read("x").unwrap().into_f32(&npz_path, "x").unwrap();
    let signal = file.read_array(&chosen, &file.segments[0]).unwrap();
    assert_eq!(signal.dim(), (8, 59_040));
    let starts = file.annotations.iter().filter(|a| a.text == "32779");
    let sessions = values(&mut npz, &npz_path, "session");
    let first = sessions.iter().position(|s| *s == 0.0).unwrap();
    let x = x.slice(s![first.., .., ..]);
    for (trial, event) in x.outer_iter().zip(starts) {
        // The cutting of the trials took the event's number, which counts from 1, for one from 0.
        let start = (event.onset * 256.0).round() as usize + 1;
        let cut = signal.slice(s![.., start..start + 1280]);
        let error = (&cut - &trial)
            .mapv(f32::abs)
            .into_iter()
            .fold(0.0, f32::max);
        assert!(error < 1e-8, "{error}");
    }
}
