//! HDF5, through the library `hdf5-reader` (pure Rust, read only).
//!
//! What h5py, PyTables, MATLAB 7.3 and the HDF5 library write is read: superblocks 0 to 3, a user
//! block, compact, contiguous and chunked layouts, the filters deflate, shuffle, fletcher32, szip,
//! nbit, scale-offset, LZF and Blosc 1, numbers of any width and byte order, enumerations, strings
//! of fixed and variable length, object references, one field of compound elements, attributes,
//! hard and soft links. Refused: sequences of variable length, opaque elements, region references,
//! external files.
//!
//! Files are mapped, not read: a contiguous data set is decoded from the map straight into the
//! array, and [`Hdf5::read_rows`] touches only the pages (or chunks) of its rows. What may be asked
//! for is bounded by what the file can hold, see [`Hdf5::parse`].
//!
//! Source: "HDF5 File Format Specification Version 3.0", The HDF Group.

mod filters;
mod tree;
mod types;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::group::Group;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::{Dataset, Datatype, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem};
use hdf5_reader::{StorageBuffer, StringSize, VarLenKind, dtype_element_size};
use ndarray::{ArrayD, IxDyn};

use self::types::{Cast, Numbers, Text};
use super::numbers::{Number, decode};
use super::{Array, count, shaped};
use crate::{Error, Result, files};

pub use tree::DatasetInfo;

const DAMAGED: &str = "the file is damaged or cut short: write or fetch it again";
/// Deflate packs at most 1032 bytes into one; no filter is allowed more on average.
const MAX_RATIO: usize = 1032;
/// What a file may always expand to, whatever its size: fill values take no room in it.
const ALWAYS: usize = 1 << 20;

/// An open HDF5 file.
pub struct Hdf5 {
    path: PathBuf,
    file: Hdf5File,
    /// Bytes of the file.
    size: usize,
    /// Object addresses to paths, for object references.
    names: OnceLock<HashMap<u64, String>>,
}

/// Bytes of elements: a view into the file where nothing had to be unpacked.
enum Raw {
    View(StorageBuffer),
    Owned(Vec<u8>),
}

impl Raw {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::View(buffer) => buffer,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Hdf5 {
    /// Opens a file. It is memory-mapped: it must not be changed while it is open.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`Error::File`] when it is no HDF5.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let map = files::map(path)?;
        let size = map.len();
        Self::new(
            path,
            size,
            Hdf5File::from_mmap_with_options(map, options(size)),
        )
    }

    /// Reads a file out of memory; `path` is for messages.
    ///
    /// A read may ask for at most 1032 times the bytes of the file and 1 MiB more, the most that
    /// deflate can pack, whatever the file claims.
    ///
    /// # Errors
    /// [`Error::File`] when it is no HDF5.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let size = bytes.len();
        Self::new(
            path,
            size,
            Hdf5File::from_bytes_with_options(bytes, options(size)),
        )
    }

    fn new(
        path: &Path,
        size: usize,
        file: std::result::Result<Hdf5File, Hdf5Error>,
    ) -> Result<Self> {
        Ok(Self {
            file: file.map_err(|e| failed(path, "superblock", &e))?,
            path: path.to_path_buf(),
            size,
            names: OnceLock::new(),
        })
    }

    /// Where the file is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole of a data set. Object references become the paths of their objects.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such data set (it lists those present), when it is damaged,
    /// of a type or behind a filter that is not read.
    pub fn read(&self, name: &str) -> Result<Array> {
        self.select(name, None, None)
    }

    /// Rows `rows` of a data set (along its first axis), without touching the others where they
    /// lie apart in the file.
    ///
    /// # Errors
    /// As [`Hdf5::read`], and for rows that are not there.
    pub fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Array> {
        self.select(name, None, Some(rows))
    }

    /// One field of a data set of compound elements, for all rows or some. A field that is an array
    /// itself adds its axes at the end.
    ///
    /// # Errors
    /// As [`Hdf5::read_rows`], and when there is no such field.
    pub fn read_field(&self, name: &str, field: &str, rows: Option<Range<usize>>) -> Result<Array> {
        self.select(name, Some(field), rows)
    }

    /// A data set of numbers as `f32`, for all rows or some, without an array of the stored type in
    /// between where the data set is contiguous.
    ///
    /// # Errors
    /// As [`Hdf5::read_rows`], and [`Error::File`] when it does not hold numbers.
    pub fn read_f32(&self, name: &str, rows: Option<Range<usize>>) -> Result<ArrayD<f32>> {
        let dataset = self.dataset(name)?;
        match Numbers::of(dataset.dtype(), None) {
            Some(stored) => {
                self.usual_floats(name, &dataset, &stored)?;
                self.numbers(name, &dataset, &stored, rows)
            }
            None => self.select(name, None, rows)?.into_f32(&self.path, name),
        }
    }

    fn select(&self, name: &str, field: Option<&str>, rows: Option<Range<usize>>) -> Result<Array> {
        let dataset = self.dataset(name)?;
        if let Some(stored) = Numbers::of(dataset.dtype(), field) {
            self.usual_floats(name, &dataset, &stored)?;
            return Ok(match stored.cells.kind.float_bytes() {
                Some(8) => Array::F64(self.numbers(name, &dataset, &stored, rows)?),
                Some(_) => Array::F32(self.numbers(name, &dataset, &stored, rows)?),
                None => Array::I64(self.numbers(name, &dataset, &stored, rows)?),
            });
        }
        if let Some(text) = Text::of(dataset.dtype(), field) {
            let (shape, rows) = self.extent(name, &dataset, rows)?;
            let raw = self.raw(name, &dataset, rows)?;
            let resolve = |r: &[u8]| dataset.resolve_vlen_reference_bytes(r, 1);
            let element = self.element_size(dataset.dtype());
            let values = self.texts(name, raw.bytes(), &text, element, resolve)?;
            return shaped(&self.path, name, IxDyn(&shape), values).map(Array::Text);
        }
        let kind = types::describe(dataset.dtype());
        Err(match (field, dataset.dtype()) {
            (Some(field), Datatype::Compound { .. }) => Error::file(
                &self.path,
                name,
                format!("has no field {field:?} of numbers or text; it is {kind}"),
                "correct the name of the field",
            ),
            _ => Error::file(
                &self.path,
                name,
                format!("holds {kind}, which is not read"),
                "save it as numbers or strings, or name a field of the compound",
            ),
        })
    }

    /// Shape of what is selected, and the rows; `None` for data sets without axes.
    fn extent(
        &self,
        name: &str,
        dataset: &Dataset,
        rows: Option<Range<usize>>,
    ) -> Result<(Vec<usize>, Option<Range<usize>>)> {
        let wrong = |problem: String, remedy: &str| Error::file(&self.path, name, problem, remedy);
        let mut shape = dataset
            .shape()
            .iter()
            .map(|n| usize::try_from(*n).ok())
            .collect::<Option<Vec<usize>>>()
            .ok_or_else(|| wrong("has an impossible shape".into(), DAMAGED))?;
        let stored = dataset
            .num_elements()
            .map_err(|e| failed(&self.path, name, &e))?;
        if shape.is_empty() && stored == 0 {
            // A null data space: a type without a value.
            shape = vec![0];
        }
        let Some(length) = shape.first().copied() else {
            return match rows {
                None => Ok((shape, None)),
                Some(_) => Err(wrong(
                    "is a single value, which has no rows".into(),
                    "read the whole of it",
                )),
            };
        };
        let rows = rows.unwrap_or(0..length);
        if rows.start > rows.end || rows.end > length {
            return Err(wrong(
                format!("rows {}..{} of {length}", rows.start, rows.end),
                "ask for rows that are there",
            ));
        }
        shape[0] = rows.len();
        Ok((shape, Some(rows)))
    }

    /// Bytes of an element and of the selection, which must fit what the file can hold.
    fn budget(&self, name: &str, dataset: &Dataset, shape: &[usize]) -> Result<(usize, usize)> {
        let element = self.element_size(dataset.dtype());
        let total = count(shape).and_then(|n| n.checked_mul(element));
        match total {
            Some(total) if element > 0 && total <= limit(self.size) => Ok((element, total)),
            _ => Err(Error::file(
                &self.path,
                name,
                format!(
                    "claims a shape of {shape:?} with {element} bytes each, more than {} bytes of \
                     file can hold",
                    self.size
                ),
                DAMAGED,
            )),
        }
    }

    /// Bytes of an element, 0 when they cannot be told.
    fn element_size(&self, dtype: &Datatype) -> usize {
        match dtype {
            Datatype::String {
                size: StringSize::Variable,
                ..
            }
            | Datatype::VarLen { .. } => 8 + usize::from(self.file.superblock().offset_size),
            dtype => dtype_element_size(dtype).unwrap_or(0),
        }
    }

    /// Bytes of the elements of some rows, as stored.
    fn raw(&self, name: &str, dataset: &Dataset, rows: Option<Range<usize>>) -> Result<Raw> {
        let (shape, rows) = self.extent(name, dataset, rows)?;
        let (element, total) = self.budget(name, dataset, &shape)?;
        if total == 0 {
            return Ok(Raw::Owned(Vec::new()));
        }
        let broken = |e: Hdf5Error| failed(&self.path, name, &e);
        let row = element * count(shape.get(1..).unwrap_or_default()).unwrap_or(0);
        let start = rows.as_ref().map_or(0, |r| r.start);
        if let Some((address, size)) = self.contiguous(name, dataset)? {
            let begin = start.checked_mul(row).and_then(|b| u64::try_from(b).ok());
            let end = begin.and_then(|b| b.checked_add(total as u64));
            let place = begin.and_then(|b| b.checked_add(address));
            return match (place, end) {
                (Some(place), Some(end)) if end <= size => {
                    let view = self.file.storage().read_range(place, total);
                    view.map(Raw::View).map_err(broken)
                }
                _ => Err(Error::file(
                    &self.path,
                    name,
                    format!("has {size} bytes, too few for its shape"),
                    DAMAGED,
                )),
            };
        }
        let whole: Vec<usize> = dataset.shape().iter().map(|n| *n as usize).collect();
        self.budget(name, dataset, &whole)?;
        let mut bytes = dataset.read_raw_bytes().map_err(broken)?;
        bytes.truncate((start * row).saturating_add(total));
        bytes.drain(..(start * row).min(bytes.len()));
        Ok(Raw::Owned(bytes))
    }

    /// Address and bytes of a data set that lies in the file in one piece, unpacked.
    fn contiguous(&self, name: &str, dataset: &Dataset) -> Result<Option<(u64, u64)>> {
        use hdf5_reader::io::Cursor;
        use hdf5_reader::messages::layout::DataLayout;

        let header = self
            .file
            .get_or_parse_header(dataset.address())
            .map_err(|e| failed(&self.path, name, &e))?;
        let mut place = None;
        for message in &header.messages {
            match message {
                HdfMessage::DataLayout(l) => {
                    if let DataLayout::Contiguous { address, size } = l.layout {
                        let offsets = self.file.superblock().offset_size;
                        let written = !Cursor::is_undefined_offset(address, offsets) && size > 0;
                        place = written.then_some((address, size));
                    }
                }
                HdfMessage::ExternalFiles(_) => return Ok(None),
                _ => {}
            }
        }
        Ok(place)
    }

    fn numbers<T: Number>(
        &self,
        name: &str,
        dataset: &Dataset,
        stored: &Numbers,
        rows: Option<Range<usize>>,
    ) -> Result<ArrayD<T>> {
        let (mut shape, rows) = self.extent(name, dataset, rows)?;
        let (_, total) = self.budget(name, dataset, &shape)?;
        let broken = |e: Hdf5Error| failed(&self.path, name, &e);
        let plain = stored.cells.is_dense() && stored.inner.is_empty();
        let chunked = dataset.chunks().is_some() && plain;
        if chunked && total > 0 {
            // The library unpacks in parallel the chunks that hold the rows, and no others.
            let mut selection = SliceInfo::all(dataset.ndim());
            if let (Some(rows), Some(first)) = (rows, selection.selections.first_mut()) {
                *first = SliceInfoElem::Slice {
                    start: rows.start as u64,
                    end: rows.end as u64,
                    step: 1,
                };
            }
            let array = dataset
                .read_slice_parallel::<Cast<T>>(&selection)
                .map_err(broken)?;
            let shape = IxDyn(array.shape());
            // The vector itself, not a copy: the library gives arrays in row-major order.
            let values = match array.is_standard_layout() {
                true => array.into_raw_vec_and_offset().0,
                false => array.into_iter().collect(),
            };
            let values = values.into_iter().map(|v| v.0).collect();
            return shaped(&self.path, name, shape, values);
        }
        let raw = self.raw(name, dataset, rows)?;
        let values = decode(raw.bytes(), &stored.cells)
            .map_err(|e| Error::file(&self.path, name, e, "save it as int64 or float64"))?;
        shape.extend(&stored.inner);
        shaped(&self.path, name, IxDyn(&shape), values)
    }

    /// Refuses floats that are not those of IEEE 754, such as bfloat16.
    fn usual_floats(&self, name: &str, dataset: &Dataset, numbers: &Numbers) -> Result<()> {
        let Datatype::FloatingPoint { .. } = dataset.dtype() else {
            return Ok(());
        };
        let stored = dataset
            .raw_datatype()
            .map_err(|e| failed(&self.path, name, &e))?;
        let bytes = numbers.cells.kind.float_bytes();
        if bytes.is_some_and(|n| types::ieee(&stored, n)) {
            return Ok(());
        }
        Err(Error::file(
            &self.path,
            name,
            "holds floats that are not those of IEEE 754",
            "save it as float32 or float64",
        ))
    }

    /// Strings out of their bytes, or out of the references that stand for them.
    fn texts(
        &self,
        name: &str,
        raw: &[u8],
        text: &Text,
        element: usize,
        resolve: impl Fn(&[u8]) -> std::result::Result<Vec<u8>, Hdf5Error>,
    ) -> Result<Vec<String>> {
        if let Text::Reference { .. } = text {
            let names = self.names()?;
            return text
                .addresses(raw, element)
                .map(|a| match names.get(&a) {
                    Some(path) => Ok(path.clone()),
                    None if a == 0 || a == u64::MAX => Ok(String::new()),
                    None => Err(Error::file(
                        &self.path,
                        name,
                        format!("refers to an object at {a:#x}, where there is none"),
                        DAMAGED,
                    )),
                })
                .collect();
        }
        text.strings(raw, element, self.size, resolve)
            .map_err(|e| Error::file(&self.path, name, e, DAMAGED))
    }

    fn dataset(&self, name: &str) -> Result<Dataset> {
        self.file.dataset(name).map_err(|e| match root_cause(&e) {
            Hdf5Error::DatasetNotFound(_) | Hdf5Error::GroupNotFound(_) => self.absent(name),
            _ => failed(&self.path, name, &e),
        })
    }

    fn group(&self, name: &str) -> Result<Group> {
        self.file.group(name).map_err(|e| match root_cause(&e) {
            Hdf5Error::GroupNotFound(_) => self.absent(name),
            _ => failed(&self.path, name, &e),
        })
    }

    fn absent(&self, name: &str) -> Error {
        let present = match self.datasets() {
            Ok(all) => all
                .iter()
                .take(30)
                .map(|d| d.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            Err(_) => "(unreadable)".into(),
        };
        Error::file(
            &self.path,
            name,
            format!("no such object; data sets present: {present}"),
            "correct the name",
        )
    }
}

fn options(size: usize) -> OpenOptions {
    OpenOptions::default()
        .with_max_read_bytes(limit(size))
        .with_max_chunk_bytes(limit(size))
        .with_max_object_header_bytes(size)
        .with_filter_registry(filters::registry(limit(size)))
}

fn limit(size: usize) -> usize {
    size.saturating_mul(MAX_RATIO).saturating_add(ALWAYS)
}

fn root_cause(e: &Hdf5Error) -> &Hdf5Error {
    let mut e = e;
    while let Hdf5Error::Context { source, .. } = e {
        e = source;
    }
    e
}

fn failed(path: &Path, field: &str, e: &Hdf5Error) -> Error {
    let remedy = match root_cause(e) {
        Hdf5Error::UnsupportedFilter(_) => {
            "write it again with gzip, LZF or Blosc compression, or without (h5repack -f GZIP=4)"
        }
        Hdf5Error::InvalidMagic => "give an HDF5 file (.h5, .hdf5, .mat of version 7.3)",
        Hdf5Error::TypeMismatch { .. } => "save it as numbers or strings",
        _ => DAMAGED,
    };
    let field = if field.is_empty() { "/" } else { field };
    Error::file(path, field, filters::named(root_cause(e)), remedy)
}

fn is_text(dtype: &Datatype) -> bool {
    match dtype {
        Datatype::String { .. } => true,
        Datatype::VarLen { base, kind, .. } => {
            *kind == VarLenKind::String && base.is_vlen_string_base()
        }
        _ => false,
    }
}
