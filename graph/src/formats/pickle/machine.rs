//! The stack machine a pickle is written for, without the calls.

use std::collections::HashMap;
use std::path::Path;

use super::{Data, Id, Node};
use crate::{Error, Result};

/// Why a pickle cannot be read.
pub(super) enum Fault {
    /// It is damaged, or uses what no pickle of data does.
    Broken(String),
    /// It asks for a name that is not on the list.
    Refused(String),
}

pub(super) type Step<T> = std::result::Result<T, Fault>;

pub(super) fn broken<T>(problem: impl Into<String>) -> Step<T> {
    Err(Fault::Broken(problem.into()))
}

pub(super) struct Machine<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    pub nodes: Vec<Node>,
    pub stack: Vec<Id>,
    /// Heights of the stack at its marks.
    pub marks: Vec<usize>,
    pub memo: HashMap<usize, Id>,
    /// Bytes that may still be copied out of others. A value that is referred to over and over may
    /// not be copied over and over.
    left: usize,
    /// Whether names that are not on the list are let pass, as values of nothing.
    pub partly: bool,
}

/// Runs a pickle; gives its values and which of them is the result.
pub(super) fn run(bytes: &[u8], path: &Path, partly: bool) -> Result<(Vec<Node>, Id)> {
    let mut machine = Machine {
        bytes,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        left: bytes.len().saturating_add(1 << 16),
        partly,
    };
    let mut place = 0;
    let root = loop {
        match machine.step() {
            Ok(None) => place = machine.at,
            Ok(Some(root)) => break root,
            Err(fault) => {
                let (problem, remedy) = match fault {
                    Fault::Broken(problem) => (
                        problem,
                        "the file is damaged or no pickle: write or fetch it again",
                    ),
                    Fault::Refused(name) => (
                        format!("asks for {name}, which is not data; nothing was run"),
                        "save plain arrays, as .npz for instance",
                    ),
                };
                return Err(Error::file(path, format!("byte {place}"), problem, remedy));
            }
        }
    };
    machine.keep(root);
    Ok((machine.nodes, root))
}

impl Machine<'_> {
    pub fn take(&mut self, n: usize) -> Step<&[u8]> {
        let taken = self.bytes.get(self.at..).and_then(|b| b.get(..n));
        match taken {
            Some(taken) => {
                self.at += n;
                Ok(taken)
            }
            None => broken("ends in the middle"),
        }
    }

    pub fn uint(&mut self, n: usize) -> Step<usize> {
        let bytes = self.take(n)?;
        let value = bytes
            .iter()
            .rev()
            .fold(0u64, |v, b| (v << 8) | u64::from(*b));
        usize::try_from(value).or_else(|_| broken("a length beyond memory"))
    }

    pub fn line(&mut self) -> Step<&str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|b| *b == b'\n') else {
            return broken("ends in the middle of a line");
        };
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).or_else(|_| broken("a line that is not UTF-8"))
    }

    pub fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub fn push(&mut self, node: Node) {
        let id = self.add(node);
        self.stack.push(id);
    }

    pub fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub fn pop(&mut self) -> Step<Id> {
        if self.stack.len() <= self.floor() {
            return broken("takes from an empty stack");
        }
        self.stack
            .pop()
            .map_or_else(|| broken("takes from an empty stack"), Ok)
    }

    pub fn top(&self) -> Step<Id> {
        match self.stack.last() {
            Some(id) if self.stack.len() > self.floor() => Ok(*id),
            _ => broken("looks at an empty stack"),
        }
    }

    /// What lies above the last mark.
    pub fn marked(&mut self) -> Step<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => broken("has no mark"),
        }
    }

    /// Counts bytes that are copied out of a value.
    pub fn spend(&mut self, bytes: usize) -> Step<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => broken("copies the same bytes over and over"),
        }
    }

    /// The bytes of a value of bytes.
    pub fn data(&self, id: Id) -> Option<&[u8]> {
        match &self.nodes[id] {
            Node::Bytes(Data::File(range)) => self.bytes.get(range.clone()),
            Node::Bytes(Data::Made(bytes)) => Some(bytes),
            _ => None,
        }
    }

    pub fn memoize(&mut self, key: usize) -> Step<()> {
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    pub fn recall(&mut self, key: usize) -> Step<()> {
        match self.memo.get(&key) {
            Some(id) => {
                self.stack.push(*id);
                Ok(())
            }
            None => broken(format!("recalls the value {key}, which is not there")),
        }
    }

    /// Keeps what the result refers to: the rest is emptied, places in the file become bytes.
    fn keep(&mut self, root: Id) {
        let mut reached = vec![false; self.nodes.len()];
        let mut next = vec![root];
        while let Some(id) = next.pop() {
            if std::mem::replace(&mut reached[id], true) {
                continue;
            }
            match &self.nodes[id] {
                Node::List(v) | Node::Tuple(v) | Node::Set(v) => next.extend(v),
                Node::Objects { items, .. } => next.extend(items),
                Node::Dict(v) => next.extend(v.iter().flat_map(|(k, v)| [*k, *v])),
                Node::Object { state, .. } => next.extend(state),
                _ => {}
            }
        }
        for (node, reached) in self.nodes.iter_mut().zip(reached) {
            match node {
                _ if !reached => *node = Node::None,
                Node::Bytes(data @ Data::File(_)) => {
                    if let Data::File(range) = data {
                        let bytes = self.bytes.get(range.clone()).unwrap_or_default();
                        *data = Data::Made(bytes.to_vec());
                    }
                }
                _ => {}
            }
        }
    }
}
