//! ALTERNATIVE PRODUCTS: isoforms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{
    Attribution, Text, add_evidence, attributed, split_list, split_statements, starts_with_key, take_evidence, within,
};

/// The isoforms of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlternativeProducts<'a> {
    /// What gives rise to them, such as `Alternative splicing`.
    pub events: Vec<Text<'a>>,
    /// The comment on them as a whole.
    pub comment: Option<Text<'a>>,
    /// The isoforms.
    pub isoforms: Vec<Isoform<'a>>,
}

/// An isoform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Isoform<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Other names.
    pub synonyms: Vec<Text<'a>>,
    /// Its identifiers, such as `P12345-2`.
    pub ids: Vec<Text<'a>>,
    /// `Displayed`, `External`, `Not described`, or the features (`VSP_002978`) in which it differs.
    pub sequence: Vec<Text<'a>>,
    /// The comment on it.
    pub note: Option<Text<'a>>,
    /// Evidence of its names.
    pub names_evidence: Vec<Attribution<'a>>,
    /// Evidence of the comment.
    pub evidence: Vec<Text<'a>>,
}

/// The isoforms; none if the comment is free text, as in old releases.
pub(super) fn read<'a>(body: &Text<'a>) -> Option<AlternativeProducts<'a>> {
    if !starts_with_key(body) {
        return None;
    }
    let mut products = AlternativeProducts::default();
    for statement in split_statements(body, starts_with_key) {
        let Some((key, value)) = statement.split_once('=') else { continue };
        let value = value.trim_end_matches(';');
        let list = || split_list(value).map(move |one| within(body, one));
        match (key, products.isoforms.last_mut()) {
            ("Event", _) => products.events.extend(list()),
            ("Comment", _) => products.comment = Some(take_evidence(&within(body, value)).0),
            ("Name", _) => {
                let mut names_evidence = Vec::new();
                let name = attributed(&within(body, value), &mut names_evidence);
                products.isoforms.push(Isoform { name, names_evidence, ..Isoform::default() });
            }
            ("Synonyms", Some(isoform)) => {
                for one in list() {
                    let one = attributed(&one, &mut isoform.names_evidence);
                    isoform.synonyms.push(one);
                }
            }
            ("IsoId", Some(isoform)) => isoform.ids.extend(list()),
            ("Sequence", Some(isoform)) => {
                isoform.sequence.extend(list().map(|one| take_evidence(&one).0));
            }
            ("Note", Some(isoform)) => {
                let (note, evidence) = take_evidence(&within(body, value));
                isoform.note = Some(note);
                add_evidence(&mut isoform.evidence, evidence);
            }
            _ => {}
        }
    }
    Some(products)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn isoforms_are_read() {
        let text = "Event=Alternative promoter usage, Alternative splicing; Named isoforms=2; Comment=More exist.; \
                    Name=1; Synonyms=BEK {ECO:1}, FGFR2IIIc; IsoId=P21802-1, P21802-9; Sequence=Displayed; \
                    Name=Short {ECO:2}; IsoId=P21802-2; Sequence=VSP_002978, VSP_002979; Note=A; b. {ECO:3};";
        let found = read(&Cow::Borrowed(text)).expect("there");
        assert_eq!((found.events.len(), found.comment.as_deref()), (2, Some("More exist.")));
        assert_eq!(found.isoforms[0].synonyms, ["BEK", "FGFR2IIIc"]);
        assert_eq!(found.isoforms[0].ids, ["P21802-1", "P21802-9"]);
        let second = &found.isoforms[1];
        assert_eq!((&*second.name, second.note.as_deref()), ("Short", Some("A; b.")));
        assert_eq!(second.sequence, ["VSP_002978", "VSP_002979"]);
        assert_eq!((&*second.evidence[0], &*second.names_evidence[0].evidence[0]), ("ECO:3", "ECO:2"));
    }
}
