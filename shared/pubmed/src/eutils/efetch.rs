//! EFetch: the exact records of PMIDs, compared with the requested PMIDs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, Utc};

use super::classify::{Expected, ResponseFault};
use super::client::Client;
use super::error::EutilsError;
use crate::identity::{self, Identity};
use crate::{Defect, Item, SplitError, Splitter};
use bio_mcp_core::Pmid;

/// Records that PubMed has always had, for an archive without records: PMID 1 is from 1975.
pub const WELL_KNOWN: [u32; 3] = [1, 2, 3];

/// One response: its bytes as received, and the records in them.
#[derive(Clone, Debug)]
pub struct RecordSet {
    /// The whole document.
    pub bytes: Vec<u8>,
    /// Returned records, at most one per requested PMID.
    pub returned: Vec<Returned>,
    /// Requested PMIDs without a record in the response, in ascending order.
    pub absent: Vec<Pmid>,
    /// Whether any requested record, controls included, was returned: only then is an absence meaningful.
    pub is_proof: bool,
    /// When the request was started: the as-of time of the records.
    pub as_of: DateTime<Utc>,
    /// The response's `ETag`, if it had one.
    pub etag: Option<String>,
}

/// A record of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// A complete record of a requested PMID.
    Record { range: Range<usize>, identity: Identity },
    /// A record that cannot be archived.
    Bad {
        range: Range<usize>,
        /// Its PMID, if it could be read.
        pmid: Option<Pmid>,
        reason: String,
    },
}

impl Client {
    /// Fetches records (distinct PMIDs, a few hundred). A response that is not a complete document is requested again;
    /// PMIDs without a record in a complete one are `absent`.
    ///
    /// While its backend is down, EFetch returns empty sets, as for PMIDs that do not exist. `controls` are PMIDs that
    /// are known to exist: they are requested too, and a set without any of the requested records is an outage. Without
    /// controls, such a set is returned, but is no proof.
    pub async fn fetch(
        &self,
        pmids: &[Pmid],
        controls: Option<&[Pmid]>,
        max_record_bytes: usize,
    ) -> Result<RecordSet, EutilsError> {
        let needs_proof = controls.is_some();
        let controls = controls.unwrap_or_default();
        let controls: Vec<Pmid> = controls.iter().filter(|control| !pmids.contains(control)).copied().collect();
        let requested: Vec<Pmid> = pmids.iter().chain(&controls).copied().collect();
        let ids = requested.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let params = [("retmode", "xml"), ("id", ids.as_str())];
        self.call("efetch.fcgi", &params, Expected::Records, |response| {
            let (mut returned, mut absent) = reconcile(&requested, &response.body, max_record_bytes)?;
            let is_proof = returned.iter().any(|one| one.pmid().is_some());
            if needs_proof && !is_proof {
                return Err(ResponseFault::NoRecords);
            }
            returned.retain(|one| one.pmid().is_none_or(|pmid| !controls.contains(&pmid)));
            absent.retain(|pmid| !controls.contains(pmid));
            Ok(RecordSet {
                bytes: response.body,
                returned,
                absent,
                is_proof,
                as_of: response.requested_at,
                etag: response.etag,
            })
        })
        .await
    }
}

impl Returned {
    /// Its PMID, if it could be read.
    pub fn pmid(&self) -> Option<Pmid> {
        match self {
            Self::Record { identity, .. } => Some(identity.pmid),
            Self::Bad { pmid, .. } => *pmid,
        }
    }
}

/// Splits a document and compares it with the requested PMIDs. Of two records with one PMID, the newer version is used;
/// records that were not requested are ignored.
fn reconcile(
    requested: &[Pmid],
    body: &[u8],
    max_record_bytes: usize,
) -> Result<(Vec<Returned>, Vec<Pmid>), ResponseFault> {
    let mut open: BTreeSet<Pmid> = requested.iter().copied().collect();
    let wanted = open.clone();
    let mut records: BTreeMap<Pmid, (Range<usize>, Identity)> = BTreeMap::new();
    let mut returned = Vec::new();
    let mut splitter = Splitter::new(body, max_record_bytes);
    loop {
        let item = match splitter.next() {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(SplitError::Truncated { .. }) => return Err(ResponseFault::Truncated),
            Err(_) => return Err(ResponseFault::Unexpected),
        };
        let (shown, defect, identity) = match item {
            Item::Record { bytes, defect } => (bytes.len(), defect, identity::of_record(bytes).map(|(one, _)| one)),
            // EFetch reports no deletions.
            Item::Deletion { .. } => return Err(ResponseFault::Unexpected),
        };
        // Only the first bytes of an oversized record are returned.
        let whole = match &defect {
            Some(Defect::Oversized { bytes, .. }) => *bytes,
            _ => shown as u64,
        };
        let start = splitter.position().checked_sub(whole).and_then(|start| usize::try_from(start).ok());
        let range = start.map(|start| start..start + shown).filter(|range| range.end <= body.len());
        let range = range.ok_or(ResponseFault::Unexpected)?;
        let (pmid, reason) = match (defect, identity) {
            (None, Ok(identity)) => {
                if !wanted.contains(&identity.pmid) {
                    tracing::warn!(pmid = %identity.pmid, "NCBI returned a record that was not requested");
                    continue;
                }
                let rank = |identity: &Identity| (identity.version, identity.date_revised);
                let newer = records.get(&identity.pmid).is_none_or(|(_, other)| rank(other) <= rank(&identity));
                if newer {
                    records.insert(identity.pmid, (range, identity));
                }
                continue;
            }
            (None, Err(error)) => (None, error.to_string()),
            (Some(defect), identity) => (identity.ok().map(|identity| identity.pmid), defect.to_string()),
        };
        if pmid.is_none_or(|pmid| open.remove(&pmid)) {
            returned.push(Returned::Bad { range, pmid, reason });
        }
    }
    for (pmid, (range, identity)) in records {
        if open.remove(&pmid) {
            returned.push(Returned::Record { range, identity });
        }
    }
    Ok((returned, open.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pmid: u32, version: u32, title: &str) -> String {
        format!(
            "<PubmedArticle><MedlineCitation><PMID Version=\"{version}\">{pmid}</PMID><Article><ArticleTitle>{title}</ArticleTitle></Article>\
             </MedlineCitation></PubmedArticle>"
        )
    }

    #[test]
    fn each_pmid_is_returned_bad_or_absent() {
        let body = format!(
            "<PubmedArticleSet>\n{}{}{}{}<PubmedArticle><broken></PubmedArticle>\n</PubmedArticleSet>",
            record(3, 1, "third"),
            record(2, 1, "older"),
            record(2, 2, "newer"),
            record(9, 1, "not requested")
        );
        let requested: Vec<Pmid> = [1, 2, 3].iter().map(|n| Pmid::new(*n).expect("a PMID")).collect();
        let (returned, absent) = reconcile(&requested, body.as_bytes(), 1 << 20).expect("a whole document");
        assert_eq!(absent, [requested[0]]);
        let titles: Vec<&str> = returned
            .iter()
            .filter_map(|one| match one {
                Returned::Record { range, .. } => Some(&body[range.clone()]),
                Returned::Bad { .. } => None,
            })
            .collect();
        assert_eq!(titles, [record(2, 2, "newer"), record(3, 1, "third")]);
        assert_eq!(returned.iter().filter(|one| matches!(one, Returned::Bad { pmid: None, .. })).count(), 1);
    }

    #[test]
    fn a_record_over_the_limit_is_bad_with_its_pmid() {
        let body = format!("<PubmedArticleSet>{}</PubmedArticleSet>", record(1, 1, &"x".repeat(5000)));
        let body = body.replace("</PubmedArticleSet>", &(record(2, 1, "second") + "</PubmedArticleSet>"));
        let requested = [1, 2].map(|n| Pmid::new(n).expect("a PMID"));
        let (returned, absent) = reconcile(&requested, body.as_bytes(), 1000).expect("a whole document");
        assert!(absent.is_empty(), "{returned:?}");
        let [Returned::Bad { range: bad, pmid: Some(_), .. }, Returned::Record { range, .. }] = &returned[..] else {
            panic!("{returned:?}");
        };
        assert!(body[bad.clone()].starts_with("<PubmedArticle>") && bad.len() == 1000);
        assert_eq!(&body[range.clone()], record(2, 1, "second"));
    }
}
