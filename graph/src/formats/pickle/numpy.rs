//! What the names of the list stand for: NumPy's arrays, types and numbers, SciPy's matrices,
//! Python's containers.

use std::path::Path;

use super::machine::{Fault, Machine, Step, broken};
use super::names::{Layout, Name};
use super::{Data, Id, Node, Sparse, Value};
use crate::formats::npy::Header;
use crate::formats::{Array, count};

/// The value that `callee(*args)` stands for.
pub(super) fn call(machine: &mut Machine<'_>, callee: Id, args: Id) -> Step<Id> {
    let Node::Name(name) = machine.nodes[callee] else {
        return broken("calls what is no function");
    };
    let Node::Tuple(args) = &machine.nodes[args] else {
        return broken("calls a function with what is no tuple");
    };
    // The longest call on the list has four arguments.
    let args: Vec<Id> = args.iter().take(8).copied().collect();
    let node = match (name, args.as_slice()) {
        (Name::Reconstruct, [class, ..]) => match machine.nodes[*class] {
            Node::Name(Name::NdArray) => Node::Object {
                class: Name::NdArray,
                state: None,
            },
            _ => return broken("an array of another class than ndarray"),
        },
        (Name::Dtype, [descr, ..]) => match text(machine, *descr) {
            Some(descr) if descr.len() <= 64 => Node::Dtype(format!("|{descr}")),
            _ => return broken("a type without its name"),
        },
        (Name::Scalar, [dtype, data]) => scalar(machine, *dtype, *data)?,
        (Name::FromBuffer, [data, dtype, shape, order]) => {
            let fortran = text(machine, *order).as_deref() == Some("F");
            array(machine, *dtype, *shape, fortran, *data)?
        }
        (Name::Encode, [text, ..]) => match &machine.nodes[*text] {
            Node::Text(text) => {
                let bytes: Option<Vec<u8>> = text
                    .chars()
                    .map(|c| u8::try_from(u32::from(c)).ok())
                    .collect();
                let Some(bytes) = bytes else {
                    return broken("bytes beyond Latin-1");
                };
                machine.spend(bytes.len())?;
                Node::Bytes(Data::Made(bytes))
            }
            _ => return broken("encodes what is no text"),
        },
        (Name::Reconstructor, [class, ..]) => match machine.nodes[*class] {
            Node::Name(class @ Name::Sparse(_)) => Node::Object { class, state: None },
            _ => return broken("makes an instance of a class that is not read"),
        },
        (Name::Set, []) => Node::Set(Vec::new()),
        (Name::Set, [items]) => match &machine.nodes[*items] {
            Node::List(v) | Node::Tuple(v) | Node::Set(v) => {
                let v = v.clone();
                machine.spend(v.len())?;
                Node::Set(v)
            }
            _ => return broken("a set of what is no list"),
        },
        (Name::Bytes, []) => Node::Bytes(Data::Made(Vec::new())),
        (Name::Bytes, [data, ..]) => match &machine.nodes[*data] {
            Node::Bytes(data) => {
                let data = data.clone();
                if let Data::Made(bytes) = &data {
                    machine.spend(bytes.len())?;
                }
                Node::Bytes(data)
            }
            _ => return broken("bytes of what is none"),
        },
        (Name::OrderedDict, []) | (Name::DefaultDict, _) => Node::Dict(Vec::new()),
        (Name::Attribute, [of, attribute]) => {
            let zone = matches!(machine.nodes[*of], Node::Name(Name::TimeZone));
            match text(machine, *attribute).as_deref() {
                Some("_unpickle") if zone => Node::Name(Name::TimeZone),
                _ if machine.partly => Node::Name(Name::Other),
                attribute => {
                    let asked = format!("builtins.getattr({})", attribute.unwrap_or("?"));
                    return Err(Fault::Refused(asked));
                }
            }
        }
        (Name::TimeZone, [key, ..]) => match text(machine, *key) {
            Some(key) => Node::Text(key),
            None => return broken("a time zone without its key"),
        },
        (Name::Other, _) => Node::Name(Name::Other),
        (Name::OrderedDict, [items]) => Node::Dict(listed(machine, *items)?),
        (name, _) => return broken(format!("calls {} in a way that is not read", name.path())),
    };
    Ok(machine.add(node))
}

/// Gives an object its state.
pub(super) fn build(machine: &mut Machine<'_>, object: Id, state: Id) -> Step<()> {
    let parts = match &machine.nodes[state] {
        Node::Tuple(v) => v.iter().take(16).copied().collect(),
        _ => Vec::new(),
    };
    let node = match (&machine.nodes[object], parts.as_slice()) {
        // Version, shape, type, whether columns come first, and the bytes or objects.
        (
            Node::Object {
                class: Name::NdArray,
                state: None,
            },
            [.., shape, dtype, fortran, data],
        ) if parts.len() <= 5 => {
            let fortran = matches!(machine.nodes[*fortran], Node::Bool(true) | Node::Int(1));
            array(machine, *dtype, *shape, fortran, *data)?
        }
        // Version, byte order, the type of the elements, names and fields of a record, ...
        (Node::Dtype(descr), [_, order, element, names, ..]) => {
            let plain = [element, names]
                .iter()
                .all(|id| matches!(machine.nodes[**id], Node::None));
            let kind = descr.get(1..).unwrap_or_default().to_string();
            match text(machine, *order).as_deref() {
                Some(order @ ("<" | ">" | "|" | "=")) if plain => {
                    Node::Dtype(format!("{order}{kind}"))
                }
                _ => return broken(format!("a NumPy type that is not read ({kind})")),
            }
        }
        (
            Node::Object {
                class: class @ Name::Sparse(_),
                state: None,
            },
            _,
        ) => Node::Object {
            class: *class,
            state: Some(state),
        },
        (Node::Name(Name::Other), _) => return Ok(()),
        _ => return broken("gives a state to what has none"),
    };
    machine.nodes[object] = node;
    Ok(())
}

fn text(machine: &Machine<'_>, id: Id) -> Option<String> {
    match &machine.nodes[id] {
        Node::Text(text) if text.len() <= 64 => Some(text.clone()),
        Node::Text(_) => None,
        _ => {
            let bytes = machine.data(id).filter(|b| b.len() <= 64)?;
            Some(bytes.iter().map(|b| char::from(*b)).collect())
        }
    }
}

/// Pairs out of a list of pairs.
fn listed(machine: &mut Machine<'_>, items: Id) -> Step<Vec<(Id, Id)>> {
    let Node::List(items) = &machine.nodes[items] else {
        return broken("a dictionary of what is no list");
    };
    let pairs: Option<Vec<(Id, Id)>> = items
        .iter()
        .map(|id| match &machine.nodes[*id] {
            Node::List(pair) | Node::Tuple(pair) => match pair.as_slice() {
                [k, v] => Some((*k, *v)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    match pairs {
        Some(pairs) => {
            machine.spend(pairs.len())?;
            Ok(pairs)
        }
        None => broken("a dictionary of what are no pairs"),
    }
}

fn shape(machine: &Machine<'_>, id: Id) -> Option<Vec<usize>> {
    let axes = match &machine.nodes[id] {
        Node::Tuple(axes) => axes.as_slice(),
        Node::Int(_) => &[id],
        _ => return None,
    };
    // NumPy has at most 64 axes.
    if axes.len() > 64 {
        return None;
    }
    axes.iter()
        .map(|id| match machine.nodes[*id] {
            Node::Int(n) => usize::try_from(n).ok(),
            _ => None,
        })
        .collect()
}

fn array(
    machine: &mut Machine<'_>,
    dtype: Id,
    shape_id: Id,
    fortran: bool,
    data: Id,
) -> Step<Node> {
    let Node::Dtype(descr) = &machine.nodes[dtype] else {
        return broken("an array without a type");
    };
    let descr = descr.clone();
    let Some(shape) = shape(machine, shape_id) else {
        return broken("an array without a shape");
    };
    if let Node::List(items) = &machine.nodes[data] {
        if count(&shape) != Some(items.len()) || (fortran && shape.len() > 1) {
            return broken("an array of objects whose shape does not fit");
        }
        let items = items.clone();
        machine.spend(items.len())?;
        return Ok(Node::Objects { shape, items });
    }
    let length = match machine.data(data) {
        Some(bytes) => bytes.len(),
        None => return broken("an array without its bytes"),
    };
    machine.spend(length)?;
    let header = Header {
        descr,
        fortran,
        shape,
    };
    let bytes = machine.data(data).unwrap_or_default();
    match header.decode(Path::new("pickle"), "array", bytes) {
        Ok(array) => Ok(Node::Array(array)),
        Err(crate::Error::File { problem, .. }) => {
            Err(Fault::Broken(format!("an array {problem}")))
        }
        Err(e) => Err(Fault::Broken(e.to_string())),
    }
}

fn scalar(machine: &mut Machine<'_>, dtype: Id, data: Id) -> Step<Node> {
    let shape = machine.add(Node::Tuple(Vec::new()));
    let Node::Array(array) = array(machine, dtype, shape, false, data)? else {
        return broken("a number without its bytes");
    };
    let node = match &array {
        Array::F32(a) => a.first().map(|v| Node::Float(f64::from(*v))),
        Array::F64(a) => a.first().map(|v| Node::Float(*v)),
        Array::I64(a) => a.first().map(|v| Node::Int(*v)),
        Array::Text(a) => a.first().map(|v| Node::Text(v.clone())),
    };
    node.map_or_else(|| broken("a number without its bytes"), Ok)
}

/// The entries of a SciPy matrix out of its state, `None` when its parts do not fit.
pub(super) fn sparse(state: Value<'_>, layout: &Layout) -> Option<Sparse> {
    let path = Path::new("pickle");
    let numbers = |v: Value<'_>, key: &str| -> Option<Vec<i64>> {
        let array = v.array(key).ok()?.into_i64(path, key).ok()?;
        Some(array.into_iter().collect())
    };
    let get = |key: &str| state.get(key).or_else(|| state.get(&format!("_{key}")));
    let shape = numbers(get("shape")?, "shape")?;
    let [rows, columns] = shape.as_slice() else {
        return None;
    };
    let shape = (
        usize::try_from(*rows).ok()?,
        usize::try_from(*columns).ok()?,
    );
    let values = get("data")?
        .array("data")
        .ok()?
        .into_f64(path, "data")
        .ok()?;
    let (major, minor): (Vec<i64>, Vec<i64>) = match layout {
        Layout::Coo => match get("coords") {
            Some(coords) => match coords.items()?.as_slice() {
                [rows, columns] => (numbers(*rows, "row")?, numbers(*columns, "col")?),
                _ => return None,
            },
            None => (numbers(get("row")?, "row")?, numbers(get("col")?, "col")?),
        },
        Layout::Csr | Layout::Csc => {
            let starts = numbers(get("indptr")?, "indptr")?;
            let indices = numbers(get("indices")?, "indices")?;
            let lines = if *layout == Layout::Csr {
                shape.0
            } else {
                shape.1
            };
            if starts.len() != lines.checked_add(1)? || starts[0] != 0 {
                return None;
            }
            let mut major = Vec::with_capacity(indices.len());
            for (line, pair) in starts.windows(2).enumerate() {
                let n = usize::try_from(pair[1].checked_sub(pair[0])?).ok()?;
                if major.len().checked_add(n)? > indices.len() {
                    return None;
                }
                major.extend(std::iter::repeat_n(line as i64, n));
            }
            (major, indices)
        }
    };
    if major.len() != minor.len() || minor.len() != values.len() {
        return None;
    }
    let entries = major
        .iter()
        .zip(&minor)
        .zip(&values)
        .map(|((a, b), v)| {
            let (r, c) = if *layout == Layout::Csc {
                (b, a)
            } else {
                (a, b)
            };
            let (r, c) = (usize::try_from(*r).ok()?, usize::try_from(*c).ok()?);
            (r < shape.0 && c < shape.1).then_some((r, c, *v))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Sparse { shape, entries })
}
