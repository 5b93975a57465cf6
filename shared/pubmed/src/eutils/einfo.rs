//! EInfo: which dates a server can search by.

use super::classify::{Expected, ResponseFault};
use super::client::Client;
use super::error::EutilsError;
use super::slice::DateField;

impl Client {
    /// Whether the server lists a date among the fields of its index. A server without EInfo lists none.
    pub async fn lists_field(&self, field: DateField) -> Result<bool, EutilsError> {
        let listed = self.call("einfo.fcgi", &[("retmode", "xml")], Expected::Info, |response| {
            // Not the response for another database, nor the list of databases alone.
            if names(&response.body, "<FieldList", "</FieldList>").is_none() {
                return Err(ResponseFault::Unexpected);
            }
            Ok(lists(&response.body, field.as_str()))
        });
        match listed.await {
            Err(EutilsError::Refused { fault: ResponseFault::NoProgram }) => Ok(false),
            listed => listed,
        }
    }
}

/// Whether a list of fields contains this name.
fn lists(body: &[u8], name: &str) -> bool {
    let fields = names(body, "<FieldList", "</FieldList>").unwrap_or_default();
    fields.split("<Name>").skip(1).filter_map(|rest| rest.split("</Name>").next()).any(|known| {
        // Only `FieldList` is searched: other elements have names too.
        known.trim().eq_ignore_ascii_case(name)
    })
}

fn names(body: &[u8], open: &str, close: &str) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let from = text.find(open)?;
    let to = from + text[from..].find(close)?;
    Some(text[from..to].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_listed_when_its_name_is() {
        let with = b"<eInfoResult><DbInfo><FieldList><Field><Name>EDAT</Name></Field><Field><Name>CRDT</Name>\
            </Field></FieldList><LinkList><Link><Name>MDAT</Name></Link></LinkList></DbInfo></eInfoResult>";
        assert!(lists(with, "crdt"));
        assert!(!lists(with, "mdat"), "a link is no field");
        assert!(!lists(b"<eInfoResult><DbList><DbName>CRDT</DbName></DbList></eInfoResult>", "crdt"));
    }
}
