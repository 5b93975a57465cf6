//! A set of PMIDs as bitmaps, small because PMIDs are dense: 8 KiB for each range of 65,536 that has a member.

use std::collections::HashMap;

use super::Pmid;

const WORDS: usize = 1024;

/// A set of PMIDs.
///
/// ```
/// use bio_mcp_core::{Pmid, PmidSet};
///
/// let mut seen = PmidSet::default();
/// let pmid = Pmid::new(42)?;
/// seen.insert(pmid);
/// assert!(seen.contains(pmid));
/// # Ok::<(), bio_mcp_core::pmid::InvalidPmid>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PmidSet(HashMap<u32, Box<[u64; WORDS]>>);

impl PmidSet {
    pub fn insert(&mut self, pmid: Pmid) {
        let (block, word, bit) = parts(pmid);
        self.0.entry(block).or_insert_with(|| Box::new([0; WORDS]))[word] |= bit;
    }

    pub fn contains(&self, pmid: Pmid) -> bool {
        let (block, word, bit) = parts(pmid);
        self.0.get(&block).is_some_and(|words| words[word] & bit != 0)
    }
}

fn parts(pmid: Pmid) -> (u32, usize, u64) {
    let low = pmid.get() & 0xffff;
    (pmid.get() >> 16, (low >> 6) as usize, 1 << (low & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_neighbours_are_not() {
        let mut set = PmidSet::default();
        for n in [1, 63, 64, 65_535, 65_536, 999_999_999] {
            let pmid = Pmid::new(n).expect("a PMID");
            assert!(!set.contains(pmid), "{n}");
            set.insert(pmid);
            assert!(set.contains(pmid), "{n}");
        }
        assert!(!set.contains(Pmid::new(2).expect("a PMID")));
    }
}
