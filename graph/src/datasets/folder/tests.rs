use super::*;
use crate::Dataset;
use crate::signal::FeatureConfig;
use crate::windows::{Missing, Unit, WindowConfig, cut};

/// Everything about windows but where the values lie.
fn text(d: &Dataset) -> String {
    let mut sources: Vec<_> = d.sources.iter().map(|s| s.sha256.clone()).collect();
    sources.sort();
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {sources:?}",
        d.x.to_array(),
        d.mask,
        d.sensors,
        d.positions,
        d.adjacency,
        d.sampling_rate,
        d.y,
        d.classes,
        d.subject,
        d.part
    )
}

fn both(folder: &Path, asked: &DatasetConfig, missing: Missing) -> [Dataset; 2] {
    let config = FolderConfig::read(folder).unwrap();
    let window = WindowConfig {
        length: Some(4.0),
        stride: Some(3.0),
        unit: Unit::Samples,
    };
    let features = FeatureConfig::default();
    let open = |large| open_from(folder, &config, asked, large).unwrap();
    let Recordings::Read(read) = open(u64::MAX) else {
        panic!("not read")
    };
    let Recordings::Lazy(lazy) = open(0) else {
        panic!("not lazy")
    };
    [
        cut(read, &window, &features, missing).unwrap(),
        lazy.cut(&window, &features, missing).unwrap(),
    ]
}

#[test]
fn large_folders_give_the_same_windows_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    for (i, name) in ["a.csv", "b.csv", "c.csv"].iter().enumerate() {
        let rows: String = (0..20 + i)
            .map(|t| match (i, t) {
                (1, 6) => format!(",{t},0\n"),
                _ => format!("{},{},{}\n", t * (i + 1), 100 - t, (t / 5) % 2),
            })
            .collect();
        write(name, &format!("p,q,r\n{rows}"));
    }
    write("p.csv", "name,x,y\np,0,0\nq,1,0\nr,0,2\n");
    write(
        "m.csv",
        "file,label,subject,part\na.csv,walk,s1,train\nb.csv,run,s2,test\nc.csv,walk,s2,test\n",
    );
    write(
        "dataset.toml",
        "manifest = \"m.csv\"\npositions = \"p.csv\"\n",
    );
    let asked = DatasetConfig::default();
    let [read, lazy] = both(folder.path(), &asked, Missing::Mask);
    assert!(read.mask.is_some() && read.x.dim().0 > 15);
    assert_eq!(text(&read), text(&lazy));
    let chosen = DatasetConfig {
        subjects: vec!["s2".into()],
        channels: vec!["r".into(), "p".into()],
        ..asked.clone()
    };
    let [read, lazy] = both(folder.path(), &chosen, Missing::Mask);
    assert_eq!(read.sensors, ["r", "p"]);
    // The file of the other subject is not read for windows, but was for the description.
    let without = |d: &Dataset| {
        let all = text(d);
        all[..all.rfind('[').unwrap()].to_string()
    };
    assert_eq!(without(&read), without(&lazy));
    // A class for every step, and two recordings in a file of arrays.
    write(
        "dataset.toml",
        "files = [\"a.csv\", \"c.csv\"]\n[csv]\nlabel = \"r\"\n",
    );
    let [read, lazy] = both(folder.path(), &asked, Missing::Error);
    assert_eq!(read.classes, ["0", "1"]);
    assert_eq!(text(&read), text(&lazy));
    // What is refused of a small folder is refused of a large one.
    write("n.csv", "file,label\na.csv,walk\nb.csv,run\nc.csv,\n");
    write("dataset.toml", "manifest = \"n.csv\"\nmissing = \"mask\"\n");
    let config = FolderConfig::read(folder.path()).unwrap();
    let error = open_from(folder.path(), &config, &asked, 0).map(|_| ());
    let text_of = error.unwrap_err().to_string();
    assert!(text_of.contains("a has a label, c has none"), "{text_of}");
    let x = Array3::from_shape_fn((3, 2, 9), |(n, v, t)| (100 * n + 10 * v + t) as f32);
    let y = ndarray::Array1::from(vec![0.0f32, 1.0, 1.0]);
    let arrays = [("x", x.into_dyn()), ("y", y.into_dyn())];
    for name in ["s1.npz", "s2.npz"] {
        crate::formats::npy::write_npz(folder.path().join(name), &arrays).unwrap();
    }
    write(
        "dataset.toml",
        "files = \"s*.npz\"\nlayout = \"samples nodes time\"\nsubject_from_file = true\n",
    );
    let [read, lazy] = both(folder.path(), &asked, Missing::Error);
    assert_eq!(read.x.dim().0, 12);
    assert_eq!(text(&read), text(&lazy));
}

/// An EDF file of two channels at 4 Hz, a record a second.
fn edf(seconds: usize, gain: i16) -> Vec<u8> {
    let mut out = Vec::new();
    let mut text = |value: &str, width: usize| out.extend(format!("{value:width$}").bytes());
    for (value, width) in [
        ("0", 8),
        ("X", 80),
        ("Startdate X", 80),
        ("01.01.20", 8),
        ("00.00.00", 8),
    ] {
        text(value, width);
    }
    text("768", 8);
    text("", 44);
    text(&seconds.to_string(), 8);
    text("1", 8);
    text("2", 4);
    for (values, width) in [
        (["Fp1", "Fp2"], 16),
        (["", ""], 80),
        (["uV", "mV"], 8),
        (["-32768", "-3276"], 8),
        (["32767", "3276"], 8),
        (["-32768", "-32768"], 8),
        (["32767", "32767"], 8),
        (["", ""], 80),
        (["4", "4"], 8),
        (["", ""], 32),
    ] {
        values.iter().for_each(|v| text(v, width));
    }
    for record in 0..seconds as i16 {
        for channel in 0..2 {
            for i in 0..4 {
                let value = gain * (4 * record + i) + 100 * channel;
                out.extend(value.to_le_bytes());
            }
        }
    }
    out
}

#[test]
fn large_signal_files_are_read_stretch_by_stretch() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("a.edf", &edf(30, 3));
    write("b.edf", &edf(21, -7));
    write(
        "m.csv",
        b"file,label,subject\na.edf,rest,s1\nb.edf,move,s2\n",
    );
    write("dataset.toml", b"manifest = \"m.csv\"\n");
    let asked = DatasetConfig::default();
    let [read, lazy] = both(folder.path(), &asked, Missing::Error);
    assert_eq!(read.x.dim(), (39 + 27, 2, 4, 1));
    let millivolts = (103.0f64 + 32_768.0) * (6_552.0 / 65_535.0) - 3_276.0;
    assert!((f64::from(read.x[[0, 1, 1, 0]]) - 1_000.0 * millivolts).abs() < 1e-2);
    assert_eq!(text(&read), text(&lazy));
    let chosen = DatasetConfig {
        channels: vec!["Fp2".into()],
        ..asked
    };
    let [read, lazy] = both(folder.path(), &chosen, Missing::Error);
    assert_eq!(lazy.sensors, ["Fp2"]);
    assert_eq!(text(&read), text(&lazy));
}

#[test]
fn stretches_of_signal_files_meet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.edf");
    std::fs::write(&path, edf(3000, 1)).unwrap();
    let file = crate::formats::edf::open(&path).unwrap();
    // Half a sample after the tenth.
    for from in [0.0, 2.625, 1.3] {
        let options = crate::formats::biosignal::RecordingOptions {
            seconds: Some([from, 2990.0]),
            ..Default::default()
        };
        let (_, whole) = file.recordings(&options).unwrap();
        let (_, bare) = file.recordings_with(&options, false).unwrap();
        let whole = &whole[0].signal;
        assert_eq!(bare[0].signal.dim(), (2, 0, 1));
        let parts = file.stretches(&options).unwrap().unwrap();
        assert_eq!((parts.len(), parts[0].steps), (1, whole.len_of(Axis(1))));
        for start in (0..parts[0].steps).step_by(7) {
            let end = (start + 7).min(parts[0].steps);
            let found = file.read_steps(&parts[0], start..end).unwrap();
            assert_eq!(
                found,
                whole.slice(ndarray::s![.., start..end, ..]),
                "{from} {start}"
            );
        }
    }
}
