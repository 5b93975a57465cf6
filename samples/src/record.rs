//! Ordinary records, generated from their number: the same number, revision and size give the same bytes.

use std::fmt::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub pmid: u32,
    /// 0 as first published; higher revisions are later and have other content.
    pub revision: u32,
    /// Whether it carries a retraction.
    pub retracted: bool,
    /// Approximate size of the XML, in bytes; at least 3,000.
    pub bytes: usize,
}

/// A small random generator (splitmix64): no dependency, the same results on every platform.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap_or(0)
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

const STEMS: [&str; 48] = [
    "cardi",
    "neur",
    "hepat",
    "nephr",
    "immun",
    "onc",
    "gen",
    "prote",
    "metabol",
    "path",
    "pharmac",
    "tox",
    "derm",
    "hemat",
    "endocrin",
    "gastr",
    "pulmon",
    "ophthalm",
    "psych",
    "epidemi",
    "vir",
    "bacteri",
    "myc",
    "parasit",
    "cyt",
    "hist",
    "embry",
    "physi",
    "anatom",
    "radi",
    "surg",
    "orth",
    "rheumat",
    "allerg",
    "infect",
    "inflamm",
    "transcript",
    "phosphoryl",
    "methyl",
    "acetyl",
    "ubiquitin",
    "kin",
    "lip",
    "gluc",
    "insul",
    "thromb",
    "angi",
    "oste",
];
const ENDS: [&str; 24] = [
    "ology", "ic", "al", "itis", "oma", "osis", "emia", "opathy", "ation", "ase", "in", "ome", "omics", "otoxic",
    "ogenesis", "olysis", "uria", "algia", "ectomy", "oid", "ous", "ive", "ine", "ates",
];
const PLAIN: [&str; 64] = [
    "the",
    "of",
    "and",
    "in",
    "to",
    "with",
    "for",
    "was",
    "were",
    "patients",
    "study",
    "results",
    "a",
    "by",
    "group",
    "treatment",
    "associated",
    "compared",
    "that",
    "cells",
    "expression",
    "significantly",
    "risk",
    "from",
    "between",
    "after",
    "clinical",
    "increased",
    "levels",
    "analysis",
    "on",
    "we",
    "or",
    "as",
    "is",
    "not",
    "at",
    "these",
    "be",
    "than",
    "this",
    "higher",
    "response",
    "activity",
    "using",
    "during",
    "both",
    "may",
    "which",
    "effects",
    "control",
    "observed",
    "human",
    "disease",
    "survival",
    "years",
    "data",
    "an",
    "method",
    "lower",
    "therapy",
    "two",
    "rate",
    "outcome",
];
const SURNAMES: [&str; 24] = [
    "Okafor",
    "Lindqvist",
    "Tanaka",
    "Moreau",
    "Silva",
    "Novák",
    "Haddad",
    "Kowalski",
    "O'Brien",
    "Müller",
    "Zhang",
    "Petrov",
    "García",
    "Rossi",
    "Nguyen",
    "Andersson",
    "Iyer",
    "Demir",
    "Cohen",
    "Santos",
    "Kim",
    "Dubois",
    "Popescu",
    "Mbeki",
];
const NAMES: [&str; 16] = [
    "Ada", "Lars", "Yuki", "Claire", "João", "Eva", "Omar", "Jan", "Niamh", "Uwe", "Li", "Olga", "Elena", "Marco",
    "Thi Mai", "Sven",
];

const PHRASES: [&str; 12] = [
    "there was no significant difference between the two groups",
    "the aim of this study was to investigate the role of",
    "were significantly associated with an increased risk of",
    "in the present study we evaluated the effect of",
    "these results suggest that",
    "further studies are needed to confirm",
    "compared with the control group",
    "we conclude that treatment with",
    "the mean age of the patients was",
    "was assessed by means of",
    "in a dose-dependent manner by",
    "95% confidence interval",
];

/// The subject of a record: its technical words, repeated as in real texts.
struct Topic(Vec<String>);

impl Topic {
    fn new(random: &mut Random) -> Self {
        Self((0..18).map(|_| format!("{}{}", random.pick(&STEMS), random.pick(&ENDS))).collect())
    }
}

fn word(random: &mut Random, topic: &Topic, out: &mut String) {
    match random.below(10) {
        0..4 => out.push_str(&topic.0[random.below(topic.0.len())]),
        4 => out.push_str(random.pick(&PHRASES)),
        _ => out.push_str(random.pick(&PLAIN)),
    }
}

fn sentence(random: &mut Random, topic: &Topic, out: &mut String) {
    for n in 0..6 + random.below(10) {
        if n > 0 {
            out.push(' ');
        }
        match random.below(24) {
            0 => _ = write!(out, "{}.{}%", random.below(100), random.below(10)),
            1 => _ = write!(out, "(P&lt;0.0{})", 1 + random.below(9)),
            2 => _ = write!(out, "{} &#x3bc;g", random.below(500)),
            _ => word(random, topic, out),
        }
    }
    out.push_str(". ");
}

impl Record {
    /// A record of default size.
    pub fn new(pmid: u32, revision: u32) -> Self {
        Self { pmid, revision, retracted: false, bytes: 0 }
    }

    pub fn title(self) -> String {
        let mut random = Random(u64::from(self.pmid));
        let topic = Topic::new(&mut random);
        let mut title = String::new();
        for n in 0..7 + random.below(6) {
            if n > 0 {
                title.push(' ');
            }
            word(&mut random, &topic, &mut title);
        }
        if self.revision > 0 {
            let _ = write!(title, " (revised, part {})", self.revision);
        }
        title.push('.');
        title
    }

    /// The XML, from `<PubmedArticle>` to `</PubmedArticle>`.
    #[expect(clippy::too_many_lines, reason = "one template from top to bottom")]
    pub fn xml(self) -> String {
        let Self { pmid, revision, .. } = self;
        let random = &mut Random(u64::from(pmid) << 20);
        let topic = &Topic::new(random);
        let mut xml = String::with_capacity(self.bytes.max(4096) + 1024);
        let year = 1990 + pmid % 35;
        let _ = write!(
            xml,
            "<PubmedArticle><MedlineCitation Status=\"MEDLINE\" IndexingMethod=\"Automated\" Owner=\"NLM\">\
             <PMID Version=\"1\">{pmid}</PMID><DateCompleted><Year>{year}</Year><Month>06</Month><Day>01</Day>\
             </DateCompleted><DateRevised><Year>{}</Year><Month>{:02}</Month><Day>15</Day></DateRevised>\
             <Article PubModel=\"Print-Electronic\"><Journal><ISSN IssnType=\"Electronic\">{:04}-{:04}</ISSN>\
             <JournalIssue CitedMedium=\"Internet\"><Volume>{}</Volume><Issue>{}</Issue><PubDate><Year>{year}</Year>\
             <Month>May</Month></PubDate></JournalIssue><Title>Journal of constructed {}{}</Title>\
             <ISOAbbreviation>J Constr Med</ISOAbbreviation></Journal><ArticleTitle>{}</ArticleTitle>\
             <Pagination><StartPage>{}</StartPage><EndPage>{}</EndPage><MedlinePgn>{}-{}</MedlinePgn></Pagination>\
             <ELocationID EIdType=\"doi\" ValidYN=\"Y\">10.5555/demo.{pmid}</ELocationID><Abstract>",
            2024 + revision.min(2),
            1 + revision % 12,
            pmid % 10_000,
            pmid / 7 % 10_000,
            pmid % 90 + 1,
            pmid % 12 + 1,
            random.pick(&STEMS),
            random.pick(&ENDS),
            self.title(),
            pmid % 900,
            pmid % 900 + 9,
            pmid % 900,
            pmid % 900 + 9,
        );
        let references = self.bytes / 900;
        let text_bytes = self.bytes.saturating_sub(3000 + references * 250) / 4;
        for label in ["BACKGROUND", "METHODS", "RESULTS", "CONCLUSIONS"] {
            let _ = write!(xml, "<AbstractText Label=\"{label}\" NlmCategory=\"{label}\">");
            let start = xml.len();
            loop {
                sentence(random, topic, &mut xml);
                if xml.len() - start >= text_bytes {
                    break;
                }
            }
            xml.push_str("</AbstractText>");
        }
        xml.push_str("</Abstract><AuthorList CompleteYN=\"Y\">");
        for _ in 0..3 + random.below(4) {
            let (last, fore) = (random.pick(&SURNAMES), random.pick(&NAMES));
            let _ = write!(
                xml,
                "<Author ValidYN=\"Y\"><LastName>{last}</LastName><ForeName>{fore}</ForeName><Initials>{}</Initials>\
                 <AffiliationInfo><Affiliation>Department of {}{}, University {}, {}.</Affiliation></AffiliationInfo></Author>",
                fore.chars().next().unwrap_or('X'),
                random.pick(&STEMS),
                random.pick(&ENDS),
                random.below(90),
                random.pick(&SURNAMES),
            );
        }
        xml.push_str("</AuthorList><Language>eng</Language><PublicationTypeList><PublicationType UI=\"D016428\">Journal Article</PublicationType>");
        if self.retracted {
            xml.push_str("<PublicationType UI=\"D016441\">Retracted Publication</PublicationType>");
        }
        let _ = write!(
            xml,
            "</PublicationTypeList><ArticleDate DateType=\"Electronic\"><Year>{year}</Year><Month>04</Month><Day>{:02}</Day>\
             </ArticleDate></Article><MedlineJournalInfo><Country>Nowhere</Country><MedlineTA>J Constr Med</MedlineTA>\
             <NlmUniqueID>{}</NlmUniqueID></MedlineJournalInfo><CitationSubset>IM</CitationSubset>",
            pmid % 28 + 1,
            9_000_000 + pmid % 1000,
        );
        if self.retracted {
            let _ = write!(
                xml,
                "<CommentsCorrectionsList><CommentsCorrections RefType=\"RetractionIn\"><RefSource>J Constr Med. {}</RefSource>\
                 <PMID Version=\"1\">{}</PMID></CommentsCorrections></CommentsCorrectionsList>",
                year + 1,
                pmid + 500_000,
            );
        }
        xml.push_str("<MeshHeadingList>");
        for _ in 0..5 + random.below(6) {
            let _ = write!(
                xml,
                "<MeshHeading><DescriptorName UI=\"D{:06}\" MajorTopicYN=\"N\">{}{}</DescriptorName>\
                 <QualifierName UI=\"Q{:06}\" MajorTopicYN=\"Y\">{}</QualifierName></MeshHeading>",
                random.below(60_000),
                random.pick(&STEMS),
                random.pick(&ENDS),
                random.below(800),
                random.pick(&PLAIN),
            );
        }
        for n in 0..revision {
            let _ = write!(
                xml,
                "<MeshHeading><DescriptorName UI=\"D{:06}\" MajorTopicYN=\"Y\">Added in revision {}</DescriptorName></MeshHeading>",
                100_000 + n,
                n + 1,
            );
        }
        let _ = write!(
            xml,
            "</MeshHeadingList></MedlineCitation><PubmedData><History><PubMedPubDate PubStatus=\"pubmed\"><Year>{year}</Year>\
             <Month>5</Month><Day>1</Day><Hour>6</Hour><Minute>0</Minute></PubMedPubDate></History>\
             <PublicationStatus>ppublish</PublicationStatus><ArticleIdList><ArticleId IdType=\"pubmed\">{pmid}</ArticleId>\
             <ArticleId IdType=\"doi\">10.5555/demo.{pmid}</ArticleId></ArticleIdList>",
        );
        if references > 0 {
            xml.push_str("<ReferenceList>");
            for _ in 0..references {
                xml.push_str("<Reference><Citation>");
                sentence(random, topic, &mut xml);
                let _ = write!(
                    xml,
                    "</Citation><ArticleIdList><ArticleId IdType=\"pubmed\">{}</ArticleId></ArticleIdList></Reference>",
                    random.below(38_000_000) + 1,
                );
            }
            xml.push_str("</ReferenceList>");
        }
        xml.push_str("</PubmedData></PubmedArticle>");
        xml
    }
}
