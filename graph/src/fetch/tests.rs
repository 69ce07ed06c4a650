//! Fetching from a server in this process that behaves as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::catalog::Source;
use super::*;

const ADDRESS: &str = "/owner/set/0123456789abcdef0123456789abcdef01234567/some%20data.bin";

/// What a request asked for.
#[derive(Debug, Clone, Default)]
struct Asked {
    path: String,
    range: Option<u64>,
    if_range: Option<String>,
}

/// A server that answers requests, in their order, with `answers`; the last one goes on.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

type Answer = Box<dyn Fn(&Asked, &mut TcpStream) + Send>;

impl Server {
    fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = asked.clone();
        // The thread ends with the process.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let request = read_request(&mut stream);
                log.lock().unwrap().push(request.clone());
                answers[number.min(answers.len() - 1)](&request, &mut stream);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read_request(stream: &mut TcpStream) -> Asked {
    let mut asked = Asked::default();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        let lower = line.to_lowercase();
        if let Some(path) = line.strip_prefix("GET ") {
            asked.path = path.split(' ').next().unwrap().to_string();
        } else if let Some(range) = lower.strip_prefix("range: bytes=") {
            asked.range = Some(range.trim_end_matches('-').parse().unwrap());
        } else if let Some(tag) = lower.strip_prefix("if-range: ") {
            asked.if_range = Some(tag.to_string());
        } else if line.is_empty() {
            break;
        }
    }
    asked
}

/// The client may have hung up, which is its right.
fn send(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
    let _hung_up = stream.write_all(head.as_bytes());
    let _hung_up = stream.write_all(body);
}

/// Serves `body`, in parts if asked and `ranges`, but hangs up after `most` bytes.
fn serve(body: Vec<u8>, ranges: bool, most: usize) -> Answer {
    Box::new(move |asked, stream| {
        let from = asked.range.filter(|_| ranges).unwrap_or(0) as usize;
        let rest = &body[from.min(body.len())..];
        let status = match asked.range.filter(|_| ranges) {
            Some(from) => format!(
                "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
                body.len() - 1,
                body.len()
            ),
            None => "200 OK".into(),
        };
        let head = format!("{status}\r\nContent-Length: {}\r\nETag: \"v1\"", rest.len());
        send(stream, &head, &rest[..most.min(rest.len())]);
    })
}

fn status(head: &'static str) -> Answer {
    Box::new(move |_, stream| send(stream, &format!("{head}\r\nContent-Length: 0"), b""))
}

fn body(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7919 % 251) as u8).collect()
}

/// A set of one file with the hash of `body`.
fn entry(body: &[u8]) -> Entry {
    let sha256 = crate::files::hexadecimal(Sha256::new().chain_update(body));
    let file = Remote {
        name: "sub/data.bin",
        paths: &["some data.bin"],
        bytes: body.len() as u64,
        sha256: sha256.leak(),
    };
    Entry {
        name: "set",
        folders: &["set"],
        title: "A set",
        licence: "CC0 1.0",
        citation: "Nobody",
        note: "",
        sources: vec![Source {
            repository: "owner/set",
            commit: "0123456789abcdef0123456789abcdef01234567",
            files: vec![file].leak(),
        }]
        .leak(),
    }
}

fn options(folder: &Path, mirror: String) -> FetchOptions<'static> {
    FetchOptions {
        data_dir: folder.into(),
        mirror: Some(mirror),
        retries: 2,
        pause: Duration::from_millis(1),
        patience: Duration::from_millis(1500),
        ..Default::default()
    }
}

/// Fetches a body of `n` bytes from a server; the outcome and what was asked.
fn go(n: usize, answers: Vec<Answer>) -> (Result<Fetched>, Vec<Asked>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(answers);
    let options = options(folder.path(), format!("http://{}/", server.address));
    let outcome = fetch_entry(&entry(&body(n)), &options);
    (outcome, server.asked(), folder)
}

fn content(folder: &tempfile::TempDir) -> Vec<u8> {
    std::fs::read(folder.path().join("set/sub/data.bin")).unwrap()
}

/// Names below the folder of the set.
fn left(folder: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path().join("set/sub")).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

const ALL: usize = usize::MAX;

#[test]
fn a_good_transfer_is_verified_and_kept() {
    let n = 300_000;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(vec![serve(body(n), true, ALL)]);
    let seen = AtomicU64::new(0);
    let progress = |p: Progress<'_>| {
        assert_eq!((p.file, p.total), ("sub/data.bin", 300_000));
        assert!(p.done > seen.swap(p.done, Ordering::SeqCst));
    };
    let options = FetchOptions {
        progress: Some(&progress),
        ..options(folder.path(), format!("http://{}", server.address))
    };
    let entry = entry(&body(n));
    let fetched = fetch_entry(&entry, &options).unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), n as u64);
    assert_eq!((fetched.kept, fetched.transferred), (0, n as u64));
    assert_eq!(fetched.info.licence, "CC0 1.0");
    assert_eq!(content(&folder), body(n));
    assert_eq!(left(&folder), ["data.bin"]);
    assert_eq!(server.asked()[0].path, ADDRESS);
    // Again, and without a network: nothing is asked.
    let offline = FetchOptions {
        offline: true,
        ..options
    };
    let again = fetch_entry(&entry, &offline).unwrap();
    assert_eq!((again.kept, again.transferred), (1, 0));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn an_interrupted_transfer_goes_on_where_it_stopped() {
    let n = 200_000;
    let answers = vec![
        serve(body(n), true, 70_000),
        serve(body(n), true, 50_000),
        serve(body(n), true, ALL),
    ];
    let (outcome, asked, folder) = go(n, answers);
    assert_eq!(outcome.unwrap().transferred, n as u64);
    assert_eq!(content(&folder), body(n));
    let ranges: Vec<_> = asked.iter().map(|a| a.range).collect();
    assert_eq!(ranges, [None, Some(70_000), Some(120_000)]);
    assert_eq!(asked[1].if_range.as_deref(), Some("\"v1\""));
}

#[test]
fn a_part_of_an_earlier_run_is_used() {
    let n = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("set/sub");
    std::fs::create_dir_all(&place).unwrap();
    let server = Server::new(vec![serve(body(n), true, ALL)]);
    let options = options(folder.path(), format!("http://{}", server.address));
    std::fs::write(place.join("data.bin.part"), &body(n)[..40_000]).unwrap();
    let fetched = fetch_entry(&entry(&body(n)), &options).unwrap();
    assert_eq!(fetched.transferred, 60_000);
    assert_eq!(server.asked()[0].range, Some(40_000));
    // One that was spoilt is found out by the hash, and fetched from the start.
    std::fs::remove_file(place.join("data.bin")).unwrap();
    std::fs::write(place.join("data.bin.part"), vec![1; 40_000]).unwrap();
    let fetched = fetch_entry(&entry(&body(n)), &options).unwrap();
    assert_eq!(fetched.transferred, 160_000);
    assert_eq!(content(&folder), body(n));
    // One that is too long, too.
    std::fs::remove_file(place.join("data.bin")).unwrap();
    std::fs::write(place.join("data.bin.part"), vec![1; n + 1]).unwrap();
    fetch_entry(&entry(&body(n)), &options).unwrap();
    assert_eq!(left(&folder), ["data.bin"]);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let n = 150_000;
    let answers = vec![serve(body(n), false, 70_000), serve(body(n), false, ALL)];
    let (outcome, asked, folder) = go(n, answers);
    assert_eq!(outcome.unwrap().transferred, 220_000);
    assert_eq!(asked[1].range, Some(70_000));
    assert_eq!(content(&folder), body(n));
}

#[test]
fn a_transfer_cut_short_for_good_keeps_its_part() {
    let n = 90_000;
    // Without a length the end of the stream is all there is.
    let short: Answer = Box::new(move |_, stream| send(stream, "200 OK", &body(n)[..50_000]));
    let again = status("503 Unavailable");
    let (outcome, asked, folder) = go(n, vec![short, again]);
    let text = outcome.unwrap_err().to_string();
    assert!(
        text.contains("status 503") && text.contains("mirror"),
        "{text}"
    );
    assert_eq!(asked.len(), 3);
    assert_eq!(left(&folder), ["data.bin.part"]);
    let part = folder.path().join("set/sub/data.bin.part");
    assert_eq!(std::fs::metadata(part).unwrap().len(), 50_000);
}

#[test]
fn other_bytes_are_refused() {
    let n = 5_000;
    let mut other = body(n);
    other[4_321] ^= 1;
    let (outcome, asked, folder) = go(n, vec![serve(other, true, ALL)]);
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("SHA-256") && text.contains(ADDRESS), "{text}");
    assert_eq!(asked.len(), 1);
    assert!(left(&folder).is_empty());
    // Longer, with and without saying so.
    let (outcome, _, folder) = go(n, vec![serve(body(n + 1), true, ALL)]);
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("would have 5001 bytes"), "{text}");
    assert!(left(&folder).is_empty());
    // What came before is kept when a page of another size answers for the rest.
    let answers = vec![serve(body(n), true, 3_000), serve(body(700), false, ALL)];
    let (outcome, _, folder) = go(n, answers);
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("would have 700 bytes"), "{text}");
    let part = folder.path().join("set/sub/data.bin.part");
    assert_eq!(std::fs::read(part).unwrap(), body(n)[..3_000]);
    let endless: Answer = Box::new(move |_, stream| send(stream, "200 OK", &body(n + 90_000)));
    let (outcome, _, _folder) = go(n, vec![endless]);
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("is longer than 5000 bytes"), "{text}");
}

#[test]
fn absent_and_forbidden_are_not_tried_again() {
    for (head, word) in [
        ("404 Not Found", "status 404"),
        ("403 Forbidden", "status 403"),
    ] {
        let (outcome, asked, _folder) = go(10, vec![status(head)]);
        let text = outcome.unwrap_err().to_string();
        assert!(
            text.contains(word) && text.contains("some%20data.bin"),
            "{text}"
        );
        assert_eq!(asked.len(), 1);
    }
}

#[test]
fn faults_of_the_server_pass() {
    let n = 1_000;
    let answers = vec![
        status("500 Internal Server Error"),
        status("429 Too Many Requests\r\nRetry-After: 0"),
        serve(body(n), true, ALL),
    ];
    let (outcome, asked, folder) = go(n, answers);
    outcome.unwrap();
    assert_eq!(asked.len(), 3);
    assert_eq!(content(&folder), body(n));
    let (outcome, asked, _folder) = go(n, vec![status("500 Internal Server Error")]);
    assert!(outcome.unwrap_err().to_string().contains("status 500"));
    assert_eq!(asked.len(), 3);
}

#[test]
fn redirects_are_followed() {
    let n = 1_000;
    let target = Server::new(vec![serve(body(n), true, ALL)]);
    let to = format!("http://{}/elsewhere", target.address);
    let redirect: Answer = Box::new(move |_, stream| {
        let head = format!("302 Found\r\nLocation: {to}\r\nContent-Length: 0");
        send(stream, &head, b"");
    });
    let (outcome, _, folder) = go(n, vec![redirect]);
    outcome.unwrap();
    assert_eq!(target.asked()[0].path, "/elsewhere");
    assert_eq!(content(&folder), body(n));
}

#[test]
fn a_slow_server_is_waited_for_and_a_silent_one_is_left() {
    let n = 6_000;
    let slow: Answer = Box::new(move |_, stream| {
        send(stream, &format!("200 OK\r\nContent-Length: {n}"), b"");
        for piece in body(n).chunks(1_000) {
            std::thread::sleep(Duration::from_millis(100));
            stream.write_all(piece).unwrap();
        }
    });
    let (outcome, asked, folder) = go(n, vec![slow]);
    outcome.unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(content(&folder), body(n));
    let silent: Answer = Box::new(move |_, stream| {
        send(
            stream,
            &format!("200 OK\r\nContent-Length: {n}"),
            &body(n)[..10],
        );
        std::thread::sleep(Duration::from_secs(3));
    });
    let (outcome, asked, folder) = go(n, vec![silent, serve(body(n), true, ALL)]);
    outcome.unwrap();
    assert_eq!(asked[1].range, Some(10));
    assert_eq!(content(&folder), body(n));
}

#[test]
fn offline_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let options = FetchOptions {
        data_dir: folder.path().into(),
        offline: true,
        ..Default::default()
    };
    let text = fetch_entry(&entry(b"x"), &options).unwrap_err().to_string();
    assert!(
        text.contains("set/sub/data.bin") && text.contains("some%20data.bin"),
        "{text}"
    );
    // A folder needs no network.
    let mirror = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(mirror.path().join("sub")).unwrap();
    std::fs::write(mirror.path().join("sub/data.bin"), b"x").unwrap();
    let options = FetchOptions {
        mirror: Some(format!("file://{}", mirror.path().display())),
        ..options
    };
    fetch_entry(&entry(b"x"), &options).unwrap();
    assert_eq!(content(&folder), b"x");
}

#[test]
fn folders_are_mirrors_and_verified_too() {
    let n = 70_000;
    let places = ["set", "owner/set/0123456789abcdef0123456789abcdef01234567"];
    for (place, name) in places.iter().zip(["sub/data.bin", "some data.bin"]) {
        let folder = tempfile::tempdir().unwrap();
        let mirror = tempfile::tempdir().unwrap();
        let options = options(folder.path(), mirror.path().display().to_string());
        let file = mirror.path().join(place).join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &body(n)[1..]).unwrap();
        let text = fetch_entry(&entry(&body(n)), &options)
            .unwrap_err()
            .to_string();
        assert!(text.contains("ended after 69999 of 70000"), "{text}");
        std::fs::write(&file, vec![0; n]).unwrap();
        let text = fetch_entry(&entry(&body(n)), &options)
            .unwrap_err()
            .to_string();
        assert!(text.contains("SHA-256"), "{text}");
        std::fs::write(&file, body(n)).unwrap();
        let fetched = fetch_entry(&entry(&body(n)), &options).unwrap();
        assert_eq!(fetched.transferred, n as u64);
        assert_eq!(content(&folder), body(n));
    }
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), folder.path().display().to_string());
    let text = fetch_entry(&entry(b"x"), &options).unwrap_err().to_string();
    assert!(text.contains("not in the mirror"), "{text}");
}

#[test]
fn a_file_of_the_users_own_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("set/sub");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("data.bin"), "mine").unwrap();
    let options = options(folder.path(), "http://127.0.0.1:9".into());
    let text = fetch_entry(&entry(b"x"), &options).unwrap_err().to_string();
    assert!(text.contains("move the file away"), "{text}");
    assert_eq!(content(&folder), b"mine");
}

#[test]
fn limits_hold_before_the_first_byte() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(vec![serve(body(10), true, ALL)]);
    let options = FetchOptions {
        limit: Some(9),
        ..options(folder.path(), format!("http://{}", server.address))
    };
    let text = fetch_entry(&entry(&body(10)), &options)
        .unwrap_err()
        .to_string();
    assert!(text.contains("10 bytes are missing"), "{text}");
    assert!(server.asked().is_empty());
}

#[test]
fn two_at_once_fetch_once() {
    let n = 400_000;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(vec![serve(body(n), true, ALL)]);
    let options = options(folder.path(), format!("http://{}", server.address));
    let entry = entry(&body(n));
    let transferred: Vec<u64> = std::thread::scope(|scope| {
        let one = || fetch_entry(&entry, &options).unwrap().transferred;
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(transferred.iter().sum::<u64>(), n as u64);
    assert_eq!(server.asked().len(), 1);
    assert_eq!(content(&folder), body(n));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let options = options(folder.path(), format!("http://{free}"));
    let text = fetch_entry(&entry(b"x"), &options).unwrap_err().to_string();
    assert!(
        text.contains("check the network") && text.contains(ADDRESS),
        "{text}"
    );
}

#[test]
fn sets_behind_an_agreement_say_where_they_are_had() {
    let options = FetchOptions::default();
    for name in ["tusz", "metr_la", "finger-movements"] {
        let Outcome::ByHand(text) = fetch(name, &options).unwrap() else {
            panic!("{name} is fetched");
        };
        assert!(!text.how.is_empty() && !text.layout.is_empty());
    }
    let text = fetch("tus", &options).unwrap_err().to_string();
    assert!(text.contains("did you mean \"tusz\""), "{text}");
    for name in names() {
        assert_eq!(info(name).unwrap().name, name);
    }
}

/// The catalogue against the files that lie beside the project, where they do.
#[test]
fn the_catalogue_knows_its_files() {
    let mirror = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !mirror.is_dir() {
        println!("skipped: {} is not there", mirror.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), mirror.display().to_string());
    // Those of beijing-air lie there in an archive.
    for entry in CATALOG.iter().filter(|e| e.name != "beijing-air") {
        let Outcome::Here(fetched) = fetch(entry.name, &options).unwrap() else {
            panic!("{} is not fetched", entry.name);
        };
        assert_eq!(fetched.kept, 0);
        assert!(fetched.files.iter().all(|f| f.is_file()), "{}", entry.name);
    }
    let config = crate::datasets::DatasetConfig {
        data_dir: Some(folder.path().into()),
        ..Default::default()
    };
    assert_eq!(crate::datasets::load(&config).unwrap().y.len(), 80);
}
