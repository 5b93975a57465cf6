//! The typed entry: all content of a flat-file entry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accession::Accession;
use crate::comment::{Comment, comments};
use crate::cross_reference::{CrossReference, cross_references};
use crate::feature::{Feature, features};
use crate::genes::{Gene, genes};
use crate::header::{self, Dates};
use crate::keywords::keywords;
use crate::lines::Lines;
use crate::organism::{self, Organelle, Organism};
use crate::protein::{Protein, protein};
use crate::reference::{self, Reference};
use crate::sequence::{self, Sequence};
use crate::text::{Attribution, Text};

/// An entry. Absent values are null or empty lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry<'a> {
    /// The primary accession, which names the entry.
    pub accession: Accession,
    /// Accessions that it had before, or of entries merged into it.
    pub secondary_accessions: Vec<Text<'a>>,
    /// The entry name, such as `HLAA_HUMAN`, which can change.
    pub name: Text<'a>,
    /// Whether it is reviewed (Swiss-Prot), not computed (TrEMBL).
    pub reviewed: bool,
    /// Dates and versions.
    pub dates: Dates,
    /// Names of the protein.
    pub protein: Protein<'a>,
    /// Genes.
    pub genes: Vec<Gene<'a>>,
    /// The organism and its hosts.
    pub organism: Organism<'a>,
    /// The organelles or plasmids whose genome has the gene, as written.
    pub organelle: Option<Text<'a>>,
    /// Evidence of the organelle.
    pub organelle_evidence: Vec<Text<'a>>,
    /// Literature.
    pub references: Vec<Reference<'a>>,
    /// Comments.
    pub comments: Vec<Comment<'a>>,
    /// Cross-references to other databases.
    pub cross_references: Vec<CrossReference<'a>>,
    /// Evidence for the existence of the protein: 1 at protein level, 2 at transcript level, 3 by homology,
    /// 4 predicted, 5 uncertain; absent before 2007.
    pub existence: Option<u8>,
    /// Keywords.
    pub keywords: Vec<Text<'a>>,
    /// Evidence of the keywords that have any.
    pub keywords_evidence: Vec<Attribution<'a>>,
    /// Features of the sequence.
    pub features: Vec<Feature<'a>>,
    /// The sequence.
    pub sequence: Sequence<'a>,
    /// Lines of other types, in their order.
    pub other_lines: Vec<OtherLine<'a>>,
}

/// A line of a type that this crate does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OtherLine<'a> {
    /// The two characters at its start.
    pub code: Text<'a>,
    /// Its content.
    pub text: Text<'a>,
}

/// Why an entry cannot be parsed. Only what an entry cannot be stored without, or what shows that it is damaged, is an
/// error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It is not UTF-8.
    #[error("not UTF-8 at byte {at_bytes} of the entry")]
    NotUtf8 { at_bytes: usize },
    /// It has no ID line.
    #[error("the entry has no ID line")]
    NoName,
    /// It has no AC line.
    #[error("the entry has no AC line")]
    NoAccession,
    /// Its primary accession is malformed.
    #[error("the primary accession is malformed")]
    MalformedAccession,
    /// It has no sequence.
    #[error("the entry has no sequence")]
    NoSequence,
    /// It has a sequence of another length than the line SQ states.
    #[error("the sequence has {found} amino acids; its SQ line says {stated}")]
    SequenceLength { stated: u32, found: u32 },
}

/// What is being collected of an entry.
#[derive(Default)]
struct Draft<'a> {
    accessions: Vec<&'a str>,
    name: Text<'a>,
    reviewed: bool,
    dates: Dates,
    /// Lines DE and GN, which are read together.
    description: Vec<&'a str>,
    gene_lines: Vec<&'a str>,
    organism: Organism<'a>,
    organelle: Option<Organelle<'a>>,
    references: Vec<Reference<'a>>,
    comments: Vec<Comment<'a>>,
    cross_references: Vec<CrossReference<'a>>,
    existence: Option<u8>,
    keywords: Vec<Text<'a>>,
    keywords_evidence: Vec<Attribution<'a>>,
    features: Vec<Feature<'a>>,
    sequence: Sequence<'a>,
    stated_length: Option<u32>,
    other_lines: Vec<OtherLine<'a>>,
}

impl<'a> Entry<'a> {
    /// Parses the exact bytes of an entry; text is borrowed from them where it is on one line.
    ///
    /// ```
    /// use bio_mcp_uniprot::Entry;
    ///
    /// let entry = Entry::parse(
    ///     b"ID   A_HUMAN   Reviewed;   3 AA.\nAC   P12345;\nDE   RecName: Full=Protein A {ECO:0000305};\n\
    ///       KW   Zinc.\nSQ   SEQUENCE   3 AA;  300 MW;  0000000000000000 CRC64;\n     MKV\n//\n",
    /// )?;
    /// let name = entry.protein.recommended.expect("a RecName");
    /// assert_eq!(name.full.as_deref(), Some("Protein A"));
    /// assert_eq!(name.evidence[0].evidence, ["ECO:0000305"]);
    /// # Ok::<(), bio_mcp_uniprot::EntryError>(())
    /// ```
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let text = std::str::from_utf8(bytes).map_err(|error| EntryError::NotUtf8 { at_bytes: error.valid_up_to() })?;
        let mut draft = Draft::default();
        let mut lines = Lines::new(text);
        let mut block = Vec::new();
        while let Some(code) = lines.block(&mut block) {
            if code == "//" {
                break;
            }
            draft.read(code, &block);
        }
        draft.finish()
    }

    /// References to PubMed, which join the entry with the literature.
    pub fn pubmed_ids(&self) -> impl Iterator<Item = &str> {
        self.references.iter().filter_map(Reference::pubmed)
    }
}

impl<'a> Draft<'a> {
    /// Reads lines of one type.
    fn read(&mut self, code: &'a str, lines: &[&'a str]) {
        match code {
            "ID" => (self.name, self.reviewed) = header::id(lines),
            "AC" => self.accessions.extend(header::accessions(lines)),
            "DT" => header::dates(lines, &mut self.dates),
            "DE" => self.description.extend_from_slice(lines),
            "GN" => self.gene_lines.extend_from_slice(lines),
            "OS" => organism::names(lines, &mut self.organism),
            "OG" => self.organelle = organism::organelle(lines),
            "OC" => organism::lineage(lines, &mut self.organism),
            "OX" => organism::taxa(lines, &mut self.organism),
            "OH" => organism::hosts(lines, &mut self.organism),
            "CC" => comments(lines, &mut self.comments),
            "DR" => cross_references(lines, &mut self.cross_references),
            "PE" => self.existence = existence(lines),
            "KW" => keywords(lines, &mut self.keywords, &mut self.keywords_evidence),
            "FT" => features(lines, &mut self.features),
            "SQ" => self.stated_length = sequence::summary(lines, &mut self.sequence),
            "  " => sequence::residues(lines, &mut self.sequence),
            _ if code.starts_with('R') && reference::read(code, lines, &mut self.references) => {}
            // A blank line.
            "" if lines.iter().all(|line| line.is_empty()) => {}
            _ => {
                let other = lines.iter().map(|line| OtherLine { code: code.into(), text: (*line).into() });
                self.other_lines.extend(other);
            }
        }
    }

    fn finish(self) -> Result<Entry<'a>, EntryError> {
        if self.name.is_empty() {
            return Err(EntryError::NoName);
        }
        let (primary, secondary) = self.accessions.split_first().ok_or(EntryError::NoAccession)?;
        let accession = Accession::parse(primary).map_err(|_| EntryError::MalformedAccession)?;
        if self.sequence.value.is_empty() {
            return Err(EntryError::NoSequence);
        }
        let found = self.sequence.length;
        if let Some(stated) = self.stated_length.filter(|stated| *stated != found) {
            return Err(EntryError::SequenceLength { stated, found });
        }
        let (organelle, organelle_evidence) =
            self.organelle.map_or((None, Vec::new()), |organelle| (Some(organelle.name), organelle.evidence));
        Ok(Entry {
            accession,
            secondary_accessions: secondary.iter().map(|accession| Text::Borrowed(*accession)).collect(),
            name: self.name,
            reviewed: self.reviewed,
            dates: self.dates,
            protein: protein(&self.description),
            genes: genes(&self.gene_lines),
            organism: self.organism,
            organelle,
            organelle_evidence,
            references: self.references,
            comments: self.comments,
            cross_references: self.cross_references,
            existence: self.existence,
            keywords: self.keywords,
            keywords_evidence: self.keywords_evidence,
            features: self.features,
            sequence: self.sequence,
            other_lines: self.other_lines,
        })
    }
}

/// Reads the line PE: `1: Evidence at protein level;`.
fn existence(lines: &[&str]) -> Option<u8> {
    let (number, _) = lines.first()?.split_once(':')?;
    number.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENTRY: &str = "\
ID   HLAA_HUMAN              Reviewed;          13 AA.\r
AC   P04439; B1PKZ3;
AC   O02939;
DT   13-AUG-1987, integrated into UniProtKB/Swiss-Prot.
DE   RecName: Full=HLA class I;
GN   Name=HLA-A {ECO:0000312|HGNC:HGNC:4931};
GN   and
GN   Name=HLA-B;
OS   Homo sapiens (Human).
OG   Plastid; Chloroplast.
OX   NCBI_TaxID=9606;
**   internal
RN   [1]
RX   PubMed=2431040;
CC   -!- FUNCTION: Presents peptides. {ECO:0000305}.
DR   NewDatabase; X; -.
PE   1: Evidence at protein level;
KW   Zinc.
FT   CHAIN           1..13
ZZ   a line of the future
SQ   SEQUENCE   13 AA;  1841 MW;  DEDFCEC4450E0580 CRC64;
     MRYTVLIALQ GAL
//
";

    #[test]
    fn all_lines_are_read_and_unknown_ones_kept() {
        let entry = Entry::parse(ENTRY.as_bytes()).expect("there");
        assert_eq!((entry.accession.as_str(), &*entry.name, entry.reviewed), ("P04439", "HLAA_HUMAN", true));
        assert_eq!(entry.secondary_accessions, ["B1PKZ3", "O02939"]);
        assert_eq!((entry.genes.len(), entry.existence), (2, Some(1)));
        assert_eq!(entry.organelle.as_deref(), Some("Plastid; Chloroplast"));
        assert_eq!(entry.pubmed_ids().collect::<Vec<_>>(), ["2431040"]);
        assert_eq!((entry.comments.len(), entry.features.len(), entry.cross_references.len()), (1, 1, 1));
        let others: Vec<_> = entry.other_lines.iter().map(|line| (&*line.code, &*line.text)).collect();
        assert_eq!(others, [("**", "internal"), ("ZZ", "a line of the future")]);
    }

    #[test]
    fn a_damaged_entry_is_an_error() {
        let check = |from: &str, to: &str, expect: EntryError| {
            assert_eq!(Entry::parse(ENTRY.replace(from, to).as_bytes()), Err(expect));
        };
        check("SQ   SEQUENCE   13", "SQ   SEQUENCE   14", EntryError::SequenceLength { stated: 14, found: 13 });
        check("     MRYTVLIALQ GAL\n", "", EntryError::NoSequence);
        check("AC   P04439", "AC   ../../x", EntryError::MalformedAccession);
        check("AC   ", "AD   ", EntryError::NoAccession);
        check("ID   ", "IE   ", EntryError::NoName);
        assert_eq!(Entry::parse(b"ID   \xff"), Err(EntryError::NotUtf8 { at_bytes: 5 }));
    }

    #[test]
    fn json_gives_the_same_entry() {
        let entry = Entry::parse(ENTRY.as_bytes()).expect("there");
        let json = serde_json::to_string(&entry).expect("there");
        assert_eq!(serde_json::from_str::<Entry<'_>>(&json).expect("there"), entry);
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = schemars::schema_for!(Entry<'static>);
        let properties = schema.get("properties").and_then(serde_json::Value::as_object).expect("there");
        assert!(properties.contains_key("cross_references"));
        assert!(properties.values().all(|property| property.get("description").is_some()), "{properties:?}");
    }

    proptest! {
        #[test]
        fn any_lines_can_be_parsed(
            lines in prop::collection::vec(
                "(ID|AC|DT|DE|GN|OS|OG|OC|OX|OH|RN|RP|RC|RX|RA|RT|RL|CC|DR|PE|KW|FT|SQ|  |ZZ)   \
                 [A-Za-z0-9{}\\[\\]()/\";:=.,\u{e9} -]{0,40}",
                0..30,
            ),
        ) {
            let text = format!("{}\n//\n", lines.join("\n"));
            let _ = Entry::parse(text.as_bytes());
        }
    }
}
