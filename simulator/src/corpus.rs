//! The upstream records, and their changes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Days, NaiveDate};
use samples::record::Record;

use crate::mix;

#[derive(Clone, Debug)]
pub struct Entry {
    /// Entry date (EDAT): when the record was added, or, if that was long after publication, when it was published.
    pub entered: NaiveDate,
    /// Creation date (CRDT): when the record was added.
    pub created: NaiveDate,
    /// Modification date (MDAT): when the record was last changed.
    pub modified: NaiveDate,
    pub revision: u32,
    /// Whether the record carries a retraction.
    pub retracted: bool,
    /// Topics that match the record, one bit each; see [`Corpus::topic`].
    pub topics: u32,
    /// Approximate size of the XML, in bytes.
    pub bytes: usize,
    /// Whether searches find the record. NCBI indexes some records days after their entry date.
    pub is_indexed: bool,
    /// How often searches list the record.
    pub listed: Listed,
    /// Whether EFetch returns the record; a withdrawn one is still found for a while.
    pub is_served: bool,
    /// What EFetch returns instead of an ordinary record.
    pub xml: Option<Arc<str>>,
}

/// How often searches list a record that they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Counted and listed once.
    Once,
    /// The index has it twice: it is counted and listed twice.
    Twice,
    /// Counted but never listed.
    Never,
}

/// Distribution of records over entry days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// The same number on each of this many days.
    Even(u32),
    /// Half of them on one day, the others evenly over this many days.
    Spike(u32),
    OneDay,
}

/// All records, by PMID.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    pub(crate) entries: BTreeMap<u32, Entry>,
    topics: Vec<String>,
    /// The current day upstream.
    pub today: NaiveDate,
}

impl Corpus {
    pub fn new(today: NaiveDate) -> Self {
        Self { entries: BTreeMap::new(), topics: Vec::new(), today }
    }

    /// `count` records whose PMIDs follow `first`, entered on the days before `today`. The word `tenth` finds about one
    /// in ten, `all` finds every record.
    pub fn generated(today: NaiveDate, first: u32, count: u32, seed: u64, spread: Spread) -> Self {
        let mut corpus = Self::new(today);
        let tenth = corpus.topic("tenth");
        for n in 0..count {
            let pmid = first + n;
            let random = mix(seed ^ u64::from(pmid));
            let even = |days: u32| u64::from(n) * u64::from(days) / u64::from(count) + 1;
            let age = match spread {
                Spread::Spike(days) if random & 1 == 0 => u64::from(days / 2 + 1),
                Spread::Even(days) | Spread::Spike(days) => even(days),
                Spread::OneDay => 1,
            };
            let entered = today - Days::new(age);
            let topics = if random % 10 == 3 { tenth } else { 0 };
            corpus.entries.insert(pmid, Entry { topics, ..Entry::on(entered) });
        }
        corpus
    }

    /// The bit of a topic, which is created if it is new.
    pub fn topic(&mut self, word: &str) -> u32 {
        let word = word.to_lowercase();
        let at = self.topics.iter().position(|topic| *topic == word).unwrap_or_else(|| {
            self.topics.push(word);
            self.topics.len() - 1
        });
        assert!(at < 32, "a corpus has at most 32 topics");
        1 << at
    }

    /// The bit of a word, if it is a topic. Every record has the bit of `all`.
    pub(crate) fn bit_of(&self, word: &str) -> Option<u32> {
        if word == "all" {
            return Some(u32::MAX);
        }
        self.topics.iter().position(|topic| topic == word).map(|at| 1 << at)
    }

    /// Adds a record on the current day that a topic finds.
    pub fn add(&mut self, pmid: u32, topic: &str) -> &mut Entry {
        let topics = self.topic(topic);
        let entry = Entry { topics, ..Entry::on(self.today) };
        self.entries.entry(pmid).or_insert(entry)
    }

    /// Adds a record on the current day that was published long ago. As at NLM, its entry date is that of its
    /// publication, and so is its modification date, because it has no DateRevised: only its creation date shows that
    /// it is new.
    pub fn add_late(&mut self, pmid: u32, topic: &str, published: NaiveDate) -> &mut Entry {
        let entry = self.add(pmid, topic);
        entry.entered = published;
        entry.modified = published;
        entry
    }

    /// Inserts a record, or replaces it.
    pub fn put(&mut self, pmid: u32, entry: Entry) {
        self.entries.insert(pmid, entry);
    }

    /// Revises a record on the current day.
    pub fn revise(&mut self, pmid: u32) {
        let today = self.today;
        if let Some(entry) = self.entries.get_mut(&pmid) {
            entry.revision += 1;
            entry.modified = today;
        }
    }

    /// Retracts a record on the current day.
    pub fn retract(&mut self, pmid: u32) {
        self.revise(pmid);
        if let Some(entry) = self.entries.get_mut(&pmid) {
            entry.retracted = true;
        }
    }

    /// A record, to change it.
    pub fn entry(&mut self, pmid: u32) -> Option<&mut Entry> {
        self.entries.get_mut(&pmid)
    }

    /// Removes a record without a trace, like a deletion appears in E-utilities.
    pub fn remove(&mut self, pmid: u32) {
        self.entries.remove(&pmid);
    }

    /// All PMIDs, ascending.
    pub fn pmids(&self) -> impl Iterator<Item = u32> {
        self.entries.keys().copied()
    }

    /// Generates a record once, so that it is not generated for each request.
    pub fn prerender(&mut self, pmid: u32) {
        let xml = self.xml(pmid).map(|xml| Arc::from(xml.as_ref()));
        if let Some(entry) = self.entries.get_mut(&pmid) {
            entry.xml = xml;
        }
    }

    /// What EFetch returns for a record; none if it is not served. The first records of PubMed exist in every corpus,
    /// but if they are not among its entries, no search finds them.
    pub fn xml(&self, pmid: u32) -> Option<Cow<'_, str>> {
        if (1..=3).contains(&pmid) && !self.entries.contains_key(&pmid) {
            return Some(Cow::Owned(Entry::on(self.today).ordinary(pmid).xml()));
        }
        let entry = self.entries.get(&pmid).filter(|entry| entry.is_served)?;
        Some(match &entry.xml {
            Some(xml) => Cow::Borrowed(xml),
            None => Cow::Owned(entry.ordinary(pmid).xml()),
        })
    }
}

impl Entry {
    /// An ordinary record with this entry date.
    pub fn on(day: NaiveDate) -> Self {
        Self {
            entered: day,
            created: day,
            modified: day,
            revision: 0,
            retracted: false,
            topics: 0,
            bytes: 0,
            is_indexed: true,
            listed: Listed::Once,
            is_served: true,
            xml: None,
        }
    }

    pub(crate) fn ordinary(&self, pmid: u32) -> Record {
        Record { pmid, revision: self.revision, retracted: self.retracted, bytes: self.bytes }
    }
}
