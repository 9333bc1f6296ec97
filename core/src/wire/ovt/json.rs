//! JSON text as OvenMediaEngine writes it, and reading with errors that name the key.
//!
//! The text is compact, numbers with a fraction have 17 significant digits, and everything beyond ASCII is escaped
//! (reference: OVT section 4). The ascending order of keys is the order in which the serialised structs declare them.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value};

use super::PeerMisbehaved;

/// The text of `value`.
pub(super) fn to_text(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, OmeFormatter);
    value.serialize(&mut serializer).expect("writing structs with string keys into memory cannot fail");
    text
}

struct OmeFormatter;

impl Formatter for OmeFormatter {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(double(value).as_bytes())
    }

    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut units = [0; 2];
        for c in text.chars() {
            if c.is_ascii() {
                writer.write_all(&[c as u8])?;
                continue;
            }
            for unit in c.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// C's `%.17g`, with `.0` behind what would read as an integer. `value` is finite.
fn double(value: f64) -> String {
    const DIGITS: i32 = 17;
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a decimal exponent");
    if !(-4..DIGITS).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_padding(mantissa), exponent.abs());
    }
    let decimals =
        usize::try_from(DIGITS - 1 - exponent).expect("the exponent is below the number of digits");
    let fixed = format!("{value:.decimals$}");
    let fixed = without_padding(&fixed);
    if fixed.contains('.') { fixed.to_owned() } else { format!("{fixed}.0") }
}

fn without_padding(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// A JSON object of a message, and the way to it.
pub(super) struct Object<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Object<'a> {
    /// The message itself.
    pub(super) fn root(value: &'a Value) -> Result<Object<'a>, PeerMisbehaved> {
        let map = value.as_object().ok_or_else(|| field("the message".to_owned(), "an object"))?;
        Ok(Object { map, path: String::new() })
    }

    pub(super) fn object(&self, key: &str) -> Result<Object<'a>, PeerMisbehaved> {
        let map = self.map.get(key).and_then(Value::as_object).ok_or_else(|| self.error(key, "an object"))?;
        Ok(Object { map, path: self.path_to(key) })
    }

    /// The object at `key`; `None` if there is nothing or `null`.
    pub(super) fn optional_object(&self, key: &str) -> Result<Option<Object<'a>>, PeerMisbehaved> {
        self.optional(key).map(|_| self.object(key)).transpose()
    }

    /// The objects of the array at `key`; `None` if there is nothing or `null`.
    pub(super) fn optional_objects(
        &self,
        key: &str,
        max: usize,
    ) -> Result<Option<Vec<Object<'a>>>, PeerMisbehaved> {
        self.optional(key).map(|_| self.objects(key, max)).transpose()
    }

    /// The objects of the array at `key`, of which there may be `max`.
    pub(super) fn objects(&self, key: &str, max: usize) -> Result<Vec<Object<'a>>, PeerMisbehaved> {
        let items = self.map.get(key).and_then(Value::as_array).ok_or_else(|| self.error(key, "an array"))?;
        if items.len() > max {
            return Err(self.error(key, "an array of so few items as this node takes"));
        }
        let object = |(index, item): (usize, &'a Value)| {
            let path = format!("{}[{index}]", self.path_to(key));
            match item.as_object() {
                Some(map) => Ok(Object { map, path }),
                None => Err(field(path, "an object")),
            }
        };
        items.iter().enumerate().map(object).collect()
    }

    pub(super) fn string(&self, key: &str) -> Result<&'a str, PeerMisbehaved> {
        self.optional_string(key).ok_or_else(|| self.error(key, "a string"))
    }

    pub(super) fn optional_string(&self, key: &str) -> Option<&'a str> {
        self.map.get(key).and_then(Value::as_str)
    }

    pub(super) fn uint(&self, key: &str) -> Result<u32, PeerMisbehaved> {
        self.optional_uint(key).ok_or_else(|| self.error(key, "an unsigned 32-bit integer"))
    }

    pub(super) fn optional_uint(&self, key: &str) -> Option<u32> {
        self.integer(key).and_then(|number| u32::try_from(number).ok())
    }

    pub(super) fn uint64(&self, key: &str) -> Result<u64, PeerMisbehaved> {
        let number = self.integer(key).and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| self.error(key, "an unsigned integer"))
    }

    pub(super) fn int(&self, key: &str) -> Result<i32, PeerMisbehaved> {
        self.optional_int(key).ok_or_else(|| self.error(key, "a 32-bit integer"))
    }

    pub(super) fn optional_int(&self, key: &str) -> Option<i32> {
        self.integer(key).and_then(|number| i32::try_from(number).ok())
    }

    pub(super) fn double(&self, key: &str) -> Result<f64, PeerMisbehaved> {
        self.map.get(key).and_then(Value::as_f64).ok_or_else(|| self.error(key, "a number"))
    }

    pub(super) fn optional_bool(&self, key: &str) -> Option<bool> {
        self.map.get(key).and_then(Value::as_bool)
    }

    /// The error that `key` is not `want`.
    pub(super) fn error(&self, key: &str, want: &'static str) -> PeerMisbehaved {
        field(self.path_to(key), want)
    }

    /// The integer at `key`. A real without a fraction is one, as it is for OvenMediaEngine.
    fn integer(&self, key: &str) -> Option<i128> {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53
        let number = self.map.get(key)?.as_number()?;
        if let Some(integer) = number.as_i128() {
            return Some(integer);
        }
        let real = number.as_f64()?;
        (real.fract() == 0.0 && real.abs() <= EXACT_MAX).then_some(real as i128)
    }

    fn optional(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn path_to(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn field(path: String, want: &'static str) -> PeerMisbehaved {
    PeerMisbehaved::Field { path, want }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_have_17_significant_digits_and_a_fraction() {
        let table = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (30.0, "30.0"),
            (29.97, "29.969999999999999"),
            (60_000.0 / 1_001.0, "59.940059940059939"),
            (46.906_187_624_750_5, "46.906187624750501"),
            (100_000_000.0, "100000000.0"),
            (1e16, "10000000000000000.0"),
            (1e17, "1e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (0.1, "0.10000000000000001"),
            (1.5e300, "1.5000000000000001e+300"),
        ];
        for (value, text) in table {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn all_beyond_ascii_is_escaped_and_a_slash_is_not() {
        assert_eq!(to_text(&"a/b\"\\\n\u{1}ü→😀"), br#""a/b\"\\\n\u0001\u00fc\u2192\ud83d\ude00""#);
    }

    #[test]
    fn trap_19_no_message_contains_nul() {
        assert_eq!(to_text(&"a\0b"), br#""a\u0000b""#);
    }

    #[test]
    fn an_integral_real_is_an_integer_and_a_fraction_is_not() {
        let value: Value =
            serde_json::from_str(r#"{"a":3.0,"b":3.5,"c":-1,"d":4294967296,"e":1e300}"#).expect("JSON");
        let object = Object::root(&value).expect("an object");
        assert_eq!(object.uint("a"), Ok(3));
        for key in ["b", "c", "d", "e", "nothing"] {
            assert!(object.uint(key).is_err(), "{key}");
        }
        assert_eq!(object.int("c"), Ok(-1));
        assert_eq!(object.uint64("d"), Ok(4_294_967_296));
    }

    proptest! {
        #[test]
        fn doubles_read_back_exactly(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let read: f64 = serde_json::from_str(&double(value)).expect("a number");
            prop_assert_eq!(read.to_bits(), value.to_bits());
        }

        #[test]
        fn strings_read_back_exactly(text: String) {
            let written = to_text(&text);
            prop_assert!(written.is_ascii());
            prop_assert_eq!(serde_json::from_slice::<String>(&written).expect("JSON"), text);
        }
    }
}
