//! AMF0: the values in RTMP commands and FLV metadata (Adobe "Action Message Format – AMF 0").
//!
//! References and AMF3 values are refused: nothing that publishes sends them.

use bytes::{BufMut, BytesMut};

use crate::limits;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A boolean.
    Boolean(bool),
    /// A string; a long one on the wire if it has more than 65535 bytes.
    String(String),
    /// An anonymous object: its fields in order.
    Object(Vec<(String, Value)>),
    /// Nothing.
    Null,
    /// Not even nothing.
    Undefined,
    /// An associative array: its fields in order.
    EcmaArray(Vec<(String, Value)>),
    /// An array of values.
    StrictArray(Vec<Value>),
    /// Milliseconds since the Unix epoch, and a time zone that should be 0.
    Date(f64, i16),
    /// An object of a class.
    TypedObject(String, Vec<(String, Value)>),
}

/// Why bytes are not AMF0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Objects in objects in objects.
    #[error("AMF0 values nest deeper than {}", limits::AMF0_DEPTH_MAX)]
    TooDeep,
    /// More values than any message needs.
    #[error("more than {} AMF0 values", limits::AMF0_VALUES_MAX)]
    TooMany,
    /// The bytes end in the middle of a value.
    #[error("an AMF0 value is cut off")]
    UnexpectedEnd,
    /// A marker that is reserved, or of a type that is not taken.
    #[error("AMF0 type {0:#04x} is not supported")]
    UnsupportedType(u8),
}

impl Value {
    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(string) => Some(string),
            _ => None,
        }
    }

    /// The fields, if it has any: of an object or an associative array.
    pub fn fields(&self) -> Option<&[(String, Value)]> {
        match self {
            Value::Object(fields) | Value::EcmaArray(fields) | Value::TypedObject(_, fields) => Some(fields),
            _ => None,
        }
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields()?.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl From<&str> for Value {
    fn from(string: &str) -> Value {
        Value::String(string.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

/// An object with these fields.
pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Reads values until the bytes end.
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut reader = Reader { bytes, values_left: limits::AMF0_VALUES_MAX };
    let mut values = Vec::new();
    while !reader.bytes.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

/// Appends `value`. Keys and class names are cut at 65535 bytes, which is all the format can hold.
pub fn encode(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Number(number) => {
            out.put_u8(NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(boolean) => out.put_slice(&[BOOLEAN, u8::from(*boolean)]),
        Value::String(string) => encode_string(string, out),
        Value::Object(fields) => {
            out.put_u8(OBJECT);
            encode_fields(fields, out);
        }
        Value::Null => out.put_u8(NULL),
        Value::Undefined => out.put_u8(UNDEFINED),
        Value::EcmaArray(fields) => {
            out.put_u8(ECMA_ARRAY);
            out.put_u32(fields.len() as u32);
            encode_fields(fields, out);
        }
        Value::StrictArray(values) => {
            out.put_u8(STRICT_ARRAY);
            out.put_u32(values.len() as u32);
            values.iter().for_each(|value| encode(value, out));
        }
        Value::Date(ms, zone) => {
            out.put_u8(DATE);
            out.put_f64(*ms);
            out.put_i16(*zone);
        }
        Value::TypedObject(class, fields) => {
            out.put_u8(TYPED_OBJECT);
            encode_key(class, out);
            encode_fields(fields, out);
        }
    }
}

fn encode_string(string: &str, out: &mut BytesMut) {
    match u16::try_from(string.len()) {
        Ok(len) => {
            out.put_u8(STRING);
            out.put_u16(len);
        }
        Err(_) => {
            out.put_u8(LONG_STRING);
            out.put_u32(string.len() as u32);
        }
    }
    out.put_slice(string.as_bytes());
}

fn encode_fields(fields: &[(String, Value)], out: &mut BytesMut) {
    for (key, value) in fields {
        encode_key(key, out);
        encode(value, out);
    }
    out.put_slice(&[0, 0, OBJECT_END]);
}

fn encode_key(key: &str, out: &mut BytesMut) {
    let key = &key[..key.floor_char_boundary(usize::from(u16::MAX))];
    out.put_u16(key.len() as u16);
    out.put_slice(key.as_bytes());
}

struct Reader<'a> {
    bytes: &'a [u8],
    values_left: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > limits::AMF0_DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        self.values_left = self.values_left.checked_sub(1).ok_or(Error::TooMany)?;
        Ok(match self.array::<1>()?[0] {
            NUMBER => Value::Number(f64::from_be_bytes(self.array()?)),
            BOOLEAN => Value::Boolean(self.array::<1>()?[0] != 0),
            STRING => Value::String(self.short_string()?),
            OBJECT => Value::Object(self.fields(depth)?),
            NULL => Value::Null,
            UNDEFINED | UNSUPPORTED => Value::Undefined,
            ECMA_ARRAY => {
                // The count is a hint that many encoders get wrong; the end marker counts.
                self.array::<4>()?;
                Value::EcmaArray(self.fields(depth)?)
            }
            STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.array()?);
                Value::StrictArray((0..count).map(|_| self.value(depth + 1)).collect::<Result<_, _>>()?)
            }
            DATE => Value::Date(f64::from_be_bytes(self.array()?), i16::from_be_bytes(self.array()?)),
            LONG_STRING | XML_DOCUMENT => {
                let len = u32::from_be_bytes(self.array()?);
                Value::String(self.string(len as usize)?)
            }
            TYPED_OBJECT => Value::TypedObject(self.short_string()?, self.fields(depth)?),
            other => return Err(Error::UnsupportedType(other)),
        })
    }

    fn fields(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Error> {
        let mut fields = Vec::new();
        loop {
            let key = self.short_string()?;
            if key.is_empty() && self.bytes.first() == Some(&OBJECT_END) {
                self.bytes = &self.bytes[1..];
                return Ok(fields);
            }
            fields.push((key, self.value(depth + 1)?));
        }
    }

    fn short_string(&mut self) -> Result<String, Error> {
        let len = u16::from_be_bytes(self.array()?);
        self.string(len.into())
    }

    fn string(&mut self, len: usize) -> Result<String, Error> {
        let (string, rest) = self.bytes.split_at_checked(len).ok_or(Error::UnexpectedEnd)?;
        self.bytes = rest;
        // Some encoders write their names in the code page of their country; that is no reason to cut them.
        Ok(String::from_utf8_lossy(string).into_owned())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or(Error::UnexpectedEnd)?;
        self.bytes = rest;
        Ok(*array)
    }
}

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0a;
const DATE: u8 = 0x0b;
const LONG_STRING: u8 = 0x0c;
const UNSUPPORTED: u8 = 0x0d;
const XML_DOCUMENT: u8 = 0x0f;
const TYPED_OBJECT: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(values: &[Value]) -> BytesMut {
        let mut out = BytesMut::new();
        values.iter().for_each(|value| encode(value, &mut out));
        out
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(|n| Value::Number(n.into())),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,12}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            (any::<u32>(), any::<i16>()).prop_map(|(ms, zone)| Value::Date(ms.into(), zone)),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let fields = || prop::collection::vec((".{0,6}", inner.clone()), 0..6);
            prop_oneof![
                fields().prop_map(Value::Object),
                fields().prop_map(Value::EcmaArray),
                ("[a-z]{1,6}", fields()).prop_map(|(class, fields)| Value::TypedObject(class, fields)),
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::StrictArray),
            ]
        })
    }

    #[test]
    fn a_long_string_survives() {
        let value = Value::String("x".repeat(70_000));
        assert_eq!(decode(&encoded(std::slice::from_ref(&value))), Ok(vec![value]));
    }

    #[test]
    fn nesting_and_counting_are_bounded() {
        let nested = [STRICT_ARRAY, 0, 0, 0, 1].repeat(limits::AMF0_DEPTH_MAX + 2);
        assert_eq!(decode(&nested), Err(Error::TooDeep));
        assert_eq!(decode(&[NULL; limits::AMF0_VALUES_MAX + 1]), Err(Error::TooMany));
        let endless = [[STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff].as_slice(), &[NULL; 5_000]].concat();
        assert_eq!(decode(&endless), Err(Error::TooMany));
    }

    #[test]
    fn the_count_of_an_associative_array_is_only_a_hint() {
        let bytes = [ECMA_ARRAY, 0, 0, 0, 9, 0, 1, b'a', NULL, 0, 0, OBJECT_END];
        assert_eq!(decode(&bytes), Ok(vec![Value::EcmaArray(vec![("a".into(), Value::Null)])]));
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(values in prop::collection::vec(any_value(), 0..4)) {
            prop_assert_eq!(decode(&encoded(&values)), Ok(values));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }
    }
}
