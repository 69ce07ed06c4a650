use super::super::Mat;
use super::*;

fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut out = kind.to_le_bytes().to_vec();
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

fn array(class: u32, shape: &[i32], name: &str, content: &[u8]) -> Vec<u8> {
    let mut flags = class.to_le_bytes().to_vec();
    flags.extend([0; 4]);
    let dims: Vec<u8> = shape.iter().flat_map(|d| d.to_le_bytes()).collect();
    let body = [
        element(6, &flags),
        element(5, &dims),
        element(1, name.as_bytes()),
        content.to_vec(),
    ]
    .concat();
    element(MI_MATRIX, &body)
}

fn file(variables: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![b' '; 124];
    out.extend([0, 1, b'I', b'M']);
    out.extend(variables.concat());
    out
}

fn sample() -> Vec<u8> {
    let text = |s: &str| {
        let units: Vec<u8> = s.encode_utf16().flat_map(u16::to_le_bytes).collect();
        array(4, &[1, s.len() as i32], "", &element(4, &units))
    };
    file(&[
        // A double array stored as bytes, in a small element.
        array(6, &[2, 2], "m", &[2, 0, 4, 0, 1, 2, 3, 4]),
        array(1, &[1, 2], "names", &[text("Oz"), text("PO3")].concat()),
        // A struct with two fields, the names of which take four bytes each.
        array(
            2,
            &[1, 1],
            "s",
            &[
                element(5, &4i32.to_le_bytes()),
                element(1, b"a\0\0\0b\0\0\0"),
                text("x"),
                array(6, &[1, 2], "", &[2, 0, 2, 0, 7, 8, 0, 0]),
            ]
            .concat(),
        ),
    ])
}

#[test]
fn column_major_numbers_and_cells_of_text() {
    let mat = Mat::parse(&sample(), Path::new("a.mat")).unwrap();
    assert_eq!(mat.names(), ["m", "names", "s"]);
    let m = ndarray::arr2(&[[1.0, 3.0], [2.0, 4.0]]).into_dyn();
    assert_eq!(mat.read("m").unwrap(), Array::F64(m));
    let names = ndarray::arr2(&[["Oz".to_string(), "PO3".into()]]).into_dyn();
    assert_eq!(mat.read("names").unwrap(), Array::Text(names));
    assert!(mat.read("s").unwrap_err().to_string().contains("struct"));
    let x = ndarray::arr1(&["x".to_string()]).into_dyn();
    assert_eq!(mat.read("s.a").unwrap(), Array::Text(x));
    let b = ndarray::arr2(&[[7.0, 8.0]]).into_dyn();
    assert_eq!(mat.read("s(1).b").unwrap(), Array::F64(b));
    let cell = ndarray::arr1(&["PO3".to_string()]).into_dyn();
    assert_eq!(mat.read("names{1,2}").unwrap(), Array::Text(cell));
    for bad in [
        "s.c",
        "s(2).a",
        "names{3}",
        "m.a",
        "m{1}",
        "s{1}.c",
        "names{1}.a",
    ] {
        let error = mat.read(bad).unwrap_err().to_string();
        assert!(error.contains("there is no"), "{bad}: {error}");
    }
    let info = mat.info("s").unwrap();
    assert_eq!((info.class.as_str(), info.shape), ("struct", vec![1, 1]));
    assert_eq!(info.fields, ["a", "b"]);
    let error = mat.read("q").unwrap_err().to_string();
    assert!(error.contains("present: m, names, s"), "{error}");
}

#[test]
fn cut_or_changed_files_never_panic() {
    let whole = sample();
    let readable = |bytes: &[u8]| {
        Mat::parse(bytes, Path::new("a.mat"))
            .map(|mat| mat.names().iter().filter(|n| mat.read(n).is_ok()).count())
    };
    assert_eq!(readable(&whole).unwrap(), 2);
    for n in 0..128 {
        assert!(readable(&whole[..n]).is_err(), "{n}");
    }
    for n in 128..whole.len() {
        // A cut between two variables leaves a complete file of fewer.
        let names = Mat::parse(&whole[..n], Path::new("a.mat")).map(|m| m.names().len());
        assert!(names.unwrap_or(0) < 3, "{n}");
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[n] ^= flip;
            let _ = readable(&changed);
        }
    }
}
