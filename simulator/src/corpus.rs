//! The records that exist upstream, and what happens to them there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Days, NaiveDate};
use samples::record::Record;

use crate::mix;

/// One upstream record.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its entry date (EDAT): when it was added, or, if that was long after, when it was published.
    pub entered: NaiveDate,
    /// When it was added (CRDT).
    pub created: NaiveDate,
    /// When it was last changed (MDAT).
    pub modified: NaiveDate,
    /// How often it was revised.
    pub revision: u32,
    /// Whether it carries a retraction.
    pub retracted: bool,
    /// Topics that find it, one bit each; see [`Corpus::topic`].
    pub topics: u32,
    /// About how many bytes of XML it has.
    pub bytes: usize,
    /// Whether searches find it. NCBI indexes some records days after their entry date.
    pub is_indexed: bool,
    /// How searches that find it list it.
    pub listed: Listed,
    /// Whether EFetch returns it; a withdrawn one is still found for a while.
    pub is_served: bool,
    /// What EFetch returns instead of an ordinary record.
    pub xml: Option<Arc<str>>,
}

/// How a record is listed by searches that find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// As it is counted: once.
    Once,
    /// The index has it twice: it is counted and listed so.
    Twice,
    /// It is counted and never listed.
    Never,
}

/// How entry days are spread over records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// The same number on each of so many days.
    Even(u32),
    /// Half of them on one day, the others even over so many days.
    Spike(u32),
    /// All on one day.
    OneDay,
}

/// All records, by PMID.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    pub(crate) entries: BTreeMap<u32, Entry>,
    topics: Vec<String>,
    /// What day it is upstream.
    pub today: NaiveDate,
}

impl Corpus {
    /// An empty corpus on a day.
    pub fn new(today: NaiveDate) -> Self {
        Self { entries: BTreeMap::new(), topics: Vec::new(), today }
    }

    /// `count` records whose PMIDs follow `first`, entered on the days before `today`. The word
    /// `tenth` finds about one in ten, `all` every one.
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

    /// The bit of a topic, which exists from now on.
    pub fn topic(&mut self, word: &str) -> u32 {
        let word = word.to_lowercase();
        let at = self.topics.iter().position(|topic| *topic == word).unwrap_or_else(|| {
            self.topics.push(word);
            self.topics.len() - 1
        });
        assert!(at < 32, "a corpus has at most 32 topics");
        1 << at
    }

    /// The bit of a word, if it is a topic. `all` is every record's.
    pub(crate) fn bit_of(&self, word: &str) -> Option<u32> {
        if word == "all" {
            return Some(u32::MAX);
        }
        self.topics.iter().position(|topic| topic == word).map(|at| 1 << at)
    }

    /// Adds a record today, found by a topic.
    pub fn add(&mut self, pmid: u32, topic: &str) -> &mut Entry {
        let topics = self.topic(topic);
        let entry = Entry { topics, ..Entry::on(self.today) };
        self.entries.entry(pmid).or_insert(entry)
    }

    /// Adds a record today that was published long ago. As at NLM its entry date is that of its publication, and so is
    /// its modification date, for it has no DateRevised: only its creation date says that it is new.
    pub fn add_late(&mut self, pmid: u32, topic: &str, published: NaiveDate) -> &mut Entry {
        let entry = self.add(pmid, topic);
        entry.entered = published;
        entry.modified = published;
        entry
    }

    /// Puts a record there, whatever was there before.
    pub fn put(&mut self, pmid: u32, entry: Entry) {
        self.entries.insert(pmid, entry);
    }

    /// Revises a record today.
    pub fn revise(&mut self, pmid: u32) {
        let today = self.today;
        if let Some(entry) = self.entries.get_mut(&pmid) {
            entry.revision += 1;
            entry.modified = today;
        }
    }

    /// Retracts a record today.
    pub fn retract(&mut self, pmid: u32) {
        self.revise(pmid);
        if let Some(entry) = self.entries.get_mut(&pmid) {
            entry.retracted = true;
        }
    }

    /// A record, to change it in any way.
    pub fn entry(&mut self, pmid: u32) -> Option<&mut Entry> {
        self.entries.get_mut(&pmid)
    }

    /// Takes a record away without a trace, as E-utilities show a deletion.
    pub fn remove(&mut self, pmid: u32) {
        self.entries.remove(&pmid);
    }

    /// The PMIDs, ascending.
    pub fn pmids(&self) -> impl Iterator<Item = u32> {
        self.entries.keys().copied()
    }

    /// Writes a record once, so that it need not be written for each request.
    pub fn prerender(&mut self, pmid: u32) {
        let xml = self.xml(pmid).map(|xml| Arc::from(xml.as_ref()));
        if let Some(entry) = self.entries.get_mut(&pmid) {
            entry.xml = xml;
        }
    }

    /// What EFetch returns for a record now; nothing for one that is not served. The first records of PubMed are there
    /// in any corpus, and found by no search of one that does not have them.
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
    /// An ordinary record that entered on a day.
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
