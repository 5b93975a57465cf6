//! `get`: prints records, current or as of a time.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::archive::{Envelope, Payload, StoredPayload};
use shared::core::{EVERY_VERSION, ErrorCode, Pmid, Sha256};
use shared::pubmed::{Article, TextForm};
use shared::records::{self, ArchiveEvent};
use shared::sources::operator::OPERATOR;

use crate::args::Get;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::record_name::RecordName;
use crate::session::Session;

/// Maximum number of objects that are read concurrently.
const READS: usize = 16;

/// An archived payload with its address.
struct Found {
    envelope: Envelope,
    s3_uri: String,
}

/// Each of several records is printed or reported; the exit code is that of the most severe failure.
pub async fn run(session: &Session, args: &Get, json: bool) -> Result<Exit, CliError> {
    let json = json || args.json;
    let mut found =
        stream::iter(&args.records).map(async |name| (*name, find(session, args, *name).await)).buffered(READS);
    let (mut failures, mut printed) = (Vec::new(), 0);
    while let Some((name, found)) = found.next().await {
        // Separates records: by an empty line in text for people, by a line end after exact XML.
        if printed > 0 && !json && !args.xml {
            out::line("")?;
        }
        match print(session, args, name, found, json).await {
            Ok(()) => printed += 1,
            Err(failure) if args.records.len() == 1 => return Err(failure),
            Err(failure) => {
                failure.show(json);
                failures.push(failure.exit);
            }
        }
    }
    let gravest = [Exit::Unavailable, Exit::Failed].into_iter().find(|exit| failures.contains(exit));
    Ok(gravest.or(failures.first().copied()).unwrap_or(Exit::Done))
}

async fn find(session: &Session, args: &Get, name: RecordName) -> Result<Option<Found>, CliError> {
    let RecordName { pmid, version } = name;
    if let Some(version) = version {
        return find_version(session, args, pmid, version).await;
    }
    let address = match args.as_of {
        None => records::one(session.db(), pmid).await?.map(|pointer| pointer.address()),
        Some(at) => records::event_as_of(session.db(), pmid, at).await?.map(|event| event.address()),
    };
    let Some(address) = address else { return Ok(None) };
    Ok(Some(Found { envelope: envelope(session, pmid, &address).await?, s3_uri: address.s3_uri().to_owned() }))
}

/// The newest accepted payload of one version, or its tombstone: that of the version, or of the record as a whole.
async fn find_version(session: &Session, args: &Get, pmid: Pmid, version: i32) -> Result<Option<Found>, CliError> {
    let mut events = records::events(session.db(), pmid).await?;
    events.retain(|event| args.as_of.is_none_or(|at| event.accepted_at <= at));
    let newest_first = events.iter().rev().map(ArchiveEvent::address);
    let mut read = stream::iter(newest_first)
        .map(async |address| (session.engine.archive.envelope(pmid, &address).await, address.s3_uri().to_owned()))
        .buffered(READS);
    let mut unreadable = None;
    while let Some((envelope, s3_uri)) = read.next().await {
        match envelope {
            Ok(envelope) if [version, EVERY_VERSION].contains(&envelope.order.version) => {
                return Ok(Some(Found { envelope, s3_uri }));
            }
            Ok(_) => {}
            // The unreadable one may be the requested version.
            Err(error) if error.is_missing_or_damaged() => {
                unreadable.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    unreadable.map_or(Ok(None), |error| Err(error.into()))
}

async fn print(
    session: &Session,
    args: &Get,
    name: RecordName,
    found: Result<Option<Found>, CliError>,
    json: bool,
) -> Result<(), CliError> {
    let RecordName { pmid, version } = name;
    let Some(Found { envelope, s3_uri }) = found? else {
        if json {
            let mut output = json!({ "pmid": pmid, "found": false });
            if let Some(version) = version {
                output["version"] = json!(version);
            }
            out::json(&output)?;
        }
        let when = args.as_of.map(|at| format!(" as of {at}")).unwrap_or_default();
        return Err(CliError::not_found(match version {
            None => format!("PMID {pmid} is not in the archive{when}"),
            Some(version) => format!(
                "version {version} of PMID {pmid} is not in the archive{when}: `bio-mcp history {pmid}` lists its \
                 changes"
            ),
        }));
    };
    let xml = match &envelope.payload {
        Payload::Tombstone => return deleted(session, version, &envelope, &s3_uri, json).await,
        Payload::Xml(xml) => xml,
    };
    if args.xml {
        out::bytes(xml.as_bytes())?;
        return if args.records.len() > 1 { out::line("") } else { Ok(()) };
    }
    let form = if json { args.markup.into() } else { TextForm::Plain };
    let article = parse_as(pmid, xml, form)?;
    if !json {
        return show(&article, &envelope);
    }
    let mut output = json!({
        "found": true, "source": "archive", "fetched_at": envelope.fetched_at,
        "content_hash": envelope.content_hash(), "s3_uri": s3_uri,
    });
    if let (Some(output), Ok(Value::Object(fields))) = (output.as_object_mut(), serde_json::to_value(&article)) {
        output.extend(fields);
    }
    out::json(&output)
}

/// The envelope that a row refers to.
pub async fn envelope(session: &Session, pmid: Pmid, payload: &StoredPayload) -> Result<Envelope, CliError> {
    Ok(session.engine.archive.envelope(pmid, payload).await?)
}

/// The typed record of an archived payload.
pub fn parse(pmid: Pmid, xml: &str) -> Result<Article<'_>, CliError> {
    parse_as(pmid, xml, TextForm::Plain)
}

fn parse_as(pmid: Pmid, xml: &str, form: TextForm) -> Result<Article<'_>, CliError> {
    Article::parse_as(xml, form).map_err(|error| {
        let message = format!(
            "PMID {pmid} is archived but cannot be read as a record ({error}); `bio-mcp get {pmid} --xml` prints it"
        );
        if error.is_beyond_bounds() {
            return CliError::new(Exit::Failed, ErrorCode::ValidationError, message);
        }
        CliError::internal(message)
    })
}

/// Reports that a record, or one version of it, was deleted by the tombstone at an address, and its last content.
async fn deleted(
    session: &Session,
    version: Option<i32>,
    envelope: &Envelope,
    s3_uri: &str,
    json: bool,
) -> Result<(), CliError> {
    let events = records::events(session.db(), envelope.pmid).await?;
    let tombstone = events.iter().rposition(|event| event.s3_uri == s3_uri);
    let before = &events[..tombstone.unwrap_or(0)];
    let is_of_version = |event: &&records::ArchiveEvent| match (version, event.record_version) {
        (Some(wanted), Some(known)) => wanted == known,
        _ => true,
    };
    let deleted_at = tombstone.map(|at| events[at].accepted_at);
    let last_hash = before.iter().rev().filter(is_of_version).find_map(|event| event.content_hash.clone());
    if json {
        let mut output =
            json!({ "pmid": envelope.pmid, "found": false, "deleted_at": deleted_at, "last_hash": last_hash });
        if let Some(version) = version {
            output["version"] = json!(version);
        }
        out::json(&output)?;
    }
    let what = version.map(|version| format!("version {version} of ")).unwrap_or_default();
    let source = &envelope.source;
    // Of a purge, `endpoint` holds the operator's reason instead of a file name.
    let how = if source.api == OPERATOR {
        format!("was purged: {}", out::plain(&source.endpoint))
    } else {
        format!("was deleted by {}", out::plain(&source.endpoint))
    };
    Err(CliError::not_found(format!(
        "{what}PMID {} {how} (as of {}); `bio-mcp history {}` lists its earlier payloads",
        envelope.pmid, envelope.order.as_of, envelope.pmid
    )))
}

fn show(article: &Article<'_>, envelope: &Envelope) -> Result<(), CliError> {
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
