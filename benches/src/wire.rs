//! As much of protobuf as it takes to change an ONNX file, and to write a small one.

/// Appends a number.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends what stands before the content of a field with a length.
pub fn put_head(out: &mut Vec<u8>, number: u64, len: usize) {
    put_varint(out, number << 3 | 2);
    put_varint(out, len as u64);
}

/// A field with content: a text, bytes, a message.
pub fn bytes(number: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let (mut out, content) = (Vec::new(), content.as_ref());
    put_head(&mut out, number, content.len());
    out.extend(content);
    out
}

/// A field that is a number.
pub fn number(number: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, number << 3);
    put_varint(&mut out, value);
    out
}

/// A field of a message.
pub struct Field<'a> {
    /// Which.
    pub number: u64,
    /// What a field with a length has inside; of others, nothing.
    pub content: &'a [u8],
    /// With its number.
    pub all: &'a [u8],
}

/// The fields of a message; `None` where it is none.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Option<Field<'_>>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(rest);
        rest = field.as_ref().map_or(&[], |field| &rest[field.all.len()..]);
        Some(field)
    })
}

fn field(bytes: &[u8]) -> Option<Field<'_>> {
    let (tag, mut at) = varint(bytes)?;
    let content = match tag & 7 {
        0 => {
            at += varint(&bytes[at..])?.1;
            at..at
        }
        1 => at + 8..at + 8,
        2 => {
            let (len, size) = varint(&bytes[at..])?;
            at + size..(at + size).checked_add(usize::try_from(len).ok()?)?
        }
        5 => at + 4..at + 4,
        _ => return None,
    };
    let all = bytes.get(..content.end)?;
    Some(Field { number: tag >> 3, content: &all[content], all })
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}
