//! Limits the size of fields: lists are cut from the end, long texts at a character, the least important first, and
//! everything that is cut is counted.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fields::SelectedFields;

/// Texts shorter than this are shown whole or not at all: half an identifier is another identifier.
const SHORT_TEXT: usize = 60;

/// A list item longer than this is cut instead of omitted, if it is the first that does not fit.
const LONG_ITEM: usize = 300;

/// Objects whose texts are never cut.
const IDENTIFIERS: [&str; 2] = ["ids", "other_article_ids"];

/// Content that was omitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Omitted {
    /// The field, e.g. `authors`, or `abstract[0].text` within a field; `other` for further fields.
    pub field: String,
    /// Total number of items; of characters for a text.
    pub total: usize,
    /// Number of items or characters returned.
    pub returned: usize,
}

impl Omitted {
    fn whole(field: &str, value: &Value) -> Self {
        let total = match value {
            Value::String(text) => text.chars().count(),
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.values().filter(|value| !is_empty(value)).count(),
            _ => 1,
        };
        Self { field: field.to_owned(), total, returned: 0 }
    }
}

/// Length of a value as JSON, in characters.
pub fn chars(value: &Value) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Values are always JSON, and counting never fails.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// The fields that fit in addition to `used` characters.
pub fn fit(wanted: &SelectedFields, used: usize, max_chars: usize) -> (Map<String, Value>, Vec<Omitted>) {
    let mut fields = Map::new();
    let all = wanted.core.iter().chain(&wanted.more);
    let whole: usize = all.clone().map(|(name, value)| cost_of(name, value)).sum();
    let affiliations: usize =
        wanted.affiliations.iter().map(|(_, all)| all.iter().map(affiliation_cost).sum::<usize>()).sum();
    if used + whole + affiliations <= max_chars {
        fields.extend(all.cloned());
        for (name, affiliations) in &wanted.affiliations {
            add_affiliations(fields.get_mut(name), affiliations, usize::MAX);
        }
        return (fields, Vec::new());
    }
    // Reserved for the description of what was cut.
    let notes = (max_chars / 5).clamp(150, 2_000);
    let mut room = max_chars.saturating_sub(used + notes);
    let mut cuts = Vec::new();
    core(&wanted.core, &mut room, &mut fields, &mut cuts);
    for (name, value) in &wanted.more {
        if let Some((kept, cost)) = taken(name, value, room, &mut cuts) {
            room -= cost;
            fields.insert(name.clone(), kept);
        }
    }
    let (mut total, mut returned) = (0, 0);
    for (name, affiliations) in &wanted.affiliations {
        total += affiliations.iter().filter_map(Value::as_array).map(Vec::len).sum::<usize>();
        let (cost, added) = add_affiliations(fields.get_mut(name), affiliations, room);
        room -= cost;
        returned += added;
    }
    if returned < total {
        cuts.push(Omitted { field: "affiliations".to_owned(), total, returned });
    }
    (fields, summarised(cuts, notes))
}

/// The fields of every result share the space: short ones are whole, long ones get equal parts of the rest. Empty
/// fields take no space from others.
fn core(all: &[(String, Value)], room: &mut usize, fields: &mut Map<String, Value>, cuts: &mut Vec<Omitted>) {
    let mut by_cost: Vec<(usize, &String, &Value)> = costs(all.iter().map(|(name, value)| (name, value)));
    let mut put = |name: &String, value: &Value, share: usize, room: &mut usize| {
        if let Some((kept, cost)) = taken(name, value, share, cuts) {
            *room -= cost;
            fields.insert(name.clone(), kept);
        }
    };
    // Integrity comes first: it determines whether the record may be relied on.
    if let Some(at) = by_cost.iter().position(|(_, name, _)| *name == "integrity") {
        let (_, name, value) = by_cost.remove(at);
        let others: usize = by_cost.iter().map(|(cost, ..)| cost).sum();
        put(name, value, room.saturating_sub(others).max(*room / 3), room);
    }
    let mut left = by_cost.len();
    for (_, name, value) in by_cost {
        put(name, value, *room / left, room);
        left -= 1;
    }
}

/// Fields that are not empty, with their lengths, the shortest first.
fn costs<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> Vec<(usize, &'a String, &'a Value)> {
    let fields = fields.filter(|(_, value)| !is_empty(value));
    let mut costs: Vec<_> = fields.map(|(name, value)| (cost_of(name, value), name, value)).collect();
    costs.sort_by_key(|(cost, ..)| *cost);
    costs
}

fn taken(name: &str, value: &Value, room: usize, cuts: &mut Vec<Omitted>) -> Option<(Value, usize)> {
    let label = cost_of(name, &Value::Null) - chars(&Value::Null);
    let taken = room.checked_sub(label).and_then(|room| take(value, name, room, cuts));
    if taken.is_none() && !is_empty(value) {
        cuts.push(Omitted::whole(name, value));
    }
    taken.map(|(value, cost)| (value, cost + label))
}

/// As much of a value as fits, and its length. Counts what is cut inside of it; the caller counts a value of which
/// nothing fits.
fn take(value: &Value, path: &str, room: usize, cuts: &mut Vec<Omitted>) -> Option<(Value, usize)> {
    let cost = chars(value);
    if cost <= room {
        return Some((value.clone(), cost));
    }
    match value {
        Value::String(text) => clip(text, path, room, cuts),
        Value::Array(items) => take_items(items, path, room, cuts),
        Value::Object(fields) => take_fields(fields, path, room, cuts),
        _ => None,
    }
}

fn clip(text: &str, path: &str, room: usize, cuts: &mut Vec<Omitted>) -> Option<(Value, usize)> {
    let is_identifier = IDENTIFIERS.iter().any(|one| path.starts_with(one));
    let room =
        room.checked_sub("\"…\"".chars().count()).filter(|_| !is_identifier && text.chars().count() > SHORT_TEXT)?;
    let (mut end, mut used, mut returned) = (0, 0, 0);
    for (at, c) in text.char_indices() {
        let cost = char_cost(c);
        if used + cost > room {
            break;
        }
        used += cost;
        returned += 1;
        end = at + c.len_utf8();
    }
    if returned < SHORT_TEXT / 3 {
        return None;
    }
    cuts.push(Omitted { field: path.to_owned(), total: text.chars().count(), returned });
    Some((Value::from(format!("{}…", &text[..end])), used + 3))
}

fn take_items(items: &[Value], path: &str, room: usize, cuts: &mut Vec<Omitted>) -> Option<(Value, usize)> {
    let mut used = 2;
    let mut kept = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let separator = usize::from(n > 0);
        let cost = chars(item) + separator;
        if used + cost <= room {
            used += cost;
            kept.push(item.clone());
            continue;
        }
        if cost > LONG_ITEM && room.saturating_sub(used) > LONG_ITEM / 2 {
            let inner = room - used - separator;
            if let Some((part, cost)) = take(item, &format!("{path}[{n}]"), inner, cuts) {
                used += cost + separator;
                kept.push(part);
            }
        }
        break;
    }
    if kept.is_empty() {
        return None;
    }
    if kept.len() < items.len() {
        cuts.push(Omitted { field: path.to_owned(), total: items.len(), returned: kept.len() });
    }
    Some((Value::Array(kept), used))
}

/// Short fields first, each at most its part of the remaining space.
fn take_fields(
    fields: &Map<String, Value>,
    path: &str,
    room: usize,
    cuts: &mut Vec<Omitted>,
) -> Option<(Value, usize)> {
    let by_cost = costs(fields.iter());
    let mut kept = Map::new();
    let mut used = 2;
    let mut inner = Vec::new();
    let mut left = by_cost.len();
    for (_, name, value) in by_cost {
        let share = room.saturating_sub(used) / left;
        left -= 1;
        let label = cost_of(name, &Value::Null) - chars(&Value::Null);
        let path = format!("{path}.{name}");
        let taken = share.checked_sub(label).and_then(|share| take(value, &path, share, &mut inner));
        match taken {
            Some((value, cost)) => {
                used += cost + label;
                kept.insert(name.clone(), value);
            }
            None => inner.push(Omitted::whole(&path, value)),
        }
    }
    if kept.is_empty() {
        return None;
    }
    cuts.append(&mut inner);
    Some((Value::Object(kept), used))
}

/// Adds affiliations to people, in order, as long as they fit; returns their length and number.
fn add_affiliations(people: Option<&mut Value>, affiliations: &[Value], room: usize) -> (usize, usize) {
    let (mut used, mut added) = (0, 0);
    let people = people.and_then(Value::as_array_mut).into_iter().flatten();
    for (person, affiliations) in people.zip(affiliations) {
        let cost = affiliation_cost(affiliations);
        if used + cost > room {
            break;
        }
        if let Some(person) = person.as_object_mut() {
            used += cost;
            added += affiliations.as_array().map_or(0, Vec::len);
            person.insert("affiliations".to_owned(), affiliations.clone());
        }
    }
    (used, added)
}

fn affiliation_cost(affiliations: &Value) -> usize {
    cost_of("affiliations", affiliations)
}

/// The cuts, as long as they fit, and the number of the others.
fn summarised(cuts: Vec<Omitted>, room: usize) -> Vec<Omitted> {
    let cost = |one: &Omitted| chars(&json!(one)) + 1;
    if cuts.iter().map(cost).sum::<usize>() <= room {
        return cuts;
    }
    let mut rest = Omitted { field: "other".to_owned(), total: cuts.len(), returned: 0 };
    let mut used = cost(&rest);
    let mut summarised = Vec::new();
    for one in cuts {
        used += cost(&one);
        if used > room {
            break;
        }
        summarised.push(one);
    }
    rest.total -= summarised.len();
    summarised.push(rest);
    summarised
}

/// Length of a character of a text in JSON.
fn char_cost(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        _ => 1,
    }
}

/// Length of a field with its name, quotes, colon and comma.
fn cost_of(name: &str, value: &Value) -> usize {
    chars(&Value::from(name)) + chars(value) + 2
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}
