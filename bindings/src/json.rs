//! A reader of JSON that pulls values from the text as the caller asks for them, and builds no tree.
//!
//! A tokenizer file is a few settings around one object of 30,000 numbers. A tree of it would cost ten times its bytes
//! in a memory that a WebAssembly module can never give back, and the general libraries measured (`serde_json`,
//! `miniserde`, `tinyjson`) add 10, 9 and 35 KB to the compressed module. Pulling needs neither: strings are borrowed
//! from the text unless they contain an escape, and what nobody asks for is checked and skipped.
//!
//! An error is noted, not returned: from then on the reader finds nothing more, so that loops end, and what it gave is
//! to be thrown away if [`Json::finish`] says so. That keeps the callers short, in source and in code.
//!
//! ```text
//! json.object();
//! while let Some(key) = json.next_key() {
//!     match &*key {
//!         "lowercase" => lowercase = json.bool(),
//!         _ => json.skip(),
//!     }
//! }
//! json.finish()?;
//! ```

use std::borrow::Cow;

/// How deep values may nest; what deeper files there are have been made to exhaust a stack.
const MAX_DEPTH: u32 = 128;

/// Where and why a text is not the JSON that was expected.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem} at byte {offset}")]
pub struct JsonError {
    /// Byte offset into the text.
    pub offset: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

/// A position in a JSON text. A clone reads the same once more.
#[derive(Clone)]
pub(crate) struct Json<'a> {
    text: &'a str,
    pos: usize,
    /// An object or array has just been opened: its first item has no comma before it.
    fresh: bool,
    /// The first error.
    error: Option<JsonError>,
}

impl<'a> Json<'a> {
    /// The start of a text; a byte order mark is passed over.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut json = Json { text: "", pos: 0, fresh: false, error: None };
        match std::str::from_utf8(bytes) {
            Ok(text) => json.text = text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => json.fail(error.valid_up_to(), "expected UTF-8"),
        }
        json
    }

    /// Checks that all went well and nothing follows.
    pub fn finish(mut self) -> Result<(), JsonError> {
        self.peek();
        if self.pos < self.text.len() {
            self.fail_here("expected nothing more");
        }
        self.check()
    }

    /// Checks that all went well so far.
    pub fn check(self) -> Result<(), JsonError> {
        self.error.map_or(Ok(()), Err)
    }

    /// Notes that there is something wrong with the value just before.
    pub fn fail_here(&mut self, problem: &'static str) {
        self.fail(self.pos, problem);
    }

    /// The first byte of what comes next; 0 at the end of the text, and after an error.
    pub fn peek(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.pos += 1;
        }
        self.byte()
    }

    /// Whether a number comes next.
    pub fn at_number(&mut self) -> bool {
        matches!(self.peek(), b'-' | b'0'..=b'9')
    }

    /// Enters an object; [`Json::next_key`] then goes through it.
    pub fn object(&mut self) {
        self.open(b'{', "expected an object");
    }

    /// Enters an array; [`Json::next_item`] then goes through it.
    pub fn array(&mut self) {
        self.open(b'[', "expected an array");
    }

    /// The next key of the object; its value has to be read or skipped before the next call. `None` leaves the object.
    pub fn next_key(&mut self) -> Option<Cow<'a, str>> {
        if !self.next(b'}') {
            return None;
        }
        let key = self.string();
        if self.peek() != b':' {
            self.fail_here("expected a colon");
            return None;
        }
        self.pos += 1;
        Some(key)
    }

    /// Whether the array has another item, which has to be read or skipped before the next call.
    pub fn next_item(&mut self) -> bool {
        self.next(b']')
    }

    /// Reads `null` if that is what comes.
    pub fn null(&mut self) -> bool {
        self.peek();
        self.literal("null")
    }

    /// Reads `true` or `false`.
    pub fn bool(&mut self) -> bool {
        self.peek();
        let value = self.literal("true");
        if !value && !self.literal("false") {
            self.fail_here("expected true or false");
        }
        value
    }

    /// Reads a string.
    pub fn string(&mut self) -> Cow<'a, str> {
        if self.peek() != b'"' {
            self.fail_here("expected a string");
            return Cow::Borrowed("");
        }
        self.pos += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let start = self.pos;
            while !matches!(self.byte(), b'"' | b'\\' | 0..0x20) {
                self.pos += 1;
            }
            // The bytes at both ends are ASCII, so these are character boundaries.
            let plain = self.text.get(start..self.pos).unwrap_or_default();
            let end = self.byte();
            self.pos += 1;
            match end {
                b'"' => {
                    self.fresh = false;
                    return match unescaped {
                        Some(text) => Cow::Owned(text + plain),
                        None => Cow::Borrowed(plain),
                    };
                }
                b'\\' => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(plain);
                    text.push(self.escape());
                }
                _ => {
                    self.fail(self.pos - 1, "expected the end of a string");
                    return Cow::Borrowed("");
                }
            }
        }
    }

    /// Reads a string and keeps it.
    pub fn text(&mut self) -> String {
        self.string().into_owned()
    }

    /// Reads a number: the nearest double if it has at most 15 digits and 22 decimal places, else perhaps a neighbour.
    pub fn number(&mut self) -> f64 {
        let negative = self.peek() == b'-';
        self.pos += usize::from(negative);
        let start = self.pos;
        let starts_with_zero = self.byte() == b'0';
        // Digits that the significand has no place for are dropped; those before the point then count.
        let mut significand = 0;
        let mut exponent = self.digits(&mut significand).1;
        if starts_with_zero && self.pos > start + 1 {
            self.fail(start, "a leading zero");
        }
        if self.byte() == b'.' {
            self.pos += 1;
            exponent -= self.digits(&mut significand).0;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.pos += 1;
            let below = self.byte() == b'-';
            self.pos += usize::from(matches!(self.byte(), b'-' | b'+'));
            let mut power = 0;
            let dropped = self.digits(&mut power).1;
            let power = if dropped > 0 { i32::MAX } else { i32::try_from(power).unwrap_or(i32::MAX) };
            exponent = if below { exponent.saturating_sub(power) } else { exponent.saturating_add(power) };
        }
        // Powers of ten are exact up to 10^22. More than 700 lead from any significand out of the doubles' range.
        let mut value = significand as f64;
        let mut left = exponent.unsigned_abs().min(700);
        while left > 0 {
            let step = left.min(22);
            let power = (0..step).fold(1.0, |power, _| power * 10.0);
            value = if exponent < 0 { value / power } else { value * power };
            left -= step;
        }
        if value.is_infinite() {
            self.fail(start, "a number out of range");
        }
        self.fresh = false;
        if negative { -value } else { value }
    }

    /// Reads an integer of 0 to 2^32 - 1.
    pub fn u32(&mut self) -> u32 {
        self.peek();
        let start = self.pos;
        let value = self.number();
        let integer = value as u32;
        if f64::from(integer) != value {
            self.fail(start, "expected an integer from 0 to 4294967295");
        }
        integer
    }

    /// Checks a value and passes over it.
    pub fn skip(&mut self) {
        self.skip_within(MAX_DEPTH);
    }

    fn skip_within(&mut self, depth: u32) {
        if depth == 0 {
            return self.fail_here("values nested too deeply");
        }
        match self.peek() {
            b'{' => {
                self.object();
                while self.next_key().is_some() {
                    self.skip_within(depth - 1);
                }
            }
            b'[' => {
                self.array();
                while self.next_item() {
                    self.skip_within(depth - 1);
                }
            }
            b'"' => drop(self.string()),
            b'-' | b'0'..=b'9' => drop(self.number()),
            b't' | b'f' => drop(self.bool()),
            _ => {
                if !self.null() {
                    self.fail_here("expected a value");
                }
            }
        }
    }

    /// Notes an error, unless there is one, and goes to the end of the text.
    fn fail(&mut self, offset: usize, problem: &'static str) {
        self.error.get_or_insert(JsonError { offset, problem });
        self.pos = self.text.len();
        self.fresh = false;
    }

    /// The byte at this place; 0, which no value contains, at the end.
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.pos).copied().unwrap_or(0)
    }

    fn open(&mut self, bracket: u8, problem: &'static str) {
        if self.peek() != bracket {
            return self.fail_here(problem);
        }
        self.pos += 1;
        self.fresh = true;
    }

    /// Passes the comma before the next item, or the closing bracket (false).
    fn next(&mut self, close: u8) -> bool {
        let mut byte = self.peek();
        if byte == close {
            self.pos += 1;
            self.fresh = false;
            return false;
        }
        if !self.fresh {
            if byte != b',' {
                self.fail_here("expected a comma or closing bracket");
                return false;
            }
            self.pos += 1;
            byte = self.peek();
        }
        if byte == close || byte == 0 {
            self.fail_here("expected a value");
        }
        self.fresh = false;
        self.error.is_none()
    }

    fn literal(&mut self, word: &str) -> bool {
        let rest = self.text.as_bytes().get(self.pos..).unwrap_or_default();
        let found = rest.starts_with(word.as_bytes());
        if found {
            self.pos += word.len();
            self.fresh = false;
        }
        found
    }

    /// Appends the decimal digits that come, of which there must be one, to a number: how many it took, and how many it
    /// has no place for.
    fn digits(&mut self, number: &mut u64) -> (i32, i32) {
        if !self.byte().is_ascii_digit() {
            self.fail_here("expected a digit");
        }
        let (mut taken, mut dropped) = (0i32, 0i32);
        while self.byte().is_ascii_digit() {
            let digit = u64::from(self.byte() - b'0');
            match (dropped == 0 && *number <= u64::MAX / 10).then(|| *number * 10).and_then(|n| n.checked_add(digit)) {
                Some(appended) => {
                    *number = appended;
                    taken = taken.saturating_add(1);
                }
                None => dropped = dropped.saturating_add(1),
            }
            self.pos += 1;
        }
        (taken, dropped)
    }

    /// The character of an escape, after its backslash.
    fn escape(&mut self) -> char {
        let byte = self.byte();
        self.pos += 1;
        match byte {
            b'"' | b'\\' | b'/' => byte as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex4();
                if (0xd800..0xdc00).contains(&code) && self.literal("\\u") {
                    let low = self.hex4();
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    }
                }
                char::from_u32(code).unwrap_or_else(|| {
                    self.fail_here("half of a surrogate pair");
                    '\0'
                })
            }
            _ => {
                self.fail(self.pos - 1, "an unknown escape");
                '\0'
            }
        }
    }

    fn hex4(&mut self) -> u32 {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.byte()).to_digit(16) else {
                self.fail_here("expected a hexadecimal digit");
                break;
            };
            code = code << 4 | digit;
            self.pos += 1;
        }
        code
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::Value;

    /// Builds the tree that the reader does without.
    fn read(json: &mut Json<'_>) -> Value {
        match json.peek() {
            b'{' => {
                let mut map = serde_json::Map::new();
                json.object();
                while let Some(key) = json.next_key() {
                    let value = read(json);
                    map.insert(key.into_owned(), value);
                }
                map.into()
            }
            b'[' => {
                let mut items = Vec::new();
                json.array();
                while json.next_item() {
                    items.push(read(json));
                }
                items.into()
            }
            b'"' => json.string().into(),
            b't' | b'f' => json.bool().into(),
            b'n' if json.null() => Value::Null,
            _ => json.number().into(),
        }
    }

    fn whole<T>(text: &str, read: impl FnOnce(&mut Json<'_>) -> T) -> Result<T, JsonError> {
        let mut json = Json::new(text.as_bytes());
        let value = read(&mut json);
        json.finish().map(|()| value)
    }

    /// Whether two values are the same, up to the last digits of a number.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                (a - b).abs() <= 1e-12 * b.abs()
            }
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
            }
            _ => a == b,
        }
    }

    fn check(text: &str) -> Result<(), TestCaseError> {
        let reference = serde_json::from_str::<Value>(text);
        prop_assert_eq!(whole(text, |json| json.skip()).is_ok(), reference.is_ok(), "{:?}", text);
        match (whole(text, read), reference) {
            (Ok(value), Ok(reference)) => prop_assert!(same(&value, &reference), "{} for {}", value, reference),
            (value, reference) => prop_assert!(value.is_err() && reference.is_err(), "{:?}", text),
        }
        Ok(())
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u32>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                vec((any::<String>(), inner), 0..6).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// Scores of a Unigram model are added up and compared, so the last bit counts.
        #[test]
        fn numbers_are_those_of_serde_json(
            double in -1e3..1e3f64,
            single in -1e3..1e3f32,
            before in "0|[1-9][0-9]{0,24}",
            after in "[0-9]{1,22}",
        ) {
            for text in [double.to_string(), f64::from(single).to_string(), format!("{before}.{after}"), before] {
                let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
                if decimals <= 22 {
                    let reference: f64 = serde_json::from_str(&text).unwrap();
                    prop_assert_eq!(whole(&text, |json| json.number()).unwrap().to_bits(), reference.to_bits(), "{}", text);
                }
            }
        }

        #[test]
        fn reads_what_serde_json_writes(value in value()) {
            check(&value.to_string())?;
            check(&format!("{value:#}"))?;
        }

        #[test]
        fn accepts_what_serde_json_accepts(
            parts in vec(
                select(&[
                    "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"a\":", "1", "0", "-", "1.5", ".", "e", "E+2", "true",
                    "null", "nul", " ", "\n", "\\", "\"\\n\"", "\"\\u00e9\"", "\"\\ud83d\\ude00\"", "\"\\ud83d\"",
                    "\"\\ud83dx\"", "\"\\ude00\"", "\"\t\"", "é", "\0", "u00e9",
                ][..]),
                0..8,
            )
        ) {
            check(&parts.concat())?;
        }

        #[test]
        fn damage_is_found(value in value(), at in any::<prop::sample::Index>(), c in any::<char>()) {
            let mut chars: Vec<char> = value.to_string().chars().collect();
            let at = at.index(chars.len());
            chars[at] = c;
            check(&chars.iter().collect::<String>())?;
            chars.truncate(at);
            check(&chars.iter().collect::<String>())?;
        }
    }

    #[test]
    fn numbers() {
        let number = |text: &str| whole(text, |json| json.number());
        let numbers =
            [("-0", 0.0), ("1e20", 1e20), ("1.5e2", 150.0), ("25E-2", 0.25), ("9007199254740992", 2f64.powi(53))];
        for (text, value) in numbers {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        // The way that "no maximum" is written.
        assert!(number("1000000000000000019884624838656").unwrap() > 9.9e29);
        assert_eq!(number("1e999999999999").unwrap_err().problem, "a number out of range");
        assert_eq!(number("1e-999999999999"), Ok(0.0));
        let id = |text: &str| whole(text, |json| json.u32());
        assert_eq!(id("4294967295"), Ok(u32::MAX));
        for text in ["4294967296", "-1", "0.5", "1e99"] {
            assert_eq!(id(text).unwrap_err().problem, "expected an integer from 0 to 4294967295", "{text}");
        }
    }

    #[test]
    fn the_first_error_is_reported() {
        let error = |text: &str| {
            let error = whole(text, |json| json.skip()).unwrap_err();
            (error.problem, error.offset)
        };
        assert_eq!(error(""), ("expected a value", 0));
        assert_eq!(error("[1, 2"), ("expected a comma or closing bracket", 5));
        assert_eq!(error("[1, ]"), ("expected a value", 4));
        assert_eq!(error(r#"{"a" 1}"#), ("expected a colon", 5));
        assert_eq!(error(r#"{"a": "b"#), ("expected the end of a string", 8));
        assert_eq!(error(r#"["\ud83d", "#), ("half of a surrogate pair", 8));
        assert_eq!(error(r#"["\x", "#), ("an unknown escape", 3));
        assert_eq!(error("01"), ("a leading zero", 0));
        assert_eq!(error("{} {}"), ("expected nothing more", 3));
        let error = Json::new(b"{\xff").finish().unwrap_err();
        assert_eq!(error.to_string(), "expected UTF-8 at byte 1");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let problem = |depth: usize| whole(&"[".repeat(depth), |json| json.skip()).unwrap_err().problem;
        assert_eq!(problem(100), "expected a value");
        assert_eq!(problem(1_000_000), "values nested too deeply");
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(whole("\u{feff}{}", |json| json.skip()), Ok(()));
    }
}
