//! A pickle as data: the few instructions that state dicts are made of, on a stack machine that can
//! name nothing but tensors and their containers. It never runs anything.
//!
//! Every instruction adds at most one value or object and nothing is ever copied deeply: an object is
//! named by its number, so that neither nesting nor repetition grows beyond the file.

use std::collections::HashMap;

use super::bytes::Bytes;
use super::refuse;
use crate::files::numbers::Number;
use crate::{Error, Result};

/// Instructions of the longest state dict; the published network's has about 15,000.
const INSTRUCTIONS: usize = 500_000;
/// The most axes of a tensor.
const AXES: usize = 8;
/// The newest protocol that is understood.
const PROTOCOL: u8 = 5;

/// Something on the stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, little endian.
    Long(&'a [u8]),
    Float,
    Text(&'a str),
    Global(Global),
    /// The index of an [`Object`].
    Object(usize),
}

/// What a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    Size,
    /// `torch._utils._rebuild_tensor` and its second version.
    Tensor,
    /// Parameters are tensors that are trained.
    Parameter,
    /// A storage class.
    Storage(Element),
}

/// What a storage holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Element {
    Float(Number),
    /// Integers of so many bytes: counters, which networks do not need.
    Integer(u64),
}

impl Element {
    /// Bytes of one.
    pub(super) fn size(self) -> u64 {
        match self {
            Self::Float(number) => number.size() as u64,
            Self::Integer(size) => size,
        }
    }
}

/// Something that others refer to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Storage(Storage<'a>),
    Tensor(Tensor<'a>),
}

/// Numbers elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    /// Its name.
    pub(super) key: &'a str,
    pub(super) element: Element,
    /// How many numbers.
    pub(super) count: u64,
}

/// A view of a storage, in numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// A pickle's result.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    objects: Vec<Object<'a>>,
}

impl<'a> Pickle<'a> {
    /// Reads one pickle from the front of `input`.
    pub(super) fn read(input: &mut Bytes<'a>) -> Result<Self> {
        let mut machine = Machine {
            input: *input,
            ..Machine::default()
        };
        let root = machine.run()?;
        *input = machine.input;
        Ok(Self {
            root,
            objects: machine.objects,
        })
    }

    /// All storages that it names.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage(storage) => Some(storage),
            _ => None,
        })
    }

    /// The items of a dict.
    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.object(value)? {
            Object::Dict(items) => Some(items),
            _ => None,
        }
    }

    /// What a reference stands for.
    pub(super) fn object(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Object(index) => self.objects.get(index),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    input: Bytes<'a>,
    stack: Vec<Value<'a>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    objects: Vec<Object<'a>>,
}

fn malformed() -> Error {
    refuse("its pickle is malformed, so copy or download the file again")
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value<'a>> {
        for _ in 0..INSTRUCTIONS {
            let instruction = self.input.u8()?;
            if instruction == b'.' {
                return self.pop();
            }
            self.step(instruction)?;
        }
        Err(refuse(
            "it holds far more than a network, so save only its state dict",
        ))
    }

    /// Carries out one instruction, named in the comments as in Python's `pickletools`.
    fn step(&mut self, instruction: u8) -> Result<()> {
        match instruction {
            // PROTO
            0x80 => {
                let version = self.input.u8()?;
                if version > PROTOCOL {
                    return Err(refuse(format!(
                        "it uses pickle protocol {version}, so save it with protocol 2"
                    )));
                }
            }
            // FRAME: only a hint for reading ahead
            0x95 => drop(self.input.u64()?),
            b'(' => self.marks.push(self.stack.len()),

            b'N' => self.stack.push(Value::None),
            // NEWTRUE, NEWFALSE
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            // BININT, BININT1, BININT2, LONG1
            b'J' => {
                let number = i32::from_le_bytes(self.input.array()?);
                self.stack.push(Value::Int(number.into()));
            }
            b'K' => {
                let number = self.input.u8()?;
                self.stack.push(Value::Int(number.into()));
            }
            b'M' => {
                let number = self.input.u16()?;
                self.stack.push(Value::Int(number.into()));
            }
            0x8a => {
                let length = self.input.u8()?;
                let long = long(self.input.take(length.into())?);
                self.stack.push(long);
            }
            // BINFLOAT: a learning rate or the like
            b'G' => {
                self.input.u64()?;
                self.stack.push(Value::Float);
            }
            // SHORT_BINUNICODE and Python 2's SHORT_BINSTRING, BINUNICODE and BINSTRING, BINUNICODE8
            0x8c | b'U' => {
                let length = self.input.u8()?;
                self.push_text(length.into())?;
            }
            b'X' | b'T' => {
                let length = self.input.u32()?;
                self.push_text(length.into())?;
            }
            0x8d => {
                let length = self.input.u64()?;
                self.push_text(length)?;
            }

            b')' => self.push(Object::Tuple(Vec::new())),
            b']' => self.push(Object::List(Vec::new())),
            b'}' => self.push(Object::Dict(Vec::new())),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Object::Tuple(items));
            }
            // TUPLE1 to TUPLE3
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(instruction - 0x84))?;
                self.push(Object::Tuple(items));
            }
            // APPEND, APPENDS
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            // SETITEM, SETITEMS
            b's' => {
                let items = self.pop_many(2)?;
                self.set(&items)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(&items)?;
            }

            // BINPUT, LONG_BINPUT, MEMOIZE
            b'q' => {
                let index = self.input.u8()?;
                self.memoise(index.into())?;
            }
            b'r' => {
                let index = self.input.u32()?;
                self.memoise(index)?;
            }
            0x94 => {
                let index = u32::try_from(self.memo.len()).map_err(|_| malformed())?;
                self.memoise(index)?;
            }
            // BINGET, LONG_BINGET
            b'h' => {
                let index = self.input.u8()?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = self.input.u32()?;
                self.recall(index)?;
            }

            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let (module, name) = (self.input.until(b'\n')?, self.input.until(b'\n')?);
                self.push_global(text(module)?, text(name)?)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(malformed());
                };
                self.push_global(module, name)?;
            }
            b'R' => {
                let (arguments, called) = (self.pop()?, self.pop()?);
                let made = self.make(called, arguments)?;
                self.stack.push(made);
            }
            // BUILD: attributes besides the content, such as a state dict's versions
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            // BINPERSID
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Object::Storage(storage));
            }
            other => {
                return Err(refuse(format!(
                    "its pickle has the instruction 0x{other:02x}, which no state dict needs"
                )));
            }
        }
        Ok(())
    }

    fn push(&mut self, object: Object<'a>) {
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
    }

    fn push_text(&mut self, length: u64) -> Result<()> {
        let bytes = self.input.take(length)?;
        self.stack.push(Value::Text(text(bytes)?));
        Ok(())
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<()> {
        self.stack.push(Value::Global(Global::named(module, name)?));
        Ok(())
    }

    /// The lowest height that may be popped to: values below the last mark wait for it.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value<'a>> {
        match self.stack.last() {
            Some(&value) if self.stack.len() > self.floor() => Ok(value),
            _ => Err(malformed()),
        }
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>> {
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= self.floor() => Ok(self.stack.split_off(height)),
            _ => Err(malformed()),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let height = self.marks.pop().ok_or_else(malformed)?;
        Ok(self.stack.split_off(height))
    }

    fn memoise(&mut self, index: u32) -> Result<()> {
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<()> {
        let value = self.memo.get(&index).copied().ok_or_else(malformed)?;
        self.stack.push(value);
        Ok(())
    }

    /// The container on top of the stack.
    fn container(&mut self) -> Result<&mut Object<'a>> {
        match self.top()? {
            Value::Object(index) => self.objects.get_mut(index).ok_or_else(malformed),
            _ => Err(malformed()),
        }
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Result<()> {
        match self.container()? {
            Object::List(list) => list.extend(items),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Value<'a>]) -> Result<()> {
        let (pairs, []) = items.as_chunks() else {
            return Err(malformed());
        };
        match self.container()? {
            Object::Dict(dict) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    fn tuple(&self, value: Value<'a>) -> Result<&[Value<'a>]> {
        match value {
            Value::Object(index) => match self.objects.get(index) {
                Some(Object::Tuple(items)) => Ok(items),
                _ => Err(malformed()),
            },
            _ => Err(malformed()),
        }
    }

    /// Sizes or strides: a short tuple of integers.
    fn sizes(&self, value: Value<'a>) -> Result<Vec<u64>> {
        let sizes = self.tuple(value)?;
        if sizes.len() > AXES {
            return Err(malformed());
        }
        sizes.iter().map(|&size| unsigned(size)).collect()
    }

    /// What calling `called` with a tuple of arguments makes.
    fn make(&mut self, called: Value<'a>, arguments: Value<'a>) -> Result<Value<'a>> {
        let object = match (called, self.tuple(arguments)?) {
            (Value::Global(Global::OrderedDict), []) => Object::Dict(Vec::new()),
            // Python 2's way: a list of pairs, moved because copies of copies would multiply
            (Value::Global(Global::OrderedDict), &[Value::Object(list)]) => {
                let Some(Object::List(pairs)) = self.objects.get_mut(list) else {
                    return Err(malformed());
                };
                let pairs = std::mem::take(pairs).into_iter();
                Object::Dict(pairs.map(|pair| self.pair(pair)).collect::<Result<_>>()?)
            }
            (Value::Global(Global::Size), &[sizes]) | (Value::Global(Global::Parameter), &[sizes, ..]) => {
                return Ok(sizes);
            }
            (Value::Global(Global::Tensor), &[Value::Object(storage), offset, shape, strides, ..]) => {
                let Some(&Object::Storage(storage)) = self.objects.get(storage) else {
                    return Err(malformed());
                };
                Object::Tensor(Tensor {
                    storage,
                    offset: unsigned(offset)?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                })
            }
            _ => return Err(malformed()),
        };
        self.objects.push(object);
        Ok(Value::Object(self.objects.len() - 1))
    }

    fn pair(&self, value: Value<'a>) -> Result<(Value<'a>, Value<'a>)> {
        match value {
            Value::Object(index) => match self.objects.get(index) {
                Some(Object::Tuple(pair) | Object::List(pair)) => match pair[..] {
                    [key, value] => Ok((key, value)),
                    _ => Err(malformed()),
                },
                _ => Err(malformed()),
            },
            _ => Err(malformed()),
        }
    }

    /// The storage that an id of this form names: "storage", class, key, device, count, and in the
    /// older format a view, which only long gone versions wrote.
    fn storage(&self, id: Value<'a>) -> Result<Storage<'a>> {
        match *self.tuple(id)? {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(element)),
                Value::Text(key),
                Value::Text(_),
                count,
            ]
            | [
                Value::Text("storage"),
                Value::Global(Global::Storage(element)),
                Value::Text(key),
                Value::Text(_),
                count,
                Value::None,
            ] => Ok(Storage {
                key,
                element,
                count: unsigned(count)?,
            }),
            _ => Err(malformed()),
        }
    }
}

impl Global {
    fn named(module: &str, name: &str) -> Result<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter") => Self::Parameter,
            ("torch", "HalfStorage") => Self::Storage(Element::Float(Number::F16)),
            ("torch", "BFloat16Storage") => Self::Storage(Element::Float(Number::Bf16)),
            ("torch", "FloatStorage") => Self::Storage(Element::Float(Number::F32)),
            ("torch", "DoubleStorage") => Self::Storage(Element::Float(Number::F64)),
            ("torch", "LongStorage") => Self::Storage(Element::Integer(8)),
            ("torch", "IntStorage") => Self::Storage(Element::Integer(4)),
            ("torch", "ShortStorage") => Self::Storage(Element::Integer(2)),
            ("torch", "CharStorage" | "ByteStorage" | "BoolStorage") => Self::Storage(Element::Integer(1)),
            _ => {
                return Err(refuse(format!(
                    "it asks for `{}`, which is no part of a state dict, and nothing of it was run: save it \
                     again with torch.save(model.state_dict(), FILE)",
                    printable(module, name)
                )));
            }
        })
    }
}

/// A name from a file, fit to be shown.
fn printable(module: &str, name: &str) -> String {
    const LONGEST: usize = 60;
    format!("{module}.{name}")
        .chars()
        .map(|letter| if letter.is_ascii_graphic() { letter } else { '?' })
        .take(LONGEST)
        .collect()
}

fn text(bytes: &[u8]) -> Result<&str> {
    str::from_utf8(bytes).map_err(|_| malformed())
}

fn unsigned(value: Value<'_>) -> Result<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| malformed()),
        _ => Err(malformed()),
    }
}

/// An integer in two's complement of any length.
fn long(bytes: &[u8]) -> Value<'_> {
    let mut wide = [0; size_of::<i64>()];
    let Some(low) = wide.get_mut(..bytes.len()) else {
        return Value::Long(bytes);
    };
    low.copy_from_slice(bytes);
    let missing = 8 * (size_of::<i64>() - bytes.len()) as u32;
    // moves the sign up and back down over the missing bytes
    let number = i64::from_le_bytes(wide);
    Value::Int(number.checked_shl(missing).unwrap_or(0) >> missing.min(63))
}
