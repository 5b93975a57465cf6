//! E-utilities and bulk files on loopback, over constructed records: for tests, the demo, and users
//! without a network. It behaves like NCBI's, and fails like it.
//!
//! ```text
//! Corpus: records with entry and modification days, that may change while they are read
//!   └─ server: esearch, efetch, esummary, epost (.fcgi), /pubmed/{baseline,updatefiles}/
//!        ├─ query: the part of PubMed's language that clients of an archive need
//!        ├─ history: WebEnv and query_key, which expire
//!        ├─ traffic: the limit of requests a second, and when each request came
//!        └─ faults: by script, or by seed and rate
//! ```

mod bulk;
mod corpus;
mod faults;
mod history;
mod query;
mod responses;
mod server;
mod traffic;

pub use corpus::{Corpus, Entry, Listed, Spread};
pub use faults::{Fault, Faults};
pub use server::{Options, Simulator};
pub use traffic::Arrival;

/// A number derived from a seed (splitmix64), the same on every platform.
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
