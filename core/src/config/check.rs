//! A tree of XML elements held against the schema: what comes out has the schema's types.
//!
//! All faults of a configuration are reported, not only the first. What a value means is none of this module's
//! business; it follows includes and replaces macros, because both decide what the elements are.

use core::time::Duration;
use std::rc::Rc;

use crate::io::Endpoint;
use crate::limits::{CONFIG_ELEMENTS_MAX, CONFIG_INCLUDE_DEPTH_MAX};

use super::diagnostic::{Kind, Report, Spot};
use super::environment::{Environment, expand};
use super::glob;
use super::model::Secret;
use super::schema::{Count, Effect, SERVER, Shape, Spec, Transport};
use super::store;
use super::suggest;
use super::tree::{self, Element};
use super::value;

/// An element whose value has its type.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) spec: &'static Spec,
    pub(super) at: Spot,
    pub(super) value: Value,
    pub(super) children: Vec<Node>,
}

/// The value of an element.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Endpoint(Endpoint),
    Int(i64),
    /// It was not of its type, which has been reported.
    Invalid,
    /// It has children instead.
    Item,
    Port(u16, Transport),
    Redis(store::Host),
    Seconds(Duration),
    Secret(Secret),
    Text(String),
}

impl Node {
    /// The first element at `path` (`Pass/Urls`) below this one.
    pub(super) fn find(&self, path: &'static str) -> Option<&Node> {
        path.split('/').try_fold(self, |node, name| node.all(name).next())
    }

    /// All child elements of a name.
    pub(super) fn all<'n>(&'n self, name: &'static str) -> impl Iterator<Item = &'n Node> {
        debug_assert!(self.spec.child(name).is_some(), "<{}> has no <{name}> in the schema", self.spec.name);
        self.children.iter().filter(move |it| it.spec.name == name)
    }

    /// The text at `path`, if there is one that is not empty.
    pub(super) fn text(&self, path: &'static str) -> Option<&str> {
        self.find(path)?.own_text()
    }

    /// This element's own text, if it is not empty.
    pub(super) fn own_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The texts of all child elements of a name.
    pub(super) fn texts(&self, name: &'static str) -> Vec<String> {
        self.all(name).filter_map(Node::own_text).map(str::to_string).collect()
    }

    pub(super) fn flag(&self, path: &'static str, default: bool) -> bool {
        match self.find(path).map(|it| &it.value) {
            Some(Value::Bool(value)) => *value,
            _ => default,
        }
    }

    pub(super) fn int(&self, path: &'static str, default: i64) -> i64 {
        self.written_int(path).unwrap_or(default)
    }

    /// The number at `path`, if there is one.
    pub(super) fn written_int(&self, path: &'static str) -> Option<i64> {
        match self.find(path)?.value {
            Value::Int(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn seconds(&self, path: &'static str, default: Duration) -> Duration {
        match self.find(path).map(|it| &it.value) {
            Some(Value::Seconds(value)) => *value,
            _ => default,
        }
    }
}

/// Reads a configuration and all that it includes. `None` if there is no `Server` to speak of.
pub(super) fn check(file: &str, env: &dyn Environment, report: &mut Report) -> Option<Node> {
    let mut checker =
        Checker { env, report, elements_left: CONFIG_ELEMENTS_MAX, including: vec![file.to_string()] };
    let root = checker.read(file, "", &Spot::start_of(&file.into()))?;
    if root.name != SERVER.name {
        let reason = format!("The root element is <{}>.", root.name);
        let remedy = "A server's configuration begins with <Server version=\"10\">.";
        checker.report.error(&root.at, Kind::Unknown, reason, remedy);
        return None;
    }
    checker.version(&root);
    checker.attributes(&root, &["version", "xmlns"]);
    Some(checker.node(&root, &SERVER, false))
}

struct Checker<'a> {
    env: &'a dyn Environment,
    report: &'a mut Report,
    elements_left: usize,
    /// The files that are being read, outermost first.
    including: Vec<String>,
}

impl Checker<'_> {
    /// One element against its specification. `quiet`: it is inside of one that is not acted on.
    fn node(&mut self, element: &Element, spec: &'static Spec, quiet: bool) -> Node {
        let quiet = quiet || self.without_effect(element, spec);
        let mut node = Node { spec, at: element.at.clone(), value: Value::Item, children: Vec::new() };
        if let Shape::Item(_) = spec.shape {
            self.stray_text(element, spec);
            self.children(element, &mut node, quiet);
            self.missing(&node);
            return node;
        }
        for child in element.children.iter().filter(|it| !is_ignored(it)) {
            self.unknown(child, spec);
        }
        node.value = match expand(&element.text, self.env, &element.at, self.report) {
            Some(text) => self.leaf(text.trim(), spec, &element.at),
            None => Value::Invalid,
        };
        node
    }

    fn leaf(&mut self, text: &str, spec: &'static Spec, at: &Spot) -> Value {
        match value::parse(text, &spec.shape) {
            Ok(value) => value,
            Err(fault) => {
                let reason = format!("<{}> {}", spec.name, fault.reason);
                self.report.error(at, fault.kind, reason, fault.remedy);
                Value::Invalid
            }
        }
    }

    fn children(&mut self, element: &Element, node: &mut Node, quiet: bool) {
        for child in &element.children {
            let spec = node.spec.child(&child.name);
            if is_ignored(child) {
                if spec.is_none() {
                    let reason = format!("<{}> is not an element of <{}>.", child.name, element.name);
                    let remedy = "It is skipped, because it says ignore=\"true\".";
                    self.report.warn(&child.at, Kind::Unknown, reason, remedy);
                }
                continue;
            }
            let Some(spec) = spec else {
                self.unknown(child, node.spec);
                continue;
            };
            self.attributes(child, &["include", "ignore"]);
            match child.attribute("include") {
                None => self.add(node, child, spec, quiet),
                Some(pattern) => {
                    for included in self.include(child, pattern, spec) {
                        self.including.push(included.at.file.to_string());
                        self.add(node, &included, spec, quiet);
                        self.including.pop();
                    }
                }
            }
        }
    }

    fn add(&mut self, parent: &mut Node, element: &Element, spec: &'static Spec, quiet: bool) {
        let node = self.node(element, spec, quiet);
        let first = parent.children.iter().find(|it| it.spec.name == spec.name);
        if let Some(first) = first.filter(|_| !spec.is_list()) {
            let reason = format!("<{}> stands twice in <{}>.", spec.name, parent.spec.name);
            let remedy = format!("The first is at {}; keep one of them.", first.at.place());
            self.report.error(&element.at, Kind::Repeated, reason, remedy);
            return;
        }
        parent.children.push(node);
    }

    fn missing(&mut self, node: &Node) {
        for spec in node.spec.children() {
            let required = matches!(spec.count, Count::Required | Count::AtLeastOne);
            if !required || node.children.iter().any(|it| it.spec.name == spec.name) {
                continue;
            }
            let reason = format!("<{}> has no <{}>.", node.spec.name, spec.name);
            let remedy = format!("Add {}.", suggest::example(spec));
            self.report.error(&node.at, Kind::Missing, reason, remedy);
        }
    }

    fn stray_text(&mut self, element: &Element, spec: &'static Spec) {
        let Some(at) = &element.text_at else { return };
        let word: String = element.text.trim().chars().take_while(|c| !c.is_whitespace()).take(30).collect();
        // What was meant for a child that holds a secret is one.
        let is_secret = spec.children().iter().any(|it| matches!(it.shape, Shape::Redis | Shape::Secret));
        let text = if is_secret { "A text".to_string() } else { format!("The text `{word}`") };
        let reason = format!("{text} stands in <{}>, which holds elements only.", element.name);
        self.report.error(at, Kind::StrayText, reason, "Remove it, or put it into an element.");
    }

    fn unknown(&mut self, child: &Element, parent: &'static Spec) {
        let reason = format!("<{}> is not an element of <{}>.", child.name, parent.name);
        self.report.error(&child.at, Kind::Unknown, reason, suggest::for_element(&child.name, parent));
    }

    /// Attributes are not checked by OvenMediaEngine; a misspelt `ignore` is worth a word.
    fn attributes(&mut self, element: &Element, known: &[&str]) {
        for (name, _) in &element.attributes {
            if known.contains(&name.as_str()) || name.starts_with("xmlns:") || name.starts_with("xsi:") {
                continue;
            }
            let reason = format!("The attribute {name} of <{}> has no meaning.", element.name);
            let remedy = "Remove it; there are version (of <Server>), include and ignore.";
            self.report.warn(&element.at, Kind::Unknown, reason, remedy);
        }
    }

    /// Reports an element that is not acted on; whether it is one.
    fn without_effect(&mut self, element: &Element, spec: &'static Spec) -> bool {
        let Effect::None { note, unless } = spec.effect else { return false };
        let decisive = match spec.shape {
            Shape::Item(_) => {
                element.children.iter().find(|it| it.name == "Enable").map(|it| it.text.as_str())
            }
            _ => Some(element.text.as_str()),
        };
        // What is absent is false in all elements with an `Enable`.
        let asked = decisive.unwrap_or("false").trim();
        if unless.is_empty() || !asked.eq_ignore_ascii_case(unless) {
            self.report.without_effect(&element.at, spec.name, note);
        }
        true
    }

    fn version(&mut self, root: &Element) {
        let written = root.attribute("version").unwrap_or_default();
        let written = expand(written, self.env, &root.at, self.report).unwrap_or_default();
        let remedy = "Headwater reads versions 8 to 10: write <Server version=\"10\">.";
        match written.trim().parse::<u32>() {
            Ok(8..=10) => {}
            Ok(old @ 1..8) => self.report.warn(
                &root.at,
                Kind::Version,
                format!("Version {old} is older than OvenMediaEngine itself accepts."),
                format!("It is read as version 10. {remedy}"),
            ),
            Ok(other) => {
                self.report.error(&root.at, Kind::Version, format!("Version {other} is not known."), remedy)
            }
            Err(_) if written.trim().is_empty() => {
                self.report.error(&root.at, Kind::Version, "<Server> has no version.", remedy)
            }
            Err(_) => {
                let reason = format!("The version `{}` is not a number.", value::shown(written.trim()));
                self.report.error(&root.at, Kind::Version, reason, remedy)
            }
        }
    }

    /// The root elements of the files that match an `include` (reference: Server.xml section 1), in the order of
    /// their names.
    fn include(&mut self, element: &Element, pattern: &str, spec: &'static Spec) -> Vec<Element> {
        let at = &element.at;
        if !matches!(spec.shape, Shape::Item(_)) {
            let reason = format!("<{}> holds a value and cannot include a file.", spec.name);
            self.report.error(at, Kind::Include, reason, "Include an element that holds elements.");
            return Vec::new();
        }
        if !element.children.is_empty() || element.text_at.is_some() {
            let reason = format!("<{}> includes a file and has contents of its own.", spec.name);
            let remedy = "The contents would be lost; move them into the file, or remove the include.";
            self.report.error(at, Kind::Include, reason, remedy);
        }
        let Some(pattern) = expand(pattern, self.env, at, self.report) else { return Vec::new() };
        let Some(files) = self.matching(&pattern, at) else { return Vec::new() };
        if !spec.is_list() && files.len() != 1 {
            let reason = format!("{} files match include=\"{}\".", files.len(), value::shown(&pattern));
            let remedy = format!("<{}> stands once: exactly one file must match.", spec.name);
            self.report.error(at, Kind::Include, reason, remedy);
            return Vec::new();
        }
        if files.is_empty() {
            let reason = format!("No file matches include=\"{}\".", value::shown(&pattern));
            let remedy = format!("There is no <{}> from it.", spec.name);
            self.report.warn(at, Kind::Include, reason, remedy);
        }
        files.iter().filter_map(|file| self.included_root(file, element, spec)).collect()
    }

    /// The paths of the files that match, sorted.
    fn matching(&mut self, pattern: &str, at: &Spot) -> Option<Vec<String>> {
        let here = at.file.rsplit_once('/').map_or("", |(dir, _)| dir);
        let pattern = if pattern.starts_with('/') || here.is_empty() {
            pattern.to_string()
        } else {
            format!("{here}/{pattern}")
        };
        let (dir, name) = match pattern.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some((dir, name)) => (dir, name),
            None => (".", pattern.as_str()),
        };
        match self.env.list(dir) {
            Ok(names) => {
                let prefix = match dir {
                    "." => String::new(),
                    "/" => "/".to_string(),
                    dir => format!("{dir}/"),
                };
                let same = |a: char, b: char| a == b;
                let mut files: Vec<String> = names
                    .iter()
                    .filter(|it| glob::matches(name, it, same))
                    .map(|it| format!("{prefix}{it}"))
                    .collect();
                files.sort();
                files.dedup();
                Some(files)
            }
            Err(why) => {
                let reason = format!("The directory `{}` cannot be listed: {why}.", value::shown(dir));
                self.report.error(
                    at,
                    Kind::Include,
                    reason,
                    "Correct the path; it is relative to this file.",
                );
                None
            }
        }
    }

    fn included_root(&mut self, file: &str, element: &Element, spec: &'static Spec) -> Option<Element> {
        if self.including.iter().any(|it| it == file) {
            let reason = format!("{file} includes itself.");
            self.report.error(
                &element.at,
                Kind::Include,
                reason,
                "Remove one of the includes of the circle.",
            );
            return None;
        }
        if self.including.len() > CONFIG_INCLUDE_DEPTH_MAX {
            let reason = format!("More than {CONFIG_INCLUDE_DEPTH_MAX} files include one another.");
            self.report.error(&element.at, Kind::TooLarge, reason, "Include them from fewer levels.");
            return None;
        }
        let parent = element.at.path.rsplit_once('/').map_or("", |(parent, _)| parent).to_string();
        let root = self.read(file, &parent, &element.at)?;
        if root.name == spec.name {
            return Some(root);
        }
        let reason =
            format!("The root element is <{}>, and the file is included as <{}>.", root.name, spec.name);
        let remedy = format!("Make <{}> the root of {file}.", spec.name);
        self.report.error(&root.at, Kind::Include, reason, remedy);
        None
    }

    fn read(&mut self, file: &str, under: &str, asked_at: &Spot) -> Option<Element> {
        match self.env.read(file) {
            Ok(text) => {
                let file: Rc<str> = file.into();
                tree::parse(&file, &text, under, &mut self.elements_left, self.report)
            }
            Err(why) => {
                let reason = format!("{file} cannot be read: {why}.");
                let remedy = "Check its path and permissions, and that it is UTF-8.";
                self.report.error(asked_at, Kind::Include, reason, remedy);
                None
            }
        }
    }
}

fn is_ignored(element: &Element) -> bool {
    element.attribute("ignore").is_some_and(|it| it.eq_ignore_ascii_case("true"))
}
