//! Identifiers of records, independent of their source.

use std::fmt;

use serde::ser::SerializeMap;

/// A type of records. Their source declares it; the layers below only pass it through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordType {
    name: &'static str,
    id_field: Option<&'static str>,
}

impl RecordType {
    pub const fn new(name: &'static str) -> Self {
        Self { name, id_field: None }
    }

    /// Sets the field of its identifiers in JSON, which replaces `record_type` and `record_id`.
    #[must_use]
    pub const fn with_id_field(self, field: &'static str) -> Self {
        Self { id_field: Some(field), ..self }
    }

    /// Name in tables.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

/// Key of a record of any source: its type and its identifier within that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordKey {
    pub record_type: RecordType,
    /// The identifier; none if it could not be read.
    pub id: Option<String>,
}

impl RecordKey {
    pub fn new(record_type: RecordType, id: impl Into<String>) -> Self {
        Self { record_type, id: Some(id.into()) }
    }

    /// A record without a readable identifier.
    pub fn unknown(record_type: RecordType) -> Self {
        Self { record_type, id: None }
    }

    /// Writes its fields into a JSON object, in the form of its type.
    pub fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if let Some(field) = self.record_type.id_field {
            return map.serialize_entry(field, &self.id);
        }
        map.serialize_entry("record_type", self.record_type.name)?;
        map.serialize_entry("record_id", &self.id)
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.record_type.name, self.id.as_deref().unwrap_or("without an identifier"))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Serialize, Serializer};
    use serde_json::json;

    use super::*;

    struct Line(RecordKey);

    impl Serialize for Line {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            self.0.serialize_into(&mut map)?;
            map.end()
        }
    }

    #[test]
    fn a_type_says_how_its_identifiers_are_written() {
        let written = |key| serde_json::to_value(Line(key)).expect("JSON");
        let plain = RecordType::new("toy");
        assert_eq!(written(RecordKey::new(plain, "a")), json!({ "record_type": "toy", "record_id": "a" }));
        assert_eq!(written(RecordKey::unknown(plain)), json!({ "record_type": "toy", "record_id": null }));
        let own = plain.with_id_field("toy_id");
        assert_eq!(written(RecordKey::new(own, "a")), json!({ "toy_id": "a" }));
        assert_eq!(written(RecordKey::unknown(own)), json!({ "toy_id": null }));
        assert_eq!(RecordKey::unknown(own).to_string(), "toy without an identifier");
    }
}
