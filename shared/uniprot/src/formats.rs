//! The formats in which an entry is written: DAT (the exact bytes), FASTA, JSON.

use std::io::{self, Write};

use crate::entry::Entry;
use crate::genes::Gene;

/// Amino acids on a line of FASTA.
const FASTA_LINE_CHARS: usize = 60;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The exact bytes of the entry in the flat file.
    Dat,
    /// UniProt's FASTA: a header and the sequence.
    Fasta,
    /// The typed entry on one line.
    Json,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Dat, Self::Fasta, Self::Json];

    /// Its name, which is also the extension of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dat => "dat",
            Self::Fasta => "fasta",
            Self::Json => "json",
        }
    }

    /// The format of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Dat => "text/plain; charset=utf-8",
            Self::Fasta => "text/x-fasta; charset=utf-8",
            Self::Json => "application/json",
        }
    }

    /// Writes an entry; `raw` are its exact bytes. The only errors are those of `out`.
    ///
    /// ```
    /// use bio_mcp_uniprot::{Entry, Format};
    ///
    /// let raw = b"ID   A_HUMAN   Reviewed;   3 AA.\nAC   P12345;\nDE   RecName: Full=Protein A;\n\
    ///             OS   Homo sapiens (Human).\nOX   NCBI_TaxID=9606;\nPE   1: Evidence at protein level;\n\
    ///             SQ   SEQUENCE   3 AA;\n     MKV\n//\n";
    /// let mut fasta = Vec::new();
    /// Format::Fasta.write(&Entry::parse(raw)?, raw, &mut fasta)?;
    /// assert_eq!(fasta, b">sp|P12345|A_HUMAN Protein A OS=Homo sapiens OX=9606 PE=1\nMKV\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(self, entry: &Entry<'_>, raw: &[u8], out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Dat => out.write_all(raw),
            Self::Fasta => write_fasta(entry, out),
            Self::Json => {
                serde_json::to_writer(&mut *out, entry)?;
                out.write_all(b"\n")
            }
        }
    }
}

/// Writes `>sp|ACC|NAME Description OS=… OX=… GN=… PE=… SV=…` and the sequence; what is absent is left out.
fn write_fasta(entry: &Entry<'_>, out: &mut impl Write) -> io::Result<()> {
    let database = if entry.reviewed { "sp" } else { "tr" };
    write!(out, ">{database}|{}|{}", entry.accession, entry.name)?;
    if let Some(description) = description(entry) {
        write!(out, " {description}")?;
    }
    if let Some(fragment) = entry.protein.flags.iter().find(|flag| matches!(&***flag, "Fragment" | "Fragments")) {
        write!(out, " ({fragment})")?;
    }
    if !entry.organism.scientific.is_empty() {
        write!(out, " OS={}", entry.organism.scientific)?;
    }
    if let Some(taxon) = entry.organism.taxon_id {
        write!(out, " OX={taxon}")?;
    }
    if let Some(gene) = entry.genes.first().and_then(Gene::main_name) {
        write!(out, " GN={gene}")?;
    }
    if let Some(existence) = entry.existence {
        write!(out, " PE={existence}")?;
    }
    if let Some(version) = entry.dates.sequence_version {
        write!(out, " SV={version}")?;
    }
    out.write_all(b"\n")?;
    for line in entry.sequence.value.as_bytes().chunks(FASTA_LINE_CHARS) {
        out.write_all(line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The recommended name, else the first of those that there are.
fn description<'e>(entry: &'e Entry<'_>) -> Option<&'e str> {
    let protein = &entry.protein;
    let mut names = protein.recommended.iter().chain(&protein.submitted).chain(&protein.alternatives);
    names.find_map(|name| name.full.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(format: Format, raw: &str) -> String {
        let mut out = Vec::new();
        format.write(&Entry::parse(raw.as_bytes()).expect("there"), raw.as_bytes(), &mut out).expect("there");
        String::from_utf8(out).expect("there")
    }

    fn entry(sequence_lines: &str, length: usize) -> String {
        format!(
            "ID   B_VIRUS   Unreviewed;   {length} AA.\nAC   A0A022YWF9;\nDT   01-JAN-2020, sequence version 3.\n\
             DE   SubName: Full=ORF10 protein {{ECO:1}};\nDE   Flags: Precursor; Fragment;\n\
             GN   OrderedLocusNames=At1g01360;\nOS   A virus (strain X) (AV).\nOX   NCBI_TaxID=7;\n\
             PE   4: Predicted;\nSQ   SEQUENCE   {length} AA;  1 MW;  0 CRC64;\n{sequence_lines}//\n"
        )
    }

    #[test]
    fn fasta_has_the_header_of_uniprot_and_60_amino_acids_a_line() {
        let lines = format!("     {0} {0} {0} {0} {0} {0}\n     {0}\n", "MKVMKVMKVM");
        let found = write(Format::Fasta, &entry(&lines, 70));
        let names = "A0A022YWF9|B_VIRUS ORF10 protein (Fragment) OS=A virus (strain X)";
        let header = format!(">tr|{names} OX=7 GN=At1g01360 PE=4 SV=3");
        assert_eq!(found, format!("{header}\n{}\nMKVMKVMKVM\n", "MKVMKVMKVM".repeat(6)));
    }

    #[test]
    fn dat_is_exact_and_json_is_one_line() {
        let raw = entry("     MKV\n", 3);
        assert_eq!(write(Format::Dat, &raw), raw);
        let json = write(Format::Json, &raw);
        assert_eq!(json.find('\n'), Some(json.len() - 1));
        let value: serde_json::Value = serde_json::from_str(&json).expect("there");
        assert_eq!(value["accession"], "A0A022YWF9");
        assert_eq!(value["dates"]["sequence"], "2020-01-01");
        assert_eq!(value["references"], serde_json::json!([]));
        assert_eq!(value["organelle"], serde_json::Value::Null);
    }

    #[test]
    fn a_format_has_one_name() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
        }
        assert_eq!(Format::from_name("xml"), None);
    }
}
