//! The opcodes of protocols 0 to 5, one after the other.

use super::machine::{Fault, Machine, Step, broken};
use super::names::Name;
use super::strings::{unescape, unquote};
use super::{Data, Id, Node, numpy};

impl Machine<'_> {
    /// One opcode; the result at the end.
    pub fn step(&mut self) -> Step<Option<Id>> {
        let op = self.take(1)?[0];
        match op {
            b'.' => return self.pop().map(Some),
            0x80 => {
                let version = self.uint(1)?;
                if version > 5 {
                    return broken(format!("is of protocol {version}; 0 to 5 are read"));
                }
            }
            // A frame only says how many bytes to read at once.
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => {
                self.marked()?;
            }
            b'2' => {
                let id = self.top()?;
                self.stack.push(id);
            }
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'I' => {
                let line = self.line()?.trim();
                let node = match line {
                    "00" => Node::Bool(false),
                    "01" => Node::Bool(true),
                    line => match line.parse() {
                        Ok(v) => Node::Int(v),
                        Err(_) => return broken("a broken whole number"),
                    },
                };
                self.push(node);
            }
            b'L' => {
                let line = self.line()?.trim();
                match line.strip_suffix('L').unwrap_or(line).parse() {
                    Ok(v) => self.push(Node::Int(v)),
                    Err(_) => return broken("a broken whole number, or one beyond 64 bits"),
                }
            }
            b'J' => {
                let v = self.uint(4)? as u32 as i32;
                self.push(Node::Int(i64::from(v)));
            }
            b'K' => {
                let v = self.uint(1)?;
                self.push(Node::Int(v as i64));
            }
            b'M' => {
                let v = self.uint(2)?;
                self.push(Node::Int(v as i64));
            }
            0x8a => {
                let n = self.uint(1)?;
                self.long(n)?;
            }
            0x8b => {
                let n = self.uint(4)?;
                self.long(n)?;
            }
            b'F' => match self.line()?.trim().parse() {
                Ok(v) => self.push(Node::Float(v)),
                Err(_) => return broken("a broken number"),
            },
            b'G' => {
                let v = self
                    .take(8)?
                    .first_chunk::<8>()
                    .copied()
                    .unwrap_or_default();
                self.push(Node::Float(f64::from_be_bytes(v)));
            }
            b'S' => {
                let line = self.line()?;
                match unquote(line) {
                    Some(bytes) => self.push(Node::Bytes(Data::Made(bytes))),
                    None => return broken("a broken string"),
                }
            }
            b'T' | b'B' => {
                let n = self.uint(4)?;
                self.bytes(n)?;
            }
            b'U' | b'C' => {
                let n = self.uint(1)?;
                self.bytes(n)?;
            }
            0x8e | 0x96 => {
                let n = self.uint(8)?;
                self.bytes(n)?;
            }
            b'V' => {
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                let end = rest.iter().position(|b| *b == b'\n');
                let Some(line) = end.and_then(|end| rest.get(..end)) else {
                    return broken("ends in the middle of a line");
                };
                self.at += line.len() + 1;
                match unescape(line) {
                    Some(text) => self.push(Node::Text(text)),
                    None => return broken("broken text"),
                }
            }
            b'X' => {
                let n = self.uint(4)?;
                self.text(n)?;
            }
            0x8c => {
                let n = self.uint(1)?;
                self.text(n)?;
            }
            0x8d => {
                let n = self.uint(8)?;
                self.text(n)?;
            }
            b']' => self.push(Node::List(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            0x8f => self.push(Node::Set(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.marked()?;
                self.append(items)?;
            }
            b'l' => {
                let items = self.marked()?;
                self.push(Node::List(items));
            }
            b't' => {
                let items = self.marked()?;
                self.push(Node::Tuple(items));
            }
            0x91 => {
                let items = self.marked()?;
                self.push(Node::Set(items));
            }
            0x85..=0x87 => {
                let n = usize::from(op - 0x84);
                let start = self.stack.len().checked_sub(n);
                match start.filter(|s| *s >= self.floor()) {
                    Some(start) => {
                        let items = self.stack.split_off(start);
                        self.push(Node::Tuple(items));
                    }
                    None => return broken("takes from an empty stack"),
                }
            }
            b'd' => {
                let items = pairs(self.marked()?)?;
                self.push(Node::Dict(items));
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(vec![key, value])?;
            }
            b'u' => {
                let items = self.marked()?;
                self.set_items(items)?;
            }
            b'g' => {
                let key = self.number()?;
                self.recall(key)?;
            }
            b'h' => {
                let key = self.uint(1)?;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.uint(4)?;
                self.recall(key)?;
            }
            b'p' => {
                let key = self.number()?;
                self.memoize(key)?;
            }
            b'q' => {
                let key = self.uint(1)?;
                self.memoize(key)?;
            }
            b'r' => {
                let key = self.uint(4)?;
                self.memoize(key)?;
            }
            0x94 => self.memoize(self.memo.len())?,
            b'c' => {
                let module = self.line()?.to_string();
                let name = self.line()?.to_string();
                self.name(&module, &name)?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                match (&self.nodes[module], &self.nodes[name]) {
                    (Node::Text(module), Node::Text(name)) => {
                        let (module, name) = (module.clone(), name.clone());
                        self.spend(module.len() + name.len())?;
                        self.name(&module, &name)?;
                    }
                    _ => return broken("a name that is no text"),
                }
            }
            b'R' => {
                let args = self.pop()?;
                let callee = self.pop()?;
                let made = numpy::call(self, callee, args)?;
                self.stack.push(made);
            }
            0x81 | 0x92 => {
                if op == 0x92 {
                    let keywords = self.pop()?;
                    if !matches!(&self.nodes[keywords], Node::Dict(v) if v.is_empty()) {
                        return broken("makes an object with keywords");
                    }
                }
                self.pop()?;
                let class = self.pop()?;
                match self.nodes[class] {
                    Node::Name(class @ Name::Sparse(_)) => {
                        self.push(Node::Object { class, state: None });
                    }
                    Node::Name(Name::Other) => self.push(Node::Name(Name::Other)),
                    Node::Name(class) => return broken(format!("makes a {}", class.path())),
                    _ => return broken("makes an object of no class"),
                }
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                numpy::build(self, object, state)?;
            }
            b'i' => {
                let module = self.line()?.to_string();
                let name = self.line()?.to_string();
                return Err(Fault::Refused(format!("an instance of {module}.{name}")));
            }
            b'o' => return Err(Fault::Refused("an instance of a class".into())),
            b'P' | b'Q' => return Err(Fault::Refused("a value kept outside the file".into())),
            0x82..=0x84 => return Err(Fault::Refused("an extension by its number".into())),
            0x97 | 0x98 => return Err(Fault::Refused("a buffer kept outside the file".into())),
            other => return broken(format!("the opcode {other:#04x}, which no protocol has")),
        }
        Ok(None)
    }

    fn bytes(&mut self, n: usize) -> Step<()> {
        let start = self.at;
        self.take(n)?;
        self.push(Node::Bytes(Data::File(start..start + n)));
        Ok(())
    }

    fn text(&mut self, n: usize) -> Step<()> {
        let text = match std::str::from_utf8(self.take(n)?) {
            Ok(text) => text.to_string(),
            Err(_) => return broken("text that is not UTF-8"),
        };
        self.push(Node::Text(text));
        Ok(())
    }

    fn long(&mut self, n: usize) -> Step<()> {
        let bytes = self.take(n)?;
        if bytes.len() > 8 {
            return broken("a whole number beyond 64 bits");
        }
        let sign = bytes
            .last()
            .map_or(0, |b| if b & 0x80 != 0 { -1i64 } else { 0 });
        let value = bytes
            .iter()
            .rev()
            .fold(sign, |v, b| (v << 8) | i64::from(*b));
        self.push(Node::Int(value));
        Ok(())
    }

    fn number(&mut self) -> Step<usize> {
        self.line()?
            .trim()
            .parse()
            .or_else(|_| broken("a broken number"))
    }

    fn name(&mut self, module: &str, name: &str) -> Step<()> {
        match Name::find(module, name).or(self.partly.then_some(Name::Other)) {
            Some(name) => {
                self.push(Node::Name(name));
                Ok(())
            }
            None => {
                let shown: String = format!("{module}.{name}").chars().take(200).collect();
                Err(Fault::Refused(shown))
            }
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Step<()> {
        let list = self.top()?;
        match &mut self.nodes[list] {
            Node::List(v) | Node::Set(v) => {
                v.extend(items);
                Ok(())
            }
            Node::Name(Name::Other) => Ok(()),
            _ => broken("appends to what is no list"),
        }
    }

    fn set_items(&mut self, items: Vec<Id>) -> Step<()> {
        let dict = self.top()?;
        let pairs = pairs(items)?;
        match &mut self.nodes[dict] {
            Node::Dict(v) => {
                v.extend(pairs);
                Ok(())
            }
            Node::Name(Name::Other) => Ok(()),
            _ => broken("sets items of what is no dictionary"),
        }
    }
}

fn pairs(items: Vec<Id>) -> Step<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return broken("a key without a value");
    }
    Ok(pairs.iter().map(|[k, v]| (*k, *v)).collect())
}
