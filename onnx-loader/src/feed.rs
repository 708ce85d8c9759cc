//! A file read piece by piece, so that it need never be in memory as a whole.
//!
//! Nearly all of an ONNX file is the raw bytes of its tensors. Here the protobuf structure is followed as bytes come in, in
//! pieces of any size, and each value goes to its field when it is complete. A tensor's bytes have memory of their own,
//! which is freed by itself once the tensor has become something else, and kept as it is where an operator reads it so.
//!
//! A length in a file is a claim. Memory for a value is taken ahead only as far as the file can reach, where its length
//! is known; otherwise in proportion to what has come.

use crate::File;
use crate::error::LoadError;
use crate::proto::{Fields, ModelProto, Slot, TensorProto, data_type};

/// Reads an ONNX file from pieces of any size.
///
/// ```
/// use fourlane_onnx::{LoadError, ModelReader};
///
/// let mut reader = ModelReader::new(None);
/// let result = [b"not a", b" mode"].into_iter().try_for_each(|piece| reader.feed(piece));
/// assert!(matches!(result.and_then(|()| reader.finish().map(drop)), Err(LoadError::NotOnnx(_))));
/// ```
pub struct ModelReader {
    model: ModelProto,
    /// Messages within it that have begun, the innermost last.
    open: Vec<Open>,
    state: State,
    /// Bytes read.
    position: u64,
    /// Bytes of the file, if known: no promise, but what memory is taken ahead by.
    length: Option<u64>,
}

/// A message that has begun: the last one of a field.
struct Open {
    field: u32,
    /// Position of its end.
    end: u64,
}

/// What comes next.
enum State {
    /// A field: its number and type, as far as read.
    Key(Varint),
    /// The length of a field with this key.
    Length(u32, Varint),
    /// The value of a field.
    Value(Value),
}

/// A value as far as read.
struct Value {
    key: u32,
    /// So many more bytes; of a number, at most so many.
    left: u64,
    /// Those that have come, unless nobody wants them.
    bytes: Vec<u8>,
    is_wanted: bool,
}

/// A number in base 128, lowest digit first; a digit's high bit says that another follows.
#[derive(Default)]
struct Varint {
    value: u64,
    shift: u32,
}

impl Varint {
    /// The number, once complete.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, LoadError> {
        let digit = u64::from(byte & 0x7f);
        // Of the tenth digit one bit is left.
        if self.shift > 63 || (self.shift == 63 && digit > 1) {
            return Err(LoadError::CUT_OR_NO_PROTOBUF);
        }
        self.value |= digit << self.shift;
        self.shift += 7;
        Ok((byte < 0x80).then_some(self.value))
    }
}

/// Types of fields, as the low bits of a key say.
mod wire {
    pub const NUMBER: u32 = 0;
    pub const EIGHT_BYTES: u32 = 1;
    pub const LENGTH: u32 = 2;
    pub const FOUR_BYTES: u32 = 5;
}

/// What a value may take ahead of its bytes if nobody knows how long the file is.
const AHEAD: u64 = 1 << 20;
/// How deep messages may lie in each other; what nests deeper has been made to exhaust a stack.
const MAX_DEPTH: usize = 100;

/// Whether elements of this type are integers of 8 bits.
fn is_narrow(code: i32) -> bool {
    matches!(code, data_type::INT8 | data_type::UINT8)
}

/// Memory for a tensor of `bytes`: a little more than that. Weights are packed one after the other, each into the memory
/// that an earlier one's file bytes have left, and packed they are a little larger, those of `is_narrow` elements (8-bit
/// integers) by up to a 25th. (In WebAssembly memory that is freed but too small for the next is lost, since its memory
/// never shrinks.)
fn with_slack(bytes: u64, is_narrow: bool) -> u64 {
    let share = if is_narrow { (bytes / 24).min(1 << 18) } else { 0 };
    bytes.saturating_add(if bytes < 4096 { 0 } else { 64 + share })
}

impl ModelReader {
    /// Begins to read a file of `length` bytes, if that is known; memory then need not be moved as it fills. A wrong length
    /// is no error.
    pub fn new(length: Option<u64>) -> ModelReader {
        let state = State::Key(Varint::default());
        ModelReader { model: ModelProto::default(), open: Vec::new(), state, position: 0, length }
    }

    /// Reads the next piece.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotOnnx`] as soon as it shows, [`LoadError::OutOfMemory`]. The reader is of no use then.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), LoadError> {
        loop {
            // What is empty is complete without another byte.
            self.complete()?;
            let Some(&first) = piece.first() else { return Ok(()) };
            let mut used = 1;
            match &mut self.state {
                State::Key(key) => {
                    if let Some(key) = key.push(first)? {
                        self.begin_field(key)?;
                    }
                }
                State::Length(key, length) => {
                    if let Some(length) = length.push(first)? {
                        let key = *key;
                        self.begin_value(key, length, piece.len() as u64)?;
                    }
                }
                State::Value(value) => {
                    let is_number = value.key & 7 == wire::NUMBER;
                    if !is_number {
                        used = value.left.min(piece.len() as u64) as usize;
                    }
                    if value.is_wanted {
                        value.take(&piece[..used])?;
                    }
                    value.left -= used as u64;
                    if is_number && first < 0x80 {
                        value.left = 0;
                    }
                }
            }
            self.position += used as u64;
            piece = &piece[used..];
        }
    }

    /// The file, once all of it was fed.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotOnnx`] if there should be more.
    pub fn finish(mut self) -> Result<File, LoadError> {
        self.feed(&[])?;
        if self.open.is_empty() && self.is_between_fields() {
            return Ok(File(self.model));
        }
        Err(LoadError::CUT_OR_NO_PROTOBUF)
    }

    fn is_between_fields(&self) -> bool {
        matches!(self.state, State::Key(Varint { shift: 0, .. }))
    }

    /// The field of the innermost message that has this number; see [`Fields::field`].
    fn field(&mut self, number: u32, new: bool) -> Option<Slot<'_>> {
        let mut message: &mut dyn Fields = &mut self.model;
        for open in &self.open {
            let Some(Slot::Message(inner)) = message.field(open.field, false) else { return None };
            message = inner;
        }
        message.field(number, new)
    }

    /// Ends the value and the messages that end here.
    fn complete(&mut self) -> Result<(), LoadError> {
        if let State::Value(value @ Value { left: 0, .. }) = &mut self.state {
            let (key, bytes) = (value.key, std::mem::take(&mut value.bytes));
            self.state = State::Key(Varint::default());
            put(self.field(key >> 3, false), key & 7, bytes).ok_or(LoadError::CUT_OR_NO_PROTOBUF)?;
        }
        while self.is_between_fields()
            && let Some(open) = self.open.last()
            && self.position >= open.end
        {
            if self.position > open.end {
                return Err(LoadError::CUT_OR_NO_PROTOBUF);
            }
            self.open.pop();
        }
        Ok(())
    }

    fn begin_field(&mut self, key: u64) -> Result<(), LoadError> {
        let key = u32::try_from(key).ok().filter(|key| key >> 3 > 0).ok_or(LoadError::CUT_OR_NO_PROTOBUF)?;
        match key & 7 {
            wire::LENGTH => {
                self.state = State::Length(key, Varint::default());
                Ok(())
            }
            wire::NUMBER => self.begin_value(key, 10, 0),
            wire::EIGHT_BYTES => self.begin_value(key, 8, 0),
            wire::FOUR_BYTES => self.begin_value(key, 4, 0),
            // Groups, which nothing has used for long.
            _ => Err(LoadError::CUT_OR_NO_PROTOBUF),
        }
    }

    /// Begins a value of `length` bytes behind this one, of which `at_hand` are in this piece.
    fn begin_value(&mut self, key: u32, length: u64, at_hand: u64) -> Result<(), LoadError> {
        let number = key >> 3;
        let (is_message, is_raw, is_known) = match self.field(number, true) {
            Some(Slot::Message(_)) => (true, false, true),
            Some(Slot::Bytes(_)) => (false, number == TensorProto::RAW_DATA, true),
            other => (false, false, other.is_some()),
        };
        let has_length = key & 7 == wire::LENGTH;
        let position = self.position + 1;
        if has_length {
            let around = self.open.last().map_or(u64::MAX, |open| open.end);
            let end = position.checked_add(length).filter(|&end| end <= around);
            let end = end.filter(|_| self.open.len() < MAX_DEPTH).ok_or(LoadError::CUT_OR_NO_PROTOBUF)?;
            if is_message {
                self.open.push(Open { field: number, end });
                self.state = State::Key(Varint::default());
                return Ok(());
            }
        }
        let mut value = Value { key, left: length, bytes: Vec::new(), is_wanted: is_known || !has_length };
        if value.is_wanted {
            let reach = self.length.map_or(0, |total| total.saturating_sub(position)).max(at_hand).max(AHEAD);
            // What is known of a tensor by now: nearly always its type.
            let is_narrow = is_raw
                && matches!(self.field(TensorProto::DATA_TYPE, false), Some(Slot::Int32(code)) if is_narrow(*code));
            reserve(&mut value.bytes, with_slack(length.min(reach), is_narrow))?;
        }
        self.state = State::Value(value);
        Ok(())
    }
}

impl Value {
    fn take(&mut self, piece: &[u8]) -> Result<(), LoadError> {
        if self.bytes.capacity() - self.bytes.len() < piece.len() {
            // Twice as much, at most what is to come.
            let more = (self.bytes.len() as u64).max(AHEAD).max(piece.len() as u64).min(self.left);
            reserve(&mut self.bytes, more)?;
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

/// Gives a field its value, or one more. Numbers of a list may come one by one or all at once.
fn put(field: Option<Slot<'_>>, wire: u32, bytes: Vec<u8>) -> Option<()> {
    let rest = &mut &bytes[..];
    match (field, wire) {
        (None, wire::NUMBER) => drop(varint(rest)?),
        (None, _) => {}
        (Some(Slot::Int32(to)), wire::NUMBER) => *to = varint(rest)? as i32,
        (Some(Slot::Int64(to)), wire::NUMBER) => *to = varint(rest)? as i64,
        (Some(Slot::Float(to)), wire::FOUR_BYTES) => *to = f32::from_le_bytes(bytes.try_into().ok()?),
        (Some(Slot::Text(to)), wire::LENGTH) => *to = String::from_utf8(bytes).ok()?,
        (Some(Slot::Bytes(to)), wire::LENGTH) => *to = bytes,
        (Some(Slot::Int32s(to)), wire::NUMBER | wire::LENGTH) => {
            while !rest.is_empty() {
                to.push(varint(rest)? as i32);
            }
        }
        (Some(Slot::Int64s(to)), wire::NUMBER | wire::LENGTH) => {
            while !rest.is_empty() {
                to.push(varint(rest)? as i64);
            }
        }
        (Some(Slot::Uint64s(to)), wire::NUMBER | wire::LENGTH) => {
            while !rest.is_empty() {
                to.push(varint(rest)?);
            }
        }
        (Some(Slot::Floats(to)), wire::FOUR_BYTES | wire::LENGTH) => {
            let (floats, []) = bytes.as_chunks() else { return None };
            floats.iter().for_each(|&float| to.push(f32::from_le_bytes(float)));
        }
        (Some(Slot::Doubles(to)), wire::EIGHT_BYTES | wire::LENGTH) => {
            let (floats, []) = bytes.as_chunks() else { return None };
            floats.iter().for_each(|&float| to.push(f64::from_le_bytes(float)));
        }
        _ => return None,
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = Varint::default();
    loop {
        let first;
        (first, *bytes) = bytes.split_first()?;
        if let Some(number) = number.push(*first).ok()? {
            return Some(number);
        }
    }
}

fn reserve(bytes: &mut Vec<u8>, more: u64) -> Result<(), LoadError> {
    let reserved = usize::try_from(more).ok().and_then(|more| bytes.try_reserve_exact(more).ok());
    reserved.ok_or(LoadError::OutOfMemory { bytes: more.saturating_add(bytes.len() as u64) })
}
