//! Response bodies, in NCBI's formats.

use std::fmt::Write;

use samples::files::{HEAD, TAIL};
use serde_json::{Value, json};

use crate::corpus::Corpus;

/// The results of a search.
pub struct Found<'a> {
    pub count: usize,
    pub start: usize,
    pub page: &'a [u32],
    pub translation: &'a str,
    pub unknown: &'a [String],
    pub session: Option<(String, usize)>,
}

impl Found<'_> {
    /// In JSON; all numbers are strings.
    pub fn json(&self, only_count: bool) -> String {
        let header = json!({ "type": "esearch", "version": "0.3" });
        if only_count {
            return json!({ "header": header, "esearchresult": { "count": self.count.to_string() } }).to_string();
        }
        let ids: Vec<String> = self.page.iter().map(u32::to_string).collect();
        let mut result = json!({
            "count": self.count.to_string(), "retmax": ids.len().to_string(), "retstart": self.start.to_string(),
        });
        if let Some((web_env, key)) = &self.session {
            result["querykey"] = json!(key.to_string());
            result["webenv"] = json!(web_env);
        }
        result["idlist"] = json!(ids);
        result["translationset"] = json!([]);
        result["querytranslation"] = json!(self.translation);
        if !self.unknown.is_empty() {
            result["errorlist"] = json!({ "phrasesnotfound": self.unknown, "fieldsnotfound": [] });
        }
        if self.count == 0 {
            result["warninglist"] =
                json!({ "phrasesignored": [], "quotedphrasesnotfound": [], "outputmessages": ["No items found."] });
        }
        json!({ "header": header, "esearchresult": result }).to_string()
    }

    pub fn xml(&self, only_count: bool) -> String {
        let mut xml = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<!DOCTYPE eSearchResult PUBLIC \"-//NLM//DTD esearch 20060628//EN\" \
             \"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20060628/esearch.dtd\">\n<eSearchResult>",
        );
        let _ = write!(xml, "<Count>{}</Count>", self.count);
        if !only_count {
            let _ = write!(xml, "<RetMax>{}</RetMax><RetStart>{}</RetStart>", self.page.len(), self.start);
            if let Some((web_env, key)) = &self.session {
                let _ = write!(xml, "<QueryKey>{key}</QueryKey><WebEnv>{web_env}</WebEnv>");
            }
            xml.push_str("<IdList>\n");
            for pmid in self.page {
                let _ = writeln!(xml, "<Id>{pmid}</Id>");
            }
            let _ = write!(
                xml,
                "</IdList><TranslationSet/><QueryTranslation>{}</QueryTranslation>",
                escape(self.translation)
            );
            if !self.unknown.is_empty() {
                xml.push_str("<ErrorList>");
                for word in self.unknown {
                    let _ = write!(xml, "<PhraseNotFound>{}</PhraseNotFound>", escape(word));
                }
                xml.push_str("</ErrorList>");
            }
            if self.count == 0 {
                xml.push_str("<WarningList><OutputMessage>No items found.</OutputMessage></WarningList>");
            }
        }
        xml.push_str("</eSearchResult>\n");
        xml
    }
}

/// A set of records, in the requested order.
pub fn record_set(corpus: &Corpus, pmids: &[u32]) -> String {
    let mut xml = String::from(HEAD);
    for record in pmids.iter().filter_map(|pmid| corpus.xml(*pmid)) {
        xml.push_str(&record);
        xml.push('\n');
    }
    xml.push_str(TAIL);
    xml
}

/// Summaries of records.
pub fn summaries(corpus: &Corpus, pmids: &[u32]) -> Value {
    let mut result = json!({ "uids": pmids.iter().map(u32::to_string).collect::<Vec<_>>() });
    for pmid in pmids {
        let uid = pmid.to_string();
        result[&uid] = match corpus.entries.get(pmid).filter(|entry| entry.is_served) {
            None => json!({ "uid": uid, "error": "cannot get document summary" }),
            Some(entry) => json!({
                "uid": uid, "title": entry.ordinary(*pmid).title(), "source": "J Constr Med", "lang": ["eng"],
                "pubtype": ["Journal Article"], "sortpubdate": entry.entered.format("%Y/%m/%d 00:00").to_string(),
                "articleids": [{ "idtype": "pubmed", "idtypen": 1, "value": uid }],
            }),
        };
    }
    json!({ "header": { "type": "esummary", "version": "0.3" }, "result": result })
}

/// A complete response of ESearch that found nothing, with a message.
pub fn nothing(message: &str) -> String {
    json!({
        "header": { "type": "esearch", "version": "0.3" },
        "esearchresult": {
            "count": "0", "retmax": "0", "retstart": "0", "idlist": [], "translationset": [], "querytranslation": "",
            "warninglist": { "phrasesignored": [], "quotedphrasesnotfound": [], "outputmessages": [message] },
        },
    })
    .to_string()
}

/// The response of EInfo: the searchable fields.
pub fn fields(with_creation: bool) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<!DOCTYPE eInfoResult PUBLIC \"-//NLM//DTD einfo 20190110//EN\" \
         \"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20190110/einfo.dtd\">\n<eInfoResult>\n\t<DbInfo>\n\t\t\
         <DbName>pubmed</DbName>\n\t\t<MenuName>PubMed</MenuName>\n\t\t<FieldList>\n",
    );
    let fields =
        [("UID", "UID"), ("PDAT", "Date - Publication"), ("EDAT", "Date - Entry"), ("MDAT", "Date - Modification")];
    for (name, full) in fields.into_iter().chain(with_creation.then_some(("CRDT", "Date - Create"))) {
        let _ = writeln!(xml, "\t\t\t<Field><Name>{name}</Name><FullName>{full}</FullName></Field>");
    }
    xml.push_str("\t\t</FieldList>\n\t\t<LinkList>\n\t\t</LinkList>\n\t</DbInfo>\n</eInfoResult>\n");
    xml
}

/// An error document of EFetch.
pub fn efetch_error(text: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<!DOCTYPE eEfetchResult PUBLIC \"-//NLM//DTD efetch 20131226//EN\" \
         \"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20131226/efetch.dtd\">\n<eFetchResult>\n\t<ERROR>{text}</ERROR>\n</eFetchResult>\n"
    )
}

/// An error document of ESearch in JSON: not escaped, so that a line end makes it invalid.
pub fn esearch_error(text: &str) -> String {
    format!("{{\"header\":{{\"type\":\"esearch\",\"version\":\"0.3\"}},\"esearchresult\":{{\"ERROR\":\"{text}\"}}}}")
}

/// The response of EPost.
pub fn posted(web_env: &str, key: usize) -> String {
    epost(&format!("\t<QueryKey>{key}</QueryKey>\n\t<WebEnv>{web_env}</WebEnv>\n"))
}

/// An error response of EPost.
pub fn epost_error(text: &str) -> String {
    epost(&format!("\t<ERROR>{text}</ERROR>\n"))
}

fn epost(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<!DOCTYPE ePostResult PUBLIC \"-//NLM//DTD epost 20090526//EN\" \
         \"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20090526/epost.dtd\"><ePostResult>\n{inner}</ePostResult>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
