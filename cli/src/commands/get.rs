//! `get`: a record, now or as it was.

use serde_json::{Value, json};
use shared::archive::{Envelope, Payload};
use shared::pubmed::{Article, TextForm};
use shared::records;
use shared::words::{Pmid, Sha256};

use crate::args::Get;
use crate::failure::{Exit, Failure};
use crate::out;
use crate::session::Session;

/// Runs the command.
pub async fn run(session: &Session, args: &Get, json: bool) -> Result<Exit, Failure> {
    let pmid = args.pmid;
    let uri = match args.as_of {
        None => records::one(session.db(), pmid).await?.map(|pointer| pointer.s3_uri),
        Some(at) => records::event_as_of(session.db(), pmid, at).await?.map(|event| event.s3_uri),
    };
    let Some(uri) = uri else {
        if json {
            out::json(&json!({ "pmid": pmid, "found": false }))?;
        }
        let when = args.as_of.map(|at| format!(" as of {at}")).unwrap_or_default();
        return Err(Failure::not_found(format!("PMID {pmid} is not in the archive{when}")));
    };
    let envelope = envelope(session, pmid, &uri).await?;
    match &envelope.payload {
        Payload::Tombstone => deleted(session, &envelope, json).await,
        Payload::Xml(xml) if args.xml => {
            out::bytes(xml.as_bytes())?;
            Ok(Exit::Done)
        }
        Payload::Xml(xml) => {
            let form = if json || args.json { args.markup.into() } else { TextForm::Plain };
            let article = parse_as(pmid, xml, form)?;
            if json {
                let mut answer = json!({
                    "found": true, "source": "archive", "fetched_at": envelope.fetched_at,
                    "content_hash": envelope.content_hash(), "s3_uri": uri,
                });
                if let (Some(answer), Ok(Value::Object(fields))) =
                    (answer.as_object_mut(), serde_json::to_value(&article))
                {
                    answer.extend(fields);
                }
                out::json(&answer)?;
            } else if args.json {
                out::json(&article)?;
            } else {
                show(&article, &envelope)?;
            }
            Ok(Exit::Done)
        }
    }
}

/// The envelope an address names.
pub async fn envelope(session: &Session, pmid: Pmid, address: &str) -> Result<Envelope, Failure> {
    Ok(session.engine.archive.envelope(pmid, address).await?)
}

/// The typed record of an archived payload.
pub fn parse(pmid: Pmid, xml: &str) -> Result<Article<'_>, Failure> {
    parse_as(pmid, xml, TextForm::Plain)
}

fn parse_as(pmid: Pmid, xml: &str, form: TextForm) -> Result<Article<'_>, Failure> {
    Article::parse_as(xml, form).map_err(|error| {
        Failure::internal(format!("PMID {pmid} is archived but cannot be read as a record ({error}); --xml prints it"))
    })
}

async fn deleted(session: &Session, envelope: &Envelope, json: bool) -> Result<Exit, Failure> {
    let events = records::events(session.db(), envelope.pmid).await?;
    let deleted_at = events.iter().rfind(|event| event.outcome == "deleted").map(|event| event.accepted_at);
    let last_hash = events.iter().rev().find_map(|event| event.content_hash.clone());
    if json {
        out::json(&json!({ "pmid": envelope.pmid, "found": false, "deleted_at": deleted_at, "last_hash": last_hash }))?;
    }
    Err(Failure::not_found(format!(
        "PMID {} was deleted by {} (as of {}); its earlier payloads are in `bio-mcp history {}`",
        envelope.pmid, envelope.source.endpoint, envelope.order.as_of, envelope.pmid
    )))
}

fn show(article: &Article<'_>, envelope: &Envelope) -> Result<(), Failure> {
    out::line(&out::bold(&out::plain(article.title.as_deref().unwrap_or("(no title)"))))?;
    let authors: Vec<String> = article
        .authors
        .iter()
        .filter(|author| author.valid)
        .filter_map(|author| match (&author.collective_name, &author.last_name) {
            (Some(name), _) => Some(name.to_string()),
            (None, Some(last)) => {
                Some(format!("{last} {}", author.initials.as_deref().unwrap_or("")).trim().to_owned())
            }
            (None, None) => None,
        })
        .collect();
    let shown = authors.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    let more = if authors.len() > 8 { format!(" and {} more", authors.len() - 8) } else { String::new() };
    if !authors.is_empty() {
        out::line(&out::plain(&format!("{shown}{more}")))?;
    }
    let journal = article.journal.as_ref().and_then(|j| j.title.clone().or_else(|| j.medline_ta.clone()));
    let place = journal.or_else(|| article.book.as_ref().and_then(|book| book.publisher.clone()));
    let date =
        article.pub_date.date.clone().or_else(|| article.pub_date.medline_date.as_ref().map(ToString::to_string));
    let line =
        [place.map(|p| p.to_string()), date, article.ids.get("doi").cloned().flatten().map(|doi| format!("doi:{doi}"))];
    out::line(&out::plain(&line.into_iter().flatten().collect::<Vec<_>>().join(" · ")))?;
    if article.integrity.status != "ok" {
        out::line(&out::bold(&format!("Integrity: {}", article.integrity.status.replace('_', " "))))?;
        for notice in &article.integrity.notices {
            let pmid = notice.pmid.as_deref().map(|pmid| format!(" (PMID {pmid})")).unwrap_or_default();
            let text = format!(
                "  {} {}{pmid}",
                notice.ref_type.as_deref().unwrap_or(""),
                notice.source.as_deref().unwrap_or("")
            );
            out::line(&out::plain(&text))?;
        }
    }
    for section in &article.r#abstract {
        let label = section.label.as_deref().map(|label| format!("{label}: ")).unwrap_or_default();
        out::line(&out::plain(&format!("\n{label}{}", section.text)))?;
    }
    if let Some(copyright) = &article.copyright {
        out::line(&out::plain(&format!("\n{copyright}")))?;
    }
    out::line(&format!(
        "\nPMID {} version {} · {} · SHA-256 {}",
        article.pmid,
        article.version,
        out::plain(article.status.as_deref().unwrap_or(article.kind)),
        envelope.content_hash().map_or_else(String::new, Sha256::to_hex)
    ))
}
