//! Groups of tools, so that a deployment lists over MCP only what its clients use.

use std::collections::BTreeSet;

use super::reader::Reader;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Toolset {
    /// Searching, reading and archiving PubMed.
    Core,
    /// `job.*`
    Jobs,
    /// `corpus.*`
    Corpus,
    /// The rest of `pubmed.*`, and `mesh.*`.
    Literature,
    /// `rag.*`
    Rag,
    /// `graph.*`
    Graph,
    /// `uniprot.*`
    Uniprot,
}

/// The tools of [`Toolset::Core`].
const CORE: [&str; 7] = [
    "ping",
    "pubmed.search",
    "pubmed.get",
    "pubmed.get_many",
    "pubmed.sync",
    "pubmed.sync.incremental",
    "pubmed.ingest_files",
];

impl Toolset {
    /// Every group with its name in `BIO_MCP_TOOLSETS`.
    pub const ALL: [(&'static str, Self); 7] = [
        ("core", Self::Core),
        ("jobs", Self::Jobs),
        ("corpus", Self::Corpus),
        ("literature", Self::Literature),
        ("rag", Self::Rag),
        ("graph", Self::Graph),
        ("uniprot", Self::Uniprot),
    ];

    /// The group of a tool, by its dotted name; none for a name that belongs to no group.
    pub fn of_tool(name: &str) -> Option<Self> {
        if CORE.contains(&name) {
            return Some(Self::Core);
        }
        Some(match name.split('.').next()? {
            "job" => Self::Jobs,
            "corpus" | "topics" => Self::Corpus,
            "pubmed" | "mesh" => Self::Literature,
            "rag" => Self::Rag,
            "graph" => Self::Graph,
            "uniprot" => Self::Uniprot,
            _ => return None,
        })
    }
}

/// `BIO_MCP_TOOLSETS`: names separated by commas; by default, all groups.
pub(super) fn read<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>) -> BTreeSet<Toolset> {
    let names = env.list("BIO_MCP_TOOLSETS");
    if names.is_empty() {
        return Toolset::ALL.iter().map(|(_, set)| *set).collect();
    }
    let known = |name: &String| {
        let found = Toolset::ALL.iter().find(|(word, _)| word.eq_ignore_ascii_case(name));
        found.map(|(_, set)| *set)
    };
    let sets: Option<BTreeSet<Toolset>> = names.iter().map(known).collect();
    sets.unwrap_or_else(|| {
        let words: Vec<&str> = Toolset::ALL.iter().map(|(word, _)| *word).collect();
        env.errors.push(format!("BIO_MCP_TOOLSETS must be some of {}, separated by commas", words.join(", ")));
        BTreeSet::new()
    })
}
