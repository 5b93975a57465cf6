//! The typed record loses nothing: a value put at any path that occurs in any file is found in the typed record.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use samples::shapes;
use serde_json::Value;
use shared::pubmed::source::FileSource;
use shared::pubmed::xml_tree::{Child, Element, Tree};
use shared::pubmed::{Article, Item, Splitter, TextForm};
use tests::{real_data, real_pubmed_files};

/// The test value. It is no date, number, flag or known word, and has letters without a superscript or subscript.
const MARK: &str = "Zq7marK";

/// A text or an attribute of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text(usize),
    Attribute(usize),
}

/// Why a value may be missing in the typed record. This is the complete list.
fn reason_to_leave_out(path: &str, place: Place) -> Option<&'static str> {
    let is_attribute = matches!(place, Place::Attribute(_));
    if path.ends_with("/MedlineCitation/PMID") || path.ends_with("/BookDocument/PMID") {
        Some("what has no valid PMID is no record, it is refused")
    } else if path.contains("/@xmlns") {
        Some("the name of a name space is no content")
    } else if is_attribute && path.contains("/mml:") {
        Some("of MathML its text is kept, with fractions, roots, fences and scripts written out")
    } else {
        None
    }
}

/// Writes a tree with the mark at one place, and lists all places with their paths; texts have the path of their
/// element.
struct Writer {
    xml: String,
    mark: Option<Place>,
    texts: usize,
    attributes: usize,
    places: Vec<(String, Place)>,
}

impl Writer {
    fn write(tree: &Tree<'_>, mark: Option<Place>) -> Self {
        let mut writer = Self { xml: String::new(), mark, texts: 0, attributes: 0, places: Vec::new() };
        writer.element(tree.root(), "");
        writer
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '<' | '>' | '&' | '"' | '\n' | '\t' | '\r' => _ = write!(self.xml, "&#{};", u32::from(c)),
                c => self.xml.push(c),
            }
        }
    }

    fn element(&mut self, element: Element<'_, '_>, path: &str) {
        let path = format!("{path}/{}", element.name());
        let _ = write!(self.xml, "<{}", element.name());
        for (key, value) in element.attributes() {
            let place = Place::Attribute(self.attributes);
            self.attributes += 1;
            self.places.push((format!("{path}/@{key}"), place));
            let _ = write!(self.xml, " {key}=\"");
            self.escaped(if self.mark == Some(place) { MARK } else { value });
            self.xml.push('"');
        }
        self.xml.push('>');
        for child in element.children() {
            match child {
                Child::Element(child) => self.element(child, &path),
                Child::Text(text) => {
                    let place = Place::Text(self.texts);
                    self.texts += 1;
                    if !text.trim().is_empty() {
                        self.places.push((path.clone(), place));
                    }
                    self.escaped(if self.mark == Some(place) { MARK } else { text });
                }
            }
        }
        let _ = write!(self.xml, "</{}>", element.name());
    }
}

/// Whether a string of a value contains the mark.
fn holds(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(MARK),
        Value::Array(values) => values.iter().any(holds),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains(MARK) || holds(value)),
        _ => false,
    }
}

/// Marks places of every path, and collects those that the typed record lost.
#[derive(Default)]
struct Census {
    seen: BTreeMap<String, usize>,
    marked: usize,
    lost: Vec<String>,
}

/// How many places are tried per path: records differ, and so may the meaning of a path in them.
const TRIES: usize = 3;

impl Census {
    fn record(&mut self, name: &str, xml: &str) {
        let tree = Tree::parse(xml).expect("well-formed");
        for (path, place) in Writer::write(&tree, None).places {
            let tries = self.seen.entry(path.clone()).or_default();
            if *tries >= TRIES || reason_to_leave_out(&path, place).is_some() {
                continue;
            }
            *tries += 1;
            self.marked += 1;
            let marked = Writer::write(&tree, Some(place)).xml;
            for form in [TextForm::Plain, TextForm::Html] {
                let typed = match Article::parse_as(&marked, form) {
                    Ok(article) => serde_json::to_value(article).expect("JSON"),
                    Err(error) => panic!("{name}: {path}: {error}"),
                };
                if !holds(&typed) {
                    self.lost.push(format!("{path} ({form:?}, in {name})"));
                }
            }
        }
    }

    fn finish(self) {
        println!("{} paths, {} values marked", self.seen.len(), self.marked);
        assert_eq!(self.lost, [] as [String; 0], "values that the typed record drops");
    }
}

fn records(path: &Path) -> Vec<String> {
    let Ok(source) = FileSource::open(path, u64::MAX) else { return Vec::new() };
    let mut splitter = Splitter::new(source, 64 << 20);
    let mut found = Vec::new();
    // Some files are invalid on purpose; the records before the error count.
    while let Ok(Some(item)) = splitter.next() {
        if let Item::Record { bytes, defect: None } = item
            && let Ok(xml) = std::str::from_utf8(bytes)
        {
            found.push(xml.to_owned());
        }
    }
    found
}

#[test]
fn the_typed_record_drops_nothing_of_the_sample_records() {
    let mut census = Census::default();
    for shape in shapes::all() {
        census.record(shape.name, &shape.xml);
    }
    assert!(census.seen.len() > 300, "{} paths", census.seen.len());
    census.finish();
}

#[test]
fn the_typed_record_drops_nothing_of_any_real_record() {
    let mut files = real_pubmed_files();
    for more in ["eutils", "../cases/records"] {
        let mut dirs: Vec<PathBuf> = real_data().map(|dir| dir.join(more)).into_iter().collect();
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = std::fs::read_dir(&dir) else {
                eprintln!("SKIPPED: no files in {}", dir.display());
                continue;
            };
            for path in entries.map(|entry| entry.expect("a readable entry").path()) {
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|e| e == "xml" || e == "gz") {
                    files.push(path);
                }
            }
        }
    }
    let mut census = Census::default();
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for xml in records(path) {
            let is_record = xml.starts_with("<Pubmed") && Article::parse(&xml).is_ok();
            if is_record {
                census.record(&name, &xml);
            }
        }
    }
    census.finish();
}
