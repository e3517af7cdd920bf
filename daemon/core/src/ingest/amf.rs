//! AMF0, the value encoding of RTMP commands and metadata (AMF 0 file format specification, Adobe 2007).

use std::fmt;

/// How deep objects may lie in each other. Servers nest two deep.
const DEEPEST: usize = 16;

/// How many properties or elements one message may have in all.
const MOST_PROPERTIES: usize = 1024;

/// The longest text that is written with a 16-bit length.
const LONGEST_STRING: usize = u16::MAX as usize;

/// An AMF0 value. Types that no command carries (references, XML, typed objects) are refused on reading.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An IEEE 754 double.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text; what is not UTF-8 is replaced on reading.
    String(String),
    /// Named values in the order in which they were sent.
    Object(Vec<(String, Value)>),
    /// The same with a length hint, as metadata has it.
    EcmaArray(Vec<(String, Value)>),
    /// Values without names.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970; the time zone is reserved and dropped.
    Date(f64),
    /// Nothing.
    Null,
    /// Less than nothing.
    Undefined,
}

/// Why bytes are not AMF0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The value ends after the message does.
    #[error("failed to read an AMF0 value: it is cut short")]
    Truncated,
    /// A type marker that no command uses.
    #[error("failed to read an AMF0 value: type {0:#04x} is not known")]
    UnknownType(u8),
    /// Objects in objects in objects.
    #[error("failed to read an AMF0 value: it is nested deeper than {DEEPEST}")]
    TooDeep,
    /// More properties than a command ever has.
    #[error("failed to read an AMF0 value: it has more than {MOST_PROPERTIES} properties")]
    TooMany,
    /// An object that does not end with an end marker.
    #[error("failed to read an AMF0 value: an object has no end marker")]
    NoEnd,
}

impl Value {
    /// A string value.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The property `name` of an object or array.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let (Self::Object(properties) | Self::EcmaArray(properties)) = self else {
            return None;
        };
        properties
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Appends the value's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(marker::NUMBER);
                out.extend(number.to_be_bytes());
            }
            Self::Boolean(boolean) => out.extend([marker::BOOLEAN, u8::from(*boolean)]),
            Self::String(text) => write_string(text, out),
            Self::Object(properties) => {
                out.push(marker::OBJECT);
                write_properties(properties, out);
            }
            Self::EcmaArray(properties) => {
                out.push(marker::ECMA_ARRAY);
                out.extend(length32(properties.len()));
                write_properties(properties, out);
            }
            Self::StrictArray(elements) => {
                out.push(marker::STRICT_ARRAY);
                out.extend(length32(elements.len()));
                elements.iter().for_each(|element| element.write(out));
            }
            Self::Date(milliseconds) => {
                out.push(marker::DATE);
                out.extend(milliseconds.to_be_bytes());
                out.extend([0, 0]);
            }
            Self::Null => out.push(marker::NULL),
            Self::Undefined => out.push(marker::UNDEFINED),
        }
    }
}

/// The bytes of several values, one after the other: the body of a command or data message.
pub fn write_all(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| value.write(&mut out));
    out
}

/// All values in `bytes`.
///
/// # Errors
/// When a value is cut short, of an unknown type, or unreasonably large or deep.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut reader = Reader {
        rest: bytes,
        properties: 0,
    };
    let mut values = Vec::new();
    while !reader.rest.is_empty() {
        reader.count()?;
        values.push(reader.value(0)?);
    }
    Ok(values)
}

mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0a;
    pub(super) const DATE: u8 = 0x0b;
    pub(super) const LONG_STRING: u8 = 0x0c;
    pub(super) const UNSUPPORTED: u8 = 0x0d;
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    if text.len() <= LONGEST_STRING {
        out.push(marker::STRING);
        write_name(text, out);
    } else {
        out.push(marker::LONG_STRING);
        out.extend(length32(text.len()));
        out.extend(text.as_bytes());
    }
}

fn write_properties(properties: &[(String, Value)], out: &mut Vec<u8>) {
    for (name, value) in properties {
        write_name(name, out);
        value.write(out);
    }
    out.extend([0, 0, marker::OBJECT_END]);
}

/// A name longer than 64 KiB is cut: none of ours is, and the alternative is a message that cannot be read.
fn write_name(name: &str, out: &mut Vec<u8>) {
    let length = name.floor_char_boundary(LONGEST_STRING);
    let bytes = name.as_bytes().get(..length).unwrap_or_default();
    out.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(bytes);
}

fn length32(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

struct Reader<'a> {
    rest: &'a [u8],
    properties: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > DEEPEST {
            return Err(Error::TooDeep);
        }
        let [kind] = self.array()?;
        Ok(match kind {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.array()?)),
            marker::BOOLEAN => {
                let [byte] = self.array()?;
                Value::Boolean(byte != 0)
            }
            marker::STRING => Value::String(self.name()?),
            marker::LONG_STRING => {
                let length = self.length32()?;
                Value::String(self.text(length)?)
            }
            marker::OBJECT => Value::Object(self.object(depth)?),
            marker::ECMA_ARRAY => {
                // The count is a hint that writers get wrong; the end marker decides.
                self.array::<4>()?;
                Value::EcmaArray(self.object(depth)?)
            }
            marker::STRICT_ARRAY => {
                let length = self.length32()?;
                let mut elements = Vec::new();
                for _ in 0..length {
                    self.count()?;
                    elements.push(self.value(depth + 1)?);
                }
                Value::StrictArray(elements)
            }
            marker::DATE => {
                let milliseconds = f64::from_be_bytes(self.array()?);
                self.array::<2>()?;
                Value::Date(milliseconds)
            }
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            other => return Err(Error::UnknownType(other)),
        })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Error> {
        let mut properties = Vec::new();
        loop {
            let name = self.name()?;
            if name.is_empty() {
                let [end] = self.array()?;
                return if end == marker::OBJECT_END {
                    Ok(properties)
                } else {
                    Err(Error::NoEnd)
                };
            }
            self.count()?;
            properties.push((name, self.value(depth + 1)?));
        }
    }

    fn count(&mut self) -> Result<(), Error> {
        self.properties += 1;
        if self.properties > MOST_PROPERTIES {
            Err(Error::TooMany)
        } else {
            Ok(())
        }
    }

    fn name(&mut self) -> Result<String, Error> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(usize::from(length))
    }

    fn text(&mut self, length: usize) -> Result<String, Error> {
        let (text, rest) = self.rest.split_at_checked(length).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn length32(&mut self) -> Result<usize, Error> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| Error::Truncated)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }
}

impl fmt::Display for Value {
    /// Text without its quotes, anything else as Rust shows it: for what servers say of an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(text) => f.write_str(text),
            None => write!(f, "{self:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(|number| Value::Number(f64::from(number))),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,40}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            any::<u32>().prop_map(|number| Value::Date(f64::from(number))),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            let properties = || prop::collection::vec((".{1,10}", inner.clone()), 0..8);
            prop_oneof![
                properties().prop_map(Value::Object),
                properties().prop_map(Value::EcmaArray),
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(any_value(), 0..5)) {
            prop_assert_eq!(read_all(&write_all(&values)), Ok(values));
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read_all(&bytes);
        }

        #[test]
        fn a_value_cut_anywhere_is_refused_or_shorter(values in prop::collection::vec(any_value(), 1..4), cut: prop::sample::Index) {
            let bytes = write_all(&values);
            let read = read_all(&bytes[..cut.index(bytes.len())]);
            prop_assert!(read.map_or(true, |read| values.starts_with(&read)));
        }
    }

    #[test]
    fn a_connect_reply_of_a_real_server_is_read() {
        // nginx-rtmp's answer to connect, as its source builds it.
        let mut bytes =
            b"\x02\0\x07_result\0\x3f\xf0\0\0\0\0\0\0\x03\0\x06fmsVer\x02\0\x0dFMS/3,0,1,123".to_vec();
        bytes.extend(b"\0\x0ccapabilities\0\x40\x3f\0\0\0\0\0\0\0\0\x09");
        let values = read_all(&bytes).unwrap();
        assert_eq!(values[0].as_str(), Some("_result"));
        assert_eq!(values[1].as_number(), Some(1.0));
        assert_eq!(
            values[2].get("fmsVer").and_then(Value::as_str),
            Some("FMS/3,0,1,123")
        );
        assert_eq!(
            values[2].get("capabilities").and_then(Value::as_number),
            Some(31.0)
        );
    }

    #[test]
    fn what_is_too_deep_too_much_or_unknown_is_refused() {
        assert_eq!(read_all(&b"\x03\0\x01a".repeat(100)), Err(Error::TooDeep));
        assert_eq!(
            read_all(&[marker::NULL; MOST_PROPERTIES + 1]),
            Err(Error::TooMany)
        );
        assert_eq!(read_all(&[0x0a, 0xff, 0xff, 0xff, 0xff]), Err(Error::Truncated));
        assert_eq!(read_all(&[0x11]), Err(Error::UnknownType(0x11)));
        assert_eq!(read_all(&[0x03, 0, 0, 5]), Err(Error::NoEnd));
    }

    #[test]
    fn text_longer_than_64_kib_survives() {
        let value = Value::String("x".repeat(70_000));
        assert_eq!(
            read_all(&write_all(std::slice::from_ref(&value))),
            Ok(vec![value])
        );
    }
}
