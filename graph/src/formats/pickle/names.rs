//! The names a pickle may ask for. Nothing outside this list is known, and nothing on it is called:
//! what the machine does with each is in `numpy.rs`.

/// A name on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// `numpy.core.multiarray._reconstruct`: an empty array.
    Reconstruct,
    /// `numpy.core.multiarray.scalar`: one number.
    Scalar,
    /// `numpy.core.numeric._frombuffer`: an array over bytes (protocol 5).
    FromBuffer,
    /// `numpy.ndarray`.
    NdArray,
    /// `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`: bytes spelt as text (protocols 0 to 2 of Python 3).
    Encode,
    /// `copyreg._reconstructor`: an instance without its state.
    Reconstructor,
    /// `builtins.object`.
    Object,
    /// `builtins.set` and `frozenset`, of a list.
    Set,
    /// `builtins.bytearray` and `bytes`.
    Bytes,
    /// `builtins.list` and `int`, the factories of default dictionaries.
    Factory,
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `collections.defaultdict`.
    DefaultDict,
    /// `zoneinfo.ZoneInfo`: a time zone, read as its key.
    TimeZone,
    /// `builtins.getattr`, for the constructor of a time zone alone.
    Attribute,
    /// A class of matrices of `scipy.sparse`.
    Sparse(Layout),
    /// A name that is not on the list, where those are let pass: what it would make is nothing.
    Other,
}

/// How the entries of a sparse matrix are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Columns of each row.
    Csr,
    /// Rows of each column.
    Csc,
    /// Row and column of each entry.
    Coo,
}

impl Name {
    /// The name `module.name`, under its old and new modules.
    pub fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Self::Reconstruct
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::Dtype,
            ("_codecs", "encode") => Self::Encode,
            ("copyreg" | "copy_reg", "_reconstructor") => Self::Reconstructor,
            ("builtins" | "__builtin__", "object") => Self::Object,
            ("builtins" | "__builtin__", "set" | "frozenset") => Self::Set,
            ("builtins" | "__builtin__", "bytearray" | "bytes") => Self::Bytes,
            ("builtins" | "__builtin__", "list" | "int" | "long" | "float" | "dict") => {
                Self::Factory
            }
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("collections", "defaultdict") => Self::DefaultDict,
            ("zoneinfo", "ZoneInfo") => Self::TimeZone,
            ("builtins" | "__builtin__", "getattr") => Self::Attribute,
            ("scipy.sparse.csr" | "scipy.sparse._csr", "csr_matrix" | "csr_array") => {
                Self::Sparse(Layout::Csr)
            }
            ("scipy.sparse.csc" | "scipy.sparse._csc", "csc_matrix" | "csc_array") => {
                Self::Sparse(Layout::Csc)
            }
            ("scipy.sparse.coo" | "scipy.sparse._coo", "coo_matrix" | "coo_array") => {
                Self::Sparse(Layout::Coo)
            }
            _ => return None,
        })
    }

    /// For messages.
    pub fn path(self) -> String {
        match self {
            Self::Reconstruct => "numpy._core.multiarray._reconstruct",
            Self::Scalar => "numpy._core.multiarray.scalar",
            Self::FromBuffer => "numpy._core.numeric._frombuffer",
            Self::NdArray => "numpy.ndarray",
            Self::Dtype => "numpy.dtype",
            Self::Encode => "_codecs.encode",
            Self::Reconstructor => "copyreg._reconstructor",
            Self::Object => "builtins.object",
            Self::Set => "builtins.set",
            Self::Bytes => "builtins.bytes",
            Self::Factory => "a built-in type",
            Self::OrderedDict => "collections.OrderedDict",
            Self::DefaultDict => "collections.defaultdict",
            Self::TimeZone => "zoneinfo.ZoneInfo",
            Self::Attribute => "builtins.getattr",
            Self::Other => "a value of another kind",
            Self::Sparse(Layout::Csr) => "scipy.sparse.csr_matrix",
            Self::Sparse(Layout::Csc) => "scipy.sparse.csc_matrix",
            Self::Sparse(Layout::Coo) => "scipy.sparse.coo_matrix",
        }
        .to_string()
    }
}
