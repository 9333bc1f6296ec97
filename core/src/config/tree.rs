//! XML text to a small tree of elements that know where they stand.
//!
//! This module knows XML and no element of Headwater. A document type is skipped, no entity is ever expanded but the
//! five of XML itself and character references, and everything is bounded by `limits`.

use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};

use crate::limits::{CONFIG_DEPTH_MAX, CONFIG_FILE_BYTES_MAX, CONFIG_NAME_BYTES_MAX, CONFIG_VALUE_BYTES_MAX};

use super::diagnostic::{Kind, Report, Spot};

/// An element.
#[derive(Debug)]
pub(super) struct Element {
    /// Its name as written.
    pub(super) name: String,
    /// Where its start tag is.
    pub(super) at: Spot,
    /// Its attributes, in order; macros are not replaced.
    pub(super) attributes: Vec<(String, String)>,
    /// Its child elements, in order.
    pub(super) children: Vec<Element>,
    /// All its own text; macros are not replaced.
    pub(super) text: String,
    /// Where its first text is that is not blank.
    pub(super) text_at: Option<Spot>,
}

impl Element {
    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one file. `under` is the path of the element that it is included into, `elements_left` the budget of the
/// whole configuration. `None` if the text is not XML; then the reason has been reported.
pub(super) fn parse(
    file: &Rc<str>,
    text: &str,
    under: &str,
    elements_left: &mut usize,
    report: &mut Report,
) -> Option<Element> {
    let start = Spot::start_of(file);
    if text.len() > CONFIG_FILE_BYTES_MAX {
        let reason = format!("The file is larger than {CONFIG_FILE_BYTES_MAX} bytes.");
        report.error(&start, Kind::TooLarge, reason, "Split it with include=\"...\".");
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let cursor = Cursor { text, offset: 0, line: 1, column: 1 };
    let mut parser = Parser {
        file,
        under,
        cursor,
        reader: reader(text),
        open: Vec::new(),
        root: None,
        elements_left,
        report,
    };
    loop {
        match parser.step() {
            Ok(true) => {}
            Ok(false) => return parser.root,
            Err(Malformed { at, kind, reason, remedy }) => {
                report.error(&at, kind, reason, remedy);
                return None;
            }
        }
    }
}

fn reader(text: &str) -> Reader<&[u8]> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    // Matching tags is done here: a person wants to know where the unclosed one was opened.
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    reader
}

/// Why reading stopped.
struct Malformed {
    at: Spot,
    kind: Kind,
    reason: String,
    remedy: String,
}

/// Turns growing byte offsets into lines and columns.
struct Cursor<'t> {
    text: &'t str,
    offset: usize,
    line: u32,
    column: u32,
}

impl Cursor<'_> {
    fn advance_to(&mut self, offset: usize) {
        let passed = self.text.get(self.offset..offset).unwrap_or_default();
        for c in passed.chars() {
            if c == '\n' {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            } else {
                self.column = self.column.saturating_add(1);
            }
        }
        self.offset = self.offset.max(offset);
    }
}

struct Parser<'t, 'r> {
    file: &'r Rc<str>,
    under: &'r str,
    cursor: Cursor<'t>,
    reader: Reader<&'t [u8]>,
    open: Vec<Element>,
    root: Option<Element>,
    elements_left: &'r mut usize,
    report: &'r mut Report,
}

impl Parser<'_, '_> {
    /// Takes the next piece of the text; `false` at its end.
    fn step(&mut self) -> Result<bool, Malformed> {
        self.cursor.advance_to(position(self.reader.buffer_position()));
        let event = match self.reader.read_event() {
            Ok(event) => event,
            Err(error) => {
                self.cursor.advance_to(position(self.reader.error_position()));
                let reason = format!("The XML is malformed: {error}.");
                return Err(self.malformed(reason, "Correct the markup here."));
            }
        };
        match event {
            Event::CData(data) => self.text(&data.xml10_content())?,
            Event::Comment(_) | Event::PI(_) => {}
            Event::Decl(declaration) => self.declaration(&declaration)?,
            Event::DocType(_) => self.report.warn(
                &self.here(),
                Kind::Malformed,
                "A document type declaration is not read.",
                "Remove it; no entity that it declares is known.",
            ),
            Event::Empty(tag) => {
                self.start(&tag)?;
                self.close();
            }
            Event::End(tag) => self.end(tag.name().as_ref())?,
            Event::Eof => return self.end_of_text().map(|()| false),
            Event::GeneralRef(reference) => self.reference(&reference)?,
            Event::Start(tag) => self.start(&tag)?,
            Event::Text(text) => self.text(&text.xml10_content())?,
        }
        Ok(true)
    }

    fn declaration(&mut self, declaration: &BytesDecl<'_>) -> Result<(), Malformed> {
        let Some(Ok(encoding)) = declaration.encoding() else { return Ok(()) };
        if ["utf-8", "us-ascii"].iter().any(|known| encoding.eq_ignore_ascii_case(known)) {
            return Ok(());
        }
        let reason = format!("The encoding `{encoding}` is not read.");
        Err(self.malformed(reason, "Save the file as UTF-8 and declare encoding=\"UTF-8\"."))
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), Malformed> {
        let name = tag.name().as_ref().to_string();
        let odd = |c: char| c.is_ascii_punctuation() && !matches!(c, '_' | '-' | '.' | ':');
        if name.is_empty() || name.len() > CONFIG_NAME_BYTES_MAX || name.chars().any(odd) {
            return Err(self.malformed("This is not the name of an element.", "Correct the tag."));
        }
        if self.open.is_empty() && self.root.is_some() {
            let reason = format!("<{name}> follows the root element.");
            return Err(self.malformed(reason, "A file has one root element; move it inside."));
        }
        if self.open.len() >= CONFIG_DEPTH_MAX {
            let reason = format!("Elements nest deeper than {CONFIG_DEPTH_MAX}.");
            return Err(self.too_large(reason));
        }
        let Some(left) = self.elements_left.checked_sub(1) else {
            return Err(self.too_large("The configuration has too many elements.".to_string()));
        };
        *self.elements_left = left;
        let attributes = self.attributes(tag)?;
        let parent = self.open.last().map_or(self.under, |it| it.at.path.as_str());
        let path = if parent.is_empty() { name.clone() } else { format!("{parent}/{name}") };
        let at = Spot { path, ..self.here() };
        let text = String::new();
        self.open.push(Element { name, at, attributes, children: Vec::new(), text, text_at: None });
        Ok(())
    }

    fn attributes(&self, tag: &BytesStart<'_>) -> Result<Vec<(String, String)>, Malformed> {
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| {
                self.malformed(format!("An attribute is malformed: {error}."), "Write name=\"value\".")
            })?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| {
                self.malformed(
                    format!("The value of an attribute is malformed: {error}."),
                    "Write & as &amp;.",
                )
            })?;
            attributes.push((attribute.key.as_ref().to_string(), value.into_owned()));
        }
        Ok(attributes)
    }

    fn text(&mut self, text: &str) -> Result<(), Malformed> {
        if let Some(strange) = text.chars().find(|c| !is_xml_char(*c)) {
            let reason = format!("The text holds the character {}.", strange.escape_unicode());
            return Err(self.malformed(reason, "XML cannot carry it; remove it."));
        }
        let blank = text.chars().all(|c| c.is_ascii_whitespace());
        let leading = text.len() - text.trim_ascii_start().len();
        let mut here = Cursor { text, offset: 0, line: self.cursor.line, column: self.cursor.column };
        here.advance_to(leading);
        let at = Spot { line: here.line, column: here.column, ..self.here() };
        let Some(element) = self.open.last_mut() else {
            if blank {
                return Ok(());
            }
            let (reason, remedy) = ("Text stands outside the root element.", "Remove it.");
            return Err(Malformed {
                at,
                kind: Kind::StrayText,
                reason: reason.into(),
                remedy: remedy.into(),
            });
        };
        if !blank && element.text_at.is_none() {
            element.text_at = Some(at);
        }
        element.text.push_str(text);
        if element.text.trim_ascii().len() > CONFIG_VALUE_BYTES_MAX {
            return Err(self.too_large(format!("A value is longer than {CONFIG_VALUE_BYTES_MAX} bytes.")));
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), Malformed> {
        if let Some(text) = resolve_predefined_entity(reference) {
            return self.text(text);
        }
        match reference.resolve_char_ref() {
            Ok(Some(c)) => self.text(c.encode_utf8(&mut [0; 4])),
            Ok(None) | Err(_) => {
                // Its name is not shown: it may be a piece of a password.
                let reason = "This reference is not a character.";
                Err(self
                    .malformed(reason, "Entities are not expanded; write the text itself, and & as &amp;."))
            }
        }
    }

    fn end(&mut self, name: &str) -> Result<(), Malformed> {
        let Some(innermost) = self.open.last() else {
            let reason = format!("</{name}> closes nothing.");
            return Err(self.malformed(reason, "Remove it, or open the element before."));
        };
        if innermost.name == name {
            self.close();
            return Ok(());
        }
        let (opened, place) = (&innermost.name, innermost.at.place());
        let reason = if self.open.iter().any(|it| it.name == name) {
            format!("</{name}> comes before <{opened}> of {place} is closed.")
        } else {
            format!("</{name}> does not close <{opened}> of {place}.")
        };
        let remedy = format!("Write </{opened}> here.");
        Err(Malformed { at: self.here(), kind: Kind::Malformed, reason, remedy })
    }

    fn end_of_text(&self) -> Result<(), Malformed> {
        if let Some(innermost) = self.open.last() {
            let (name, place) = (&innermost.name, innermost.at.place());
            let reason = format!("The file ends before <{name}> of {place} is closed.");
            let remedy = format!("Write </{name}>, or fetch the rest of the file.");
            return Err(Malformed { at: self.here(), kind: Kind::Malformed, reason, remedy });
        }
        if self.root.is_none() {
            return Err(self.malformed("The file holds no element.", "Begin with <Server version=\"10\">."));
        }
        Ok(())
    }

    /// Closes the innermost element.
    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn here(&self) -> Spot {
        let path = self.open.last().map_or(self.under, |it| it.at.path.as_str()).to_string();
        Spot { file: Rc::clone(self.file), line: self.cursor.line, column: self.cursor.column, path }
    }

    fn malformed(&self, reason: impl Into<String>, remedy: &str) -> Malformed {
        Malformed {
            at: self.here(),
            kind: Kind::Malformed,
            reason: reason.into(),
            remedy: remedy.to_string(),
        }
    }

    fn too_large(&self, reason: String) -> Malformed {
        let remedy = "No configuration needs that; look for a mistake in how the file is made.".to_string();
        Malformed { at: self.here(), kind: Kind::TooLarge, reason, remedy }
    }
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// XML 1.0, production 2.
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}
