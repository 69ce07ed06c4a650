//! Windows out of the cache against windows freshly made.

use std::fs;

use ndarray::{Array1, Array3};
use serde_json::json;

use super::*;
use crate::datasets::{DatasetConfig, load_with};
use crate::formats::npy::write_npz;
use crate::signal::{FeatureConfig, Standardize};
use crate::windows::{Missing, Unit, WindowConfig};

/// Two subjects of three trials, three sensors, forty steps at 10 Hz; step 7 of a sensor of the
/// second is missing.
fn source() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (i, name) in ["s1.npz", "s2.npz"].into_iter().enumerate() {
        let mut x = Array3::from_shape_fn((3, 3, 40), |(n, v, t)| {
            ((n * 7919 + v * 104_729 + t * 1_299_709 + i) % 1000) as f32 / 7.0
        });
        if i == 1 {
            x[[1, 2, 7]] = f32::NAN;
        }
        let y = Array1::from(vec![0.0f32, 1.0, 1.0]);
        let arrays = [("x", x.into_dyn()), ("y", y.into_dyn())];
        write_npz(folder.path().join(name), &arrays).unwrap();
    }
    write(folder.path(), "p.csv", "name,x,y\na,0,0.1\nb,1,0\nc,2,0\n");
    write(folder.path(), "e.csv", "from,to,weight\na,b,2\nb,c,0.3\n");
    let toml = "files = \"s*.npz\"\nlayout = \"samples nodes time\"\nsampling_rate = 10\n\
                sensors = [\"a\", \"b\", \"c\"]\npositions = \"p.csv\"\nmissing = \"mask\"\n\
                subject_from_file = true\n[graph]\nedges = \"e.csv\"\n";
    write(folder.path(), "dataset.toml", toml);
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

fn config(folder: &Path) -> DatasetConfig {
    DatasetConfig {
        name: folder.display().to_string(),
        window: Some(WindowConfig {
            length: Some(20.0),
            stride: Some(5.0),
            unit: Unit::Samples,
        }),
        ..Default::default()
    }
}

fn always(cache: &Cache) -> CacheOptions {
    CacheOptions {
        mode: CacheMode::Always,
        folder: Some(cache.folder().into()),
    }
}

/// Everything but where the values and the sources lie.
fn assert_same(a: &Dataset, b: &Dataset) {
    let text = |d: &Dataset| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            d.info,
            d.sensors,
            d.positions,
            d.adjacency,
            d.sampling_rate,
            d.y,
            d.classes,
            d.recording,
            d.subject,
            d.session,
            d.part
        )
    };
    assert_eq!(text(a), text(b));
    let bits = |d: &Dataset| d.x.to_array().mapv(f32::to_bits);
    assert_eq!(bits(a), bits(b));
    assert_eq!(a.mask, b.mask);
    assert_eq!(a.x.is_finite(), b.x.is_finite());
    let hashes = |d: &Dataset| {
        d.sources
            .iter()
            .map(|s| s.sha256.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(hashes(a), hashes(b));
}

fn cache() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("windows"));
    (folder, cache)
}

/// The windows of the cache alone: nothing may be made.
fn found(cache: &Cache, config: &DatasetConfig) -> bool {
    let files = |cache: &Cache| cache.list().unwrap().len();
    let before = files(cache);
    load_with(config, &always(cache)).unwrap();
    files(cache) == before
}

#[test]
fn bits_are_the_same_with_and_without() {
    let source = source();
    let (_folder, cache) = cache();
    let features = |f: FeatureConfig| DatasetConfig {
        features: Some(f),
        ..config(source.path())
    };
    let filtered = FeatureConfig {
        lowpass_hz: Some(3.0),
        ..Default::default()
    };
    let spectrum: FeatureConfig =
        toml::from_str("kind = \"log-spectrum\"\nsegment_seconds = 1").unwrap();
    let standard = FeatureConfig {
        standardize: Standardize::Time,
        ..Default::default()
    };
    let all = [FeatureConfig::default(), filtered, spectrum, standard];
    for (number, f) in all.into_iter().enumerate() {
        let config = features(f);
        let fresh = load_with(&config, &CacheOptions::off()).unwrap();
        let first = load_with(&config, &always(&cache)).unwrap();
        let second = load_with(&config, &always(&cache)).unwrap();
        assert_same(&fresh, &first);
        assert_same(&fresh, &second);
        // One step missing of ten leaves a segment of a spectrum observed.
        assert_eq!(fresh.mask.is_some(), number != 2);
        assert_eq!(cache.list().unwrap().len(), number + 1);
    }
    assert!(cache.verify().unwrap().is_empty());
    // Overlapping windows are kept once.
    let entry = &cache.list().unwrap()[3];
    assert_eq!(entry.content.as_ref().unwrap().shape, (30, 3, 20, 1));
}

#[test]
fn a_second_load_reads_no_source() {
    let source = source();
    let (_folder, cache) = cache();
    let config = config(source.path());
    let request = Request {
        parameters: json!(1),
        roots: vec![source.path().into()],
    };
    let load = |read: &dyn Fn() -> Result<Dataset>| {
        let parameters = |d: &Dataset| Ok((json!(1), d.sources.clone()));
        let make = |d, keeper: Keeper<'_>| Ok(keeper.whole(d));
        through(&always(&cache), &request, read, parameters, make)
    };
    let first = load(&|| load_with(&config, &CacheOptions::off())).unwrap();
    let second = load(&|| panic!("the sources are read again")).unwrap();
    assert_same(&first, &second);
    assert_eq!(second.sources[0].path, first.sources[0].path);
}

#[test]
fn every_parameter_has_windows_of_its_own() {
    let source = source();
    let (_folder, cache) = cache();
    let base = config(source.path());
    let feature = |f: FeatureConfig| DatasetConfig {
        features: Some(f),
        ..base.clone()
    };
    let raw = FeatureConfig::default;
    let others = [
        base.clone(),
        DatasetConfig {
            window: None,
            ..base.clone()
        },
        DatasetConfig {
            window: Some(WindowConfig {
                stride: Some(6.0),
                ..base.window.clone().unwrap()
            }),
            ..base.clone()
        },
        DatasetConfig {
            subjects: vec!["s1".into()],
            ..base.clone()
        },
        feature(FeatureConfig {
            lowpass_hz: Some(3.0),
            ..raw()
        }),
        feature(FeatureConfig {
            lowpass_hz: Some(3.0),
            filter_order: 3,
            ..raw()
        }),
        feature(FeatureConfig {
            lowpass_hz: Some(3.0),
            zero_phase: false,
            ..raw()
        }),
        feature(FeatureConfig {
            decimate: 2,
            ..raw()
        }),
    ];
    for (number, config) in others.iter().enumerate() {
        assert!(!found(&cache, config), "{config:?}");
        assert_eq!(cache.list().unwrap().len(), number + 1);
        let fresh = load_with(config, &CacheOptions::off()).unwrap();
        assert_same(&load_with(config, &always(&cache)).unwrap(), &fresh);
    }
    // An error stays one.
    let strict = DatasetConfig {
        missing: Some(Missing::Error),
        ..base.clone()
    };
    assert!(load_with(&strict, &always(&cache)).is_err());
    // The defaults written out are the same windows.
    assert!(found(&cache, &feature(raw())));
}

#[test]
fn a_changed_source_is_never_read_from_the_cache() {
    let source = source();
    let (_folder, cache) = cache();
    let config = config(source.path());
    assert!(!found(&cache, &config));
    assert!(found(&cache, &config));
    let path = source.path().join("s1.npz");
    let bytes = fs::read(&path).unwrap();
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let set_time = |time| {
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
    };
    // One value more or less, the size and even the time as before: the file is so young that its
    // time proves nothing.
    let mut other = bytes.clone();
    let at = other
        .windows(4)
        .position(|w| w == 1.0f32.to_le_bytes())
        .unwrap();
    other[at + 3] ^= 0x80;
    fs::write(&path, &other).unwrap();
    set_time(time);
    let changed = load_with(&config, &always(&cache));
    let fresh = load_with(&config, &CacheOptions::off());
    match (changed, fresh) {
        (Ok(changed), Ok(fresh)) => assert_same(&changed, &fresh),
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
        (a, b) => panic!("{:?} {:?}", a.is_ok(), b.is_ok()),
    }
    // The old bytes at another time are the old windows.
    fs::write(&path, &bytes).unwrap();
    set_time(time + Duration::from_secs(3600));
    assert!(found(&cache, &config));
    // A new file that the pattern matches.
    fs::copy(&path, source.path().join("s3.npz")).unwrap();
    assert!(!found(&cache, &config));
    let subjects = load_with(&config, &always(&cache))
        .unwrap()
        .subject
        .unwrap();
    assert!(subjects.contains(&"s3".to_string()));
    fs::remove_file(source.path().join("s3.npz")).unwrap();
    assert!(found(&cache, &config));
    // The description is a source like any other.
    let toml = fs::read_to_string(source.path().join("dataset.toml")).unwrap();
    write(source.path(), "dataset.toml", &toml.replace("= 10", "= 20"));
    assert!(!found(&cache, &config));
    write(source.path(), "e.csv", "from,to,weight\na,b,2\nb,c,0.4\n");
    assert!(!found(&cache, &config));
}

#[test]
fn settled_sources_are_not_hashed_again() {
    let source = source();
    for entry in fs::read_dir(source.path()).unwrap() {
        let file = fs::File::options()
            .append(true)
            .open(entry.unwrap().path())
            .unwrap();
        let past = SystemTime::now() - Duration::from_secs(60);
        file.set_modified(past).unwrap();
    }
    let request = Request {
        parameters: json!(1),
        roots: vec![source.path().into()],
    };
    let fresh = load_with(&config(source.path()), &CacheOptions::off()).unwrap();
    let before = request.before();
    let seen = request.remember(&before, &fresh.sources, "key").unwrap();
    let (sources, hashed) = seen.sources(&before).unwrap();
    assert!(!hashed);
    assert_eq!(sources.len(), 5);
    // Moved to another place, the content key stays.
    let copy = tempfile::tempdir().unwrap();
    for source in &fresh.sources {
        let name = source.path.file_name().unwrap();
        fs::copy(&source.path, copy.path().join(name)).unwrap();
    }
    let elsewhere = Request {
        roots: vec![copy.path().into()],
        ..request.clone()
    };
    assert_ne!(elsewhere.key(), request.key());
    let moved: Vec<SourceFile> = fresh
        .sources
        .iter()
        .map(|s| files::source_file(copy.path().join(s.path.file_name().unwrap())).unwrap())
        .collect();
    let key = |r: &Request, s: &[SourceFile]| content_key(&r.parameters, &r.portable(s));
    assert_eq!(key(&request, &fresh.sources), key(&elsewhere, &moved));
}

#[test]
fn damaged_files_are_made_again() {
    let source = source();
    let (_folder, cache) = cache();
    let config = config(source.path());
    let fresh = load_with(&config, &always(&cache)).unwrap();
    let path = cache.list().unwrap()[0].path.clone();
    let bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    for cut in [0, 1, 9, 100, end / 2, end - 11, end - 1] {
        // Another file in its place, as a crash would leave it; the old one stays mapped.
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes[..cut]).unwrap();
        let message = cache.list().unwrap()[0].content.clone().unwrap_err();
        assert!(message.contains("delete the file"), "{message}");
        assert_same(&load_with(&config, &always(&cache)).unwrap(), &fresh);
        assert_eq!(fs::read(&path).unwrap().len(), end);
    }
    let mut flipped = bytes.clone();
    flipped[end - 400] ^= 4;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &flipped).unwrap();
    assert_same(&load_with(&config, &always(&cache)).unwrap(), &fresh);
    // A file under the name of another.
    fs::copy(&path, cache.path("0000")).unwrap();
    assert!(cache.open("0000", &[]).is_none());
}

#[test]
fn flipped_bits_are_errors_or_other_values_but_nothing_worse() {
    let source = source();
    let (_folder, cache) = cache();
    let fresh = load_with(&config(source.path()), &always(&cache)).unwrap();
    let path = &cache.list().unwrap()[0].path;
    let bytes = fs::read(path).unwrap();
    let mut state = 1u64;
    let mut next = |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % n
    };
    let (mut errors, mut values) = (0, 0);
    for _ in 0..4000 {
        let mut other = bytes.clone();
        other[next(bytes.len())] ^= 1 << next(8);
        match parse(&other, path) {
            Err(_) => errors += 1,
            Ok((_, dataset)) => {
                assert_eq!(dataset.x.dim(), fresh.x.dim());
                values += usize::from(dataset.x != fresh.x || dataset.mask != fresh.mask);
            }
        }
    }
    assert!(errors > 400 && values > 400, "{errors} {values}");
    for length in 0..bytes.len() {
        assert!(parse(&bytes[..length], path).is_err(), "{length}");
    }
    // What a load leaves unseen, verification finds.
    let at = bytes.len() / 8;
    let mut other = bytes.clone();
    other[at] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, &other).unwrap();
    let faults = cache.verify().unwrap();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].1.to_string().contains("batch"), "{}", faults[0].1);
}

#[test]
fn arrow_reads_the_file() {
    let source = source();
    let (_folder, cache) = cache();
    let fresh = load_with(&config(source.path()), &always(&cache)).unwrap();
    let file = fs::File::open(&cache.list().unwrap()[0].path).unwrap();
    let reader = arrow::ipc::reader::FileReader::try_new(file, None).unwrap();
    let batches: Vec<_> = reader.map(|b| b.unwrap()).collect();
    assert_eq!(batches.len(), 6);
    let rows: usize = batches.iter().map(|b| b.num_rows()).sum();
    assert_eq!(rows, 6 * 3 * 40);
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float32Type, UInt8Type};
    let x = batches[4].column(0).as_fixed_size_list().values().clone();
    let x = x.as_primitive::<Float32Type>();
    assert_eq!(x.null_count(), 0);
    // Window 20 is the first of recording 4, whose sensor c is missing at step 7.
    assert_eq!(x.value(45), fresh.x[[20, 1, 5, 0]]);
    assert_eq!(
        batches[4].column(1).as_primitive::<UInt8Type>().value(87),
        0
    );
    assert!(!fresh.mask.as_ref().unwrap()[[20, 2, 7]]);
}

#[test]
fn many_at_once_make_one_file() {
    let source = source();
    let (_folder, cache) = cache();
    let config = config(source.path());
    let fresh = load_with(&config, &CacheOptions::off()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_same(&load_with(&config, &always(&cache)).unwrap(), &fresh);
                }
            });
        }
    });
    assert_eq!(cache.list().unwrap().len(), 1);
}

#[test]
fn clearing_removes_what_it_says_and_leaves_what_is_open() {
    let source = source();
    let (_folder, cache) = cache();
    assert_eq!(cache.clear(None).unwrap(), Cleared::default());
    let open = load_with(&config(source.path()), &always(&cache)).unwrap();
    let name = open.info.name.clone();
    let entry = cache.list().unwrap().remove(0);
    assert!(entry.bytes > 6 * 3 * 40 * 4);
    assert!(entry.used.elapsed().unwrap() < Duration::from_secs(60));
    assert_eq!(entry.content.unwrap().name, name);
    assert_eq!(cache.clear(Some("other")).unwrap(), Cleared::default());
    let hour = Duration::from_secs(3600);
    assert_eq!(cache.clear_unused(hour).unwrap(), Cleared::default());
    let cleared = cache.clear(Some(&name)).unwrap();
    assert_eq!((cleared.files, cleared.bytes), (1, entry.bytes));
    assert!(cache.list().unwrap().is_empty());
    let index = fs::read_dir(cache.folder().join("index")).unwrap();
    assert_eq!(index.count(), 0);
    assert_eq!(open.x.to_array().dim().0, 30);
    load_with(&config(source.path()), &always(&cache)).unwrap();
    assert_eq!(cache.clear_unused(Duration::ZERO).unwrap().files, 1);
}

#[test]
fn small_sets_and_unwritable_folders_do_without() {
    let source = source();
    let (folder, cache) = cache();
    let config = config(source.path());
    let auto = CacheOptions {
        mode: CacheMode::Auto,
        ..always(&cache)
    };
    load_with(&config, &auto).unwrap();
    assert!(!cache.folder().exists());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    load_with(&config, &always(&Cache::at(file.join("windows")))).unwrap();
}

#[test]
fn the_folder_follows_the_environment() {
    let folder = |set: &[(&str, &str)], home: Option<&str>| {
        let variable = |name: &str| {
            let found = set.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| OsString::from(value))
        };
        user_folder(variable, home.map(PathBuf::from))
    };
    let xdg = ("XDG_CACHE_HOME", "/x");
    let here = folder(&[("TGMAMBA_CACHE", "here"), xdg], Some("/h"));
    assert_eq!(here, Some("here/windows".into()));
    assert_eq!(folder(&[xdg], None), Some("/x/tgmamba/windows".into()));
    let home = folder(&[("XDG_CACHE_HOME", "relative")], Some("/h"));
    assert_eq!(home, Some("/h/.cache/tgmamba/windows".into()));
    assert_eq!(folder(&[("TGMAMBA_CACHE", "")], None), None);
}
