use super::*;

fn read(text: &str) -> Result<ArffFile> {
    parse(text.as_bytes(), Path::new("a.arff"))
}

const HEAD: &str = "% remark\n@RELATION 'two words'\n\n@ATTRIBUTE x real\n\
                    @attribute 'the \\'class\\'' {a, 'b c',\"d\"}\n@attribute note string\n@DATA\n";

#[test]
fn numbers_words_and_missing_values() {
    let file = read(&format!(
        "{HEAD}1.5,a,'it\\'s'\n% between\n?, 'b c' ,?\n-2e3,\"d\",plain text\n"
    ))
    .unwrap();
    assert_eq!(file.relation, "two words");
    assert_eq!(file.attributes[1].name, "the 'class'");
    let Column::Numeric(x) = &file.columns[0] else {
        panic!()
    };
    assert_eq!((x[0], x[1].is_nan(), x[2]), (1.5, true, -2000.0));
    assert_eq!(
        file.columns[1],
        Column::Nominal(vec![Some(0), Some(1), Some(2)])
    );
    assert_eq!(
        file.columns[2],
        Column::Text(vec![Some("it's".into()), None, Some("plain text".into())])
    );
    let (words, codes) = file.classes(Path::new("a")).unwrap();
    assert_eq!((words[1].as_str(), codes), ("b c", vec![0, 1, 2]));
    assert_eq!(file.attribute("note"), Some(2));
}

#[test]
fn sparse_rows() {
    let file = read(&format!("{HEAD}{{0 4, 1 'd'}}\n{{}}\n{{2 \"x, y\"}}\n")).unwrap();
    let (names, values) = file.numbers();
    assert_eq!(names, ["x"]);
    assert_eq!(values.column(0).to_vec(), [4.0, 0.0, 0.0]);
    assert_eq!(
        file.columns[1],
        Column::Nominal(vec![Some(2), Some(0), Some(0)])
    );
    assert_eq!(
        file.columns[2],
        Column::Text(vec![None, None, Some("x, y".into())])
    );
}

const UEA: &str = "@relation R\n@attribute bag relational\n @attribute t0 numeric\n\
                   @attribute t1 numeric\n@attribute t2 numeric\n@end bag\n\
                   @attribute class {up,down}\n@data\n";

#[test]
fn multivariate_series_of_the_uea_archive() {
    let file = read(&format!(
        "{UEA}\"1,2,3\\n4,5,6\",down\n'7,?,9\\n10,11,12\\n',up\n"
    ))
    .unwrap();
    let ts = file.into_ts(Path::new("a")).unwrap();
    assert_eq!(ts.x.dim(), (2, 2, 3));
    assert_eq!((ts.x[[0, 1, 0]], ts.x[[1, 1, 2]]), (4.0, 12.0));
    assert!(ts.x[[1, 0, 1]].is_nan());
    assert_eq!(ts.y, [1, 0]);
    assert_eq!(ts.classes, ["up", "down"]);
    let ts = read(
        "@relation R\n@attribute a real\n@attribute b real\n@attribute c {x,y}\n@data\n1,2,y\n",
    )
    .unwrap()
    .into_ts(Path::new("a"))
    .unwrap();
    assert_eq!((ts.x.dim(), ts.x[[0, 0, 1]]), ((1, 1, 2), 2.0));
}

#[test]
fn mistakes_name_the_line() {
    for (data, expected) in [
        ("1,a\n", "line 8: has 2 values for 3 attributes"),
        ("x,a,b\n", "line 8, attribute \"x\": \"x\" is no number"),
        ("1,z,b\n", "\"z\" is none of a, b c, d"),
        ("1,'a,b\n", "quote is not closed"),
        ("1,'a'b,c\n", "text after a closing quote"),
        ("1,a,b,{3}\n", "has 4 values"),
        ("1,a,'b' {3}\n", "instance weight"),
        ("{0 1\n", "no closing brace"),
        ("{x 1}\n", "no number of its attribute"),
        ("{7 1}\n", "value 7 for 3 attributes"),
        ("{0 }\n", "is empty"),
        ("", "no rows"),
    ] {
        let error = read(&format!("{HEAD}{data}")).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("a.arff"),
            "{data}: {error}"
        );
    }
    for (text, expected) in [
        ("", "no attributes"),
        ("@data\n1\n", "no attributes"),
        ("x\n", "line 1: cannot understand \"x\""),
        ("@attribute x\n", "cannot understand the attribute"),
        ("@attribute x complex\n", "cannot understand the attribute"),
        ("@attribute x {a,b\n", "cannot understand the attribute"),
        ("@attribute x real\n@attribute x real\n", "twice"),
        ("@attribute x relational\n@data\n1\n", "has no @end"),
        (
            "@attribute x relational\n@end y\n",
            "@end y ends the attribute x",
        ),
        ("@attribute x real\n@end x\n", "cannot understand"),
        (&"@attribute x relational\n".repeat(9), "inside each other"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(parse(b"@relation \xff", Path::new("a")).is_err());
    let no_class = read("@attribute x real\n@data\n1\n").unwrap();
    assert!(no_class.into_ts(Path::new("a")).is_err());
    for data in [
        "\"1,2,3\",up\n\"1,2,3\\n1,2,3\",up\n",
        "?,up\n",
        "\"1,2,3\",?\n",
    ] {
        let file = read(&format!("{UEA}{data}")).unwrap();
        assert!(file.into_ts(Path::new("a")).is_err(), "{data}");
    }
}

#[test]
fn sparse_rows_cannot_fill_memory() {
    let mut text = String::from("@relation r\n");
    for i in 0..20_000 {
        text.push_str(&format!("@attribute a{i} real\n"));
    }
    let sparse = format!("{text}@data\n{}", "{}\n".repeat(20_000));
    let error = read(&sparse).unwrap_err().to_string();
    assert!(error.contains("cells a byte"), "{error}");
    let inner = text.replace("@relation r\n", "@relation r\n@attribute b relational\n");
    let tables = format!("{inner}@end b\n@data\n{}", "''\n".repeat(20_000));
    let error = read(&tables).unwrap_err().to_string();
    assert!(error.contains("cells a byte"), "{error}");
}

#[test]
fn damaged_files_are_errors_or_tables_but_no_panic() {
    let text = format!("{UEA}\"1,2,3\\n4,5,6\",down\n'7,?,9\\n10,11,12\\n',up\n");
    for n in 0..text.len() {
        let _ = read(&text[..n]);
        for flip in [1u8, 4, 0x20, 0x80] {
            let mut bytes = text.as_bytes().to_vec();
            bytes[n] ^= flip;
            let _ = parse(&bytes, Path::new("a")).map(|f| f.into_ts(Path::new("a")));
        }
    }
}
