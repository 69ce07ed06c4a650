//! PyTorch's own file of weights, as `torch.save` writes a state dict and `torch.load` with
//! `weights_only=True` reads it: a zip archive, stored, with the numbers of each tensor in an entry
//! of its own and a pickle that says which is which.
//!
//! The pickle is of protocol 2, in which PyTorch writes: an `OrderedDict` of
//! `torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`, the
//! storage a persistent id `("storage", type, entry, "cpu", numbers)`.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::source::Storage;
use crate::error::{Error, Result};

/// A tensor to be written, row-major.
pub struct Entry<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
    pub storage: Storage,
    /// Which of the numbers are its own; two tensors of the same are one in memory.
    pub numbers: usize,
}

/// Writes tensors; `numbers` gives the bytes of each distinct [`Entry::numbers`], in their order
/// from 0, little-endian.
///
/// # Errors
/// A file that cannot be written, and those of `numbers`.
pub fn write<'b>(
    path: &Path,
    entries: &[Entry<'_>],
    count: usize,
    numbers: impl Fn(usize) -> Result<Cow<'b, [u8]>>,
) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(path, e);
    let zipped = |e: zip::result::ZipError| failed(e.into());
    let file = File::create(path).map_err(failed)?;
    let mut zip = ZipWriter::new(BufWriter::new(file));
    // PyTorch maps numbers from where they lie.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .with_alignment(64)
        .large_file(true);
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), options)
            .map_err(zipped)?;
        zip.write_all(bytes).map_err(failed)
    };
    put("data.pkl", &pickle(entries))?;
    put("byteorder", b"little")?;
    for i in 0..count {
        put(&format!("data/{i}"), &numbers(i)?)?;
    }
    put("version", b"3\n")?;
    let mut out = zip.finish().map_err(zipped)?;
    out.flush().map_err(failed)
}

/// The program that rebuilds the state dict.
fn pickle(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut p = Pickle(vec![0x80, 2]);
    p.global("collections", "OrderedDict");
    p.0.extend(b")R(");
    for entry in entries {
        p.text(entry.name);
        p.global("torch._utils", "_rebuild_tensor_v2");
        p.0.extend(b"((");
        p.text("storage");
        p.global(
            "torch",
            match entry.storage {
                Storage::F32 => "FloatStorage",
                Storage::Bf16 => "BFloat16Storage",
                Storage::F16 => "HalfStorage",
            },
        );
        p.text(&entry.numbers.to_string());
        p.text("cpu");
        p.int(entry.shape.iter().product());
        // The tuple is a persistent id.
        p.0.extend(b"tQ");
        p.int(0);
        let mut strides = vec![1; entry.shape.len()];
        for i in (1..strides.len()).rev() {
            strides[i - 1] = strides[i] * entry.shape[i];
        }
        for list in [entry.shape, &strides] {
            p.0.push(b'(');
            list.iter().for_each(|n| p.int(*n));
            p.0.push(b't');
        }
        p.0.push(0x89); // False: no gradient
        p.global("collections", "OrderedDict");
        p.0.extend(b")RtR");
    }
    p.0.extend(b"u.");
    p.0
}

struct Pickle(Vec<u8>);

impl Pickle {
    fn global(&mut self, module: &str, name: &str) {
        self.0.push(b'c');
        self.0.extend(format!("{module}\n{name}\n").into_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn int(&mut self, value: usize) {
        match i32::try_from(value) {
            Ok(small) => {
                self.0.push(b'J');
                self.0.extend(small.to_le_bytes());
            }
            Err(_) => {
                // LONG1: nine bytes hold any usize with its sign.
                self.0.extend([0x8a, 9]);
                self.0.extend((value as u64).to_le_bytes());
                self.0.push(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::checkpoint::source;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pytorch_model.bin");
        let numbers: [Vec<u8>; 2] = [
            [1.5f32, -2.0, 0.25, 4.0, 5.0, 6.0]
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect(),
            vec![0x80, 0x3f],
        ];
        let shape: [&[usize]; 3] = [&[2, 3], &[2, 3], &[1]];
        let names = ["a.weight", "b.weight", "c"];
        let storage = [Storage::F32, Storage::F32, Storage::Bf16];
        let entries: Vec<Entry<'_>> = (0..3)
            .map(|i| Entry {
                name: names[i],
                shape: shape[i],
                storage: storage[i],
                numbers: i / 2,
            })
            .collect();
        write(&path, &entries, 2, |i| Ok(Cow::Borrowed(&numbers[i][..]))).unwrap();
        let found = source::open(folder.path()).unwrap().tensors;
        assert_eq!(found.len(), 3);
        for (i, name) in names.iter().enumerate() {
            let t = &found[*name];
            assert_eq!((&t.shape[..], t.storage), (shape[i], storage[i]));
            assert_eq!(*t.bytes().unwrap(), numbers[i / 2][..]);
        }
    }

    #[test]
    fn numbers_of_any_size() {
        let mut p = Pickle(vec![]);
        p.int(5);
        p.int(1 << 33);
        assert_eq!(p.0, [b'J', 5, 0, 0, 0, 0x8a, 9, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }
}
