use super::*;

fn read(text: &str, name: &str, config: &CsvConfig) -> Result<Table> {
    parse_table(text.as_bytes(), Path::new(name), config)
}

fn parts(year: &str, month: &str, hour: &str) -> Option<TimeColumns> {
    Some(TimeColumns::Parts(DateParts {
        year: year.into(),
        month: Some(month.into()),
        day: None,
        hour: Some(hour.into()),
        minute: None,
        second: None,
    }))
}

#[test]
fn numbers_times_and_words() {
    let config = CsvConfig {
        time: Some(TimeColumns::Stamp("time".into())),
        text: vec!["wind".into()],
        label: Some("class".into()),
        missing: vec!["-999".into()],
        ..Default::default()
    };
    let table = read(
        "time,a,b,wind,class\n2020-01-01,1,,N,x\n2020-01-02,2,NaN,\"S,W\",y\n\
         2020-01-03, -3e0 ,\"5\",N,y\n2020-01-04 12:00:30,-999,NA,,x\n",
        "r.csv",
        &config,
    )
    .unwrap();
    assert_eq!(table.columns, ["a", "b"]);
    assert_eq!(table.values.column(0).as_slice(), None);
    assert_eq!(table.values.column(0).to_vec()[..3], [1.0, 2.0, -3.0]);
    assert_eq!(table.values[[2, 1]], 5.0);
    for missing in [[0, 1], [1, 1], [3, 0], [3, 1]] {
        assert!(table.values[missing].is_nan(), "{missing:?}");
    }
    let stamps = table.stamps.unwrap();
    assert_eq!(stamps[1] - stamps[0], 86_400);
    assert_eq!(stamps[3] - stamps[0], 3 * 86_400 + 43_230);
    let [wind, class] = &table.text[..] else {
        panic!()
    };
    assert_eq!(wind.iter().collect::<Vec<_>>(), ["N", "S,W", "N", ""]);
    assert_eq!(
        (class.name.as_str(), &class.codes[..]),
        ("class", &[0, 1, 1, 0][..])
    );
}

#[test]
fn dates_in_columns() {
    let config = CsvConfig {
        time: parts("y", "m", "h"),
        ..Default::default()
    };
    let table = read("y;m;h;v\n2013;3;0;1\n2013;3;23;2\n", "r.csv", &config).unwrap();
    assert_eq!(
        table.stamps.unwrap(),
        [1_362_096_000, 1_362_096_000 + 23 * 3600]
    );
    for (row, expected) in [
        ("2013;13;0;1", "line 2: there is no such time"),
        ("2013;3;24;1", "no such time"),
        (
            "2013;3;x;1",
            "line 2, column \"h\": \"x\" is no part of a date",
        ),
        ("2013;;1;1", "column \"m\": \"\""),
    ] {
        let error = read(&format!("y;m;h;v\n{row}\n"), "r.csv", &config)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn tabs_comments_windows_lines_and_no_header() {
    let table = read("1\t2\r\n3\t4\r\n\r\n", "r.tsv", &CsvConfig::bare()).unwrap();
    assert_eq!(table.columns, ["0", "1"]);
    assert_eq!(table.values, ndarray::arr2(&[[1.0, 2.0], [3.0, 4.0]]));
    let config = CsvConfig {
        comment: Some('#'),
        ..Default::default()
    };
    let text = "\u{feff}# by hand\n\na,b\n1,2\n# not\n3,4";
    let table = read(text, "r.csv", &config).unwrap();
    assert_eq!(table.columns, ["a", "b"]);
    assert_eq!(table.values.nrows(), 2);
    let cells = parse_cells(
        text.trim_start_matches('\u{feff}').as_bytes(),
        Path::new("c"),
        &config,
    );
    assert_eq!(cells.unwrap().lines, [4, 6]);
    // An empty line of a single column is a value that is missing.
    let table = read("a\n1\n\n3\n\n", "r.csv", &CsvConfig::default()).unwrap();
    assert_eq!(table.values.nrows(), 3);
    assert!(table.values[[1, 0]].is_nan());
}

#[test]
fn errors_name_line_and_column() {
    let d = CsvConfig::default();
    for (text, expected) in [
        (
            "a,b\n1,2\n3,x\n",
            "line 3, column \"b\": \"x\" is no number",
        ),
        ("a,b\n1,2\n3\n", "line 3: has 1 cells, not 2: \"3\""),
        ("a,b\n1,2,3\n", "line 2: has more cells than the 2 columns"),
        ("a,a\n1,2\n", "twice"),
        ("a,b\n", "no rows"),
        ("", "r.csv"),
        ("\n\n", "no rows"),
        ("a,b\n1,\"2\n", "quote"),
        ("a,\"b\n1,2\n", "quote"),
        ("a,b\n1,2.5.1\n", "2.5.1"),
    ] {
        let error = read(text, "r.csv", &d).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        if !text.contains("x\n") && !text.contains("2.5.1") {
            assert!(parse_cells(text.as_bytes(), Path::new("r"), &d).is_err());
        }
    }
    assert!(parse_table(b"\xff\xfea\0", Path::new("r"), &d).is_err());
    let with = |skip: &[&str], text: &[&str], delimiter: Option<char>| {
        let config = CsvConfig {
            skip: skip.iter().map(|s| s.to_string()).collect(),
            text: text.iter().map(|s| s.to_string()).collect(),
            delimiter,
            ..Default::default()
        };
        read("a,b\n1,2\n", "r.csv", &config)
            .unwrap_err()
            .to_string()
    };
    assert!(with(&["t"], &[], None).contains("present: a, b"));
    assert!(with(&["a", "b"], &[], None).contains("no column is left"));
    assert!(with(&["a"], &["a"], None).contains("two purposes"));
    assert!(with(&[], &[], Some('é')).contains("csv.delimiter"));
    assert!(with(&[], &[], Some('"')).contains("csv.delimiter"));
}

#[test]
fn pieces_read_in_parallel_are_the_whole() {
    let mut text = String::from("n,w,x\n");
    for i in 0..60_000 {
        let word = ["north", "\"so\nuth\"", "\"e\"\"ast\""][i % 3];
        text.push_str(&format!("{i},{word},{}\n", i as f32 / 7.0));
    }
    assert!(text.len() > 4 * (1 << 18));
    let config = CsvConfig {
        text: vec!["w".into()],
        ..Default::default()
    };
    let table = read(&text, "r.csv", &config).unwrap();
    assert_eq!(table.values.dim(), (60_000, 2));
    for (i, row) in table.values.outer_iter().enumerate() {
        assert_eq!(row.to_vec(), [i as f32, i as f32 / 7.0]);
    }
    assert_eq!(table.text[0].words, ["north", "so\nuth", "e\"ast"]);
    assert!(
        table.text[0]
            .codes
            .iter()
            .enumerate()
            .all(|(i, c)| *c as usize == i % 3)
    );
    // A mistake far inside is found, and its line is right: a third of the rows take two.
    let broken = text.replace("\n50001,", "\n50001x,");
    let error = read(&broken, "r.csv", &config).unwrap_err().to_string();
    assert!(
        error.contains(&format!("line {}", 2 + 50_001 + 50_002 / 3)),
        "{error}"
    );
}

#[test]
fn damaged_text_is_an_error_or_a_table_but_no_panic() {
    let text = "time,a,\"b\"\n2020-01-01 00:00:00,1.5,\"2\"\n2020-01-01 01:00:00,,NA\n";
    let config = CsvConfig {
        time: Some(TimeColumns::Stamp("time".into())),
        ..Default::default()
    };
    for n in 0..text.len() {
        let _ = read(&text[..n], "r.csv", &config);
        for flip in [1u8, 0x20, 0x80, 0xff] {
            let mut bytes = text.as_bytes().to_vec();
            bytes[n] ^= flip;
            let _ = parse_table(&bytes, Path::new("r.csv"), &config);
            let _ = parse_cells(&bytes, Path::new("r.csv"), &config);
        }
    }
}
